package invoke

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Config says how to run an Invoker. Zero values of the numbers mean the defaults named.
type Config struct {
	Functions Functions
	Runner    Runner
	Records   Records
	QueueWait time.Duration // the longest a call waits for an instance, unless one is being started then; 30 s
	Metrics   *metrics.Set
	// Ledger keeps the calls of functions of faas.ContractCallback, and those with an Origin; nil for none.
	Ledger *Ledger
	// Plans bounds the calls that run at a time in one project, of functions of faas.ContractCallback, by memory size in MB. A
	// size that is not named is not bounded.
	Plans map[int]int
}

// maxCached bounds the versions kept at hand, so that a call reads no database; maxAhead those among which there is room for one that
// nobody has called yet.
const (
	maxCached = 20_000
	maxAhead  = maxCached / 4
)

// Invoker runs calls. Make one with New. It is safe for concurrent use.
type Invoker struct {
	cfg      Config
	outcomes map[faas.Code]metrics.Counter
	ok       metrics.Counter
	duration metrics.Histogram
	plans    plans

	mu     sync.RWMutex
	cached map[faas.FunctionKey]*faas.Function
	// aliases have their name behind "!" as the version of their key.
	aliases map[faas.FunctionKey]*alias
	epoch   uint64 // grows with every change, so that a read that began before one is not kept
}

// New makes an Invoker.
func New(cfg Config) *Invoker {
	if cfg.QueueWait == 0 {
		cfg.QueueWait = 30 * time.Second
	}
	i := &Invoker{
		cfg: cfg, cached: map[faas.FunctionKey]*faas.Function{}, aliases: map[faas.FunctionKey]*alias{}, outcomes: map[faas.Code]metrics.Counter{},
		ok: cfg.Metrics.Counter(`hanshu_calls_total{outcome="ok"}`), duration: cfg.Metrics.Histogram("hanshu_call_seconds"),
	}
	for _, c := range faas.Codes {
		i.outcomes[c] = cfg.Metrics.Counter(`hanshu_calls_total{outcome="` + string(c) + `"}`)
	}
	return i
}

// Invoke runs one call to its end and records it. Once an instance has the call, it runs on even when the caller goes
// away: what it does may matter to others. Errors: as Functions and Runner.
func (i *Invoker) Invoke(ctx context.Context, r Request) (*faas.Result, error) {
	return i.run(ctx, r, nil)
}

// Exchange is Invoke for a function that serves HTTP: talk speaks with the instance that has the call, over connections that it
// may keep for later calls of the same Backend.ID. It is recorded as a call. Request.Call needs no event.
func (i *Invoker) Exchange(ctx context.Context, r Request, talk func(faas.Backend) error) (*faas.Result, error) {
	return i.run(ctx, r, talk)
}

func (i *Invoker) run(ctx context.Context, r Request, talk func(faas.Backend) error) (*faas.Result, error) {
	begun := time.Now()
	f, err := i.resolve(ctx, r, true)
	if err != nil {
		return nil, err
	}
	call := r.Call
	call.Alias = r.Alias
	wait := i.cfg.QueueWait
	if call.QueueWait > 0 {
		wait = min(wait, call.QueueWait)
	}
	call.QueueBy = begun.Add(wait)
	call.Deadline = call.QueueBy.Add(f.Spec.LoadLimit() + call.RunLimit(&f.Spec))
	i.noteStart(f, call, begun)
	res, err := i.hand(ctx, f, call, talk)
	if res != nil {
		res.Version, res.Digest = f.Version, f.Code.Digest
	}
	took := time.Since(begun)
	i.count(res, err, took)
	i.noteEnd(f, call, begun, res, err)
	i.cfg.Records.Add(Record(f.Key(), &call, begun, took, res, err))
	return res, err
}

// hand gives a call to the Runner within its plan.
func (i *Invoker) hand(ctx context.Context, f *faas.Function, call faas.Invocation, talk func(faas.Backend) error) (*faas.Result, error) {
	if talk != nil {
		return i.cfg.Runner.Exchange(ctx, f, call, talk)
	}
	if f.Spec.Contract != faas.ContractCallback {
		return i.cfg.Runner.Run(ctx, f, call)
	}
	leave, err := i.plans.enter(ctx, f.Project, f.Spec.MemoryMB, i.cfg.Plans[f.Spec.MemoryMB], call.QueueBy)
	if err != nil {
		return nil, err
	}
	defer leave()
	return i.cfg.Runner.Run(ctx, f, call)
}

// Replay runs a recorded call once more, with the version and the event that it had, under another id. Errors: as Invoke;
// CodeConflict, field "event", where the event is kept no more or never was.
func (i *Invoker) Replay(ctx context.Context, r *faas.Record, id string) (*faas.Result, error) {
	if r.Event == nil {
		return nil, faas.Errorf(faas.CodeConflict, "event", "the event of call %s (%d bytes) is not kept, so it cannot run again; see --record-events", r.ID, r.EventSize)
	}
	return i.Invoke(ctx, Request{Key: r.Key, Call: faas.Invocation{ID: id, Source: faas.SourceReplay, Event: r.Event, Parent: r.ID}})
}

// Find gives the version that a request means, and holds the request to what its owner allows, without running it. Of an alias that
// shares calls out it is the main one. Errors: as Invoke before the call reaches a Runner.
func (i *Invoker) Find(ctx context.Context, r Request) (*faas.Function, error) {
	return i.resolve(ctx, r, false)
}

// resolve finds the version that a request means, and holds the request to what its owner allows; with draw it counts as a call of
// its alias. Errors: as Functions; CodeInvalid, field "memory_size", for a call that asks for another size of a function whose owner
// did not allow that.
func (i *Invoker) resolve(ctx context.Context, r Request, draw bool) (*faas.Function, error) {
	f, err := i.find(ctx, r, draw)
	switch {
	case err != nil:
		return nil, err
	case r.Call.MemoryMB != 0 && r.Call.MemoryMB != f.Spec.MemoryMB && !f.Spec.DynamicMemory:
		return nil, faas.Errorf(faas.CodeInvalid, "memory_size",
			"a call cannot ask for %d MB: the function has %d MB, and enable_dynamic_memory is not set", r.Call.MemoryMB, f.Spec.MemoryMB)
	}
	return f, nil
}

// find gives the version that a request names, or else the one that its alias leads to. A version that was chosen through an alias
// before, and has gone since, is found through it again.
func (i *Invoker) find(ctx context.Context, r Request, draw bool) (*faas.Function, error) {
	if r.Alias == "" {
		r.Key.Version = cmp.Or(r.Key.Version, faas.Latest)
		return i.function(ctx, r.Key)
	}
	if r.Key.Version != "" {
		f, err := i.function(ctx, r.Key)
		if faas.CodeOf(err) != faas.CodeNotFound {
			return f, err
		}
	}
	return i.through(ctx, r, draw)
}

func (i *Invoker) count(res *faas.Result, err error, took time.Duration) {
	i.duration.Observe(took)
	switch {
	case err != nil:
		i.outcomes[faas.CodeOf(err)].Inc()
	case res.Failure != nil:
		i.outcomes[res.Failure.Code].Inc()
	default:
		i.ok.Inc()
	}
}

// FunctionChanged forgets what is kept of a version that has changed or gone; of an alias when key.Version is its name behind "!"; of all
// versions and aliases when it is "".
func (i *Invoker) FunctionChanged(key faas.FunctionKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.epoch++
	if key.Version != "" {
		delete(i.cached, key)
		delete(i.aliases, key)
		return
	}
	forgetAll(i.cached, key)
	forgetAll(i.aliases, key)
}

// Ahead reads a version that was made or has changed just now, so that its first call finds it at hand. It does nothing where much is
// kept already. What goes wrong is told to the first call.
func (i *Invoker) Ahead(ctx context.Context, key faas.FunctionKey) {
	i.mu.RLock()
	room := len(i.cached) < maxAhead
	i.mu.RUnlock()
	if room {
		_, _ = i.function(ctx, key)
	}
}

func forgetAll[V any](m map[faas.FunctionKey]V, key faas.FunctionKey) {
	maps.DeleteFunc(m, func(k faas.FunctionKey, _ V) bool {
		return k.Project == key.Project && k.Package == key.Package && k.Name == key.Name
	})
}

func (i *Invoker) function(ctx context.Context, key faas.FunctionKey) (*faas.Function, error) {
	i.mu.RLock()
	f, epoch := i.cached[key], i.epoch
	i.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	f, err := i.cfg.Functions.Function(ctx, key)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.epoch == epoch {
		makeRoom(i.cached)
		i.cached[key] = f
	}
	return f, nil
}
