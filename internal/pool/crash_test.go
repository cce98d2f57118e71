package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestCrashingFunctionLetsOthersGoFirst loses instance after instance, and then stops doing so.
func TestCrashingFunctionLetsOthersGoFirst(t *testing.T) {
	patient, all := make(chan bool, 100), make(chan *actor, 100)
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		all <- a
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			patient <- a.patient.Load()
			if string(call.Body) == `"crash"` {
				return
			}
			if !a.answer(call) {
				return
			}
		}
	}}, nil)
	crasher, other := s.function(), s.function()
	call := func(f *faas.Function, event string) (*faas.Result, bool) {
		res, err := s.try(t.Context(), f, event, 10*time.Second)
		require.NoError(t, err)
		return res, <-patient
	}
	for range 6 {
		res, was := call(crasher, `"crash"`)
		require.Equal(t, faas.CodeExit, res.Failure.Code)
		require.False(t, was)
		<-all
	}
	_, was := call(crasher, `1`)
	require.True(t, was)
	a := <-all
	_, was = call(crasher, `1`)
	require.True(t, was, "one answer is no proof")
	_, was = call(other, `1`)
	require.False(t, was)
	<-all
	s.Forgive(crasher)
	call(crasher, `1`)
	require.Eventually(t, func() bool { return !a.patient.Load() }, 5*time.Second, time.Millisecond)
	_, was = call(crasher, `1`)
	require.False(t, was)
}
