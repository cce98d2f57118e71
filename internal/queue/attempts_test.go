package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// turned is a store to which something happens when jobs have been claimed.
type turned struct {
	*store.DB
	shared bool
	after  func(claimed []faas.LaneClaimed) error
}

func (s *turned) Shared() bool { return s.shared }

func (s *turned) ClaimJobs(ctx context.Context, claims []faas.LaneClaim) ([]faas.LaneClaimed, error) {
	got, err := s.DB.ClaimJobs(ctx, claims)
	if err == nil && s.after != nil {
		err = s.after(got)
	}
	if err != nil {
		return nil, err
	}
	return got, nil
}

func turnedBench(t *testing.T) (*bench, *turned) {
	t.Helper()
	s := &turned{}
	b := newBench(t, func(c *queue.Config) {
		s.DB = c.Store.(*store.DB)
		c.Store = s
	})
	return b, s
}

// TestTwoAttemptsHere lets a node be taken for gone while it runs a job, and get the job again: the end of the first attempt
// neither ends the second nor the server.
func TestTwoAttemptsHere(t *testing.T) {
	t.Parallel()
	b, s := turnedBench(t)
	s.shared = true
	begun, first, second := make(chan int, 3), make(chan struct{}), make(chan struct{})
	gone := make(chan struct{})
	b.functions["f"] = func(ctx context.Context, _ faas.Job, call int) (*faas.Result, error) {
		begun <- call
		if call == 1 {
			<-first
			return failure(faas.CodeException), nil
		}
		select {
		case <-second:
			return &faas.Result{Output: []byte("2")}, nil
		case <-ctx.Done():
			close(gone)
			return failure(faas.CodeExit), nil
		}
	}
	b.start(t)
	id := b.enqueue(t, "f")
	require.Equal(t, 1, <-begun)
	n, err := b.db.TakeOverJobs(t.Context(), "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, 2, <-begun)
	close(first)
	select {
	case <-gone:
		t.Error("the end of the first attempt has cut off the second")
	case <-time.After(200 * time.Millisecond): // time itself must pass: nothing is to happen in it
	}
	close(second)
	b.await(t, id, faas.JobDone)
	b.settled(t)
}

// TestForceWhileClaiming calls a job off by force after the store has given it out, and before the queue knows.
func TestForceWhileClaiming(t *testing.T) {
	t.Parallel()
	b, s := turnedBench(t)
	b.functions["f"] = func(ctx context.Context, _ faas.Job, _ int) (*faas.Result, error) {
		<-ctx.Done()
		return failure(faas.CodeExit), nil
	}
	s.after = func(claimed []faas.LaneClaimed) error {
		for _, c := range claimed {
			for _, j := range c.Jobs {
				if err := b.Cancel(context.Background(), key("f"), j.ID, faas.CancelForce, false); err != nil {
					return err
				}
			}
		}
		return nil
	}
	b.start(t)
	b.await(t, b.enqueue(t, "f"), faas.JobCancelled)
	b.settled(t)
}

// TestClaimInDoubt loses the answer to a claim that the database has made: the jobs run all the same, and those that ran
// already are left alone.
func TestClaimInDoubt(t *testing.T) {
	t.Parallel()
	b, s := turnedBench(t)
	hang, begun := make(chan struct{}), make(chan struct{})
	b.functions["long"] = func(context.Context, faas.Job, int) (*faas.Result, error) {
		close(begun) // twice would panic
		<-hang
		return &faas.Result{Output: []byte("1")}, nil
	}
	lost := 0
	s.after = func(claimed []faas.LaneClaimed) error {
		for _, c := range claimed {
			for _, j := range c.Jobs {
				if j.Attempts == 1 && string(j.Event) == "2" {
					lost++
					return errors.New("the connection is gone")
				}
			}
		}
		return nil
	}
	b.start(t)
	long := b.enqueue(t, "long")
	<-begun
	id, err := queue.NewID()
	require.NoError(t, err)
	require.NoError(t, b.Enqueue(t.Context(), faas.Job{ID: id, Key: key("f"), Event: []byte("2")}))
	done := b.await(t, id, faas.JobDone)
	require.Equal(t, 1, done.Interrupted)
	require.Equal(t, faas.JobRunning, b.status(t, long).State)
	close(hang)
	b.await(t, long, faas.JobDone)
	require.EqualValues(t, 2, b.settled(t).Done)
	require.Equal(t, 1, lost)
}

// TestCauseStaysInside keeps what only the log may know out of what a user sees of a job.
func TestCauseStaysInside(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.functions["f"] = func(context.Context, faas.Job, int) (*faas.Result, error) {
		return nil, &faas.Error{Code: faas.CodeInvalid, Message: "the webhook cannot be used", Err: errors.New("dial tcp 10.0.0.1: token")}
	}
	b.start(t)
	require.Equal(t, "the webhook cannot be used", b.await(t, b.enqueue(t, "f"), faas.JobDead).Message)
}

// TestRaisedLimit raises the limit of a function all of whose calls last: more begin, although none has ended.
func TestRaisedLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	begun, release := make(chan struct{}, 2), make(chan struct{})
	b.functions["f"] = func(ctx context.Context, _ faas.Job, _ int) (*faas.Result, error) {
		begun <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return &faas.Result{}, nil
	}
	b.limits["f"] = 1
	b.start(t)
	b.enqueue(t, "f")
	b.enqueue(t, "f")
	<-begun
	b.mu.Lock()
	b.limits["f"] = 2
	b.mu.Unlock()
	select {
	case <-begun:
	case <-time.After(20 * time.Second):
		t.Error("the second call waits for the end of the first")
	}
	close(release)
	require.EqualValues(t, 2, b.settled(t).Done)
}
