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
		limited := q.limited()
		q.mu.Unlock()
		wait := time.Hour
		if limited {
			wait = limitsHoldFor // a limit that is raised ends no call, so nothing else would have it asked for again
		}
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
	q.mu.Lock()
	q.early = map[attempt]bool{}
	q.mu.Unlock()
	err := q.resolve()
	var got []faas.LaneClaimed
	if err == nil {
		got, err = q.cfg.Store.ClaimJobs(q.ctx, claims)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	early := q.early
	q.early = nil
	if err != nil {
		q.doubt = true
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
			q.held[attemptOf(&job)] = holding{cancel, l.key}
			if job.Cancel == faas.CancelForce || early[attemptOf(&job)] {
				cancel()
			}
			q.runs.Go(func() {
				defer cancel()
				q.run(ctx, l, job)
			})
		}
	}
	return nil
}

// resolve ends the doubt that a failed claim leaves: a database that goes away while it commits may have committed. What counts
// there as running here, and nobody here runs, waits again.
func (q *Queue) resolve() error {
	q.mu.Lock()
	doubt := q.doubt
	held := make(map[int64]int, len(q.held))
	for a := range q.held {
		held[a.seq] = max(held[a.seq], a.number)
	}
	q.mu.Unlock()
	if !doubt {
		return nil
	}
	n, err := q.cfg.Store.ReleaseJobs(q.ctx, held)
	if err != nil {
		return err
	}
	if n > 0 {
		q.cfg.Log.Info("jobs whose claim was in doubt wait again", "jobs", n)
		if err := q.lookAround(q.ctx); err != nil {
			return err
		}
	}
	q.mu.Lock()
	q.doubt = false
	q.mu.Unlock()
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
func (q *Queue) over(l *lane, pushedBack bool) {
	q.mu.Lock()
	q.busy--
	q.finishing++
	l.running--
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
		delete(q.held, attempt{end.Seq, end.Attempt})
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
