package pool

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// beatTimeout is how long a heartbeat handler may take.
const beatTimeout = 3 * time.Second

// bigFrame is more than a socket takes while nobody reads at the other end: a frozen worker is thawed before it.
const bigFrame = 32 << 10

// ice is the state of an instance that may be frozen. due is set by who freezes and taken by who needs the instance; mu keeps
// the two acts of the kernel apart, so that the last is the one that due tells of.
type ice struct {
	due  atomic.Bool
	held atomic.Int32 // exchanges and dials under way, which no frame of the server's wakes
	mu   sync.Mutex
}

// hold keeps an instance from being frozen, and thaws one that is, until the function that it gives is called.
func (in *instance) hold() (let func()) {
	in.ice.held.Add(1)
	if in.ice.due.Swap(false) {
		in.thaw()
	}
	return func() { in.ice.held.Add(-1) }
}

// freeze stops the processes of an instance that idles, unless a call has come meanwhile.
func (in *instance) freeze() error {
	in.ice.mu.Lock()
	defer in.ice.mu.Unlock()
	if in.ice.held.Load() > 0 {
		in.ice.due.Store(false) // a frame must not thaw what is not frozen, and another look comes soon
	}
	if !in.ice.due.Load() {
		return nil
	}
	return in.box.Freeze()
}

// thaw has the processes go on. An instance that cannot is ended.
func (in *instance) thaw() {
	in.ice.mu.Lock()
	defer in.ice.mu.Unlock()
	if in.box.Thaw() != nil {
		in.box.Kill()
	}
}

// melt has a frozen instance go on.
func (in *instance) melt() {
	if in.ice.due.Load() && in.ice.due.Swap(false) {
		in.thaw()
	}
}

// write sends to the worker. A frozen one is thawed behind it, so that it finds the frame when it wakes.
func (in *instance) write(frame []byte) error {
	frozen := in.ice.due.Load() && in.ice.due.Swap(false)
	if frozen && len(frame) > bigFrame {
		in.thaw()
		frozen = false
	}
	_, err := in.conn.Write(frame)
	if frozen {
		in.thaw()
	}
	return err
}

// ask asks an instance something that is no call. No call must be under way, or there may be several.
func (in *instance) ask(kind byte, timeout time.Duration) (lang.Frame, error) {
	in.output.wake()
	deadline := time.Now().Add(timeout)
	question := func(dst []byte, seq uint32) []byte { return lang.AppendFrame(dst, lang.Frame{Type: kind, Seq: seq}) }
	if s := in.shared; s != nil {
		seq, answer, err := s.ask(kind, deadline, question)
		if err != nil {
			return lang.Frame{}, err
		}
		frame, state := s.await(seq, answer, deadline)
		switch state {
		case alive:
			return frame, nil
		case leaving:
			return frame, os.ErrDeadlineExceeded
		default:
			return frame, errGone
		}
	}
	in.seq++
	_ = in.conn.SetDeadline(deadline)
	if err := in.write(question(nil, in.seq)); err != nil {
		return lang.Frame{}, err
	}
	frame, err := lang.ReadFrame(in.reader, nil, maxFrame)
	if err == nil && frame.Seq != in.seq {
		err = errUnexpected
	}
	if err == nil {
		err = fits(kind, frame)
	}
	return frame, err
}

// partWith ends an instance that idles. Its function's pre-stop handler is called before, which an instance that failed does
// not get to do (FunctionGraph reference 5.7).
func (g *group) partWith(in *instance) {
	p := g.pool
	if g.stopHandler() == "" || in.gone() || !p.mayPart() {
		in.retire()
		return
	}
	p.work.Go(func() {
		defer p.parting.Done()
		g.lastWord(in)
		in.retire()
	})
}

// mayPart counts an instance that says its last word, unless it is too late for that.
func (p *Pool) mayPart() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parted {
		return false
	}
	p.parting.Add(1)
	return true
}

// awaitParting waits for the instances that say their last word, until ctx is done.
func (p *Pool) awaitParting(ctx context.Context) {
	p.mu.Lock()
	p.parted = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.parting.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		p.cancel()
		p.killAll()
		<-done
	}
}

func (g *group) lastWord(in *instance) {
	begun := time.Now()
	frame, err := in.ask(lang.FrameStop, g.function.Spec.StopTimeout)
	res := &faas.Result{Run: time.Since(begun), MemoryMB: g.key.memoryMB}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		res.Failure = timedOut("the pre-stop handler", g.function.Spec.StopTimeout)
	case err != nil:
		res.Failure = &faas.Failure{Code: faas.CodeExit, Type: "PreStop", Message: "the instance ended in its pre-stop handler"}
	case frame.Type == lang.FrameFailed:
		res.Failure = in.reported(frame)
	}
	g.note(in, faas.SourcePreStop, begun, res)
}

// note keeps what an instance did outside calls where its owner sees it.
func (g *group) note(in *instance, source string, begun time.Time, res *faas.Result) {
	if in.shared != nil {
		res.Logs, res.Dropped = in.output.leave(0)
	} else {
		res.Logs, res.Dropped = in.output.take()
	}
	res.Version, res.Digest, res.MemoryPeak = g.function.Version, g.function.Code.Digest, in.box.MemoryPeak()
	if g.pool.cfg.Note != nil {
		g.pool.cfg.Note(g.function, source, begun, res)
	}
}

// reap looks after the instances that idle: asks how they are, freezes and retires them, and keeps as many as are reserved.
func (p *Pool) reap() {
	defer close(p.ended)
	period := min(p.cfg.IdleTimeout/4, p.cfg.BeatEvery/2, time.Second)
	if p.cfg.FreezeAfter > 0 {
		period = min(period, p.cfg.FreezeAfter/2)
	}
	tick := time.NewTicker(max(period, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case now := <-tick.C:
			p.lookAfter(now)
		}
	}
}

func (p *Pool) lookAfter(now time.Time) {
	p.mu.RLock()
	groups, shelves := p.allGroups(), p.allShelves()
	p.mu.RUnlock()
	p.adjustAll(groups, now)
	for _, g := range groups {
		g.retireIdle(now.Add(-p.idleAfter(g.function)))
		g.refill(now)
		if g.beatHandler() != "" {
			g.beat(now)
		} else if p.cfg.FreezeAfter > 0 && g.driver.Capabilities().Freeze {
			g.freezeIdle(now.Add(-p.cfg.FreezeAfter))
			if p.cfg.ReclaimAfter > 0 && g.driver.Capabilities().Reclaim {
				g.reclaimIdle(now.Add(-p.cfg.ReclaimAfter))
			}
		}
	}
	for _, s := range shelves {
		s.clear(false, now)
	}
	p.forgetEmpty()
}

// freezeIdle freezes the instances that have idled since before a time, unless reserved ones are to stay warm.
func (g *group) freezeIdle(before time.Time) {
	var cold []*instance
	g.mu.Lock()
	if _, idle := g.function.Spec.Keeps(); g.reserved > 0 && !idle {
		g.mu.Unlock()
		return
	}
	for _, in := range g.idle {
		if in.idleSince.Before(before) && in.ice.due.CompareAndSwap(false, true) {
			cold = append(cold, in)
		}
	}
	g.mu.Unlock()
	for _, in := range cold {
		if err := in.freeze(); err != nil && !in.gone() {
			g.pool.cfg.Log.Warn("an idle instance could not be frozen", "function", g.function.Name, "err", err)
		}
	}
}

// reclaimIdle pages out the instances that have been frozen and idled since before a time, each once while it idles, and one after the other.
// A call that comes meanwhile is not held up for it, but for reading its pages again.
func (g *group) reclaimIdle(before time.Time) {
	var cold []*instance
	g.mu.Lock()
	for _, in := range g.idle {
		if in.idleSince.Before(before) && in.ice.due.Load() && !in.reclaimed.Equal(in.idleSince) {
			in.reclaimed = in.idleSince
			cold = append(cold, in)
		}
	}
	g.mu.Unlock()
	if len(cold) == 0 {
		return
	}
	p := g.pool
	p.work.Go(func() {
		p.reclaiming.Lock()
		defer p.reclaiming.Unlock()
		for _, in := range cold {
			if !in.ice.due.Load() || p.ctx.Err() != nil {
				continue
			}
			switch err := in.box.Reclaim(); {
			case err == nil:
				p.stats.reclaimed.Inc()
			case !errors.Is(err, errors.ErrUnsupported) && !in.gone():
				p.cfg.Log.Warn("an idle instance could not be paged out", "function", g.function.Name, "err", err)
			}
		}
	})
}

// beat asks the instances that idle how they are, each once in a while. One that is not well is ended. An instance that runs a
// call is left to the call's own time.
func (g *group) beat(now time.Time) {
	for {
		g.mu.Lock()
		i := 0
		for i < len(g.idle) && now.Sub(g.idle[i].beatAt) < g.pool.cfg.BeatEvery {
			i++
		}
		if i == len(g.idle) {
			g.mu.Unlock()
			return
		}
		in := g.idle[i]
		g.idle = append(g.idle[:i], g.idle[i+1:]...)
		in.beatAt = now
		g.mu.Unlock()
		g.pool.work.Go(func() { g.askHealth(in) })
	}
}

// askHealth asks an instance that has been taken from those that idle, and puts it back.
func (g *group) askHealth(in *instance) {
	begun, since := time.Now(), in.idleSince
	frame, err := in.ask(lang.FrameBeat, beatTimeout)
	well := false
	if err == nil {
		well, err = frame.Beat()
	}
	if !well {
		why := "the heartbeat handler said that the instance is not well"
		if err != nil {
			why = "the heartbeat handler did not answer"
		}
		res := &faas.Result{Run: time.Since(begun), MemoryMB: g.key.memoryMB, Failure: &faas.Failure{Code: faas.CodeException, Type: "Heartbeat", Message: why}}
		g.note(in, faas.SourceHeartbeat, begun, res)
		g.pool.stats.lost.Inc()
		g.lose(in)
		return
	}
	g.putBack(in, since)
}

// putBack lets an instance idle on that was taken for something else than a call, or hands it to a call that has come
// meanwhile.
func (g *group) putBack(in *instance, since time.Time) {
	if g.slots > 1 {
		g.mu.Lock()
		in.active = 1
		g.mu.Unlock()
	}
	g.offer(in, false)
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.idle); n > 0 && g.idle[n-1] == in {
		in.idleSince = since
		slices.SortStableFunc(g.idle, func(a, b *instance) int { return a.idleSince.Compare(b.idleSince) })
	}
}

// idleAfter is how long an instance of a function may idle.
func (p *Pool) idleAfter(f *faas.Function) time.Duration {
	if p.cfg.IdleAfter != nil {
		if d := p.cfg.IdleAfter(f); d > 0 {
			return d
		}
	}
	return p.cfg.IdleTimeout
}
