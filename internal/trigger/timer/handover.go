package timer

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

const (
	workers   = 4    // batches that are handed over at a time, so that one that takes long keeps the others back little
	atATime   = 1000 // occurrences of a batch: what is due in the same second shares one wait for the disk
	firstWait = 50 * time.Millisecond
	longWait  = 10 * time.Second
)

// occurrence is one that an entry owes, and its job.
type occurrence struct {
	entry *entry
	at    time.Time
}

// handOver is a worker: it hands over what entries owe. Of one entry it has one occurrence at a time, the oldest, so that marks only
// grow.
func (k *Kind) handOver(ctx context.Context) {
	for {
		batch, idle := k.take()
		if batch == nil {
			return
		}
		jobs := make([]faas.Job, len(batch))
		for i, o := range batch {
			jobs[i] = o.entry.job(o.at)
		}
		k.settle(ctx, batch, k.cfg.Sink.EnqueueEach(ctx, jobs))
		close(idle)
	}
}

// take waits for entries that owe something; nil when all is over. Whoever got them closes idle when nothing is handed over any more.
func (k *Kind) take() (batch []occurrence, idle chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	idle = make(chan struct{})
	for len(batch) == 0 {
		for len(k.ready) == 0 && !k.over {
			k.work.Wait()
		}
		if k.over {
			return nil, nil
		}
		n := min(len(k.ready), atATime)
		for _, e := range k.ready[:n] {
			if len(e.owed) == 0 { // dropped meanwhile
				e.busy = false
				continue
			}
			e.idle = idle
			batch = append(batch, occurrence{e, e.owed[0]})
		}
		clear(k.ready[:n])
		k.ready = k.ready[n:]
	}
	return batch, idle
}

// settle takes in what became of a batch: what was handed over is marked, and what was not stays owed and is tried again.
func (k *Kind) settle(ctx context.Context, batch []occurrence, errs []error) {
	now := k.cfg.Now()
	var away error
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, o := range batch {
		e, err := o.entry, errs[i]
		dropped := len(e.owed) == 0
		switch {
		case err == nil:
		case dropped || ctx.Err() != nil: // the next life of this server finds it missing
			continue
		case trigger.Hopeless(err):
			k.cfg.Log.Error("a timer's occurrence is given up", "trigger", e.trigger.ID, "at", o.at, "err", err)
		default:
			if e.wait == 0 {
				away = err
			}
			k.tryLater(e)
			continue
		}
		if k.marks[e.trigger.ID].Before(o.at) {
			k.marks[e.trigger.ID] = o.at
		}
		k.lateness.Observe(now.Sub(o.at))
		if dropped {
			continue
		}
		e.wait, e.owed = 0, e.owed[1:]
		if e.busy = len(e.owed) > 0; e.busy {
			k.ready = append(k.ready, e)
		}
	}
	if away != nil {
		k.cfg.Log.Warn("occurrences of timers cannot be handed over yet; trying again", "err", away)
	}
	signal(k.marked)
}

// tryLater lets an entry wait, longer each time. The mutex is held.
func (k *Kind) tryLater(e *entry) {
	e.wait = max(firstWait, min(2*e.wait, longWait))
	e.again = time.AfterFunc(e.wait, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ready = append(k.ready, e)
		k.work.Signal()
	})
}

// rest ends the wait of an entry, if it waits to be tried again. The kind's mutex is held.
func (e *entry) rest() {
	if e.again != nil {
		e.again.Stop()
	}
}

// keepMarks keeps the marks a moment after there are some, and not more often than every second: they wait behind the occurrences and
// not beside them, as the store writes one after the other.
func (k *Kind) keepMarks(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-k.marked:
		}
		if err := k.flush(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Log.Warn("it cannot be kept which timers have fired; trying again", "err", err)
			signal(k.marked)
		}
		pause.Reset(look)
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
