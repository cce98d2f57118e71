package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// concurrencies are the numbers of clients that every server is measured under.
var concurrencies = []int{1, 16, 64}

const (
	lineRSSReady  = "server RSS, just started"
	lineRSSCalled = "server RSS, after first calls"
	lineRSSLoaded = "server RSS, after load"
	lineRSSQuiet  = "server RSS, some seconds after load"

	// againWarm is the warm-up of every round but the first: connections and caches only.
	againWarm = 500 * time.Millisecond
)

// options are the flags.
type options struct {
	run, warm time.Duration
	rounds    int
	cold      int
	binary    string
	queued    int64
	only      string
	functions int
	json      string
	fresh     bool // fresh functions only
	sessions  int  // of gateways
}

// bench is one run.
type bench struct {
	opts   options
	log    io.Writer
	server *server
	echo   *place
	langs  []*measured
	goCold coldTimes
	fork   forkTimes
	queue  *queued
	timers *armed
	jobs   *jobList
	flows  *flowTimes
	paged  *paged
	wasm   wasmTimes

	executables *executables // nil before they are measured
	web         *web         // alike
	fleet       *fleet       // alike
	bound       *bound       // alike
	control     *controlled  // nil but with -only control: it takes minutes

	ready, called, loaded, quiet memory // of the server
	echoLoaded                   memory
}

// place is something that is put under load, and what was measured of it: by number of clients, then by round.
type place struct {
	target
	PID     int
	Samples map[int][]sample
}

// The parts that can be measured alone.
const (
	partCold   = "cold"
	partWarm   = "warm"
	partWeb    = "web"
	partQueue  = "queue"
	partTimers = "timers"
	partJobs   = "jobs"
	partFlows  = "flows"
	partIdle   = "idle"
	partEdge   = "edge"
	// partControl is no part of a whole run: it takes minutes.
	partControl = "control"
)

var parts = []string{partWarm, partCold, partWeb, partQueue, partTimers, partJobs, partEdge, partFlows, partIdle, partControl}

// measured is a language and what was measured of it.
type measured struct {
	language
	runtime  served
	function target   // the one under load
	fresh    []target // those of the cold starts
	floor    *place
	hanshu   *place
	cold     coldTimes

	firstPSS  []float64 // of its instances after the first call, in MiB
	loadedPSS []float64 // and after the load
	floorPSS  []float64 // of the floor's worker after the load
	idlePSS   []float64 // of its instances when there are idleInstances more, of as many functions, each called once
}

// measure makes a whole run. Everything that it starts has ended when it returns, and its files are gone.
func measure(ctx context.Context, opts options, log io.Writer) (b *bench, err error) {
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b = &bench{opts: opts, log: log}
	switch opts.only {
	case partQueue:
		return b, b.measureQueue(ctx)
	case partWeb:
		return b, b.runWeb(ctx, dir)
	case partTimers:
		return b, b.measureTimers(ctx)
	case partJobs:
		return b, b.measureJobs(ctx)
	case partFlows:
		return b, b.measureFlows(ctx)
	case partIdle:
		return b, b.measureReclaim(ctx)
	case partEdge:
		if err := b.measureBinds(ctx); err != nil {
			return b, err
		}
		return b, b.measureFleet(ctx)
	case partControl:
		return b, b.measureControl(ctx, dir)
	}

	echo, to, err := startFloor(ctx, commandEcho)
	if err != nil {
		return nil, err
	}
	defer echo.stop()
	b.echo = newPlace(to, echo.pid())
	fake, err := layFake()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(fake)
	if b.server, err = startServerWithFake(ctx, opts.binary, dir, fake); err != nil {
		return nil, err
	}
	defer b.server.stop()
	if b.ready, err = memoryOf(b.server.pid()); err != nil {
		return nil, err
	}
	java, err := javaLanguage(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, l := range append(languages(), java...) {
		m, stop, err := b.prepare(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Title, err)
		}
		defer stop()
		b.langs = append(b.langs, m)
	}
	if b.called, err = memoryOf(b.server.pid()); err != nil {
		return nil, err
	}
	if opts.only == partCold {
		return b, b.measureCold(ctx, dir)
	}
	if err := b.rounds(ctx); err != nil {
		return nil, err
	}
	if err := b.weigh(ctx); err != nil {
		return nil, err
	}
	if opts.only == partWarm {
		return b, b.weighIdle(ctx)
	}
	if err := b.measureCold(ctx, dir); err != nil {
		return nil, err
	}
	if err := b.measureWeb(ctx, dir); err != nil {
		return nil, err
	}
	if err := b.weighIdle(ctx); err != nil {
		return nil, err
	}
	b.server.stop() // what follows has servers of its own, and the machine to itself
	for _, measure := range []func(context.Context) error{b.measureQueue, b.measureTimers, b.measureJobs, b.measureBinds, b.measureFleet, b.measureFlows, b.measureReclaim} {
		if err := measure(ctx); err != nil {
			return nil, err
		}
	}
	return b, b.forks(ctx, dir)
}

// measureCold measures first calls, of every language and of executables, and calls that get a fresh instance each.
func (b *bench) measureCold(ctx context.Context, dir string) error {
	if err := b.freshInstances(ctx); err != nil {
		return fmt.Errorf("WASM: %w", err)
	}
	if err := b.cold(ctx, b.opts.cold); err != nil {
		return err
	}
	return b.measureExecutables(ctx, dir)
}

// program is the file name of its interpreter.
func (m *measured) program() string { return filepath.Base(m.runtime.Path) }

func newPlace(t target, pid int) *place {
	return &place{target: t, PID: pid, Samples: map[int][]sample{}}
}

// prepare starts a language's floor, and makes and calls its function. The caller calls stop at the end.
func (b *bench) prepare(ctx context.Context, l language) (m *measured, stop func(), err error) {
	m = &measured{language: l}
	if m.runtime, err = b.server.runtime(ctx, l.Prefix); err != nil {
		return nil, nil, err
	}
	floor, to, err := startFloor(ctx, append([]string{commandFront}, l.floorWorker(m.runtime.Path)...)...)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			floor.stop()
		}
	}()
	m.floor = newPlace(to, floor.pid())
	if m.function, err = b.server.create(ctx, l, m.runtime.Name, "echo-"+strings.ReplaceAll(l.Command, ".", "-")); err != nil {
		return nil, nil, err
	}
	m.hanshu = newPlace(m.function, b.server.pid())
	if err = b.callOnce(ctx, m.function); err != nil {
		return nil, nil, err
	}
	m.firstPSS, err = workers(b.server.pid(), m.program())
	return m, floor.stop, err
}

func (b *bench) callOnce(ctx context.Context, to target) error {
	c, err := dial(ctx, to.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	return new(coldTimes).call(c, to)
}

// rounds measures every server under every number of clients, turn about.
func (b *bench) rounds(ctx context.Context) error {
	places := b.places()
	names := []string{"Go echo"}
	for _, m := range b.langs {
		names = append(names, m.Title+" floor", m.Title+" hanshu")
	}
	for round := range b.opts.rounds {
		warm := b.opts.warm
		if round > 0 {
			warm = min(warm, againWarm)
		}
		for _, clients := range concurrencies {
			for i, p := range places {
				fmt.Fprintf(b.log, "round %d of %d, c=%d, %-14s ", round+1, b.opts.rounds, clients, names[i])
				s, err := load(ctx, p.PID, loadSpec{Target: p.target, Clients: clients, Warm: warm, Run: b.opts.run})
				if err != nil {
					return fmt.Errorf("%s, c=%d: %w", names[i], clients, err)
				}
				fmt.Fprintf(b.log, "%7.0f/s, p50 %.3f ms, p99 %.3f ms, %.0f us each, %.1f processors used by others%s\n",
					s.PerSecond, s.P50, s.P99, s.CPU, s.Foreign, faults(s.Wrong, s.Errors, s.First))
				p.Samples[clients] = append(p.Samples[clients], s)
			}
		}
	}
	return nil
}

func faults(wrong, errors int64, first string) string {
	if wrong == 0 && errors == 0 {
		return ""
	}
	return fmt.Sprintf("; %d WRONG, %d ERRORS: %s", wrong, errors, first)
}

// weigh reads the memory in use after the load, and when it is over.
func (b *bench) weigh(ctx context.Context) (err error) {
	if b.echoLoaded, err = memoryOf(b.echo.PID); err != nil {
		return err
	}
	if b.loaded, err = memoryOf(b.server.pid()); err != nil {
		return err
	}
	for _, m := range b.langs {
		if m.floorPSS, err = workers(m.floor.PID, m.program()); err != nil {
			return err
		}
		if m.loadedPSS, err = workers(b.server.pid(), m.program()); err != nil {
			return err
		}
	}
	select {
	case <-time.After(quietTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	b.quiet, err = memoryOf(b.server.pid())
	return err
}

// quietTime is long enough for the server to give back what a load has left in its heap.
const quietTime = 8 * time.Second

// idleInstances is how many functions are called once, so that an instance shares with others what it can share: the program of its
// interpreter, which a single one is charged with alone.
const idleInstances = 16

// weighIdle reads the memory of idle instances of each language.
func (b *bench) weighIdle(ctx context.Context) error {
	for _, m := range b.langs {
		for i := range idleInstances {
			to, err := b.server.create(ctx, m.language, m.runtime.Name, fmt.Sprintf("idle-%s-%d", strings.ReplaceAll(m.Command, ".", "-"), i))
			if err != nil {
				return err
			}
			if err := b.callOnce(ctx, to); err != nil {
				return err
			}
		}
		var err error
		if m.idlePSS, err = workers(b.server.pid(), m.program()); err != nil {
			return err
		}
	}
	return nil
}
