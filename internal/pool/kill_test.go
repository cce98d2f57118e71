package pool_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
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

// TestEndToldLate has workers whose channel is shut long before their end is told, as on a host under load: what they did themselves is
// told from what was done to them.
func TestEndToldLate(t *testing.T) {
	t.Parallel()
	for says, exit := range map[string]sandbox.Exit{
		"exited with code 3":      {Code: 3},
		"by a signal: aborted":    {Code: -1, Signal: syscall.SIGABRT.String()},
		"closed its control":      {Code: -1, Signal: syscall.SIGKILL.String()},
		"function closed its con": {Code: 128 + int(syscall.SIGKILL)}, // told by a first process, as shells do
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, &actors{play: func(a *actor) {
				if !a.loaded() {
					return
				}
				if _, ok := a.receive(); ok {
					a.inner.Close()
					<-a.killed
					a.exit = exit
				}
			}}, nil)
			now := time.Now()
			res, err := s.Run(t.Context(), s.function(), faas.Invocation{ID: "id", Event: []byte("1"), QueueBy: now.Add(time.Minute), Deadline: now.Add(time.Minute)})
			require.NoError(t, err)
			require.NotNil(t, res.Failure)
			require.Equal(t, faas.CodeExit, res.Failure.Code)
			require.Contains(t, res.Failure.Message, says)
		})
	}
}
