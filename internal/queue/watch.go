package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// sighting is what is known of another node.
type sighting struct {
	beat int64
	at   time.Time // by this node's clock: nodes' clocks are never compared
}

// watch shows that this node lives, finds what other nodes have accepted, what was called off there, and nodes that are gone.
func (q *Queue) watch() {
	tick := time.NewTicker(q.cfg.Poll)
	defer tick.Stop()
	seen := map[string]sighting{}
	for {
		select {
		case <-q.quit:
			return
		case <-tick.C:
		}
		if err := q.look(seen); err != nil {
			q.cfg.Log.Warn("other nodes cannot be seen", "error", err)
		}
	}
}

func (q *Queue) look(seen map[string]sighting) error {
	ctx, cancel := context.WithTimeout(q.ctx, q.cfg.Lease/2)
	defer cancel()
	others, err := q.cfg.Store.BeatJobs(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for node := range seen {
		if _, there := others[node]; !there {
			delete(seen, node)
		}
	}
	for node, beat := range others {
		if was, known := seen[node]; !known || was.beat != beat {
			seen[node] = sighting{beat, now}
			continue
		}
		if now.Sub(seen[node].at) < q.cfg.Lease {
			continue
		}
		n, err := q.cfg.Store.TakeOverJobs(ctx, node)
		if err != nil {
			return err
		}
		q.cfg.Log.Info("a node is gone; its jobs wait again", "node", node, "jobs", n)
	}
	called, err := q.cfg.Store.CalledOffJobs(ctx)
	if err != nil {
		return err
	}
	q.kill(called)
	return q.lookAround(ctx)
}

// sweep forgets jobs that have ended, by age and by bytes.
func (q *Queue) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for more := true; more; {
			var err error
			if more, err = q.cfg.Store.ForgetJobs(q.ctx, time.Now().Add(-q.cfg.KeepFor), q.cfg.KeepBytes, sweepAtATime); err != nil {
				q.cfg.Log.Warn("ended jobs cannot be forgotten", "error", err)
				more = false
			}
			select {
			case <-q.quit:
				return
			default:
			}
		}
		select {
		case <-q.quit:
			return
		case <-tick.C:
		}
	}
}

// logAttrs are the parts of a line of the status log.
func logAttrs(job faas.JobStatus, state faas.JobState, message string) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("project", job.Key.Project), slog.String("function", job.Key.Package+"/"+job.Key.Name),
		slog.String("request_id", job.ID), slog.String("status", string(state)), slog.Int("attempt", job.Attempts),
	}
	if message != "" {
		attrs = append(attrs, slog.String("message", message))
	}
	return attrs
}

type stats struct{ waited metrics.Histogram }

// booksHoldFor is how long a reading of the books serves, so that all gauges of one scrape are of one moment.
const booksHoldFor = 100 * time.Millisecond

func newStats(set *metrics.Set, store Store) stats {
	var mu sync.Mutex
	var books faas.JobBooks
	var read time.Time
	gauge := func(name string, get func(faas.JobBooks) int64) {
		set.Gauge(name, func() float64 {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(read) > booksHoldFor {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if b, err := store.JobBooks(ctx); err == nil {
					books, read = b, time.Now()
				}
			}
			return float64(get(books))
		})
	}
	gauge("hanshu_jobs_accepted", func(b faas.JobBooks) int64 { return b.Accepted })
	gauge(`hanshu_jobs{state="done"}`, func(b faas.JobBooks) int64 { return b.Done })
	gauge(`hanshu_jobs{state="dead"}`, func(b faas.JobBooks) int64 { return b.Dead })
	gauge(`hanshu_jobs{state="cancelled"}`, func(b faas.JobBooks) int64 { return b.Cancelled })
	gauge(`hanshu_jobs{state="waiting"}`, func(b faas.JobBooks) int64 { return b.Waiting })
	gauge(`hanshu_jobs{state="running"}`, func(b faas.JobBooks) int64 { return b.Running })
	gauge("hanshu_jobs_kept_bytes", func(b faas.JobBooks) int64 { return b.Kept })
	return stats{waited: set.Histogram("hanshu_job_wait_seconds")}
}
