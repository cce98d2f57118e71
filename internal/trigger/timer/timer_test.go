package timer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger/timer"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// marks keeps what timers have fired, as the store does.
type marks struct {
	mu    sync.Mutex
	fired map[string]time.Time
	fail  error
}

func (m *marks) MarkFired(_ context.Context, fired map[string]time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		maps.Copy(m.fired, fired)
	}
	return m.fail
}

func (m *marks) of(id string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fired[id]
}

// wall is a clock that can be set.
type wall struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (w *wall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *wall) step(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += by
}

// bench is a server's timers.
type bench struct {
	*timer.Kind
	sink  *triggertest.Sink
	marks *marks
	wall  *wall
}

func newBench(missed string) *bench {
	b := &bench{sink: triggertest.NewSink(), marks: &marks{fired: map[string]time.Time{}}, wall: &wall{}}
	b.Kind = b.another(missed)
	return b
}

// another makes the timers of one more server, or of the same one after a restart.
func (b *bench) another(missed string) *timer.Kind {
	return timer.New(timer.Config{
		Sink: b.sink, Marks: b.marks, Zone: time.UTC, Missed: missed, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(), Now: b.wall.now,
	})
}

func (b *bench) make(t *testing.T, kind, schedule string) *faas.Trigger {
	one, secrets := triggertest.New(t, b, timer.Code, map[string]any{"name": "t", "schedule_type": kind, "schedule": schedule, "user_event": "hi"})
	one.Since = b.wall.now()
	require.Nil(t, secrets)
	return one
}

// fired gives the seconds of the occurrences behind a time.
func (b *bench) fired(t *testing.T, since time.Time) []int {
	var all []int
	for _, job := range b.sink.Jobs() {
		var e struct{ Time time.Time }
		require.NoError(t, json.Unmarshal(job.Event, &e))
		all = append(all, int(e.Time.Sub(since)/time.Second))
	}
	slices.Sort(all)
	return all
}

func every(step, upTo int) (all []int) {
	for i := step; i <= upTo; i += step {
		all = append(all, i)
	}
	return all
}

func TestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedOnce)
		require.NoError(t, b.Start(t.Context()))
		one := b.make(t, "Cron", "CRON_TZ=Asia/Shanghai 0 30 8 * * *") // the bubble begins at midnight UTC
		require.NoError(t, b.Put(one, nil))
		time.Sleep(time.Hour)
		synctest.Wait()
		jobs := b.sink.Jobs()
		require.Len(t, jobs, 1)
		require.JSONEq(t, `{"version":"v1.0","time":"2000-01-01T08:30:00+08:00","trigger_type":"TIMER","trigger_name":"t","user_event":"hi"}`, string(jobs[0].Event))
		require.Equal(t, faas.SourceTimer, jobs[0].Source)
		require.Equal(t, one.Key, jobs[0].Key)
		require.Equal(t, fmt.Sprintf("trigger/%s/%d", one.ID, time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC).Unix()), jobs[0].Dedup)
		require.NoError(t, uuid.Validate(jobs[0].ID))
		require.NoError(t, b.Stop(t.Context()))
		require.Equal(t, time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC), b.marks.of(one.ID).UTC())
	})
}

// Two servers see the same occurrences, and make one job of each.
func TestTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedOnce)
		other := b.another(timer.MissedOnce)
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, other.Start(t.Context()))
		one := b.make(t, "Rate", "1m")
		require.NoError(t, b.Put(one, nil))
		require.NoError(t, other.Put(one, nil))
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		require.Equal(t, every(60, 3600), b.fired(t, one.Since))
		require.Equal(t, 120, b.sink.Tries())
		require.NoError(t, b.Stop(t.Context()))
		require.NoError(t, other.Stop(t.Context()))
	})
}

// The wall's clock jumps ahead over occurrences, and back over ones that have been.
func TestClockSteps(t *testing.T) {
	for _, c := range []struct {
		name, missed string
		step         time.Duration
		want         []int // seconds on the wall, of a timer of every minute; the step comes at 90
	}{
		{"ahead, little", timer.MissedSkip, 45 * time.Second, []int{60, 120, 180, 240, 300}},
		{"ahead, skip", timer.MissedSkip, 600 * time.Second, []int{60, 660, 720, 780, 840}},
		{"ahead, once", timer.MissedOnce, 600 * time.Second, []int{60, 600, 660, 720, 780, 840}},
		{"ahead, all", timer.MissedAll, 600 * time.Second, []int{60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 660, 720, 780, 840}},
		{"back", timer.MissedAll, -80 * time.Second, []int{60, 120, 180}},
		{"far back", timer.MissedAll, -1000 * time.Second, []int{60}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(c.missed)
				require.NoError(t, b.Start(t.Context()))
				one := b.make(t, "Rate", "1m")
				require.NoError(t, b.Put(one, nil))
				time.Sleep(90 * time.Second)
				b.wall.step(c.step)
				time.Sleep(180 * time.Second)
				synctest.Wait()
				require.Equal(t, c.want, b.fired(t, one.Since))
				require.Equal(t, len(c.want), b.sink.Tries(), "none is handed over a second time either")
				require.NoError(t, b.Stop(t.Context()))
			})
		})
	}
}

// A server that was off for an hour makes up for what its policy says, and nothing happens twice.
func TestRestart(t *testing.T) {
	for missed, want := range map[string][]int{
		timer.MissedSkip: {600, 4800, 5400}, timer.MissedOnce: {600, 4200, 4800, 5400}, timer.MissedAll: every(600, 5400),
	} {
		t.Run(missed, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(missed)
				require.NoError(t, b.Start(t.Context()))
				one := b.make(t, "Rate", "10m")
				require.NoError(t, b.Put(one, nil))
				time.Sleep(15 * time.Minute)
				require.NoError(t, b.Stop(t.Context()))
				time.Sleep(60 * time.Minute)
				again := b.another(missed)
				require.NoError(t, again.Start(t.Context()))
				one.Fired = b.marks.of(one.ID)
				require.NoError(t, again.Put(one, nil))
				time.Sleep(15 * time.Minute)
				synctest.Wait()
				require.Equal(t, want, b.fired(t, one.Since))
				require.NoError(t, again.Stop(t.Context()))
			})
		})
	}
}

// A queue that is away loses nothing, and an occurrence is not marked before it is taken over.
func TestQueueAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedOnce)
		require.NoError(t, b.Start(t.Context()))
		one := b.make(t, "Cron", "@every 10s")
		require.NoError(t, b.Put(one, nil))
		time.Sleep(15 * time.Second)
		b.sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, []int{10}, b.fired(t, one.Since))
		require.Equal(t, one.Since.Add(10*time.Second), b.marks.of(one.ID))
		b.sink.Refuse(nil)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		require.Equal(t, every(10, 330), b.fired(t, one.Since))
		require.NoError(t, b.Stop(t.Context()))
	})
}

// Marks that could not be kept are kept later.
func TestMarksAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedOnce)
		b.marks.fail = errors.New("away")
		require.NoError(t, b.Start(t.Context()))
		one := b.make(t, "Rate", "1m")
		require.NoError(t, b.Put(one, nil))
		time.Sleep(90 * time.Second)
		b.marks.mu.Lock()
		b.marks.fail = nil
		b.marks.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, one.Since.Add(time.Minute), b.marks.of(one.ID))
		require.NoError(t, b.Stop(t.Context()))
	})
}

// counting counts batches, and refuses what is for one function.
type counting struct {
	*triggertest.Sink
	batches atomic.Int64
	refused atomic.Pointer[string]
}

func (c *counting) EnqueueEach(ctx context.Context, jobs []faas.Job) []error {
	c.batches.Add(1)
	errs := c.Sink.EnqueueEach(ctx, slices.DeleteFunc(slices.Clone(jobs), func(j faas.Job) bool { return c.refuses(j) }))
	for i, job := range jobs {
		if c.refuses(job) {
			errs = slices.Insert(errs, i, error(faas.Errorf(faas.CodeUnavailable, "workflow", "not now")))
		}
	}
	return errs
}

func (c *counting) refuses(j faas.Job) bool {
	name := c.refused.Load()
	return name != nil && j.Key.Name == *name
}

// What is due in the same second is handed over together, and one that is refused for a while keeps none of the others back.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedOnce)
		sink := &counting{Sink: b.sink}
		k := timer.New(timer.Config{
			Sink: sink, Marks: b.marks, Zone: time.UTC, Missed: timer.MissedOnce, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
		})
		const timers = 3000
		for i := range timers {
			one := b.make(t, "Rate", "1m")
			one.Key.Name = fmt.Sprint("f", i)
			require.NoError(t, k.Put(one, nil))
		}
		require.NoError(t, k.Start(t.Context()))
		time.Sleep(61 * time.Second)
		synctest.Wait()
		require.Len(t, b.sink.Jobs(), timers)
		require.LessOrEqual(t, sink.batches.Load(), int64(10))

		one := "f17"
		sink.refused.Store(&one)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		require.Len(t, b.sink.Jobs(), 4*timers-3)
		sink.refused.Store(nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Len(t, b.sink.Jobs(), 4*timers, "what it owed comes later")
		require.NoError(t, k.Stop(t.Context()))
		for id, at := range b.marks.fired {
			require.Equal(t, 240, int(at.Sub(b.wall.now().Add(-261*time.Second)).Round(time.Second)/time.Second), id)
		}
	})
}

// A trigger that is dropped or changed takes effect at once, also in the middle of an occurrence that cannot be handed over.
func TestDropAndChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(timer.MissedAll)
		require.NoError(t, b.Start(t.Context()))
		one := b.make(t, "Rate", "1m")
		require.NoError(t, b.Put(one, nil))
		b.sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
		time.Sleep(70 * time.Second)
		b.Drop(one.ID)
		b.sink.Refuse(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Empty(t, b.sink.Jobs())

		two := b.make(t, "Rate", "1m")
		require.NoError(t, b.Put(two, nil))
		time.Sleep(61 * time.Second)
		changed := *two
		changed.Data, changed.Since = `{"name":"t","schedule_type":"Rate","schedule":"1h"}`, b.wall.now()
		require.NoError(t, b.Put(&changed, nil))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []int{60, 3661}, b.fired(t, two.Since))
		require.NoError(t, b.Stop(t.Context()))
	})
}

func TestCheck(t *testing.T) {
	b := newBench(timer.MissedOnce)
	for _, data := range []string{
		`{}`, `{"name":"t","schedule_type":"Rate"}`, `{"name":"t","schedule_type":"Never","schedule":"1m"}`, `{"name":"","schedule_type":"Rate","schedule":"1m"}`,
		`{"name":"t","schedule_type":"Cron","schedule":"0 0 0 30 2 *"}`, `{"name":"t","schedule_type":"Rate","schedule":"1m","other":1}`,
		`{"name":"t","schedule_type":"Rate","schedule":5}`,
	} {
		_, err := b.Check(&faas.Trigger{Kind: timer.Code}, triggertest.Decode(t, data), nil)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), data)
		var e *faas.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "event_data.TIMER", e.Field)
	}
}

// late is a sink that notes how late occurrences come.
type late struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *late) EnqueueEach(_ context.Context, jobs []faas.Job) []error {
	now, errs := time.Now(), make([]error, len(jobs))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, job := range jobs {
		var e struct{ Time time.Time }
		errs[i] = json.Unmarshal(job.Event, &e)
		l.all = append(l.all, now.Sub(e.Time))
	}
	return errs
}

// BenchmarkLateness arms 100,000 timers of which 1,000 are due in the same second, and tells how late these are.
func BenchmarkLateness(b *testing.B) {
	sink := &late{}
	k := timer.New(timer.Config{
		Sink: sink, Marks: &marks{fired: map[string]time.Time{}}, Zone: time.UTC, Missed: timer.MissedOnce, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	require.NoError(b, k.Start(b.Context()))
	begun := time.Now()
	for i := range 100_000 {
		schedule := "0 0 0 1 1 *"
		if i%100 == 0 {
			schedule = "* * * * * *"
		}
		one := &faas.Trigger{ID: uuid.NewString(), Kind: timer.Code, Since: begun, Data: `{"name":"t","schedule_type":"Cron","schedule":"` + schedule + `"}`}
		require.NoError(b, k.Put(one, nil))
	}
	armed := time.Since(begun)
	half := func() time.Time { return time.Now().Truncate(time.Second).Add(1500 * time.Millisecond) }
	<-time.After(time.Until(half()))
	sink.mu.Lock()
	sink.all = nil
	sink.mu.Unlock()
	for b.Loop() {
		<-time.After(time.Until(half()))
	}
	require.NoError(b, k.Stop(b.Context()))
	slices.Sort(sink.all)
	b.ReportMetric(float64(armed.Milliseconds()), "arm-ms")
	b.ReportMetric(float64(len(sink.all)), "fired")
	b.ReportMetric(float64(sink.all[len(sink.all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(sink.all[len(sink.all)/2].Microseconds())/1000, "p50-ms")
}
