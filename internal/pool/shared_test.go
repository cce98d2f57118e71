package pool_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// crowd plays workers whose calls a test answers: each call that comes in is told on calls.
type crowd struct {
	calls chan crowded
}

// crowded is a call inside one worker.
type crowded struct {
	*actor
	frame lang.Frame
}

func newCrowd(t *testing.T) (*crowd, *stage) {
	c := &crowd{calls: make(chan crowded, 1000)}
	return c, newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			f, ok := a.receive()
			if !ok {
				return
			}
			c.calls <- crowded{a, f}
		}
	}}, nil)
}

func (s *stage) sharing(requests, instances int) *faas.Function {
	f := s.function()
	f.Spec.RequestsPer, f.Spec.MaxInstances = requests, instances
	return f
}

// ended is how a call came back.
type ended struct {
	event string
	res   *faas.Result
	err   error
}

// start makes a call and gives how it ends.
func (s *stage) start(t *testing.T, f *faas.Function, event string) <-chan ended {
	done := make(chan ended, 1)
	go func() {
		res, err := s.try(t.Context(), f, event, 10*time.Second)
		done <- ended{event, res, err}
	}()
	return done
}

func (e ended) answered(t *testing.T) {
	t.Helper()
	require.NoError(t, e.err)
	require.Nil(t, e.res.Failure)
	require.Equal(t, e.event, string(e.res.Output))
}

func (e ended) failed(t *testing.T, code faas.Code, message string) {
	t.Helper()
	require.NoError(t, e.err)
	require.NotNil(t, e.res.Failure, "%s", e.res.Output)
	require.Equal(t, code, e.res.Failure.Code)
	require.Contains(t, e.res.Failure.Message, message)
}

// TestCallsShareAnInstance has as many calls in one instance as the function allows, and the next wait. They are answered in
// the opposite order.
func TestCallsShareAnInstance(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(8, 1)
	var ends []<-chan ended
	var inside []crowded
	for i := range 8 {
		ends = append(ends, s.start(t, f, fmt.Sprint(i)))
		inside = append(inside, <-c.calls)
	}
	ends = append(ends, s.start(t, f, `"waits"`))
	require.Eventually(t, func() bool { return s.Waiting(f) == 1 }, 10*time.Second, time.Millisecond)
	require.Empty(t, c.calls)
	for i := len(inside) - 1; i >= 0; i-- {
		inside[i].answer(inside[i].frame)
	}
	last := <-c.calls
	last.answer(last.frame)
	for _, e := range ends {
		(<-e).answered(t)
	}
	require.EqualValues(t, 1, s.driver.started.Load())
}

// TestOverdueCallSparesItsNeighbours lets a call hang beside one that is answered behind the end of the first.
func TestOverdueCallSparesItsNeighbours(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(4, 2)
	f.Spec.Timeout = 300 * time.Millisecond
	hangs := s.start(t, f, `"hangs"`)
	<-c.calls
	<-time.After(150 * time.Millisecond) // time itself must pass: the second call is to end behind the first
	beside := s.start(t, f, `"beside"`)
	second := <-c.calls
	e := <-hangs
	e.failed(t, faas.CodeTimeout, "takes no further call")
	require.GreaterOrEqual(t, e.res.Run, f.Spec.Timeout)

	elsewhere := s.start(t, f, `"elsewhere"`)
	third := <-c.calls
	require.NotSame(t, second.actor, third.actor, "an instance with a call that hangs takes another")
	third.answer(third.frame)
	(<-elsewhere).answered(t)

	second.answer(second.frame)
	(<-beside).answered(t)
	<-second.killed
	<-second.done
	require.EqualValues(t, 1, s.driver.running.Load())
}

// TestAllOverdueAreEnded has nothing but hanging calls in an instance.
func TestAllOverdueAreEnded(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(4, 1)
	f.Spec.Timeout = 100 * time.Millisecond
	one, two := s.start(t, f, `1`), s.start(t, f, `2`)
	inside := <-c.calls
	<-c.calls
	(<-one).failed(t, faas.CodeTimeout, "")
	(<-two).failed(t, faas.CodeTimeout, "")
	<-inside.done
}

// TestOneDeathIsToldToEachCallInIt fills two instances and kills one.
func TestOneDeathIsToldToEachCallInIt(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(5, 2)
	var ends []<-chan ended
	for i := range 10 {
		ends = append(ends, s.start(t, f, fmt.Sprint(i)))
	}
	by := map[*actor][]crowded{}
	for range 10 {
		call := <-c.calls
		by[call.actor] = append(by[call.actor], call)
	}
	require.Len(t, by, 2)
	dies := map[string]bool{}
	for a, calls := range by {
		require.Len(t, calls, 5)
		if len(dies) == 0 {
			a.exit.Signal = "killed"
			a.exit.OOM = true
			a.Kill()
			for _, call := range calls {
				dies[string(call.frame.Body)] = true
			}
			continue
		}
		for _, call := range calls {
			call.answer(call.frame)
		}
	}
	for i, e := range ends {
		if dies[fmt.Sprint(i)] {
			(<-e).failed(t, faas.CodeMemory, "more memory than its 128 MB")
		} else {
			(<-e).answered(t)
		}
	}
}

// TestWorkerOutOfTurn answers what it was not asked, and twice, and what is no answer to a call.
func TestWorkerOutOfTurn(t *testing.T) {
	for name, wrong := range map[string]func(call crowded){
		"twice": func(call crowded) { call.answer(call.frame); call.answer(call.frame) },
		"another's": func(call crowded) {
			call.send(lang.Frame{Type: lang.FrameResult, Seq: call.frame.Seq + 7, Meta: make([]byte, 4), Body: []byte(`1`)})
		},
		"no answer to a call": func(call crowded) {
			call.send(lang.Frame{Type: lang.FrameBeaten, Seq: call.frame.Seq, Meta: []byte{1}})
		},
		"no result": func(call crowded) { call.send(lang.Frame{Type: lang.FrameResult, Seq: call.frame.Seq}) },
	} {
		t.Run(name, func(t *testing.T) {
			c, s := newCrowd(t)
			f := s.sharing(2, 1)
			one, two := s.start(t, f, `1`), s.start(t, f, `2`)
			call := <-c.calls
			<-c.calls
			wrong(call)
			ends := []ended{<-one, <-two}
			failures := 0
			for _, e := range ends {
				require.NoError(t, e.err)
				if e.res.Failure != nil {
					failures++
					e.failed(t, faas.CodeExit, "disturbed its control channel")
				} else {
					e.answered(t)
				}
			}
			require.Equal(t, map[bool]int{true: 1, false: 2}[name == "twice"], failures)
			<-call.done
		})
	}
}

// TestLastAnswer has one call ask for the end: the one beside it goes on, and no further one comes in.
func TestLastAnswer(t *testing.T) {
	c, s := newCrowd(t)
	f := s.sharing(3, 2)
	one, two := s.start(t, f, `1`), s.start(t, f, `2`)
	first, second := <-c.calls, <-c.calls
	if string(first.frame.Body) == "2" {
		first, second = second, first
	}
	first.send(lang.Frame{Type: lang.FrameFailed, Seq: first.frame.Seq, Meta: []byte{lang.FailLast}, Body: []byte(`{"errorMessage":"bye"}`)})
	(<-one).failed(t, faas.CodeException, "bye")
	three := s.start(t, f, `3`)
	third := <-c.calls
	require.NotSame(t, second.actor, third.actor)
	third.answer(third.frame)
	(<-three).answered(t)
	second.answer(second.frame)
	(<-two).answered(t)
	<-second.done
}

// TestSharedLogsBelongToTheirCalls has real Python calls print side by side: all must be in one instance to go on.
func TestSharedLogsBelongToTheirCalls(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import threading\nall = threading.Barrier(20)\ndef handler(event, context):\n    print('begin', event)\n    all.wait(20)\n    context.getLogger().error('end %s', event)\n    return event\n")
	f.Spec.RequestsPer, f.Spec.MaxInstances, f.Spec.Timeout = 20, 1, 20*time.Second
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			res, err := h.try(t.Context(), f, fmt.Sprint(i))
			if err != nil || res.Failure != nil || string(res.Output) != fmt.Sprint(i) {
				t.Errorf("%v %+v", err, res)
				return
			}
			var got []string
			for _, l := range res.Logs {
				if l.Level != faas.LevelWarn {
					got = append(got, l.Level+" "+l.Text)
				}
			}
			if want := []string{fmt.Sprintf("INFO begin %d", i), fmt.Sprintf("ERROR end %d", i)}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("call %d has the log %q", i, got)
			}
		})
	}
	calls.Wait()
}
