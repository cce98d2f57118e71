package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/test/need/postgres"
)

// TestNodes shares the work between two nodes, and lets one of them fall silent in the middle of it.
func TestNodes(t *testing.T) {
	url := postgres.Schema(t)
	patient := func(c *queue.Config) { c.Lease = 2 * time.Second }
	silent, b := benchIn(t, url, patient), benchIn(t, url, patient)
	begun := make(chan string, 100)
	hang := make(chan struct{})
	silent.functions["f"] = func(context.Context, faas.Job, int) (*faas.Result, error) {
		<-hang
		return &faas.Result{}, nil
	}
	b.functions["f"] = func(_ context.Context, job faas.Job, _ int) (*faas.Result, error) {
		begun <- job.ID
		return &faas.Result{}, nil
	}
	// A node that claims and then is heard of no more.
	_, err := silent.db.BeatJobs(t.Context())
	require.NoError(t, err)
	id, err := queue.NewID()
	require.NoError(t, err)
	place, err := silent.db.EnqueueJob(t.Context(), faas.Job{ID: id, Key: key("f"), Event: []byte("1")})
	require.NoError(t, err)
	claimed, err := silent.db.ClaimJobs(t.Context(), []faas.LaneClaim{{Lane: place.Lane, Most: 1}})
	require.NoError(t, err)
	require.Len(t, claimed[0].Jobs, 1)
	close(hang)

	b.start(t)
	other := b.enqueue(t, "f")
	require.Equal(t, other, <-begun, "the claim of the other node holds while it may live")
	require.Equal(t, id, <-begun, "its lease is over")
	s := b.await(t, id, faas.JobDone)
	require.Equal(t, []int{2, 1}, []int{s.Attempts, s.Interrupted})
	late, err := silent.db.EndJobs(t.Context(), []faas.JobEnd{{Seq: s.Seq, Attempt: 1, State: faas.JobDead}})
	require.NoError(t, err)
	require.Empty(t, late[0].State, "the end that the silent node tells later counts for nothing")
	require.EqualValues(t, 2, b.settled(t).Done)

	// What another node accepts is found, and what is called off there is cut off here.
	stuck := make(chan struct{})
	b.mu.Lock()
	b.functions["stuck"] = func(ctx context.Context, _ faas.Job, _ int) (*faas.Result, error) {
		close(stuck)
		<-ctx.Done()
		return failure(faas.CodeExit), nil
	}
	b.mu.Unlock()
	far := silent.enqueue(t, "stuck")
	<-stuck
	require.NoError(t, silent.Cancel(t.Context(), key("stuck"), far, faas.CancelForce, false))
	b.await(t, far, faas.JobCancelled)
	b.settled(t)
}

// TestTwoNodesShare runs each job once, whoever claims it.
func TestTwoNodesShare(t *testing.T) {
	url := postgres.Schema(t)
	long := func(c *queue.Config) { c.Lease = time.Minute }
	a, b := benchIn(t, url, long), benchIn(t, url, long)
	jobs := make([]faas.Job, 300)
	for i := range jobs {
		jobs[i] = faas.Job{Key: key("f"), Event: []byte("1")}
	}
	require.NoError(t, a.EnqueueAll(t.Context(), jobs))
	a.start(t)
	b.start(t)
	require.EqualValues(t, 300, a.settled(t).Done)
	calls := 0
	for _, node := range []*bench{a, b} {
		node.mu.Lock()
		for _, n := range node.calls {
			calls += n
		}
		node.mu.Unlock()
	}
	require.Equal(t, 300, calls)
}
