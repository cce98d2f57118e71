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

// Sink takes occurrences over, those that are due at a time together. Of each job it tells what trigger.Sink tells: nil means that it
// is on disk and will run. One that is refused keeps none of the others back.
type Sink interface {
	EnqueueEach(ctx context.Context, jobs []faas.Job) []error
}

// Config is what a Kind needs. All of it is required but Now.
type Config struct {
	Sink    Sink
	Marks   Marks
	Zone    *time.Location // of expressions that name none
	Missed  string         // MissedSkip, MissedOnce or MissedAll
	Log     *slog.Logger
	Metrics *metrics.Set
	Now     func() time.Time // the wall's clock, which may jump; nil for time.Now
}

const look = time.Second // the longest sleep, as the wall's clock may jump

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
	marked  chan struct{} // there are marks to keep

	stop  context.CancelFunc
	group sync.WaitGroup
}

// entry is a timer that acts.
type entry struct {
	trigger  *faas.Trigger
	data     data
	schedule schedule.Schedule
	next     time.Time
	place    int           // in the heap; -1 outside
	owed     []time.Time   // to be handed over, the oldest first
	busy     bool          // a worker has it, it stands in ready, or again brings it there
	idle     chan struct{} // closed while no worker hands anything over for it
	wait     time.Duration // before the next try of what could not be handed over
	again    *time.Timer   // the end of that wait; nil before the first
}

// New makes the kind. Nothing happens before Start.
func New(cfg Config) *Kind {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Kind{
		cfg: cfg, entries: map[string]*entry{}, marks: map[string]time.Time{},
		poke: make(chan struct{}, 1), marked: make(chan struct{}, 1), zones: schedule.NewZones(cfg.Zone),
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
	k.group.Go(func() { k.keepMarks(run) })
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
	for _, e := range k.entries {
		e.rest()
	}
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
	e.rest()
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

func (k *Kind) wake() { signal(k.poke) }

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// watch waits for the soonest occurrence, again and again.
func (k *Kind) watch(ctx context.Context) {
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
	if len(k.waiting) == 0 {
		return time.Hour // a Put pokes
	}
	return max(0, min(look, k.waiting[0].next.Sub(now)))
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
