package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/schedule"
)

func planOf(t *testing.T, slots int, spec faas.Spec) *plan {
	t.Helper()
	p, err := newPlan(spec.Reserved, spec.Tactics, slots, schedule.NewZones(time.UTC))
	require.NoError(t, err)
	return p
}

// TestScheduledCounts walks through a day, and then looks at the same moments out of order.
func TestScheduledCounts(t *testing.T) {
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, time.UTC) }
	schedules := []faas.ReservedSchedule{
		{Name: "morning", Cron: "0 0 8 * * *", Count: 5},
		{Name: "evening", Cron: "0 0 20 * * *", Count: 2},
		{Name: "fair", Cron: "CRON_TZ=Europe/Berlin 0 30 9 * * *", Count: 9, From: day(21, 0, 0, 0), Until: day(21, 18, 0, 0)}, // 08:30 UTC
		{Name: "same time", Cron: "0 0 8 * * *", Count: 4},
		{Name: "long ago", Cron: "0 0 0 1 1 *", Count: 7, Until: day(1, 0, 0, 0)},
		{Name: "later", Cron: "* * * * * *", Count: 1, From: day(24, 0, 0, 0), Until: day(24, 0, 0, 10)},
	}
	moments := []struct {
		at   time.Time
		want int
	}{
		{day(20, 7, 59, 59), 2}, {day(20, 8, 0, 0), 5}, {day(20, 8, 30, 0), 5}, {day(20, 19, 59, 59), 5}, {day(20, 20, 0, 0), 2},
		{day(21, 8, 29, 59), 5}, {day(21, 8, 30, 0), 9}, {day(21, 17, 59, 59), 9}, {day(21, 18, 0, 0), 5}, {day(21, 20, 0, 1), 2},
		{day(24, 0, 0, 0), 1}, {day(24, 0, 0, 9), 1}, {day(24, 0, 0, 10), 2},
	}
	p := planOf(t, 1, faas.Spec{Reserved: 3, Tactics: &faas.Tactics{Schedules: schedules}})
	for _, m := range moments {
		require.Equal(t, m.want, p.scheduled(m.at), "%v", m.at)
		require.Equal(t, m.want, p.scheduled(m.at.Add(time.Millisecond)), "%v and a little", m.at)
	}
	for i := len(moments) - 1; i >= 0; i-- {
		require.Equal(t, moments[i].want, p.scheduled(moments[i].at), "back at %v", moments[i].at)
	}
	once := planOf(t, 1, faas.Spec{Reserved: 3, Tactics: &faas.Tactics{Schedules: []faas.ReservedSchedule{
		{Name: "day", Cron: "0 0 8 * * *", Count: 0, From: day(21, 9, 0, 0)},
	}}})
	require.Equal(t, 3, once.scheduled(day(22, 7, 0, 0)), "the base holds until the first occurrence that is valid")
	require.Equal(t, 0, once.scheduled(day(22, 8, 0, 0)), "a schedule may ask for none")
}

// TestLoadedCounts holds the use of instances to its threshold.
func TestLoadedCounts(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	p := planOf(t, 1, faas.Spec{Tactics: &faas.Tactics{Metrics: []faas.ReservedMetric{{Name: "m", Threshold: 60, Min: 2}}}})
	for _, c := range []struct {
		after time.Duration
		calls int
		want  int
	}{
		{0, 0, 2}, {time.Second, 1, 2}, {2 * time.Second, 3, 5}, {3 * time.Second, 6, 10}, {4 * time.Second, 1, 10},
		{62 * time.Second, 3, 10}, {64 * time.Second, 3, 5}, {125 * time.Second, 0, 2},
	} {
		require.Equal(t, c.want, p.loaded(at.Add(c.after), c.calls), "%v", c.after)
	}
	p = planOf(t, 10, faas.Spec{Tactics: &faas.Tactics{Metrics: []faas.ReservedMetric{{Name: "m", Threshold: 100}}}})
	require.Equal(t, 3, p.loaded(at, 21), "an instance takes ten calls")
}
