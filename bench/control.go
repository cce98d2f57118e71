package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	signer "github.com/hanshu-faas/hanshu/client"
)

// controlled is what was measured of the operations on functions, while the project has very many of them.
type controlled struct {
	functions int
	filled    float64              // functions made in a second, by 16 clients
	times     map[string]histogram // by line
	signed    []float64            // us of the server's processor time for a call that is signed, beyond one with a token
	rss       float64              // MiB of the server
	foreign   float64              // processors that other programs used
}

const (
	controlCalls   = 1000 // of each operation, by one client
	controlClients = 16
	signedCalls    = 5000

	lineSigned = "signature check, CPU beyond a token's"
)

// controlLines are the operations, in the order of the table.
func controlLines() []string {
	return []string{"create", "show", "list, first page", "list, a page in the middle", "list, last page", "list by part of the name", "publish a version", "health check"}
}

func controlAims() map[string]aim {
	all := map[string]aim{lineSigned: {bound: 60}}
	for _, line := range []string{"create", "show", "list, first page", "list, a page in the middle", "list, last page"} {
		all[line+", p99"] = aim{bound: 20}
	}
	return all
}

// measureControl fills a server of its own through its API, which takes minutes, and measures there.
func (b *bench) measureControl(ctx context.Context, dir string) error {
	n := b.opts.functions
	s, err := startServer(ctx, os.Environ(), b.opts.binary, dir, "--quota-functions", strconv.Itoa(n+2*controlCalls))
	if err != nil {
		return err
	}
	defer s.stop()
	runtime, err := s.runtime(ctx, languages()[0].Prefix)
	if err != nil {
		return err
	}
	c := &controlled{functions: n, times: map[string]histogram{}}
	b.control = c
	began := time.Now()
	if err := s.fill(ctx, n, runtime.Name); err != nil {
		return err
	}
	c.filled = float64(n) / time.Since(began).Seconds()
	fmt.Fprintf(b.log, "made %d functions, %.0f/s\n", n, c.filled)
	idle, err := others(time.Time{}, 0)
	if err != nil {
		return err
	}
	began = time.Now()
	for round := range b.opts.rounds {
		if err := c.round(ctx, s, round, b.opts.rounds, runtime.Name); err != nil {
			return err
		}
		if err := c.sign(ctx, s); err != nil {
			return err
		}
		fmt.Fprintf(b.log, "round %d of %d done\n", round+1, b.opts.rounds)
	}
	if c.foreign, err = others(began, idle); err != nil {
		return err
	}
	used, err := memoryOf(s.pid())
	c.rss = used.RSS
	return err
}

// others gives how many processors other programs have used since a moment at which it gave before; the zero time begins.
func others(since time.Time, before float64) (float64, error) {
	machine, err := machineCPU()
	if err != nil {
		return 0, err
	}
	own, err := treeCPU(os.Getpid())
	now := (machine - own).Seconds()
	if since.IsZero() {
		return now, err
	}
	return (now - before) / time.Since(since).Seconds(), err
}

// makeFunction makes a small function.
func (s *server) makeFunction(ctx context.Context, name, runtime string) error {
	code := base64.StdEncoding.EncodeToString([]byte("def handler(event, context):\n    return event\n"))
	return s.api(ctx, http.MethodPost, s.functionsPath(), map[string]any{
		"func_name": name, "package": "default", "runtime": runtime, "handler": "index.handler", "timeout": functionTime, "memory_size": 128,
		"code_type": "inline", "func_code": map[string]any{"file": code}, "user_data": `{"stage":"test"}`, "description": "one of very many",
	}, nil)
}

func (s *server) functionsPath() string { return "/v2/" + s.ProjectID + "/fgs/functions" }

func manyName(i int) string { return fmt.Sprintf("f-%06d", i) }

// fill makes n functions.
func (s *server) fill(ctx context.Context, n int, runtime string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var clients sync.WaitGroup
	for range controlClients {
		clients.Go(func() {
			for i := int(next.Add(1)); i <= n && ctx.Err() == nil; i = int(next.Add(1)) {
				if err := s.makeFunction(ctx, manyName(i), runtime); err != nil {
					cancel(err)
				}
			}
		})
	}
	clients.Wait()
	return context.Cause(ctx)
}

// round measures a part of the calls of each operation, turn about, so that what else goes on meets them all.
func (c *controlled) round(ctx context.Context, s *server, round, rounds int, runtime string) error {
	list := func(query string) func(int) error {
		return func(int) error { return s.api(ctx, http.MethodGet, s.functionsPath()+"?maxitems=100&"+query, nil, nil) }
	}
	some := func() string { return manyName(1 + rand.IntN(c.functions)) }
	operations := map[string]func(i int) error{
		"create":           func(i int) error { return s.makeFunction(ctx, fmt.Sprintf("late-%d-%d", round, i), runtime) },
		"show":             func(int) error { return s.api(ctx, http.MethodGet, s.functionsPath()+"/"+some()+"/config", nil, nil) },
		"list, first page": list("marker=0"),
		"list, a page in the middle": func(i int) error {
			return list("marker=" + strconv.Itoa(rand.IntN(c.functions)))(i)
		},
		"list, last page":          list("marker=" + strconv.Itoa(c.functions-100)),
		"list by part of the name": func(i int) error { return list("func_name=" + some()[2:7])(i) },
		"publish a version": func(int) error {
			err := s.api(ctx, http.MethodPost, s.functionsPath()+"/"+some()+"/versions", struct{}{}, nil)
			return err
		},
		"health check": func(int) error { return s.api(ctx, http.MethodGet, "/healthz", nil, nil) },
	}
	for i := range controlCalls / rounds {
		for _, line := range controlLines() {
			began := time.Now()
			if err := operations[line](i); err != nil {
				return err
			}
			h := c.times[line]
			h.add(time.Since(began))
			c.times[line] = h
		}
	}
	return nil
}

// sign measures what a call costs the server that is signed, and one with a token.
func (c *controlled) sign(ctx context.Context, s *server) error {
	cost := func(prove func(*http.Request)) (float64, error) {
		before, err := treeCPU(s.pid())
		if err != nil {
			return 0, err
		}
		for range signedCalls {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+s.functionsPath()+"/"+manyName(1)+"/config", nil)
			if err != nil {
				return 0, err
			}
			prove(req)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return 0, err
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK {
				return 0, fmt.Errorf("show: %s %v", res.Status, err)
			}
		}
		after, err := treeCPU(s.pid())
		return float64((after - before).Microseconds()) / signedCalls, err
	}
	token, err := cost(func(r *http.Request) { r.Header.Set("X-Auth-Token", s.token) })
	if err != nil {
		return err
	}
	signed, err := cost(func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		signer.Sign(r, nil, s.AccessKey, s.SecretKey, time.Now())
	})
	c.signed = append(c.signed, signed-token)
	return err
}

func (c *controlled) rows() []row {
	floor := c.times["health check"]
	rows := []row{{Line: fmt.Sprintf("create, c=%d, to %d functions", controlClients, c.functions), Unit: perSecond, Value: c.filled}}
	for _, q := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		for _, line := range controlLines() {
			h := c.times[line]
			value, least := ms(h.quantile(q.part)), ms(floor.quantile(q.part))
			rows = append(rows, row{Line: line + ", " + q.name, Unit: millisecond, Value: value, Floor: least, Ratio: over(value, least)})
		}
	}
	return append(rows,
		row{Line: lineSigned, Unit: microsecond, Value: median(c.signed)},
		row{Line: "server RSS, with the functions", Unit: mebibyte, Value: c.rss})
}
