package workflow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/workflow"
	"github.com/hanshu-faas/hanshu/test/need/postgres"
)

// tell leaves a word where there is room for it: a server that the others take for gone may take up a run several times before another
// one has it, and calls its function each time.
func tell(word chan<- struct{}) {
	select {
	case word <- struct{}{}:
	default:
	}
}

// TestTwoServers shares runs between two servers on one database: what is asked of one reaches a run that the other holds, and the runs
// of one that is gone go on at the other.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	at := postgres.Schema(t)
	a, b := newBench(t, at, nil), newBench(t, at, nil)
	for _, one := range []*bench{a, b} {
		_, err := one.db.BeatJobs(t.Context())
		require.NoError(t, err)
		one.start()
	}
	begun, over := make(chan struct{}, 1), make(chan struct{}, 1)
	a.set("f", func(ctx context.Context, _ workflow.Invocation) (*faas.Result, error) {
		tell(begun)
		<-ctx.Done()
		tell(over)
		return nil, ctx.Err()
	})
	f := a.flow("flow", `{"id":"a","name":"a",`+callF+`,"transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`)
	a.begin(f, "stopped", `{}`)
	<-begun
	require.NoError(t, b.StopRun(t.Context(), f.ID, "stopped"), "the other server is asked")
	<-over
	b.await(f, "stopped", faas.FlowCancelled)

	g := a.flow("waits", `{"id":"a","name":"a","type":"callback","transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`)
	for i := range 10 {
		a.begin(g, fmt.Sprint(i), `{}`)
	}
	for i := range 10 {
		require.NoError(t, b.Answer(t.Context(), g.ID, fmt.Sprint(i), "a", []byte(`{"ok":true}`), "", false))
		b.await(g, fmt.Sprint(i), faas.FlowDone)
	}

	a.begin(f, "left", `{}`)
	<-begun
	gone, err := b.db.BeatJobs(t.Context())
	require.NoError(t, err)
	for node := range gone { // as the queue does once a lease has ended
		_, err := b.db.TakeOverJobs(t.Context(), node)
		require.NoError(t, err)
	}
	b.await(f, "left", faas.FlowDone)
	_, err = a.db.BeatJobs(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.NoError(t, a.Stop(ctx), "its own call still hangs, and its end counts for nothing")
	require.Equal(t, faas.FlowDone, b.await(f, "left", faas.FlowDone).Status)
}
