package pool_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

// TestCrashingFunctionIsStartedEverLater has many callers of a function that dies in each call. It is not started as often as they would.
func TestCrashingFunctionIsStartedEverLater(t *testing.T) {
	var begun []time.Time
	var lock sync.Mutex
	s := newStage(t, &actors{play: func(a *actor) {
		lock.Lock()
		begun = append(begun, time.Now())
		lock.Unlock()
		if a.loaded() {
			a.receive()
		}
	}}, nil)
	f := s.function()
	var calls sync.WaitGroup
	for range 30 {
		calls.Go(func() {
			res, err := s.try(t.Context(), f, `"crash"`, 10*time.Second)
			if assert.NoError(t, err) {
				assert.Equal(t, faas.CodeExit, res.Failure.Code)
			}
		})
	}
	calls.Wait()
	lock.Lock()
	defer lock.Unlock()
	require.Len(t, begun, 30)
	// Those asked for before the function was known for it may come at once; each of the others behind the one before.
	for i := 15; i < len(begun); i++ {
		require.Greater(t, begun[i].Sub(begun[i-1]), 40*time.Millisecond)
	}
}

// TestManyInstancesDivideTheirShare holds many instances of a function busy, and then one.
func TestManyInstancesDivideTheirShare(t *testing.T) {
	n := 8 * runtime.NumCPU()
	shares, leave := make(chan int64, 2*n), make(chan struct{})
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			shares <- a.share.Load()
			<-leave
			if !a.answer(call) {
				return
			}
		}
	}}, nil)
	f := s.function()
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			_, err := s.try(t.Context(), f, `1`, time.Minute)
			assert.NoError(t, err)
		})
	}
	most := int64(0)
	for range n {
		most = max(most, <-shares)
	}
	close(leave)
	calls.Wait()
	require.EqualValues(t, 8, most)
}
