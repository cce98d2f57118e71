package pool_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// TestSlowLoadingHindersNobodyElse has more instances loading, which is the owner's own code at work, than there are
// places for starts.
func TestSlowLoadingHindersNobodyElse(t *testing.T) {
	var slow atomic.Bool
	loading := make(chan struct{}, 1000)
	s := newStage(t, &actors{play: func(a *actor) {
		if !slow.Load() {
			if a.loaded() {
				a.echo()
			}
			return
		}
		if a.ready() {
			loading <- struct{}{}
			<-a.killed
		}
	}}, nil)
	slow.Store(true)
	var calls sync.WaitGroup
	for range 2*runtime.NumCPU() + 1 {
		f := s.function()
		calls.Go(func() { _, _ = s.try(t.Context(), f, `1`, 10*time.Second) })
	}
	for range 2 * runtime.NumCPU() {
		<-loading
	}
	slow.Store(false)
	res, err := s.try(t.Context(), s.function(), `"neighbour"`, time.Second)
	require.NoError(t, err)
	require.Equal(t, `"neighbour"`, string(res.Output))
	calls.Wait()
}

// TestCodeThatFailsToLoadIsNotStartedForEachCaller lets many wait while the first start fails.
func TestCodeThatFailsToLoadIsNotStartedForEachCaller(t *testing.T) {
	open := make(chan struct{})
	d := &actors{play: func(a *actor) {
		<-open
		if a.ready() && a.send(lang.Frame{Type: lang.FrameFailed, Meta: []byte{lang.FailLoad}, Body: []byte(`{"errorMessage":"no"}`)}) {
			<-a.killed
		}
	}}
	s := newStage(t, d, nil)
	f := s.function()
	const callers = 200
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			res, err := s.try(t.Context(), f, `1`, 10*time.Second)
			if err != nil || res.Failure == nil || res.Failure.Code != faas.CodeLoad {
				t.Errorf("%v %+v", err, res)
			}
		})
	}
	require.Eventually(t, func() bool { return s.Waiting(f) == callers }, 10*time.Second, time.Millisecond)
	close(open)
	group.Wait()
	require.Less(t, d.started.Load(), int64(callers/4))
}

// TestStopEndsAStartUnderWay stops a pool while the driver is just about to hand out a process that then never comes up.
func TestStopEndsAStartUnderWay(t *testing.T) {
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	d := &actors{
		start: func(context.Context) error { arrived <- struct{}{}; <-goOn; return nil }, // blind to its context
		play:  func(a *actor) { <-a.killed },
	}
	s := newStage(t, d, func(c *pool.Config) { c.StartTimeout = time.Hour })
	done := make(chan error, 1)
	go func() {
		_, err := s.try(context.Background(), s.function(), `1`, time.Hour)
		done <- err
	}()
	<-arrived
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stopped := make(chan struct{})
	go func() { _ = s.Stop(ctx); close(stopped) }()
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(<-done))
	close(goOn)
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("Stop waits for a process that never comes up")
	}
}

// TestLongLoadingIsLimited loads for as long as it has the processor to itself.
func TestLongLoadingIsLimited(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.ready() {
			return
		}
		select {
		case <-a.cpu:
		case <-a.killed:
			return
		}
		if a.send(lang.Frame{Type: lang.FrameLoaded}) {
			a.echo()
		}
	}}, nil)
	res, err := s.try(t.Context(), s.function(), `1`, 10*time.Second)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
}

// TestQuotaComesByItself has calls run until they are held to their share of the processor, a first one and one behind another; and
// waits for an instance to be held that is called no more.
func TestQuotaComesByItself(t *testing.T) {
	up := make(chan *actor, 3)
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		up <- a
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			if string(call.Body) == `"until held"` {
				select {
				case <-a.cpu:
				case <-a.killed:
					return
				}
			}
			a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq, Meta: make([]byte, 4), Body: []byte(`1`)})
		}
	}}, nil)
	for _, events := range [][]string{{`"until held"`}, {`1`, `"until held"`, `1`}, {`1`}} {
		f := s.function()
		for _, event := range events {
			res, err := s.try(t.Context(), f, event, 10*time.Second)
			require.NoError(t, err)
			require.Nil(t, res.Failure)
		}
	}
	<-up
	<-up
	select {
	case <-(<-up).cpu:
	case <-time.After(10 * time.Second):
		t.Fatal("an idle instance is not held to its share")
	}
}

// TestFailuresAreBounded answers with all that fits into a frame.
func TestFailuresAreBounded(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			long, lines := strings.Repeat("é", 1<<20), strings.Repeat(`"`+strings.Repeat("s", 1000)+`",`, 2000)
			a.send(lang.Frame{Type: lang.FrameFailed, Seq: call.Seq, Meta: []byte{lang.FailException},
				Body: []byte(`{"errorMessage":"` + long + `","errorType":"` + long + `","stackTrace":[` + lines + `"last"]}`)})
		}
	}}, nil)
	res, err := s.try(t.Context(), s.function(), `1`, time.Second)
	require.NoError(t, err)
	f := res.Failure
	require.NotNil(t, f)
	require.Equal(t, faas.CodeException, f.Code)
	size := len(f.Message) + len(f.Type)
	for _, line := range f.Stack {
		size += len(line)
	}
	require.Less(t, size, 1<<20)
	require.True(t, utf8.ValidString(f.Message))
	require.Equal(t, "last", f.Stack[len(f.Stack)-1])
}

// TestSlowLoadingOutlastsTheQueue: a call gives up the queue when its time is over, but not an instance that is loading.
func TestSlowLoadingOutlastsTheQueue(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if a.ready() && a.wait(400*time.Millisecond) && a.send(lang.Frame{Type: lang.FrameLoaded}) {
			a.echo()
		}
	}}, nil)
	f := s.function()
	res, err := s.Run(t.Context(), f, faas.Invocation{
		ID: "id", Event: []byte(`1`), QueueBy: time.Now().Add(50 * time.Millisecond), Deadline: time.Now().Add(5*time.Second + f.Spec.Timeout),
	})
	require.NoError(t, err)
	require.Equal(t, `1`, string(res.Output))

	f = s.function()
	_, err = s.Run(t.Context(), f, faas.Invocation{
		ID: "id", Event: []byte(`1`), QueueBy: time.Now().Add(50 * time.Millisecond), Deadline: time.Now().Add(100*time.Millisecond + f.Spec.Timeout),
	})
	require.Equal(t, faas.CodeQueueTimeout, faas.CodeOf(err), "nor without end")
}
