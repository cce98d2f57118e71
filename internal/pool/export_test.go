package pool

import "github.com/hanshu-faas/hanshu/internal/faas"

// Waiting counts the calls that wait for an instance of a function.
func (p *Pool) Waiting(f *faas.Function) int {
	p.mu.RLock()
	g := p.groups[groupKey{f.ID, f.Version, f.Revision, f.Spec.MemoryMB}]
	p.mu.RUnlock()
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiters)
}

// Idle counts the instances of a function that have no call.
func (p *Pool) Idle(f *faas.Function) int {
	p.mu.RLock()
	g := p.groups[groupKey{f.ID, f.Version, f.Revision, f.Spec.MemoryMB}]
	p.mu.RUnlock()
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.idle)
}

// Forgive has the instances that a function lost be as long ago as it takes.
func (p *Pool) Forgive(f *faas.Function) {
	p.mu.RLock()
	g := p.groups[groupKey{f.ID, f.Version, f.Revision, f.Spec.MemoryMB}]
	p.mu.RUnlock()
	g.mu.Lock()
	g.crashedAt = g.crashedAt.Add(-10 * crashFade)
	g.mu.Unlock()
}
