package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/trigger/timer"
)

// lateSink notes how late occurrences are on disk.
type lateSink struct {
	*flowSink
	mu  sync.Mutex
	all []time.Duration
}

func (l *lateSink) note(jobs ...faas.Job) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, job := range jobs {
		var e struct{ Time time.Time }
		if json.Unmarshal(job.Event, &e) == nil {
			l.all = append(l.all, now.Sub(e.Time))
		}
	}
}

// Enqueue is of trigger.Sink.
func (l *lateSink) Enqueue(ctx context.Context, job faas.Job) error {
	defer l.note(job)
	return l.flowSink.Enqueue(ctx, job)
}

// EnqueueEach is of timer.Sink.
func (l *lateSink) EnqueueEach(ctx context.Context, jobs []faas.Job) []error {
	defer l.note(jobs...)
	return l.flowSink.EnqueueEach(ctx, jobs)
}

// idle makes calls that take no time.
type idle struct{}

func (idle) Invoke(context.Context, faas.JobStatus) (*faas.Result, error) { return &faas.Result{}, nil }

func (idle) Policy(context.Context, faas.FunctionKey, string) (faas.AsyncConfig, error) {
	return faas.AsyncConfig{MaxAge: time.Hour}, nil
}

func (idle) Limit(context.Context, faas.FunctionKey) (int, error) { return 1, nil }

func (idle) Deliver(context.Context, faas.Job) error { return nil }

// BenchmarkTimers arms 100,000 timers of which 1,000 of 100 functions are due in every second, and tells how late these are on disk while
// the calls, which take no time, are made too. It is for profiles; `make bench` is for figures.
func BenchmarkTimers(b *testing.B) {
	db, err := store.Open(b.Context(), store.Config{URL: "sqlite:" + filepath.Join(b.TempDir(), "a.db")})
	require.NoError(b, err)
	defer db.Close()
	log := slog.New(slog.DiscardHandler)
	jobs := queue.New(queue.Config{Store: db, Invoker: idle{}, Policies: idle{}, Deliverer: idle{}, Log: log, Metrics: metrics.NewSet()})
	require.NoError(b, jobs.Start(b.Context()))
	sink := &lateSink{flowSink: &flowSink{jobs: jobs}}
	k := timer.New(timer.Config{Sink: sink, Marks: db, Zone: time.UTC, Missed: timer.MissedOnce, Log: log, Metrics: metrics.NewSet()})
	require.NoError(b, k.Start(b.Context()))
	for i := range 100_000 {
		schedule := "0 0 0 1 1 *"
		if i%100 == 0 {
			schedule = "* * * * * *"
		}
		one := &faas.Trigger{
			ID: uuid.NewString(), Kind: timer.Code, Since: time.Now(), Data: `{"name":"t","schedule_type":"Cron","schedule":"` + schedule + `"}`,
			Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f" + strconv.Itoa(i/1000), Version: faas.Latest},
		}
		require.NoError(b, k.Put(one, nil))
	}
	half := func() time.Time { return time.Now().Truncate(time.Second).Add(1500 * time.Millisecond) }
	<-time.After(time.Until(half()))
	sink.mu.Lock()
	sink.all = nil
	sink.mu.Unlock()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		<-time.After(time.Until(half()))
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	require.NoError(b, k.Stop(b.Context()))
	require.NoError(b, jobs.Stop(b.Context()))
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	slices.Sort(sink.all)
	b.ReportMetric(float64(cpu)/1e3/float64(len(sink.all)), "cpu-us/occurrence")
	b.ReportMetric(float64(len(sink.all)), "fired")
	b.ReportMetric(float64(sink.all[len(sink.all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(sink.all[len(sink.all)/2].Microseconds())/1000, "p50-ms")
}
