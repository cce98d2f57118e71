// Package triggertest holds what tests of the kinds of triggers share: a sink that keeps what it takes, and triggers to listen for.
//
// It must not be imported by anything but tests.
package triggertest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// patience bounds what a test waits for; it takes a fraction of that.
const patience = time.Minute

// Sink is a trigger.Sink in memory. A job whose Dedup is known is taken as the first one again, as the queue does.
type Sink struct {
	mu      sync.Mutex
	jobs    []faas.Job
	known   map[string]bool
	refuse  error
	tries   int
	most    int // bytes of an event; 0 for any
	changed chan struct{}
}

// NewSink makes an empty sink.
func NewSink() *Sink { return &Sink{known: map[string]bool{}, changed: make(chan struct{})} }

// Enqueue is of trigger.Sink.
func (s *Sink) Enqueue(_ context.Context, job faas.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	defer func() {
		close(s.changed)
		s.changed = make(chan struct{})
	}()
	switch {
	case s.refuse != nil:
		return s.refuse
	case s.most > 0 && len(job.Event) > s.most:
		return faas.Errorf(faas.CodeTooLarge, "event", "the event is over %d bytes", s.most)
	case job.Dedup != "" && s.known[job.Dedup]:
		return nil
	}
	s.known[job.Dedup] = true
	s.jobs = append(s.jobs, job)
	return nil
}

// EnqueueEach is of timer.Sink.
func (s *Sink) EnqueueEach(ctx context.Context, jobs []faas.Job) []error {
	errs := make([]error, len(jobs))
	for i, job := range jobs {
		errs[i] = s.Enqueue(ctx, job)
	}
	return errs
}

// Refuse makes every further Enqueue fail; nil ends that.
func (s *Sink) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// Limit makes Enqueue refuse larger events.
func (s *Sink) Limit(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = bytes
}

// Jobs gives what was taken over.
func (s *Sink) Jobs() []faas.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]faas.Job(nil), s.jobs...)
}

// Tries gives how often Enqueue was called.
func (s *Sink) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// Await waits until done holds of the sink's jobs and tries.
func (s *Sink) Await(t testing.TB, what string, done func(jobs []faas.Job, tries int) bool) []faas.Job {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		s.mu.Lock()
		jobs, tries, changed := append([]faas.Job(nil), s.jobs...), s.tries, s.changed
		s.mu.Unlock()
		if done(jobs, tries) {
			return jobs
		}
		select {
		case <-changed:
		case <-end.C:
			t.Fatalf("waited in vain for %s; there are %d jobs after %d tries", what, len(jobs), tries)
		}
	}
}

// Messages gives the messages in the records of jobs of a queue's kind, in order.
func Messages(t testing.TB, jobs []faas.Job) []string {
	t.Helper()
	var all []string
	for _, job := range jobs {
		var event struct {
			Records []struct{ Messages []string } `json:"records"`
		}
		require.NoError(t, json.Unmarshal(job.Event, &event), "%s", job.Event)
		for _, r := range event.Records {
			all = append(all, r.Messages...)
		}
	}
	return all
}

// AwaitMessages waits until the jobs hold every message, and perhaps some twice.
func (s *Sink) AwaitMessages(t testing.TB, want ...string) []faas.Job {
	t.Helper()
	return s.Await(t, "messages", func(jobs []faas.Job, _ int) bool {
		have := map[string]bool{}
		for _, m := range Messages(t, jobs) {
			have[m] = true
		}
		for _, m := range want {
			if !have[m] {
				return false
			}
		}
		return true
	})
}

// New makes an active trigger of a kind from data that the kind has checked, with the secrets that it parted.
func New(t testing.TB, kind trigger.Kind, code string, data map[string]any) (*faas.Trigger, map[string]string) {
	t.Helper()
	now := time.Now()
	one := &faas.Trigger{
		ID: uuid.NewString(), Kind: code, Active: true, Since: now, CreatedAt: now, ModifiedAt: now,
		Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f", Version: faas.Latest},
	}
	// As a request comes in: numbers as they are written.
	text, err := json.Marshal(data)
	require.NoError(t, err)
	checked, err := kind.Check(one, Decode(t, string(text)), nil)
	require.NoError(t, err)
	text, err = json.Marshal(checked.Plain)
	require.NoError(t, err)
	one.Data, one.Unique = string(text), checked.Unique
	return one, checked.Secrets
}
