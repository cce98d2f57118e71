package invoke

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Config says how to run an Invoker. Zero values of the numbers mean the defaults named.
type Config struct {
	Functions Functions
	Runner    Runner
	Recent    *Recent
	QueueWait time.Duration // the longest a call waits for an instance, unless one is being started then; 30 s
	Metrics   *metrics.Set
}

// maxCached bounds the versions kept at hand, so that a call reads no database.
const maxCached = 20_000

// Invoker runs calls. Make one with New. It is safe for concurrent use.
type Invoker struct {
	cfg      Config
	outcomes map[faas.Code]metrics.Counter
	ok       metrics.Counter
	duration metrics.Histogram

	mu     sync.RWMutex
	cached map[faas.FunctionKey]*faas.Function
	epoch  uint64 // grows with every change, so that a read that began before one is not kept
}

// New makes an Invoker.
func New(cfg Config) *Invoker {
	if cfg.QueueWait == 0 {
		cfg.QueueWait = 30 * time.Second
	}
	i := &Invoker{
		cfg: cfg, cached: map[faas.FunctionKey]*faas.Function{}, outcomes: map[faas.Code]metrics.Counter{},
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
	f, err := i.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	call := r.Call
	call.Alias = r.Alias
	load := f.Spec.Timeout // code without an initializer may load as long as it may run
	if f.Spec.InitHandler != "" {
		load = faas.InitAttempts * f.Spec.InitTimeout
	}
	call.QueueBy = begun.Add(i.cfg.QueueWait)
	call.Deadline = call.QueueBy.Add(load + f.Spec.Timeout)
	var res *faas.Result
	if talk == nil {
		res, err = i.cfg.Runner.Run(ctx, f, call)
	} else {
		res, err = i.cfg.Runner.Exchange(ctx, f, call, talk)
	}
	if res != nil {
		res.Version, res.Digest = f.Version, f.Code.Digest
	}
	took := time.Since(begun)
	i.count(res, err, took)
	i.cfg.Recent.add(Run{Key: f.Key(), ID: call.ID, Source: call.Source, Begun: begun, Took: took, Result: res, Err: err})
	return res, err
}

// Find gives the version that a request means, and holds the request to what its owner allows, without running it. Errors: as
// Invoke before the call reaches a Runner.
func (i *Invoker) Find(ctx context.Context, r Request) (*faas.Function, error) {
	return i.resolve(ctx, r)
}

// resolve finds the version that a request means, and holds the request to what its owner allows. Errors: as Functions;
// CodeNotFound, field "alias", as no alias can be made yet; CodeInvalid, field "memory_size", for a call that asks
// for another size of a function whose owner did not allow that.
func (i *Invoker) resolve(ctx context.Context, r Request) (*faas.Function, error) {
	r.Key.Version = cmp.Or(r.Key.Version, faas.Latest)
	f, err := i.function(ctx, r.Key)
	switch {
	case err != nil:
		return nil, err
	case r.Alias != "":
		return nil, faas.NotFound("alias", r.Alias)
	case r.Call.MemoryMB != 0 && r.Call.MemoryMB != f.Spec.MemoryMB && !f.Spec.DynamicMemory:
		return nil, faas.Errorf(faas.CodeInvalid, "memory_size",
			"a call cannot ask for %d MB: the function has %d MB, and enable_dynamic_memory is not set", r.Call.MemoryMB, f.Spec.MemoryMB)
	}
	return f, nil
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

// FunctionChanged forgets what is kept of a version that has changed or gone; of all versions when key.Version is "".
func (i *Invoker) FunctionChanged(key faas.FunctionKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.epoch++
	if key.Version != "" {
		delete(i.cached, key)
		return
	}
	for k := range i.cached {
		if k.Project == key.Project && k.Package == key.Package && k.Name == key.Name {
			delete(i.cached, k)
		}
	}
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
		if len(i.cached) >= maxCached {
			for k := range i.cached { // any one: the order of a map is random
				delete(i.cached, k)
				break
			}
		}
		i.cached[key] = f
	}
	return f, nil
}
