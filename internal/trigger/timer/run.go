package timer

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/schedule"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Marks keeps which occurrence of each trigger was handed over last, so that a restart knows what was missed.
type Marks interface {
	MarkFired(ctx context.Context, fired map[string]time.Time) error
}

// Config is what a Kind needs. All of it is required but Now.
type Config struct {
	Sink    trigger.Sink
	Marks   Marks
	Zone    *time.Location // of expressions that name none
	Missed  string         // MissedSkip, MissedOnce or MissedAll
	Log     *slog.Logger
	Metrics *metrics.Set
	Now     func() time.Time // the wall's clock, which may jump; nil for time.Now
}

const (
	workers   = 32          // occurrences that are handed over at a time; they share the store's syncs
	look      = time.Second // the longest sleep, as the wall's clock may jump
	firstWait = 50 * time.Millisecond
	longWait  = 10 * time.Second
)

// Kind is the TIMER trigger; a trigger.Kind and a lifecycle.Service. Timers that wait cost an entry of a heap, no goroutine.
type Kind struct {
	cfg      Config
	lateness metrics.Histogram
	zones    *schedule.Zones

	mu      sync.Mutex
	entries map[string]*entry
	waiting waiting  // entries with a next occurrence, the soonest first
	ready   []*entry // entries with occurrences to hand over that no worker has
	marks   map[string]time.Time
	work    *sync.Cond // ready has grown, or all is over
	over    bool
	poke    chan struct{} // the soonest occurrence may be another

	stop  context.CancelFunc
	group sync.WaitGroup
}

// entry is a timer that acts.
type entry struct {
	trigger  *faas.Trigger
	data     data
	schedule schedule.Schedule
	next     time.Time
	place    int             // in the heap; -1 outside
	owed     []time.Time     // to be handed over, the oldest first
	busy     bool            // a worker has it, or it stands in ready
	gone     context.Context // ends with the entry
	end      context.CancelFunc
	idle     chan struct{} // closed while no worker hands anything over for it
}

// New makes the kind. Nothing happens before Start.
func New(cfg Config) *Kind {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Kind{
		cfg: cfg, entries: map[string]*entry{}, marks: map[string]time.Time{}, poke: make(chan struct{}, 1),
		zones:    schedule.NewZones(cfg.Zone),
		lateness: cfg.Metrics.Histogram("hanshu_timer_lateness_seconds"),
	}
	k.work = sync.NewCond(&k.mu)
	cfg.Metrics.Gauge("hanshu_timers_armed", func() float64 {
		k.mu.Lock()
		defer k.mu.Unlock()
		return float64(len(k.entries))
	})
	return k
}

// Start begins to hand occurrences over.
func (k *Kind) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = cancel
	k.group.Go(func() { k.watch(run) })
	for range workers {
		k.group.Go(func() { k.handOver(run) })
	}
	return nil
}

// Stop ends handing over. What was not handed over is found missing, and made up for, by the next Start.
func (k *Kind) Stop(ctx context.Context) error {
	if k.stop == nil {
		return nil
	}
	k.stop()
	k.mu.Lock()
	k.over = true
	k.work.Broadcast()
	k.mu.Unlock()
	k.group.Wait()
	return k.flush(ctx)
}

// Put is of trigger.Kind.
func (k *Kind) Put(t *faas.Trigger, _ map[string]string) error {
	var d data
	if err := trigger.Decode(t.Data, &d); err != nil {
		return err
	}
	times, err := schedule.Parse(d.ScheduleType, d.Schedule, t.Since, k.zones)
	if err != nil {
		return err
	}
	k.Drop(t.ID)
	e := &entry{trigger: t, data: d, schedule: times, place: -1, idle: make(chan struct{})}
	e.gone, e.end = context.WithCancel(context.Background())
	close(e.idle)
	last := t.Since
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fired := range []time.Time{t.Fired, k.marks[t.ID]} {
		if fired.After(last) {
			last = fired
		}
	}
	k.entries[t.ID] = e
	k.advance(e, last, k.cfg.Now())
	k.wake()
	return nil
}

// Drop is of trigger.Kind.
func (k *Kind) Drop(id string) {
	k.mu.Lock()
	e := k.entries[id]
	if e == nil {
		k.mu.Unlock()
		return
	}
	delete(k.entries, id)
	if e.place >= 0 {
		heap.Remove(&k.waiting, e.place)
	}
	e.owed = nil
	e.end()
	idle := e.idle
	k.mu.Unlock()
	<-idle
}

// advance finds what is owed by now behind last, and waits for what comes then. The mutex is held.
func (k *Kind) advance(e *entry, last, now time.Time) {
	due, next := owed(e.schedule, last, now, k.cfg.Missed)
	e.owed = append(e.owed, due...)
	e.next = next
	if !next.IsZero() {
		heap.Push(&k.waiting, e)
	}
	if len(e.owed) > 0 && !e.busy {
		e.busy = true
		k.ready = append(k.ready, e)
		k.work.Signal()
	}
}

func (k *Kind) wake() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// watch waits for the soonest occurrence, again and again.
func (k *Kind) watch(ctx context.Context) {
	flushed := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.poke:
		case <-timer.C:
		}
		timer.Reset(k.takeDue())
		if time.Since(flushed) >= look {
			flushed = time.Now()
			if err := k.flush(ctx); err != nil && ctx.Err() == nil {
				k.cfg.Log.Warn("it cannot be kept which timers have fired; trying again", "err", err)
			}
		}
	}
}

// takeDue moves what is due to the workers, and tells how long to sleep. The clock is read once: an occurrence is due or not by
// what the wall says now, wherever the wall's clock has been before.
func (k *Kind) takeDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Now()
	for len(k.waiting) > 0 && !k.waiting[0].next.After(now) {
		e := heap.Pop(&k.waiting).(*entry)
		k.advance(e, e.next.Add(-time.Second), now)
	}
	if len(k.waiting) == 0 && len(k.marks) == 0 {
		return time.Hour // a Put pokes
	}
	if len(k.waiting) == 0 {
		return look
	}
	return max(0, min(look, k.waiting[0].next.Sub(now)))
}

// handOver is a worker: it hands over what an entry owes, in order, so that marks only grow.
func (k *Kind) handOver(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for len(k.ready) == 0 && !k.over {
			k.work.Wait()
		}
		if k.over {
			return
		}
		e := k.ready[0]
		k.ready[0] = nil
		k.ready = k.ready[1:]
		if len(e.owed) == 0 { // dropped meanwhile
			e.busy = false
			continue
		}
		at := e.owed[0]
		e.idle = make(chan struct{})
		k.mu.Unlock()
		done := k.fire(ctx, e, at)
		k.mu.Lock()
		close(e.idle)
		if len(e.owed) > 0 {
			e.owed = e.owed[1:]
		}
		if done {
			if k.marks[e.trigger.ID].Before(at) {
				k.marks[e.trigger.ID] = at
			}
			k.lateness.Observe(k.cfg.Now().Sub(at))
		}
		if len(e.owed) > 0 {
			k.ready = append(k.ready, e)
			continue
		}
		e.busy = false
	}
}

// fire hands one occurrence over, however long the queue is away. It tells whether it has.
func (k *Kind) fire(ctx context.Context, e *entry, at time.Time) bool {
	job, err := e.job(at)
	if err != nil {
		k.cfg.Log.Error("a timer's event cannot be written", "trigger", e.trigger.ID, "err", err)
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.gone, cancel)()
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		err := k.cfg.Sink.Enqueue(ctx, job)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case trigger.Hopeless(err):
			k.cfg.Log.Error("a timer's occurrence is given up", "trigger", e.trigger.ID, "at", at, "err", err)
			return true
		case wait == firstWait:
			k.cfg.Log.Warn("a timer's occurrence cannot be handed over yet; trying again", "trigger", e.trigger.ID, "at", at, "err", err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return false
		}
	}
}

// flush keeps the marks. They stay until they are kept.
func (k *Kind) flush(ctx context.Context) error {
	k.mu.Lock()
	marks := k.marks
	k.marks = map[string]time.Time{}
	k.mu.Unlock()
	if len(marks) == 0 {
		return nil
	}
	err := k.cfg.Marks.MarkFired(ctx, marks)
	if err == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, at := range marks {
		if k.marks[id].Before(at) {
			k.marks[id] = at
		}
	}
	return err
}

// waiting is a heap of entries by their next occurrence.
type waiting []*entry

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].next.Before(w[j].next) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push is of heap.Interface.
func (w *waiting) Push(x any) {
	e := x.(*entry)
	e.place = len(*w)
	*w = append(*w, e)
}

// Pop is of heap.Interface.
func (w *waiting) Pop() any {
	old := *w
	e := old[len(old)-1]
	old[len(old)-1] = nil
	e.place = -1
	*w = old[:len(old)-1]
	return e
}
