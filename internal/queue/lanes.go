package queue

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// laneName is whose jobs a lane holds.
type laneName struct {
	key      faas.FunctionKey // Version is ""
	delivery bool
}

// lane is the line of one function's jobs, as far as it matters here: when the first one is due. A lane in which nothing
// waits and nothing runs is forgotten.
type lane struct {
	laneName
	id      int64
	due     time.Time // of its first job, when it stands in the heap
	place   place
	index   int       // in the heap
	missed  time.Time // the earliest job that came while a claim was under way; zero for none
	running int       // claimed and not ended
	limit   int       // of its function
	asked   time.Time // when limit was asked for
	window  float64   // what the platform has shown to take of it
}

// place is where a lane stands.
type place int

const (
	nowhere  place = iota
	inRing         // its first job is due
	inHeap         // its first job is due later
	claiming       // its first jobs are being claimed
)

// notify says that a job waits in a lane.
func (q *Queue) notify(p faas.JobPlace, name laneName) {
	q.mu.Lock()
	l := q.lane(p.Lane, name)
	switch l.place {
	case inRing:
	case claiming:
		if l.missed.IsZero() || p.Due.Before(l.missed) {
			l.missed = p.Due
		}
	case inHeap:
		if p.Due.Before(l.due) {
			heap.Remove(&q.timed, l.index)
			q.stand(l, p.Due)
		}
	case nowhere:
		q.stand(l, p.Due)
	}
	q.mu.Unlock()
	q.stir()
}

// lane finds or makes a lane; q.mu is held.
func (q *Queue) lane(id int64, name laneName) *lane {
	l := q.lanes[id]
	if l == nil {
		l = &lane{laneName: name, id: id, window: float64(q.cfg.Slots)}
		q.lanes[id] = l
	}
	return l
}

// stand puts a lane that stands nowhere where its first job belongs; q.mu is held.
func (q *Queue) stand(l *lane, due time.Time) {
	l.due = due
	if due.After(time.Now()) {
		l.place = inHeap
		heap.Push(&q.timed, l)
		return
	}
	l.place = inRing
	q.ring = append(q.ring, l)
}

// forget drops a lane that is not needed; q.mu is held.
func (q *Queue) forget(l *lane) {
	if l.place == nowhere && l.running == 0 {
		delete(q.lanes, l.id)
	}
}

// stir wakes the dispatcher.
func (q *Queue) stir() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// lookAround takes up the lanes in which jobs wait, whoever has put them there.
func (q *Queue) lookAround(ctx context.Context) error {
	heads, err := q.cfg.Store.JobHeads(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		q.notify(faas.JobPlace{Lane: h.Lane, Due: h.Due}, laneName{key: h.Function, delivery: h.Delivery})
	}
	return nil
}

// ripen moves lanes whose time has come to the ring, and gives the time of the next; q.mu is held.
func (q *Queue) ripen(now time.Time) (next time.Time) {
	for len(q.timed) > 0 && !q.timed[0].due.After(now) {
		l := heap.Pop(&q.timed).(*lane)
		l.place = inRing
		q.ring = append(q.ring, l)
	}
	if len(q.timed) > 0 {
		next = q.timed[0].due
	}
	return next
}

// free is how many calls may begin; q.mu is held. Ends that cannot be stored hold it down, so that they do not pile up.
func (q *Queue) free() int { return q.cfg.Slots - q.busy - max(0, q.finishing-q.cfg.Slots) }

// room is how many of a lane's jobs may begin; q.mu is held. A lane may take a slot only while it holds fewer than are free,
// so that some are always left for the next function, however many jobs this one has and however long they run.
func (q *Queue) room(l *lane, free int) int {
	n := (free - l.running + 1) / 2
	if l.limit >= 0 {
		n = min(n, l.limit-l.running)
	}
	return min(n, int(l.window)-l.running, maxClaim)
}

// pick chooses the next claims, lane after lane in turn; q.mu is held.
func (q *Queue) pick() []faas.LaneClaim {
	var claims []faas.LaneClaim
	free := q.free()
	kept := q.ring[:0:0]
	share := max(1, free/max(1, len(q.ring)))
	for i, l := range q.ring {
		if free <= 0 {
			kept = append(append([]*lane(nil), q.ring[i:]...), kept...) // those passed over come after those not looked at
			break
		}
		n := min(q.room(l, free), max(share, 1))
		if n <= 0 {
			kept = append(kept, l)
			continue
		}
		l.place, l.missed = claiming, time.Time{}
		l.running += n
		q.busy += n
		free -= n
		claims = append(claims, faas.LaneClaim{Lane: l.id, Most: n})
	}
	q.ring = kept
	return claims
}

// limited tells whether a lane in the ring waits for nothing but its function's limit; q.mu is held.
func (q *Queue) limited() bool {
	return q.free() > 0 && slices.ContainsFunc(q.ring, func(l *lane) bool { return l.limit >= 0 && l.running >= l.limit })
}

// settle takes in what a claim gave; q.mu is held.
func (q *Queue) settle(l *lane, asked, got int, next time.Time) {
	l.running -= asked - got
	q.busy -= asked - got
	if !l.missed.IsZero() && (next.IsZero() || l.missed.Before(next)) {
		next = l.missed
	}
	l.place = nowhere
	if !next.IsZero() {
		q.stand(l, next)
	}
	q.forget(l)
}

// laneHeap orders lanes by the time of their first job.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop is heap.Interface's.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
