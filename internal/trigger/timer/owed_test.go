package timer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/schedule"
)

func TestOwed(t *testing.T) {
	since := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s, err := schedule.Parse("Rate", "10m", since, schedule.NewZones(time.UTC))
	require.NoError(t, err)
	at := func(minutes int) time.Time { return since.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		name, missed string
		now          time.Time
		due          []time.Time
		next         time.Time
	}{
		{"nothing yet", MissedOnce, at(9), nil, at(10)},
		{"on time", MissedOnce, at(10), []time.Time{at(10)}, at(20)},
		{"a little late", MissedSkip, at(10).Add(grace), []time.Time{at(10)}, at(20)},
		{"missed and skipped", MissedSkip, at(45), nil, at(50)},
		{"missed but for the last", MissedSkip, at(40), []time.Time{at(40)}, at(50)},
		{"the newest happens", MissedOnce, at(45), []time.Time{at(40)}, at(50)},
		{"the newest and the one of now", MissedOnce, at(50), []time.Time{at(40), at(50)}, at(60)},
		{"all happen", MissedAll, at(45), []time.Time{at(10), at(20), at(30), at(40)}, at(50)},
	} {
		t.Run(c.name, func(t *testing.T) {
			due, next := owed(s, since, c.now, c.missed)
			require.Equal(t, c.due, due)
			require.Equal(t, c.next, next)
		})
	}
	due, next := owed(s, since, since.Add(365*24*time.Hour), MissedAll)
	require.Len(t, due, maxMissed+1, "bounded, and the one of now")
	require.Equal(t, since.Add(365*24*time.Hour+10*time.Minute), next)
}

// A schedule of every second that nobody served for ten years costs no more than another.
func TestOwedIsQuick(t *testing.T) {
	s, err := schedule.Parse("Cron", "* * * * * *", time.Time{}, schedule.NewZones(time.UTC))
	require.NoError(t, err)
	since := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	now := since.AddDate(10, 0, 0)
	due, next := owed(s, since, now, MissedOnce)
	require.Len(t, due, 62)
	require.Equal(t, now.Add(time.Second), next)
}
