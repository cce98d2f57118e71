package pool

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// maxRetry is the longest pause between two starts of a reserved instance whose code does not load.
const maxRetry = 5 * time.Minute

// warmUp is how long a change of a function with reserved instances waits for those of its new revision.
const warmUp = 10 * time.Second

// Versions finds function versions in the store.
type Versions interface {
	// Function gives a version as it is now. Error: CodeNotFound.
	Function(ctx context.Context, key faas.FunctionKey) (*faas.Function, error)
	// Reserved lists the versions that have, or at times have, instances kept for them, of a project or, for "", of all.
	Reserved(ctx context.Context, project string) ([]*faas.Function, error)
}

// keepReserved brings up the reserved instances of every function.
func (p *Pool) keepReserved(ctx context.Context) error {
	if p.cfg.Versions == nil {
		return nil
	}
	all, err := p.cfg.Versions.Reserved(ctx, "")
	if err != nil {
		return fmt.Errorf("find reserved instances: %w", err)
	}
	for _, f := range all {
		p.Reserve(f)
	}
	return nil
}

// Reserve keeps the instances of a version loaded that its Spec asks for, from now until the version changes, whether calls come or
// not.
// One that dies is replaced; where the code does not load, after a pause that grows to five minutes.
func (p *Pool) Reserve(f *faas.Function) {
	if !f.Spec.KeepsAny() || f.Spec.MaxInstances == 0 {
		return
	}
	for again := true; again; {
		g, err := p.group(f, faas.Invocation{})
		if err != nil {
			p.cfg.Log.Warn("reserved instances cannot be started", "function", f.Name, "err", err)
			return
		}
		p.calls.Done()
		g.refill(time.Now())
		g.mu.Lock()
		again = g.superseded // it was found empty before it knew what to keep, or the function has changed once more
		g.mu.Unlock()
	}
}

// WarmReserved warms the reserved instances of a version that is about to change into what stands in the store by now, as long as
// that takes and ten seconds at most. Calls that do not know of the change yet go on in the old instances meanwhile.
// FunctionChanged comes behind it.
func (p *Pool) WarmReserved(key faas.FunctionKey) {
	f := p.current(key)
	if f == nil || !f.Spec.KeepsAny() {
		return
	}
	p.Reserve(f)
	ctx, cancel := context.WithTimeout(p.ctx, warmUp)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !p.warm(f) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// warm tells whether the reserved instances of a version are up, or will not come up soon.
func (p *Pool) warm(f *faas.Function) bool {
	p.mu.RLock()
	g := p.groups[groupKey{f.ID, f.Version, f.Revision, f.Spec.MemoryMB}]
	p.mu.RUnlock()
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total-g.starting >= g.keep || g.failures > 0 || g.superseded
}

// current reads a version from the store; nil where it is gone, or cannot be read.
func (p *Pool) current(key faas.FunctionKey) *faas.Function {
	if p.cfg.Versions == nil || key.Version == "" {
		return nil
	}
	f, err := p.cfg.Versions.Function(p.ctx, key)
	if err != nil {
		return nil
	}
	return f
}

// refill starts the reserved instances that are missing. One that died while it idled shows here.
func (g *group) refill(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keep == 0 {
		return
	}
	g.idle = slices.DeleteFunc(g.idle, func(in *instance) bool {
		if !in.gone() {
			return false
		}
		g.total--
		in.retire()
		return true
	})
	if g.failures > 0 && (now.Before(g.retryAt) || g.starting > 0) {
		return
	}
	missing := g.keep - g.total
	if g.failures > 0 {
		missing = min(missing, 1)
	}
	for range missing {
		g.startOne()
	}
}
