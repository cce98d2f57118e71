package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// armed is what was measured of timers.
type armed struct {
	late  []float64 // ms, from the second that was meant to the moment when the call was on disk
	begun []float64 // ms, and to the moment when it began
}

const (
	timersAll   = 100_000
	timersDue   = 1_000 // of them, every second
	timersOfOne = 10    // triggers that a function can have
	timerFor    = 8     // seconds that are looked at
	lineLate    = "100,000 timers, 1,000 due a second: lateness p99"
)

// measureTimers arms timers, of which a hundredth is due every second, and looks how late their calls are accepted.
func (b *bench) measureTimers(ctx context.Context) error {
	s, done, err := b.ownServer(ctx, "--quota-functions", strconv.Itoa(timersAll))
	if err != nil {
		return err
	}
	defer done()
	began := time.Now()
	if err := s.arm(ctx); err != nil {
		return err
	}
	fmt.Fprintf(b.log, "timers, %d armed in %v\n", timersAll, time.Since(began).Round(time.Second))
	if b.timers, err = s.lateness(ctx); err != nil {
		return err
	}
	fmt.Fprintf(b.log, "timers, p50 %.1f, p99 %.1f ms until accepted; p99 %.1f ms until begun\n",
		quantile(b.timers.late, 0.5), quantile(b.timers.late, 0.99), quantile(b.timers.begun, 0.99))
	return nil
}

// arm makes the functions and their timers, those that are due at once last.
func (s *server) arm(ctx context.Context) error {
	l := languages()[0]
	runtime, err := s.runtime(ctx, l.Prefix)
	if err != nil {
		return err
	}
	const functions = timersAll / timersOfOne
	todo := make(chan int)
	failed := make(chan error, 16)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	for range 16 {
		working.Go(func() {
			for i := range todo {
				if err := s.armOne(ctx, l, runtime.Name, i, i >= functions-timersDue/timersOfOne); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
	for i := 0; i < functions && ctx.Err() == nil; i++ {
		select {
		case todo <- i:
		case <-ctx.Done():
		}
	}
	close(todo)
	working.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

func (s *server) armOne(ctx context.Context, l language, runtime string, i int, due bool) error {
	to, err := s.create(ctx, l, runtime, fmt.Sprint("timed-", i))
	if err != nil {
		return err
	}
	urn := to.Path[len("/v2/"+s.ProjectID+"/fgs/functions/") : len(to.Path)-len("/invocations")]
	schedule := "0 0 0 1 1 *"
	if due {
		schedule = "* * * * * *"
		// One instance each: a thousand instances at once would be another measurement.
		if err := s.api(ctx, http.MethodPut, "/v2/"+s.ProjectID+"/fgs/functions/"+urn+"/config-max-instance", map[string]int{"max_instance_num": 1}, nil); err != nil {
			return err
		}
	}
	for n := range timersOfOne {
		err := s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/triggers/"+urn, map[string]any{
			"trigger_type_code": "TIMER", "trigger_status": "ACTIVE",
			"event_data": map[string]any{"name": fmt.Sprint("t", n), "schedule_type": "Cron", "schedule": schedule},
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// lateness reads the runs of whole seconds that began after all timers were armed.
func (s *server) lateness(ctx context.Context) (*armed, error) {
	first := time.Now().Truncate(time.Second).Add(3 * time.Second) // the instances have started
	last := first.Add(timerFor * time.Second)
	select {
	case <-time.After(time.Until(last.Add(2 * time.Second))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	seconds, err := s.timed(ctx, first, last)
	if err != nil {
		return nil, err
	}
	a, owed := &armed{}, 0
	for _, calls := range seconds {
		// Those that are missing from a second come in the next one, before its own.
		slices.SortFunc(calls, func(a, b timedCall) int { return a.Accepted.Compare(b.Accepted) })
		for i, c := range calls {
			second := c.Accepted.Truncate(time.Second)
			if i < owed {
				second = second.Add(-time.Second)
			}
			a.late, a.begun = append(a.late, ms(c.Accepted.Sub(second))), append(a.begun, ms(c.Begun.Sub(second)))
		}
		owed = max(0, owed+timersDue-len(calls))
	}
	if n := len(a.late); n < timerFor*timersDue*9/10 {
		return nil, fmt.Errorf("%d calls of timers in %d s, of %d", n, timerFor, timerFor*timersDue)
	}
	return a, nil
}

type timedCall struct {
	Accepted, Begun time.Time
	Source          string
}

// timed gives the calls of timers by the second in which they were accepted.
func (s *server) timed(ctx context.Context, first, last time.Time) ([][]timedCall, error) {
	seconds := make([][]timedCall, timerFor)
	before := ""
	for {
		var page struct {
			Runs []timedCall `json:"runs"`
			Next int64       `json:"next"`
		}
		if err := s.api(ctx, http.MethodGet, "/admin/v1/projects/"+s.ProjectID+"/runs?limit=500"+before, nil, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Runs {
			if r.Source == "timer" && !r.Accepted.Before(first) && r.Accepted.Before(last) {
				at := int(r.Accepted.Sub(first) / time.Second)
				seconds[at] = append(seconds[at], r)
			}
		}
		// The list goes by the ends of calls; what was accepted in time and ended far later would be of no use here.
		if n := len(page.Runs); n == 0 || page.Next == 0 || page.Runs[n-1].Begun.Before(first.Add(-time.Second)) {
			return seconds, nil
		}
		before = fmt.Sprint("&before=", page.Next)
	}
}

// rows are the lines of the table.
func (a *armed) rows() []row {
	if a == nil {
		return nil
	}
	return []row{
		{Line: lineLate, Unit: millisecond, Value: quantile(a.late, 0.99)},
		{Line: "the same until the call begins, p99", Unit: millisecond, Value: quantile(a.begun, 0.99)},
	}
}
