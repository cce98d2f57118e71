package workflow

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Store keeps runs. What a method acknowledges is on disk. The store of the server documents each of them.
type Store interface {
	StartFlowRuns(ctx context.Context, runs []faas.FlowRun) (fresh []bool, err error)
	WriteFlowRun(ctx context.Context, w faas.FlowWrite) (due bool, err error)
	ForgetFlowRuns(ctx context.Context, before time.Time, maxBytes int64, most int) (more bool, err error)
	Flows
	Holds
	Notes
}

// Flows reads workflows and runs.
type Flows interface {
	Flow(ctx context.Context, project, id string) (*faas.Flow, error)
	FlowNamed(ctx context.Context, project, name string) (*faas.Flow, error)
	FlowRun(ctx context.Context, flow, id string) (faas.FlowRun, error)
	FlowLog(ctx context.Context, seq int64) (faas.FlowLog, error)
}

// Holds says which server holds which run.
type Holds interface {
	Shared() bool
	ClaimFlowRuns(ctx context.Context, most int) (runs []int64, next time.Time, err error)
	HoldFlowRun(ctx context.Context, seq int64, ended bool) (bool, error)
	LeaveFlowRun(ctx context.Context, seq int64) error
	FreeFlowRuns(ctx context.Context, own bool) (int64, error)
}

// Notes are what runs leave for each other.
type Notes interface {
	NoteFlowRun(ctx context.Context, n faas.FlowNote) error
	FlowNotes(ctx context.Context, run int64) ([]faas.FlowNote, error)
	NotedFlowRuns(ctx context.Context) ([]int64, error)
}

// Invoker calls functions.
type Invoker interface {
	// Invoke runs a call to its end. When ctx ends before, it cuts the call off, with the instance that has it.
	Invoke(ctx context.Context, c Invocation) (*faas.Result, error)
	// Enqueue accepts a call that nobody waits for, and returns when it is on disk. The same id is accepted again.
	Enqueue(ctx context.Context, c Invocation) error
}

// Invocation is one call of a function by a step.
type Invocation struct {
	ID      string // request id
	Project string
	URN     faas.URN
	Event   []byte
	Origin  faas.FlowOrigin
	Limit   time.Duration // of its run, beside the function's own
}

// Config is what an Engine needs. Zero values of the numbers mean the defaults named.
type Config struct {
	Store   Store
	Invoker Invoker
	Log     *slog.Logger
	Metrics *metrics.Set

	Slots     int           // calls under way at a time; 64
	Runs      int           // runs held in memory at a time; 2,000
	History   int           // bytes of results of one run; faas.MaxFlowHistory
	KeepFor   time.Duration // runs that have ended; 7 days
	KeepBytes int64         // of runs that have ended; 1 GiB
	Poll      time.Duration // between looks at what other servers do; 1 s
	Doze      time.Duration // a run that waits for longer is let go of; 1 s
}

const (
	claimAtATime   = 64
	storeAwayLeast = 100 * time.Millisecond
	storeAwayMost  = 2 * time.Second
	sweepEvery     = time.Minute
	sweepAtATime   = 500
	stopWithout    = 5 * time.Second
)

// Engine starts and runs workflows. Make one with New, and Start it; runs may be started before, and begin then.
type Engine struct {
	cfg    Config
	ctx    context.Context // of calls; ends with a hard stop
	cancel context.CancelFunc
	wake   chan struct{}
	quit   chan struct{}
	slots  chan struct{}
	loops  sync.WaitGroup
	work   sync.WaitGroup // runs that take events in, and calls
	stats  stats

	mu       sync.Mutex
	started  bool
	stopping bool
	held     map[int64]*run
	byID     map[runName]*run
	programs map[programKey]*Program
	last     int64     // the highest number given to a run
	next     time.Time // when the dispatcher looks again; zero for never
}

type runName struct{ flow, id string }

type programKey struct {
	flow     string
	revision int64
}

type stats struct {
	started metrics.Counter
	ended   map[faas.FlowStatus]metrics.Counter
	steps   metrics.Counter
	writes  metrics.Histogram
}

// New makes an Engine.
func New(cfg Config) *Engine {
	cfg.Slots = cmp.Or(cfg.Slots, 64)
	cfg.Runs = cmp.Or(cfg.Runs, 2000)
	cfg.History = cmp.Or(cfg.History, faas.MaxFlowHistory)
	cfg.KeepFor = cmp.Or(cfg.KeepFor, 7*24*time.Hour)
	cfg.KeepBytes = cmp.Or(cfg.KeepBytes, 1<<30)
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Doze = cmp.Or(cfg.Doze, time.Second)
	e := &Engine{
		cfg: cfg, wake: make(chan struct{}, 1), quit: make(chan struct{}), slots: make(chan struct{}, cfg.Slots),
		held: map[int64]*run{}, byID: map[runName]*run{}, programs: map[programKey]*Program{},
		stats: stats{
			started: cfg.Metrics.Counter("hanshu_flow_runs_started_total"), ended: map[faas.FlowStatus]metrics.Counter{},
			steps: cfg.Metrics.Counter("hanshu_flow_events_total"), writes: cfg.Metrics.Histogram("hanshu_flow_write_seconds"),
		},
	}
	for _, s := range faas.FlowStatuses[1:] {
		e.stats.ended[s] = cfg.Metrics.Counter(`hanshu_flow_runs_ended_total{status="` + string(s) + `"}`)
	}
	cfg.Metrics.Gauge("hanshu_flow_runs_held", func() float64 {
		e.mu.Lock()
		defer e.mu.Unlock()
		return float64(len(e.held))
	})
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Start takes up the runs that are due, those under way when the server ended the last time included.
func (e *Engine) Start(ctx context.Context) error {
	if !e.cfg.Store.Shared() {
		n, err := e.cfg.Store.FreeFlowRuns(ctx, true)
		if err != nil {
			return err
		}
		if n > 0 {
			e.cfg.Log.Info("workflow runs that were cut off by the end of the server go on", "runs", n)
		}
	}
	e.mu.Lock()
	e.started = true
	e.mu.Unlock()
	e.loops.Go(e.dispatch)
	e.loops.Go(e.sweep)
	if e.cfg.Store.Shared() {
		e.loops.Go(e.watch)
	}
	return nil
}

// Stop begins no more steps, lets calls under way end until ctx is done, and cuts off the rest. What it held goes on with the next
// start, or on another server.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	if !e.started || e.stopping {
		e.mu.Unlock()
		return nil
	}
	e.stopping = true
	e.mu.Unlock()
	close(e.quit)
	e.loops.Wait()
	ended := make(chan struct{})
	go func() { e.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	e.cancel()
	<-ended
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithout)
	defer cancel()
	_, err := e.cfg.Store.FreeFlowRuns(bounded, true)
	return err
}

// stir has the dispatcher look, by a time at the latest; the zero time for at once.
func (e *Engine) stir(at time.Time) {
	if !at.IsZero() {
		e.mu.Lock()
		known := !e.next.IsZero() && !at.Before(e.next)
		e.mu.Unlock()
		if known {
			return
		}
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// dispatch takes up runs that are due, as there is room for them.
func (e *Engine) dispatch() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	away := time.Duration(0)
	for {
		select {
		case <-e.wake:
		case <-pause.C:
		case <-e.quit:
			return
		}
		wait := time.Hour
		for {
			e.mu.Lock()
			e.next = time.Time{} // whoever puts something down from now on stirs
			room := min(e.cfg.Runs-len(e.held), claimAtATime)
			e.mu.Unlock()
			if room <= 0 {
				break // one that ends stirs
			}
			runs, next, err := e.cfg.Store.ClaimFlowRuns(e.ctx, room)
			if err != nil {
				away = min(max(2*away, storeAwayLeast), storeAwayMost)
				wait = away
				e.cfg.Log.Warn("workflow runs wait, since the database does not let them be taken up", "error", err)
				break
			}
			away = 0
			for _, seq := range runs {
				e.take(seq)
			}
			if len(runs) < room {
				if !next.IsZero() {
					wait = min(wait, max(0, time.Until(next)))
				}
				break
			}
		}
		e.mu.Lock()
		e.next = time.Now().Add(wait)
		e.mu.Unlock()
		pause.Reset(wait)
	}
}

// take loads a run that this server holds, and has it take events in before it may be let go of again.
func (e *Engine) take(seq int64, first ...delivery) {
	r := &run{box: first, engine: e, seq: seq, calls: map[string]context.CancelFunc{}, noted: map[int64]bool{}, busy: true}
	if !e.enter() {
		r.letGo()
		return
	}
	e.mu.Lock()
	e.held[seq] = r // instead of one that has just been let go of, and is about to forget itself
	e.mu.Unlock()
	go func() {
		defer e.work.Done()
		if r.load() {
			r.drain()
		}
	}()
}

// enter counts one more at work, unless the engine is about to stop. Whoever enters calls work.Done.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return false
	}
	e.work.Add(1)
	return true
}

// watch finds runs of servers that are gone, and what other servers left for the runs held here.
func (e *Engine) watch() {
	tick := time.NewTicker(e.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(e.ctx, 10*time.Second)
		if n, err := e.cfg.Store.FreeFlowRuns(ctx, false); err != nil {
			e.cfg.Log.Warn("runs of other servers cannot be seen", "error", err)
		} else if n > 0 {
			e.cfg.Log.Info("a server is gone; its workflow runs go on here", "runs", n)
		}
		e.readNotes(ctx)
		cancel()
		e.stir(time.Time{})
	}
}

// readNotes has the runs held here take in what was left for them.
func (e *Engine) readNotes(ctx context.Context) {
	runs, err := e.cfg.Store.NotedFlowRuns(ctx)
	if err != nil {
		e.cfg.Log.Warn("notes for workflow runs cannot be read", "error", err)
		return
	}
	for _, seq := range runs {
		e.mu.Lock()
		r := e.held[seq]
		e.mu.Unlock()
		if r != nil {
			r.look(ctx)
		}
	}
}

// sweep forgets runs that have ended, by age and by bytes.
func (e *Engine) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for more := true; more; {
			var err error
			if more, err = e.cfg.Store.ForgetFlowRuns(e.ctx, time.Now().Add(-e.cfg.KeepFor), e.cfg.KeepBytes, sweepAtATime); err != nil {
				e.cfg.Log.Warn("ended workflow runs cannot be forgotten", "error", err)
				more = false
			}
			select {
			case <-e.quit:
				return
			default:
			}
		}
		select {
		case <-e.quit:
			return
		case <-tick.C:
		}
	}
}

// maxPrograms bounds the programs kept at hand.
const maxPrograms = 1000

// program gives that of a revision, parsed once.
func (e *Engine) program(flow string, revision int64, definition string) (*Program, error) {
	key := programKey{flow, revision}
	e.mu.Lock()
	p := e.programs[key]
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := Parse([]byte(definition))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.programs) >= maxPrograms {
		for k := range e.programs { // any one: the order of a map is random
			delete(e.programs, k)
			break
		}
	}
	e.programs[key] = p
	return p, nil
}

// number gives a run its number: it grows with the time, and differs between servers but for a chance in a thousand of the same
// microsecond, which the store refuses.
func (e *Engine) number() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = max(e.last+1, time.Now().UnixMicro()<<10|int64(chance()))
	return e.last
}
