package pool

import (
	"math"
	"time"
)

// A function whose instances die again and again, other than by a timeout, costs a start and a clean-up each time. Past crashLimit of late, where one counts
// for half after crashFade, none of the workers that wait becomes one of its, and its instances get the processor only when nobody else wants it, until that is over: its callers wait
// for what it does to itself, and nobody else does.
const (
	crashLimit = 5
	crashFade  = 5 * time.Second
)

// crashed notes that an instance was lost in a call.
func (g *group) crashed(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.crashes = g.crashesAt(now) + 1
	g.crashedAt = now
}

// crashesAt counts the instances lost of late. g.mu is held.
func (g *group) crashesAt(now time.Time) float64 {
	if g.crashes == 0 {
		return 0
	}
	return g.crashes * math.Exp2(-float64(now.Sub(g.crashedAt))/float64(crashFade))
}

// crashing tells whether the function loses its instances again and again.
func (g *group) crashing(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crashesAt(now) > crashLimit
}

// bearWith has an instance of such a function let all others go first.
func (g *group) bearWith(in *instance) error {
	if !g.crashing(time.Now()) {
		return nil
	}
	in.patient.Store(true)
	return in.box.SetPatient(true)
}

// trust gives an instance that has answered its usual share again, once its function loses no more.
func (g *group) trust(in *instance) {
	if !in.patient.Load() || g.crashing(time.Now()) || !in.patient.CompareAndSwap(true, false) {
		return
	}
	if in.box.SetPatient(false) != nil {
		in.box.Kill() // it is gone, or of no use
	}
}
