package pool

import "slices"

// What differs in a group whose instances take several calls at a time. A call goes to an instance that has calls already
// rather than to one that idles, so that those not needed come to their end.

// place lists an instance that has calls by whether it has room for more. g.mu is held.
func (g *group) place(in *instance) {
	room := in.active > 0 && in.active < g.slots && !in.leaving && !in.lost && !g.superseded
	switch {
	case room && !in.open:
		in.open = true
		g.opened = append(g.opened, in)
	case !room:
		g.unopen(in)
	}
}

// unopen takes an instance off those with room. g.mu is held.
func (g *group) unopen(in *instance) {
	if !in.open {
		return
	}
	in.open = false
	i := slices.Index(g.opened, in)
	g.opened = slices.Delete(g.opened, i, i+1)
}

// offerSlots hands the room of an instance to waiters: of one just started, whose first call is cold, or of one that has
// finished a call.
func (g *group) offerSlots(in *instance, cold bool) {
	g.mu.Lock()
	if !cold {
		in.active--
	}
	if in.leaving || in.lost {
		g.leave(in)
		return
	}
	for in.active < g.slots {
		w := g.nextWaiter()
		if w == nil {
			break
		}
		in.active++
		w.granted <- grant{lease: lease{instance: in, among: g.total, cold: cold}}
		cold = false
	}
	g.place(in)
	switch {
	case in.active > 0:
		g.mu.Unlock()
	case g.superseded:
		in.lost = true
		g.total--
		g.mu.Unlock()
		g.partWith(in)
	default:
		g.toIdle(in)
		g.mu.Unlock()
	}
}

// part gives an instance back that takes no further call: it ends with the last of those it has.
func (g *group) part(in *instance) {
	g.mu.Lock()
	in.leaving = true
	in.active--
	g.unopen(in)
	g.leave(in)
}

// leave ends an instance that takes no further call and has none left. g.mu is held, and released.
func (g *group) leave(in *instance) {
	in.endOverdue()
	last := in.active == 0 && !in.lost
	in.lost = in.lost || last
	g.mu.Unlock()
	if !last {
		return
	}
	in.retire()
	g.shrink()
}
