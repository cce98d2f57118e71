package pool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// group holds the instances of one function version of one size.
type group struct {
	pool     *Pool
	key      groupKey
	function *faas.Function
	runtime  lang.Runtime
	limit    int          // instances at a time
	slots    int          // calls at a time in one instance
	metered  bool         // its policies look at load: calls and peak are kept
	calls    atomic.Int64 // under way or waiting
	peak     atomic.Int64 // the most of them since the last look
	walls    faas.Walls
	driver   sandbox.Driver // of its level of isolation

	mu         sync.Mutex
	plans      []*plan     // of the instances kept; nil where there are never any
	reserved   int         // instances that policies ask for
	keep       int         // instances kept, whether calls come or not
	idle       []*instance // without calls, most recently used last
	opened     []*instance // with calls, and room for more
	waiters    []*waiter   // longest waiting first
	total      int         // idle, busy and starting
	starting   int
	superseded bool
	service    time.Duration // what a run takes when nothing hinders it: the shortest of late
	startCost  time.Duration // moving average of a start
	failures   int           // starts in a row that came to nothing
	retryAt    time.Time     // when a reserved instance may be started again
	crashes    float64       // instances lost of late, each counting for less as time goes by
	crashedAt  time.Time
	startAt    time.Time // of the last start that had to wait for its turn
}

// lease is the right to use an instance for one call, or the failure of the code to load.
type lease struct {
	instance *instance
	among    int  // instances that the function has now
	cold     bool // started for the call
	failed   *faas.Result
}

// waiter is a call that waits for an instance.
type waiter struct{ granted chan grant }

type grant struct {
	lease lease
	err   error
}

// errAgain asks for another attempt at a call.
var errAgain = errors.New("try again")

const firstGuessOfStart = 30 * time.Millisecond

func newGroup(p *Pool, key groupKey, f *faas.Function, rt lang.Runtime) *group {
	limit := f.Spec.MaxInstances
	if limit == faas.Unlimited {
		limit = p.cfg.MaxInstances
	}
	g := &group{pool: p, key: key, function: f, runtime: rt, limit: limit, slots: 1, startCost: firstGuessOfStart}
	g.metered = metered(&f.Spec)
	if rt.Language.Concurrent && f.Spec.RequestsPer > 1 {
		g.slots = f.Spec.RequestsPer
	}
	return g
}

// notice is what the first call of an instance is told: what is not as the owner asked for it.
func (g *group) notice() string {
	var all []string
	if text := g.runtime.Notice(); text != "" {
		all = append(all, text)
	}
	language, spec := g.runtime.Language, &g.function.Spec
	if g.slots == 1 && spec.RequestsPer > 1 {
		all = append(all, fmt.Sprintf("an instance of %s takes one call at a time, not %d: further calls get further instances", language.Title, spec.RequestsPer))
	}
	if !language.Hooks && (spec.StopHandler != "" || spec.BeatHandler != "") {
		all = append(all, "heartbeat and pre-stop handlers are not called in "+language.Title)
	}
	return strings.Join(all, "; ")
}

// stopHandler and beatHandler are the function's, where its language calls them; "" else.
func (g *group) stopHandler() string { return g.hook(g.function.Spec.StopHandler) }
func (g *group) beatHandler() string { return g.hook(g.function.Spec.BeatHandler) }

func (g *group) hook(handler string) string {
	if !g.runtime.Language.Hooks {
		return ""
	}
	return handler
}

// lease takes an instance that has room, or waits for one to become free or be started: until ctx ends, or a time has come; a
// second and later time when one is being started at the first.
func (g *group) lease(ctx context.Context, by, starting time.Time) (lease, error) {
	g.mu.Lock()
	if in := g.free(); in != nil {
		among := g.total
		g.mu.Unlock()
		return lease{instance: in, among: among}, nil
	}
	if g.superseded {
		g.mu.Unlock()
		return lease{}, errAgain
	}
	if len(g.waiters) >= g.pool.cfg.MaxQueue {
		g.mu.Unlock()
		return lease{}, faas.Errorf(faas.CodeOverload, "function", "%d calls are waiting for this function already", g.pool.cfg.MaxQueue)
	}
	if wait := g.leastWait(); wait > time.Until(by) {
		waiting := len(g.waiters)
		g.mu.Unlock()
		return lease{}, faas.Errorf(faas.CodeOverload, "function", "%d calls are waiting for this function already, which takes longer than a call may wait; try again later", waiting)
	}
	w := &waiter{granted: make(chan grant, 1)}
	g.waiters = append(g.waiters, w)
	if g.worthStarting() {
		g.startOne()
	}
	g.mu.Unlock()
	return g.await(ctx, by, starting, w)
}

// await waits for a grant. A call that has waited for longer than a start takes brings another instance up.
func (g *group) await(ctx context.Context, by, starting time.Time, w *waiter) (lease, error) {
	next := func() time.Duration { return min(g.patience(), time.Until(by)) }
	timer := time.NewTimer(next())
	defer timer.Stop()
	for {
		select {
		case gr := <-w.granted:
			return gr.lease, gr.err
		case now := <-timer.C:
			switch {
			case now.Before(by):
				g.grow()
			case now.Before(starting) && g.isStarting():
				by = now.Add(min(starting.Sub(now), time.Second))
			default:
				return g.giveUp(w, faas.Errorf(faas.CodeQueueTimeout, "function", "no instance became free in time"))
			}
			timer.Reset(next())
		case <-ctx.Done():
			return g.giveUp(w, faas.Errorf(faas.CodeCancelled, "", "the caller went away while the call waited for an instance"))
		}
	}
}

// free takes an instance that has room for a call; nil where there is none. g.mu is held.
func (g *group) free() *instance {
	if n := len(g.opened); n > 0 {
		in := g.opened[n-1]
		in.active++
		g.place(in)
		return in
	}
	for n := len(g.idle); n > 0; n = len(g.idle) {
		in := g.idle[n-1]
		g.idle = g.idle[:n-1]
		if in.gone() {
			g.total--
			in.retire()
			continue
		}
		if g.slots > 1 {
			in.active = 1
			g.place(in)
		}
		return in
	}
	return nil
}

// leastWait is how long another call would wait at the least: were every call as short as the shortest of late, and had the
// function all instances that it may have. 0 where nothing is known. g.mu is held.
func (g *group) leastWait() time.Duration {
	most := g.total + max(0, g.pool.cfg.MaxInstances-int(g.pool.instances.Load()))
	most = max(1, min(g.limit, most)) * g.slots
	return g.service * time.Duration(len(g.waiters)/most)
}

func (g *group) isStarting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.starting > 0
}

// patience is how long a call waits before it asks for another instance: about the time of a start. Where many wait, each
// one asks less often, so that a long queue costs no processor.
func (g *group) patience() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := min(max(g.startCost, 25*time.Millisecond), 100*time.Millisecond)
	return min(one*time.Duration(1+len(g.waiters)/16), time.Second)
}

// grow starts instances for a queue in which a call has waited for long: as many as there are, so that their number
// doubles from round to round, and a round begins when the last is up. Where the processors have nothing left to give,
// more instances only slow each other down, so then it is one.
func (g *group) grow() {
	busy := g.pool.load.saturated()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.starting > 0 {
		return
	}
	n := max(g.total, 1)
	if busy {
		n = 1
	}
	for range min(n, (len(g.waiters)+g.slots-1)/g.slots) {
		g.startOne()
	}
}

// giveUp takes a waiter out of the queue; one that was granted an instance in the same moment gives it back.
func (g *group) giveUp(w *waiter, err error) (lease, error) {
	g.mu.Lock()
	for i, other := range g.waiters {
		if other == w {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			g.mu.Unlock()
			return lease{}, err
		}
	}
	g.mu.Unlock()
	if gr := <-w.granted; gr.lease.instance != nil {
		g.release(gr.lease.instance, 0)
	}
	return lease{}, err
}

// worthStarting tells whether a new instance would serve the queue sooner than those there are: always up to one for
// each processor; later when the queue would take longer than a start and none is on its way. g.mu is held.
func (g *group) worthStarting() bool {
	waiting := len(g.waiters)
	if g.total < runtime.NumCPU() {
		return g.starting*g.slots < waiting
	}
	return g.starting == 0 && g.service*time.Duration(waiting) > g.startCost*time.Duration(g.total*g.slots)
}

// startOne begins to start an instance, unless a limit forbids it. g.mu is held.
func (g *group) startOne() {
	if g.superseded || g.total >= g.limit || !g.pool.reserve() {
		return
	}
	g.total++
	g.starting++
	g.pool.work.Go(g.bringUp)
}

// bringUp starts and loads an instance and hands it to the call that has waited longest.
func (g *group) bringUp() {
	g.awaitTurn()
	g.pool.starts <- struct{}{}
	if !g.wanted() {
		<-g.pool.starts
		g.pool.unreserve()
		g.giveUpStart()
		return
	}
	begun := time.Now()
	in, failed, err := g.tryInstances()
	if in == nil {
		g.pool.stats.failed.Inc()
		if err != nil && g.pool.ctx.Err() == nil {
			g.pool.cfg.Log.Error("no instance could be started", "function", g.function.Name, "err", err)
		}
		g.failStart(failed, err)
		return
	}
	took := time.Since(begun)
	g.pool.stats.start.Observe(took)
	g.mu.Lock()
	g.starting--
	g.failures = 0
	g.startCost = average(g.startCost, took)
	g.mu.Unlock()
	g.offer(in, true)
}

// tryInstances starts an instance. Where the initializer fails it is tried on others, faas.InitAttempts in all, and the last
// failure is the answer, with the logs of all (FunctionGraph reference 5.7). The place among the starts is held by the first
// alone: what follows is the owner's code.
func (g *group) tryInstances() (*instance, *faas.Result, error) {
	in, failed, err := g.pool.startInstance(g, func() { <-g.pool.starts })
	for range faas.InitAttempts - 1 {
		if failed == nil || failed.Failure.Code == faas.CodeLoad || g.function.Spec.InitHandler == "" || !g.wanted() || !g.pool.reserve() {
			break
		}
		g.pool.stats.failed.Inc()
		before := failed
		if in, failed, err = g.pool.startInstance(g, func() {}); failed != nil {
			failed.Logs, failed.Dropped = append(before.Logs, failed.Logs...), before.Dropped+failed.Dropped
			failed.Init += before.Init
		}
	}
	return in, failed, err
}

// wanted tells whether calls still wait, or a reserved instance is missing: a start may stand in line for long.
func (g *group) wanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiters) > 0 || g.total <= g.keep && !g.superseded
}

// giveUpStart takes a start back that was never made.
func (g *group) giveUpStart() {
	g.mu.Lock()
	g.starting--
	g.mu.Unlock()
	g.shrink()
}

// failStart tells the longest waiting call that a start has failed. Code that does not load, in a group where none has
// loaded, is no better for the others: all are told, and not each one costs a start.
func (g *group) failStart(failed *faas.Result, err error) {
	told := grant{lease: lease{failed: failed}, err: err}
	g.mu.Lock()
	loaded := g.total - g.starting
	g.starting--
	g.failures++
	g.retryAt = time.Now().Add(min(time.Second<<min(g.failures, 10), maxRetry))
	if failed != nil && loaded == 0 {
		g.dismiss(told)
	} else if w := g.nextWaiter(); w != nil {
		w.granted <- told
	}
	g.mu.Unlock()
	g.shrink()
}

// shrink notes that an instance has gone, and starts another when calls wait and none is on its way.
func (g *group) shrink() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	switch {
	case g.superseded && g.total == 0:
		g.dismiss(grant{err: errAgain})
	case g.worthStarting():
		g.startOne()
	}
}

// dismiss ends every wait alike. g.mu is held.
func (g *group) dismiss(all grant) {
	for _, w := range g.waiters {
		w.granted <- all
	}
	g.waiters = nil
}

// release gives an instance back after a call that ran for a time; 0 when it ran none.
func (g *group) release(in *instance, ran time.Duration) {
	if ran > 0 {
		g.mu.Lock()
		if g.service == 0 || ran < g.service {
			g.service = ran
		} else {
			g.service += (ran - g.service) / 64
		}
		g.mu.Unlock()
	}
	g.offer(in, false)
}

// offer hands an instance to the next waiter, or lets it idle.
func (g *group) offer(in *instance, cold bool) {
	if g.slots > 1 {
		g.offerSlots(in, cold)
		return
	}
	g.mu.Lock()
	if w := g.nextWaiter(); w != nil {
		among := g.total
		g.mu.Unlock()
		w.granted <- grant{lease: lease{instance: in, among: among, cold: cold}}
		return
	}
	if g.superseded {
		g.total--
		g.mu.Unlock()
		g.partWith(in)
		return
	}
	g.toIdle(in)
	g.mu.Unlock()
}

// toIdle lets an instance idle. g.mu is held.
func (g *group) toIdle(in *instance) {
	in.output.rest()
	in.idleSince = time.Now()
	g.idle = append(g.idle, in)
}

// nextWaiter takes the call that has waited longest; nil when none waits. g.mu is held.
func (g *group) nextWaiter() *waiter {
	if len(g.waiters) == 0 {
		return nil
	}
	w := g.waiters[0]
	g.waiters[0] = nil
	g.waiters = g.waiters[1:]
	return w
}

// lose drops an instance that has ended or must end. Each of its calls may say so.
func (g *group) lose(in *instance) {
	g.mu.Lock()
	again := in.lost
	in.lost = true
	g.unopen(in)
	g.mu.Unlock()
	if again {
		return
	}
	in.retire()
	g.shrink()
}

// supersede retires the idle instances at once and the others as they come back. Calls that wait are served by those;
// where there are none they look their group up again.
func (g *group) supersede() {
	g.mu.Lock()
	g.superseded = true
	idle := g.idle
	g.idle = nil
	for _, in := range g.opened {
		in.open = false
	}
	g.opened = nil
	g.total -= len(idle)
	if g.total == 0 {
		g.dismiss(grant{err: errAgain})
	}
	g.mu.Unlock()
	for _, in := range idle {
		g.partWith(in)
	}
}

// refuseWaiters ends every wait with err.
func (g *group) refuseWaiters(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dismiss(grant{err: err})
}

// retireIdle retires the instances that have idled since before a time, but for those that are reserved.
func (g *group) retireIdle(before time.Time) {
	g.mu.Lock()
	n := 0
	for n < min(len(g.idle), g.total-g.keep) && g.idle[n].idleSince.Before(before) {
		n++
	}
	old := append([]*instance(nil), g.idle[:n]...)
	g.idle = append(g.idle[:0], g.idle[n:]...)
	g.total -= n
	g.mu.Unlock()
	for _, in := range old {
		g.partWith(in)
	}
}

// oldestIdle tells since when the longest idle instance has been so.
func (g *group) oldestIdle() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.idle) == 0 || g.total <= g.keep {
		return time.Time{}, false
	}
	return g.idle[0].idleSince, true
}

// retireOldest retires the longest idle instance, if there is one.
func (g *group) retireOldest() {
	g.mu.Lock()
	if len(g.idle) == 0 || g.total <= g.keep {
		g.mu.Unlock()
		return
	}
	in := g.idle[0]
	g.idle = append(g.idle[:0], g.idle[1:]...)
	g.total--
	g.mu.Unlock()
	g.partWith(in)
}

// closeIfEmpty supersedes a group that has neither instances nor calls, so that a call which holds it looks again.
func (g *group) closeIfEmpty() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total != 0 || len(g.waiters) != 0 || g.plans != nil && !g.superseded {
		return false
	}
	g.superseded = true
	return true
}

// average moves an average an eighth of the way to a new value.
func average(old, value time.Duration) time.Duration {
	if old == 0 {
		return value
	}
	return old + (value-old)/8
}
