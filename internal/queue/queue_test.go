package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// bench is a queue over a real store, with functions that are scripted.
type bench struct {
	*queue.Queue
	db *store.DB

	mu        sync.Mutex
	functions map[string]func(ctx context.Context, job faas.Job, call int) (*faas.Result, error)
	calls     map[string]int // by the job's id
	running   map[string]int // by function
	most      map[string]int // at a time, by function
	policies  map[string]faas.AsyncConfig
	limits    map[string]int
	delivered []faas.Job
	deliver   func(call int) error
}

func newBench(t *testing.T, adjust func(*queue.Config)) *bench {
	t.Helper()
	return benchIn(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), adjust)
}

func benchIn(t *testing.T, url string, adjust func(*queue.Config)) *bench {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	b := &bench{
		db: db, functions: map[string]func(context.Context, faas.Job, int) (*faas.Result, error){}, calls: map[string]int{}, running: map[string]int{},
		most: map[string]int{}, policies: map[string]faas.AsyncConfig{}, limits: map[string]int{},
	}
	cfg := queue.Config{
		Store: db, Invoker: b, Policies: b, Deliverer: b, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
		Slots: 16, Backoff: time.Millisecond, Poll: 20 * time.Millisecond, Lease: 200 * time.Millisecond,
		Record: func(o queue.Outcome) []byte {
			text, err := json.Marshal(map[string]any{"id": o.Job.ID, "state": o.State, "code": o.Code})
			require.NoError(t, err)
			return text
		},
	}
	if adjust != nil {
		adjust(&cfg)
	}
	b.Queue = queue.New(cfg)
	return b
}

func (b *bench) start(t *testing.T) {
	t.Helper()
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Stop(ctx))
	})
}

func (b *bench) Invoke(ctx context.Context, job faas.JobStatus) (*faas.Result, error) {
	name := job.Key.Name
	b.mu.Lock()
	b.calls[job.ID]++
	call := b.calls[job.ID]
	b.running[name]++
	b.most[name] = max(b.most[name], b.running[name])
	run := b.functions[name]
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.running[name]--
	}()
	if run == nil {
		return &faas.Result{Output: []byte("1")}, nil
	}
	return run(ctx, job.Job, call)
}

func (b *bench) Policy(_ context.Context, key faas.FunctionKey, alias string) (faas.AsyncConfig, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.policies[key.Name]; ok {
		return p, nil
	}
	return faas.DefaultAsyncConfig(key, alias), nil
}

func (b *bench) Limit(_ context.Context, key faas.FunctionKey) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, ok := b.limits[key.Name]; ok {
		return n, nil
	}
	return faas.Unlimited, nil
}

func (b *bench) Deliver(_ context.Context, job faas.Job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[job.ID]++
	if b.deliver != nil {
		if err := b.deliver(b.calls[job.ID]); err != nil {
			return err
		}
	}
	b.delivered = append(b.delivered, job)
	return nil
}

func (b *bench) enqueue(t *testing.T, name string) string {
	t.Helper()
	id, err := queue.NewID()
	require.NoError(t, err)
	require.NoError(t, b.Enqueue(t.Context(), faas.Job{ID: id, Key: key(name), Source: faas.SourceAPI, Event: []byte("1")}))
	return id
}

func key(name string) faas.FunctionKey {
	return faas.FunctionKey{Project: "p", Package: "default", Name: name}
}

func (b *bench) status(t *testing.T, id string) faas.JobStatus {
	t.Helper()
	list, err := b.db.Jobs(t.Context(), faas.JobFilter{Project: "p", IDs: []string{id}, Deliveries: true, Limit: 1})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

func (b *bench) await(t *testing.T, id string, state faas.JobState) faas.JobStatus {
	t.Helper()
	var s faas.JobStatus
	require.Eventually(t, func() bool {
		s = b.status(t, id)
		return s.State == state
	}, time.Minute, 2*time.Millisecond, "%s is not %s: %+v", id, state, &s)
	return s
}

// settled waits until nothing is to be done, and holds the books to balance.
func (b *bench) settled(t *testing.T) faas.JobBooks {
	t.Helper()
	var books faas.JobBooks
	require.Eventually(t, func() bool {
		var err error
		books, err = b.db.JobBooks(t.Context())
		require.NoError(t, err)
		require.True(t, books.Balanced(), "%+v", books)
		return books.Waiting+books.Running == 0
	}, time.Minute, 5*time.Millisecond)
	return books
}

func failure(code faas.Code) *faas.Result {
	return &faas.Result{Failure: &faas.Failure{Code: code, Message: "no"}}
}

// TestAttempts shows what is tried again, and how often.
func TestAttempts(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	policy := func(name string, retries int, age time.Duration) {
		b.policies[name] = faas.AsyncConfig{Key: key(name), Retries: retries, MaxAge: age}
	}
	script := func(name string, results ...any) {
		b.functions[name] = func(_ context.Context, _ faas.Job, call int) (*faas.Result, error) {
			switch r := results[min(call, len(results))-1].(type) {
			case faas.Code:
				if r.Fault() == faas.FaultFunction {
					return failure(r), nil
				}
				return nil, faas.Errorf(r, "", "no")
			case error:
				return nil, r
			}
			return &faas.Result{}, nil
		}
		if _, set := b.policies[name]; !set {
			policy(name, 2, time.Hour)
		}
	}
	script("good", "ok")
	script("second", faas.CodeException, "ok")
	script("never", faas.CodeException)
	script("gone", faas.CodeNotFound)
	script("busy", faas.CodeOverload, faas.CodeQueueTimeout, faas.CodeStart, faas.CodeUnavailable, faas.CodeInternal, faas.CodeOverload, errors.New("ours"), "ok")
	script("off", faas.CodeDisabled, faas.CodeDisabled, faas.CodeDisabled, faas.CodeDisabled, "ok")
	policy("once", 0, time.Hour)
	script("once", faas.CodeTimeout)
	policy("old", 5, time.Nanosecond)
	script("old", "ok")
	b.start(t)
	for name, want := range map[string]struct {
		state                faas.JobState
		code                 faas.Code
		calls, fails, pushed int
	}{
		"good": {faas.JobDone, "", 1, 1, 0}, "second": {faas.JobDone, "", 2, 2, 0}, "never": {faas.JobDead, faas.CodeException, 3, 3, 0},
		"gone": {faas.JobDead, faas.CodeNotFound, 1, 1, 0}, "busy": {faas.JobDone, "", 8, 1, 7}, "off": {faas.JobDone, "", 5, 1, 4},
		"once": {faas.JobDead, faas.CodeTimeout, 1, 1, 0}, "old": {faas.JobExpired, faas.CodeQueueTimeout, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			id := b.enqueue(t, name)
			s := b.await(t, id, want.state)
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Equal(t, want.calls, b.calls[id])
			require.Equal(t, []any{want.code, want.fails, want.pushed}, []any{s.Code, s.Failures(), s.Postponed})
			if want.state == faas.JobDone {
				require.Nil(t, s.Event)
			} else {
				require.NotNil(t, s.Event, "a dead letter keeps its event")
			}
		})
	}
	b.settled(t)
}

// TestRedrive lets a dead job begin anew.
func TestRedrive(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.functions["f"] = func(_ context.Context, _ faas.Job, call int) (*faas.Result, error) {
		if call <= 2 {
			return failure(faas.CodeException), nil
		}
		return &faas.Result{}, nil
	}
	b.start(t)
	id := b.enqueue(t, "f")
	b.await(t, id, faas.JobDead)
	require.NoError(t, b.Redrive(t.Context(), key("f"), id))
	b.await(t, id, faas.JobDone)
	require.Equal(t, faas.CodeConflict, faas.CodeOf(b.Redrive(t.Context(), key("f"), id)))
	require.Equal(t, faas.JobBooks{Accepted: 1, Done: 1, Kept: 512}, b.settled(t))
}

// TestDestinations hands outcomes to functions and deliveries, which are tried again.
func TestDestinations(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.deliver = func(call int) error {
		if call < 3 {
			return faas.Errorf(faas.CodeUnavailable, "url", "not now")
		}
		return nil
	}
	bucket := &faas.Destination{Kind: faas.DestinationBucket, Name: "records"}
	b.policies["f"] = faas.AsyncConfig{MaxAge: time.Hour, OnSuccess: &faas.Destination{Kind: faas.DestinationFunction, Function: key("next")}, OnFailure: bucket}
	got := make(chan faas.Job, 1)
	b.functions["next"] = func(_ context.Context, job faas.Job, _ int) (*faas.Result, error) {
		got <- job
		return &faas.Result{}, nil
	}
	b.functions["f"] = func(_ context.Context, job faas.Job, _ int) (*faas.Result, error) {
		if string(job.Event) == "0" {
			return failure(faas.CodeException), nil
		}
		return &faas.Result{}, nil
	}
	b.start(t)
	id := b.enqueue(t, "f")
	next := <-got
	require.Equal(t, []string{id, faas.SourceDestination, fmt.Sprintf(`{"code":"","id":%q,"state":"done"}`, id)}, []string{next.Parent, next.Source, string(next.Event)})
	require.NoError(t, b.Enqueue(t.Context(), faas.Job{Key: key("f"), Event: []byte("0")}))
	books := b.settled(t)
	require.Equal(t, faas.JobBooks{Accepted: 4, Done: 3, Dead: 1, Kept: books.Kept}, books)
	require.Len(t, b.delivered, 1)
	require.Equal(t, bucket, b.delivered[0].Target)
	require.Contains(t, string(b.delivered[0].Event), `"code":"exception"`)
}

// TestCancel calls off a job that waits, one that runs, and one that runs by force.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	begun, release := make(chan string, 3), make(chan struct{})
	b.functions["slow"] = func(ctx context.Context, job faas.Job, _ int) (*faas.Result, error) {
		begun <- job.ID
		select {
		case <-ctx.Done():
			return failure(faas.CodeExit), nil
		case <-release:
			return failure(faas.CodeException), nil
		}
	}
	b.limits["slow"] = 2
	b.start(t)
	first, second := b.enqueue(t, "slow"), b.enqueue(t, "slow")
	<-begun
	<-begun
	third := b.enqueue(t, "slow")
	require.NoError(t, b.Cancel(t.Context(), key("slow"), third, faas.CancelRetries, false))
	require.Equal(t, faas.JobCancelled, b.status(t, third).State)
	require.NoError(t, b.Cancel(t.Context(), key("slow"), first, faas.CancelForce, false))
	s := b.await(t, first, faas.JobCancelled)
	require.Equal(t, faas.CodeCancelled, s.Code)
	require.NoError(t, b.Cancel(t.Context(), key("slow"), second, faas.CancelRetries, false))
	require.Equal(t, faas.JobRunning, b.status(t, second).State, "it goes to its end")
	close(release)
	b.await(t, second, faas.JobCancelled)
	b.settled(t)
	require.Len(t, begun, 0, "nothing was tried again")
}

// TestFairness: a function with thousands of slow jobs holds up neither its limit nor its neighbours.
func TestFairness(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	release := make(chan struct{})
	slow := func(ctx context.Context, _ faas.Job, _ int) (*faas.Result, error) {
		select {
		case <-release:
		case <-ctx.Done(): // the test has failed
		}
		return &faas.Result{}, nil
	}
	b.functions["greedy"], b.functions["limited"] = slow, slow
	b.limits["limited"] = 2
	for _, name := range []string{"greedy", "limited"} {
		jobs := make([]faas.Job, 200)
		for i := range jobs {
			jobs[i] = faas.Job{Key: key(name), Event: []byte("1")}
		}
		require.NoError(t, b.EnqueueAll(t.Context(), jobs))
	}
	b.start(t)
	for i := range 20 {
		b.await(t, b.enqueue(t, fmt.Sprintf("small%d", i)), faas.JobDone)
	}
	b.mu.Lock()
	require.LessOrEqual(t, b.most["limited"], 2)
	require.LessOrEqual(t, b.most["greedy"], 9, "some slots are always left")
	require.GreaterOrEqual(t, b.most["greedy"], 6)
	b.mu.Unlock()
	close(release)
	books := b.settled(t)
	require.EqualValues(t, 420, books.Done)
	require.Equal(t, 2, b.most["limited"])
}

// TestPushedBack: a function for which there is no room is asked for less.
func TestPushedBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var mu sync.Mutex
	under := 0
	b.functions["f"] = func(context.Context, faas.Job, int) (*faas.Result, error) {
		mu.Lock()
		under++
		full := under > 2
		mu.Unlock()
		defer func() { mu.Lock(); under--; mu.Unlock() }()
		if full {
			return nil, faas.Errorf(faas.CodeOverload, "", "full")
		}
		return &faas.Result{}, nil
	}
	jobs := make([]faas.Job, 300)
	for i := range jobs {
		jobs[i] = faas.Job{Key: key("f"), Event: []byte("1")}
	}
	require.NoError(t, b.EnqueueAll(t.Context(), jobs))
	b.start(t)
	require.EqualValues(t, 300, b.settled(t).Done)
}

// TestNotBefore holds a job until its time, and one that is due sooner, and was accepted behind it, only until its own.
func TestNotBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start(t)
	require.NoError(t, b.Enqueue(t.Context(), faas.Job{ID: "later", Key: key("f"), NotBefore: time.Now().Add(time.Hour)}))
	sooner := time.Now().Add(200 * time.Millisecond)
	require.NoError(t, b.Enqueue(t.Context(), faas.Job{ID: "sooner", Key: key("f"), NotBefore: sooner}))
	s := b.await(t, "sooner", faas.JobDone)
	require.False(t, s.Began.Before(sooner.Truncate(time.Microsecond)))
	require.Equal(t, faas.JobWaiting, b.status(t, "later").State, "each has its own time")
}

// TestStop cuts off what does not end in time; it waits again, and the next life of the server runs it.
func TestStop(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	b := benchIn(t, url, nil)
	begun := make(chan struct{}, 1)
	b.functions["slow"] = func(ctx context.Context, _ faas.Job, _ int) (*faas.Result, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return failure(faas.CodeExit), nil
	}
	require.NoError(t, b.Start(t.Context()))
	id := b.enqueue(t, "slow")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, b.Stop(ctx))
	s := b.status(t, id)
	require.Equal(t, []any{faas.JobWaiting, 1, 1}, []any{s.State, s.Attempts, s.Interrupted})
	require.NoError(t, b.Stop(ctx), "twice is fine")

	again := benchIn(t, url, nil)
	again.start(t)
	s = again.await(t, id, faas.JobDone)
	require.Equal(t, 2, s.Attempts)
}
