package pool

import (
	"math"
	"time"
)

// A function whose instances die again and again, other than by a timeout, costs a start and a clean-up each time, and its neighbours the time in which the kernel fills and frees
// its memory. Past crashLimit of late, where one counts for half after crashFade, its instances are started one after the other, each crashPause for each of those behind the one
// before, never of a worker that waits, and get the processor only when no other instance wants it. So its callers wait for what it does to itself; calls
// beyond what may wait are refused as overload.
const (
	crashLimit    = 5
	crashFade     = 5 * time.Second
	crashPause    = 10 * time.Millisecond
	maxCrashPause = time.Second
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

// pauseBefore takes the turn of a start and tells how long it has to wait for it: 0 unless the function loses its instances again and again.
func (g *group) pauseBefore(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost := g.crashesAt(now)
	if lost <= crashLimit {
		return 0
	}
	turn := g.startAt
	if turn.Before(now) {
		turn = now
	}
	g.startAt = turn.Add(min(time.Duration(lost*float64(crashPause)), maxCrashPause))
	return g.startAt.Sub(now)
}

// awaitTurn waits for the turn of a start, or for the server to stop.
func (g *group) awaitTurn() {
	pause := g.pauseBefore(time.Now())
	if pause == 0 {
		return
	}
	g.pool.stats.paused.Inc()
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-g.pool.ctx.Done():
	}
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
	in.portion.Store(1) // which it is again by that
	if in.box.SetPatient(false) != nil {
		in.box.Kill() // it is gone, or of no use
	}
}
