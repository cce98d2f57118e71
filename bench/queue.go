package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// queued is what was measured of asynchronous calls, by number of clients.
type queued struct {
	api, keep map[int][]sample  // acceptance through the whole API, and by the floor behind net/http
	bare      map[int][]float64 // of the floor alone, per second
	sync      []float64         // calls that wait for their answer, per second, at the most clients
	drain     []float64         // accepted calls made, per second
	waiting   int64             // jobs
	waitRSS   float64           // MiB of the server while they wait
}

const (
	lineDrain  = "queue drain, by synchronous calls at c=64"
	lineQueued = "server RSS, jobs waiting"
	drainWait  = 5 * time.Minute
)

func lineAccept(clients int, beside string) string {
	return fmt.Sprintf("queue accept, c=%d, by %s", clients, beside)
}

// measureQueue measures asynchronous calls on a server of their own, since what they leave behind would weigh on the others.
func (b *bench) measureQueue(ctx context.Context) (err error) {
	s, done, err := b.ownServer(ctx)
	if err != nil {
		return err
	}
	defer done()
	l := languages()[0]
	runtime, err := s.runtime(ctx, l.Prefix)
	if err != nil {
		return err
	}
	call, err := s.create(ctx, l, runtime.Name, "echo")
	if err != nil {
		return err
	}
	held, err := s.create(ctx, l, runtime.Name, "held")
	if err != nil {
		return err
	}
	floor, keepTo, err := startFloor(ctx, commandKeep)
	if err != nil {
		return err
	}
	defer floor.stop()
	q := &queued{api: map[int][]sample{}, keep: map[int][]sample{}, bare: map[int][]float64{}}
	b.queue = q
	if err := s.hold(ctx, held); err != nil {
		return err
	}
	held = later(held)
	for range b.opts.rounds {
		for _, clients := range concurrencies {
			if err := q.accept(ctx, b, s, held, floor.pid(), keepTo, clients); err != nil {
				return err
			}
		}
		if err := q.drained(ctx, b, s, call); err != nil {
			return err
		}
	}
	return q.wait(ctx, b, s, held)
}

// later is the place where a function is called asynchronously.
func later(to target) target {
	to.Path += "-async"
	to.Accept = true
	return to
}

// accept measures one round at one number of clients. The function makes one call at a time and takes long, so that nothing
// but accepting is done.
func (q *queued) accept(ctx context.Context, b *bench, s *server, to target, floorPID int, keepTo target, clients int) error {
	bare, err := keepRate(ctx, clients, b.opts.run)
	if err != nil {
		return err
	}
	keep, err := load(ctx, floorPID, loadSpec{Target: keepTo, Clients: clients, Warm: againWarm, Run: b.opts.run})
	if err != nil {
		return err
	}
	api, err := load(ctx, s.pid(), loadSpec{Target: to, Clients: clients, Warm: againWarm, Run: b.opts.run})
	if err != nil {
		return err
	}
	q.bare[clients], q.keep[clients], q.api[clients] = append(q.bare[clients], bare), append(q.keep[clients], keep), append(q.api[clients], api)
	fmt.Fprintf(b.log, "queue, c=%-2d  accepts %7.0f/s, p99 %.3f ms, %.0f us of processor time each; floor %7.0f/s bare, %7.0f/s and %.0f us behind net/http%s\n",
		clients, api.PerSecond, api.P99, api.CPU, bare, keep.PerSecond, keep.CPU, faults(api.Wrong, api.Errors, api.First))
	return nil
}

// drained measures how fast accepted calls are made, beside calls that wait for their answer.
func (q *queued) drained(ctx context.Context, b *bench, s *server, call target) error {
	direct, err := load(ctx, s.pid(), loadSpec{Target: call, Clients: 64, Warm: b.opts.warm, Run: b.opts.run})
	if err != nil {
		return err
	}
	before, err := s.books(ctx)
	if err != nil {
		return err
	}
	if _, err := load(ctx, s.pid(), loadSpec{Target: later(call), Clients: 64, Run: b.opts.run}); err != nil {
		return err
	}
	rate, err := s.drain(ctx, before)
	if err != nil {
		return err
	}
	q.sync, q.drain = append(q.sync, direct.PerSecond), append(q.drain, rate)
	fmt.Fprintf(b.log, "queue, drains %7.0f/s; %7.0f/s synchronous\n", rate, direct.PerSecond)
	return nil
}

// jobBooks are the server's.
type jobBooks struct{ Accepted, Done, Dead, Cancelled, Waiting, Running int64 }

func (s *server) books(ctx context.Context) (b jobBooks, err error) {
	err = s.api(ctx, http.MethodGet, "/admin/v1/projects/"+s.ProjectID+"/job-books", nil, &b)
	if err == nil && b.Accepted != b.Done+b.Dead+b.Cancelled+b.Waiting+b.Running {
		err = fmt.Errorf("the books do not balance: %+v", b)
	}
	return b, err
}

// drain waits until what was accepted since before is done, and gives how many jobs were done per second meanwhile.
func (s *server) drain(ctx context.Context, before jobBooks) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	first, err := s.books(ctx)
	if err != nil {
		return 0, err
	}
	want := before.Done + first.Accepted - before.Accepted
	begun := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		now, err := s.books(ctx)
		switch {
		case err != nil:
			return 0, err
		case now.Dead+now.Cancelled > 0:
			return 0, fmt.Errorf("calls were lost: %+v", now)
		case now.Done >= want:
			return float64(now.Done-first.Done) / time.Since(begun).Seconds(), nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, errors.New("the queue was not drained in time")
		}
	}
}

// hold makes a function take long and make one call at a time.
func (s *server) hold(ctx context.Context, to target) error {
	path := to.Path[:len(to.Path)-len("/invocations")]
	if err := s.api(ctx, http.MethodPut, path+"/config-max-instance", map[string]int{"max_instance_num": 1}, nil); err != nil {
		return err
	}
	slow := []byte("import time\n\ndef handler(event, context):\n    time.sleep(20)\n")
	return s.api(ctx, http.MethodPut, path+"/code", map[string]any{"code_type": "inline", "func_code": map[string]any{"file": slow}}, nil)
}

// wait fills the queue, and weighs the server.
func (q *queued) wait(ctx context.Context, b *bench, s *server, to target) error {
	for q.waiting < b.opts.queued {
		if _, err := load(ctx, s.pid(), loadSpec{Target: to, Clients: 64, Run: 2 * time.Second}); err != nil {
			return err
		}
		books, err := s.books(ctx)
		if err != nil {
			return err
		}
		q.waiting = books.Waiting
		fmt.Fprintf(b.log, "queue, %d waiting\n", q.waiting)
	}
	m, err := memoryOf(s.pid())
	q.waitRSS = m.RSS
	return err
}

// samples are all that was measured under load.
func (q *queued) samples() (all []sample) {
	if q == nil {
		return nil
	}
	for _, c := range concurrencies {
		all = append(append(all, q.api[c]...), q.keep[c]...)
	}
	return all
}

// rows are the lines of the table.
func (q *queued) rows() []row {
	if q == nil {
		return nil
	}
	var rows []row
	rate := func(samples []sample) (rates []float64) {
		for _, s := range samples {
			rates = append(rates, s.PerSecond)
		}
		return rates
	}
	for _, c := range concurrencies {
		api, keep := rate(q.api[c]), rate(q.keep[c])
		rows = append(rows,
			row{Line: lineAccept(c, "bare SQLite"), Unit: perSecond, Value: median(api), Floor: median(q.bare[c]), Ratio: medianRatio(api, q.bare[c])},
			row{Line: lineAccept(c, "SQLite behind net/http"), Unit: perSecond, Value: median(api), Floor: median(keep), Ratio: medianRatio(api, keep)})
	}
	return append(rows,
		row{Line: lineDrain, Unit: perSecond, Value: median(q.drain), Floor: median(q.sync), Ratio: medianRatio(q.drain, q.sync)},
		row{Line: "jobs waiting", Unit: count, Value: float64(q.waiting)},
		row{Line: lineQueued, Unit: mebibyte, Value: q.waitRSS})
}
