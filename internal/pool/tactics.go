package pool

import (
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/schedule"
)

const (
	// longAgo is how far back the latest occurrence of a schedule is looked for: a yearly one is found.
	longAgo = 400 * 24 * time.Hour
	// metricHold is how long what load asked for is kept, so that a pause costs no instances.
	metricHold = time.Minute
)

// plan tells how many instances of a version are to be kept, as time passes (faas.Tactics). Not for concurrent use.
type plan struct {
	base      int // where no schedule holds
	schedules []planned
	metrics   []faas.ReservedMetric
	slots     int // calls that an instance takes at a time

	value       int       // what schedules ask for
	from, until time.Time // as long as value holds; until is zero for ever

	load     int // what metrics ask for
	loadTill time.Time
}

type planned struct {
	faas.ReservedSchedule
	times schedule.Schedule
}

// newPlans reads what a spec has kept: for the version itself, and for the alias that leads to it. wrong as newPlan.
func newPlans(spec *faas.Spec, slots int, zones *schedule.Zones) (plans []*plan, wrong error) {
	own, wrong := newPlan(spec.Reserved, spec.Tactics, slots, zones)
	if by := spec.AliasReserve; by != nil {
		alias, bad := newPlan(by.Count, by.Tactics, slots, zones)
		return []*plan{own, alias}, errors.Join(wrong, bad)
	}
	return []*plan{own}, wrong
}

// newPlan reads policies. One whose expression is not understood is left out, and named in wrong: it was checked when it
// was set, but zones come and go.
func newPlan(base int, tactics *faas.Tactics, slots int, zones *schedule.Zones) (p *plan, wrong error) {
	p = &plan{base: base, slots: slots}
	if tactics == nil {
		return p, nil
	}
	p.metrics = tactics.Metrics
	for _, s := range tactics.Schedules {
		since := s.From
		if since.IsZero() {
			since = time.Unix(0, 0)
		}
		times, err := schedule.Parse(schedule.Cron, s.Cron, since, zones)
		if err != nil {
			wrong = err
			continue
		}
		p.schedules = append(p.schedules, planned{s, times})
	}
	return p, wrong
}

// scheduled is what the schedules ask for at a time: the count of the one that occurred last, and base before all of them.
func (p *plan) scheduled(now time.Time) int {
	if !p.from.IsZero() && !now.Before(p.from) && (p.until.IsZero() || now.Before(p.until)) {
		return p.value
	}
	p.value, p.from, p.until = p.base, now, time.Time{}
	var latest time.Time
	for _, s := range p.schedules {
		switch {
		case now.Before(s.From):
			p.endsBy(s.From)
			continue
		case !s.Until.IsZero() && !now.Before(s.Until):
			continue
		}
		p.endsBy(s.times.Next(now))
		p.endsBy(s.Until)
		at := lastOf(s.times, s.From, now)
		if at.IsZero() || at.Before(latest) || at.Equal(latest) && s.Count <= p.value {
			continue
		}
		latest, p.value = at, s.Count
	}
	return p.value
}

// endsBy notes that value holds no longer than until a time; zero for never.
func (p *plan) endsBy(at time.Time) {
	if !at.IsZero() && (p.until.IsZero() || at.Before(p.until)) {
		p.until = at
	}
}

// lastOf is the latest occurrence by now that is not before from; zero for none.
func lastOf(times schedule.Schedule, from, now time.Time) time.Time {
	if early := now.Add(-longAgo); from.Before(early) {
		from = early
	}
	first := times.Next(from.Add(-time.Nanosecond))
	if first.IsZero() || first.After(now) {
		return time.Time{}
	}
	return schedule.Newest(times, first, now.Add(time.Nanosecond))
}

// loaded is what metrics ask for at a time, when so many calls were under way or waited at the most since they were asked last. It
// rises at once, and falls when metricHold has passed without as much.
func (p *plan) loaded(now time.Time, calls int) int {
	want := 0
	for _, m := range p.metrics {
		each := m.Threshold * p.slots // of a hundred calls
		want = max(want, m.Min, (calls*100+each-1)/each)
	}
	if want >= p.load || now.After(p.loadTill) {
		p.load, p.loadTill = want, now.Add(metricHold)
	}
	return p.load
}

// keepReserved has a group keep the instances that its function reserves, if the store still has that revision. A call may come
// with a function that has changed or gone since it was found: its group stands where FunctionChanged has passed already, and
// nobody would end what it keeps. A change behind this look finds the group.
func (g *group) keepReserved() {
	spec := &g.function.Spec
	if !spec.KeepsAny() || g.key.memoryMB != spec.MemoryMB {
		return
	}
	now := g.pool.current(g.function.Key())
	if now == nil || now.ID != g.key.id || now.Revision != g.key.revision {
		return
	}
	plans, wrong := newPlans(spec, g.slots, g.pool.zones)
	if wrong != nil {
		g.pool.cfg.Log.Warn("a schedule of reserved instances is not followed", "function", g.function.Name, "err", wrong)
	}
	g.mu.Lock()
	g.plans = plans
	g.mu.Unlock()
	g.adjust(time.Now(), 0)
}

// adjust sets how many instances are kept now. Load may ask for room more of them than are kept already; what it takes of that is
// given back.
func (g *group) adjust(now time.Time, room int) (taken int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.plans == nil {
		return 0
	}
	reserved, load := 0, 0
	for _, p := range g.plans {
		reserved += p.scheduled(now)
	}
	if g.metered {
		calls := int(g.peak.Swap(g.calls.Load()))
		for _, p := range g.plans {
			load = max(load, p.loaded(now, calls))
		}
	}
	if load = min(load, g.limit); load > reserved {
		taken = min(max(0, load-max(g.keep, reserved)), room)
		reserved = min(load, max(g.keep, reserved)+taken)
	}
	g.reserved = min(reserved, g.limit)
	g.keep = g.reserved
	if g.function.Spec.Snapshot {
		g.keep = max(g.keep, min(1, g.limit))
	}
	return taken
}

// adjustAll has every group keep what it is to keep now. What load asks for stays within nine tenths of all instances, so that
// there is room for functions that reserve nothing.
func (p *Pool) adjustAll(groups []*group, now time.Time) {
	room := p.cfg.MaxInstances * 9 / 10
	for _, g := range groups {
		g.mu.Lock()
		room -= g.keep
		g.mu.Unlock()
	}
	for _, g := range groups {
		room -= g.adjust(now, max(0, room))
	}
}

// begin counts a call that wants an instance of a group whose policies look at load; the function that it gives ends that.
func (g *group) begin() (end func()) {
	if !g.metered {
		return func() {}
	}
	n := g.calls.Add(1)
	for most := g.peak.Load(); n > most && !g.peak.CompareAndSwap(most, n); most = g.peak.Load() {
	}
	return func() { g.calls.Add(-1) }
}

// metered tells whether policies of a spec look at load.
func metered(spec *faas.Spec) bool {
	by := spec.AliasReserve
	return spec.Tactics != nil && len(spec.Tactics.Metrics) > 0 || by != nil && by.Tactics != nil && len(by.Tactics.Metrics) > 0
}
