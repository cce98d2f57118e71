package pool_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// misbehave plays workers that mostly answer, and now and then do everything else.
func misbehave(a *actor) {
	switch rand.IntN(20) {
	case 0:
		return // dies before it comes up
	case 1:
		if a.ready() {
			a.send(lang.Frame{Type: lang.FrameFailed, Meta: []byte{lang.FailLoad}, Body: []byte(`{}`)})
		}
		return
	case 2:
		if a.ready() {
			a.wait(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
		return // dies while it loads
	}
	if !a.loaded() {
		return
	}
	if a.load.Concurrency > 1 {
		juggle(a)
		return
	}
	for {
		call, ok := a.receive()
		if !ok {
			return
		}
		switch rand.IntN(30) {
		case 0:
			return // dies in the call
		case 1:
			a.answer(call)
			return // dies behind the answer
		case 2:
			a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq + 1, Meta: make([]byte, 4), Body: []byte(`"wrong"`)})
		case 3:
			<-a.killed // never answers
			return
		case 4:
			if !a.answer(call) || !a.wait(time.Duration(rand.IntN(5))*time.Millisecond) {
				return
			}
			return // dies while it idles
		case 5:
			a.wait(time.Duration(rand.IntN(30)) * time.Millisecond)
			fallthrough
		default:
			if !a.answer(call) {
				return
			}
		}
	}
}

// juggle plays a worker of several calls at a time, which answers in any order, and now and then does everything else.
func juggle(a *actor) {
	calls, ended := make(chan lang.Frame), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			select {
			case calls <- call:
			case <-a.killed:
				return
			}
		}
	}()
	var has []lang.Frame
	for {
		if len(has) == 0 || len(has) < a.load.Concurrency && rand.IntN(2) == 0 {
			select {
			case call := <-calls:
				has = append(has, call)
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
			continue
		}
		i := rand.IntN(len(has))
		call := has[i]
		has = append(has[:i], has[i+1:]...)
		switch rand.IntN(100) {
		case 0:
			return // dies with all its calls
		case 1:
			a.answer(call)
			a.answer(call) // twice
		case 2:
			a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq + 1000, Meta: make([]byte, 4), Body: []byte(`"wrong"`)})
		case 3: // never answers
		case 4:
			a.send(lang.Frame{Type: lang.FrameFailed, Seq: call.Seq, Meta: []byte{lang.FailLast}, Body: []byte(`{}`)})
		default:
			a.answer(call)
		}
	}
}

// TestBooksBalance does all that can be done to a pool at random, and holds it to this: every call ends once, in bounded
// time, with its own event or with a failure that can happen; the limits of instances hold; Stop returns, and then
// nothing is left.
func TestBooksBalance(t *testing.T) {
	for _, places := range []int{1, 3, 50} {
		for _, attach := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d instances, prepared %v", places, attach), func(t *testing.T) { t.Parallel(); balance(t, places, attach) })
		}
	}
}

func balance(t *testing.T, places int, attach bool) {
	var most atomic.Int64
	d := &actors{attach: attach, freeze: true}
	d.play = func(a *actor) {
		n := d.running.Load()
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		misbehave(a)
	}
	d.start = func(ctx context.Context) error {
		if rand.IntN(30) == 0 {
			return errNoStart
		}
		return ctx.Err()
	}
	s := newStage(t, d, func(c *pool.Config) {
		c.MaxInstances, c.MaxQueue, c.IdleTimeout = places, 40, 5*time.Millisecond
		c.StartTimeout, c.FreezeAfter, c.BeatEvery = time.Second, time.Millisecond, 2*time.Millisecond
	})
	functions := make([]atomic.Pointer[faas.Function], 6)
	for i := range functions {
		f := s.function()
		f.Spec.Timeout = 60 * time.Millisecond
		f.Spec.MaxInstances = []int{faas.Unlimited, 1, 2}[i%3]
		f.Spec.RequestsPer = []int{1, 3}[i%2]
		if i >= 4 {
			f.Spec.BeatHandler, f.Spec.StopHandler, f.Spec.StopTimeout = "index.beat", "index.stop", 20*time.Millisecond
		}
		functions[i].Store(f)
	}
	over, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var group sync.WaitGroup
	var asked, answered, failed, refused atomic.Int64
	for caller := range 60 {
		group.Go(func() {
			for i := 0; over.Err() == nil; i++ {
				f := functions[rand.IntN(len(functions))].Load()
				patience := time.Minute
				if rand.IntN(10) == 0 {
					patience = time.Duration(rand.IntN(20)) * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				event := fmt.Sprintf(`"%d-%d"`, caller, i)
				asked.Add(1)
				begun := time.Now()
				ask := s.try
				if rand.IntN(4) == 0 {
					ask = s.talk
				}
				res, err := ask(ctx, f, event, 200*time.Millisecond)
				cancel()
				switch {
				case time.Since(begun) > 10*time.Second:
					t.Errorf("a call of %v", time.Since(begun))
				case err != nil && res != nil || err == nil && res == nil:
					t.Errorf("%+v and %v", res, err)
				case err != nil:
					refused.Add(1)
					switch faas.CodeOf(err) {
					case faas.CodeOverload, faas.CodeQueueTimeout, faas.CodeStart, faas.CodeCancelled:
					default:
						t.Errorf("refused: %v", err)
					}
				case res.Failure != nil:
					failed.Add(1)
				case string(res.Output) != event:
					t.Errorf("%s got %s", event, res.Output)
				default:
					answered.Add(1)
				}
			}
		})
	}
	group.Go(func() { // an owner who changes and removes
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for over.Err() == nil {
			<-tick.C
			i := rand.IntN(len(functions))
			next := *functions[i].Load()
			next.Revision++
			if rand.IntN(2) == 0 {
				functions[i].Store(&next)
			}
			s.FunctionChanged(next.Key())
		}
	})
	group.Wait()
	require.Equal(t, asked.Load(), answered.Load()+failed.Load()+refused.Load())
	require.Positive(t, answered.Load())
	require.LessOrEqual(t, most.Load(), int64(places))
	t.Logf("%d calls: %d answered, %d failed, %d refused; %d processes, %d at most", asked.Load(), answered.Load(), failed.Load(), refused.Load(), d.started.Load(), most.Load())
}
