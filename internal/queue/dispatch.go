package queue

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// dispatch claims jobs and starts them, as slots come free.
func (q *Queue) dispatch() {
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	away := time.Duration(0)
	for {
		next := q.ready()
		q.mu.Lock()
		claims := q.pick()
		q.mu.Unlock()
		wait := time.Hour
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		if len(claims) > 0 {
			if err := q.claim(claims); err == nil {
				away = 0
				continue
			}
			// The store is away or full: what waits there is safe, and is asked for again.
			away = min(max(2*away, storeAwayLeast), storeAwayMost)
			wait = away
		}
		pause.Reset(max(wait, 0))
		if away > 0 && len(claims) > 0 {
			select { // not even a new job is a reason to ask sooner
			case <-pause.C:
			case <-q.quit:
				return
			}
			continue
		}
		select {
		case <-q.wake:
		case <-pause.C:
		case <-q.quit:
			return
		}
	}
}

// claim claims, and starts what it got.
func (q *Queue) claim(claims []faas.LaneClaim) error {
	got, err := q.cfg.Store.ClaimJobs(q.ctx, claims)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.cfg.Log.Warn("jobs wait, since the database does not let them be claimed", "error", err)
		for _, c := range claims {
			q.settle(q.lanes[c.Lane], c.Most, 0, time.Now())
		}
		return err
	}
	for i, c := range got {
		l := q.lanes[c.Lane]
		q.settle(l, claims[i].Most, len(c.Jobs), c.Next)
		for _, job := range c.Jobs {
			job.Key.Project, job.Key.Package, job.Key.Name = l.key.Project, l.key.Package, l.key.Name
			ctx, cancel := context.WithCancel(q.ctx)
			if q.kills[job.ID] = cancel; job.Cancel == faas.CancelForce {
				cancel()
			}
			q.runs.Go(func() { q.run(ctx, l, job) })
		}
	}
	return nil
}

// ready moves lanes whose time has come to the ring, and asks for the limits of those in it that are not known, or may have
// changed. It gives the time at which the next lane comes.
func (q *Queue) ready() (next time.Time) {
	now := time.Now()
	q.mu.Lock()
	next = q.ripen(now)
	var ask []*lane
	for _, l := range q.ring {
		if now.Sub(l.asked) > limitsHoldFor {
			l.asked = now
			ask = append(ask, l)
		}
	}
	q.mu.Unlock()
	for _, l := range ask {
		limit := deliveriesAtATime
		if !l.delivery {
			var err error
			if limit, err = q.cfg.Policies.Limit(q.ctx, l.key); err != nil || limit == 0 {
				limit = 1 // let a call find out why, and say so in its end
			}
		}
		q.mu.Lock()
		l.limit = limit
		q.mu.Unlock()
	}
	return next
}

// over gives the slot of a call back.
func (q *Queue) over(l *lane, id string, pushedBack bool) {
	q.mu.Lock()
	q.busy--
	q.finishing++
	l.running--
	q.kills[id]()
	delete(q.kills, id)
	if pushedBack {
		l.window = max(1, min(l.window, float64(l.running+1))/2)
	} else {
		l.window = min(l.window+1/l.window, float64(q.cfg.Slots))
	}
	q.forget(l)
	q.mu.Unlock()
	q.stir()
}

// store stores how an attempt ended, however long that takes; false when the queue was stopped before.
func (q *Queue) store(end faas.JobEnd) (faas.JobEnded, bool) {
	defer func() {
		q.mu.Lock()
		q.finishing--
		q.mu.Unlock()
		q.stir()
	}()
	for wait := storeAwayLeast; ; wait = min(2*wait, storeAwayMost) {
		ended, err := q.cfg.Store.EndJobs(context.WithoutCancel(q.ctx), []faas.JobEnd{end})
		if err == nil {
			return ended[0], true
		}
		q.cfg.Log.Warn("the end of a job waits to be stored", "error", err)
		if faas.CodeOf(err) == faas.CodeInternal && len(end.Next) > 0 {
			q.cfg.Log.Error("the record of a job cannot be stored, so it goes to no destination", "error", err)
			end.Next = nil // or the job itself would never end
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-q.ctx.Done():
			again.Stop()
			return faas.JobEnded{}, false
		}
	}
}
