package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// TestKilledAsItAnswered calls a call off in the moment of its answer: an instance that was ended for it never gets the next
// call, which is somebody else's.
func TestKilledAsItAnswered(t *testing.T) {
	var now *actor
	var kill chan struct{}
	d := &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			now = a
			a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq, Meta: make([]byte, 4), Body: []byte("1")})
			close(kill)
		}
	}}
	s := newStage(t, d, nil)
	f := s.function()
	ended := 0
	for range 5000 {
		kill = make(chan struct{})
		_, err := s.Run(t.Context(), f, faas.Invocation{
			ID: "id", Event: []byte("1"), Kill: kill, QueueBy: time.Now().Add(time.Second), Deadline: time.Now().Add(4 * time.Second),
		})
		require.NoError(t, err)
		<-kill
		select {
		case <-now.killed:
			require.Zero(t, s.Idle(f), "the ended instance waits for the next call")
			if ended++; ended == 20 {
				return
			}
		default:
		}
	}
	require.NotZero(t, ended, "it was never ended in that moment")
}
