package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// loadSpec tells the load generator what to do. It is the first line of its standard input.
type loadSpec struct {
	Target  target
	Clients int // each makes its next call when it has the answer of the last
	Warm    time.Duration
	Run     time.Duration
}

// loadResult is the last line of its standard output. Before it come the lines begin and end, at the moments when the
// measured time begins and ends.
type loadResult struct {
	Requests int64 // answered right within the measured time
	Wrong    int64 // answers that are not what was sent, warm-up included
	Errors   int64 // other statuses, failed connections
	First    string
	P50, P99 time.Duration
}

const (
	lineBegin = "begin"
	lineEnd   = "end"

	maxErrors = 100              // of one client; then it gives up
	grace     = 20 * time.Second // for the calls under way when the measured time ends
)

// runLoad is the load generator. It is a process of its own, so that its memory and scheduling are not those of the
// bench, and has one processor, so that it leaves the rest to the server.
func runLoad(ctx context.Context, in *bufio.Reader, out io.Writer) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var spec loadSpec
	if err := json.Unmarshal(line, &spec); err != nil {
		return err
	}
	go endWithParent(in)
	begin := time.Now().Add(spec.Warm)
	end := begin.Add(spec.Run)
	ctx, cancel := context.WithDeadline(ctx, end.Add(grace))
	defer cancel()

	clients := make([]*client, spec.Clients)
	var running sync.WaitGroup
	for i := range clients {
		clients[i] = &client{target: spec.Target, begin: begin, end: end, next: uint64(i) << 40}
		running.Go(func() { clients[i].run(ctx) })
	}
	say(out, begin, lineBegin)
	say(out, end, lineEnd)
	running.Wait()
	return json.NewEncoder(out).Encode(sum(clients))
}

// say prints a line at a moment.
func say(out io.Writer, at time.Time, line string) {
	<-time.After(time.Until(at))
	fmt.Fprintln(out, line)
}

func sum(clients []*client) loadResult {
	var all histogram
	var r loadResult
	for _, c := range clients {
		all.merge(&c.times)
		r.Wrong += c.wrong
		r.Errors += c.errors
		if r.First == "" {
			r.First = c.first
		}
	}
	r.Requests, r.P50, r.P99 = all.total, all.quantile(0.5), all.quantile(0.99)
	return r
}

// client makes one call after the other.
type client struct {
	target     target
	begin, end time.Time
	next       uint64 // id of the next call

	times         histogram
	wrong, errors int64
	first         string // the first error
}

func (c *client) run(ctx context.Context) {
	for c.errors < maxErrors && ctx.Err() == nil && time.Now().Before(c.end) {
		if err := c.connection(ctx); err != nil {
			c.failed(err)
		}
	}
}

// connection makes calls over one connection until the time is over or it fails.
func (c *client) connection(ctx context.Context) error {
	conn, err := dial(ctx, c.target.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	req := newRequest(c.target)
	var check checker
	for start := time.Now(); start.Before(c.end); {
		c.next++
		req.number(c.next)
		answer, err := conn.call(req)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case answer.status != c.target.status():
			c.failed(fmt.Errorf("status %d: %.200s", answer.status, answer.body))
		case !c.target.Accept && !check.right(req, answer.body):
			c.wrong++
			c.note(fmt.Errorf("wrong answer to %s: %.200s", req.id, answer.body))
		case !now.Before(c.begin) && now.Before(c.end):
			c.times.add(now.Sub(start))
		}
		if c.errors >= maxErrors {
			return errors.New("too many errors")
		}
		if answer.close {
			return nil
		}
		start = now
	}
	return nil
}

// status is that of a right answer.
func (t target) status() int {
	if t.Accept {
		return 202
	}
	return 200
}

func (c *client) failed(err error) {
	c.errors++
	c.note(err)
}

func (c *client) note(err error) {
	if c.first == "" {
		c.first = err.Error()
	}
}

// endWithParent ends the process when the bench is gone, which shows by the end of standard input.
func endWithParent(in io.Reader) {
	_, _ = io.Copy(io.Discard, in) // how it ended does not matter
	os.Exit(1)
}
