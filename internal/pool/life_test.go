package pool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/test/need"
)

// TestInitializerIsTriedOnThreeInstances fails so many initializers and then none.
func TestInitializerIsTriedOnThreeInstances(t *testing.T) {
	for _, c := range []struct {
		fail, starts int
		kind         byte
		ok           bool
	}{{0, 1, lang.FailInit, true}, {2, 3, lang.FailInit, true}, {3, 3, lang.FailInit, false}, {1, 1, lang.FailLoad, false}} {
		t.Run(fmt.Sprintf("%d of %c", c.fail, c.kind), func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int64
			d := &actors{play: func(a *actor) {
				if !a.ready() {
					return
				}
				if n := tries.Add(1); n <= int64(c.fail) {
					fmt.Fprintf(a.channels.InnerOutput, "try %d\n", n)
					a.send(lang.Frame{Type: lang.FrameFailed, Meta: []byte{c.kind}, Body: []byte(`{"errorMessage":"no luck"}`)})
					<-a.killed
					return
				}
				if a.send(lang.Frame{Type: lang.FrameLoaded}) {
					a.echo()
				}
			}}
			s := newStage(t, d, nil)
			f := s.function()
			f.Spec.InitHandler, f.Spec.InitTimeout = "index.init", time.Second
			res, err := s.try(t.Context(), f, `1`, 10*time.Second)
			require.NoError(t, err)
			require.Equal(t, c.ok, res.Failure == nil, "%+v", res.Failure)
			require.EqualValues(t, c.starts, d.started.Load())
			if c.ok {
				return
			}
			var said []string
			for _, l := range res.Logs {
				said = append(said, l.Text)
			}
			require.Len(t, said, c.fail, "the log has the lines of every try: %q", said)
			require.Equal(t, "try 1", said[0])
		})
	}
}

// notes are what instances did outside calls.
type notes struct {
	mu   sync.Mutex
	all  []string
	came chan string
}

func (n *notes) take(f *faas.Function, source string, _ time.Time, res *faas.Result) {
	text := source + " " + f.Name
	for _, l := range res.Logs {
		text += ": " + l.Text
	}
	if res.Failure != nil {
		text += "! " + res.Failure.Message
	}
	n.mu.Lock()
	n.all = append(n.all, text)
	n.mu.Unlock()
	n.came <- text
}

// TestPreStop ends instances in every way, each for a function that takes one call at a time and one that takes several.
func TestPreStop(t *testing.T) {
	for _, requests := range []int{1, 4} {
		n := &notes{came: make(chan string, 100)}
		d := &actors{play: func(a *actor) {
			if !a.loaded() {
				return
			}
			for {
				f, ok := a.receive()
				if !ok || string(f.Body) == `"die"` {
					return
				}
				if f.Type == lang.FrameStop {
					fmt.Fprintln(a.channels.InnerOutput, "bye")
					if a.load.Function == "hangs" {
						<-a.killed
						return
					}
				}
				if !a.answer(f) {
					return
				}
			}
		}}
		s := newStage(t, d, func(c *pool.Config) { c.IdleTimeout, c.Note = 50*time.Millisecond, n.take })
		function := func(name string) *faas.Function {
			f := s.function()
			f.Name, f.Spec.StopHandler, f.Spec.StopTimeout, f.Spec.RequestsPer = name, "index.stop", time.Second, requests
			return f
		}
		call := func(f *faas.Function, event string) *faas.Result {
			res, err := s.try(t.Context(), f, event, 10*time.Second)
			require.NoError(t, err)
			return res
		}
		call(function("idles"), `1`)
		require.Equal(t, "pre-stop idles: bye", <-n.came)

		require.NotNil(t, call(function("dies"), `"die"`).Failure)

		hangs := function("hangs")
		hangs.Spec.StopTimeout = 100 * time.Millisecond
		call(hangs, `1`)
		require.Equal(t, "pre-stop hangs: bye! the pre-stop handler did not finish within 0 seconds and was ended", <-n.came)
		require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second, time.Millisecond)

		changes := function("changes")
		call(changes, `1`)
		s.FunctionChanged(changes.Key())
		require.Equal(t, "pre-stop changes: bye", <-n.came)

		call(function("stops"), `1`)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		require.NoError(t, s.Stop(ctx))
		cancel()
		n.mu.Lock()
		require.Len(t, n.all, 4, "%q", n.all)
		require.Equal(t, "pre-stop stops: bye", n.all[3])
		n.mu.Unlock()
	}
}

// TestStopDoesNotWaitForPreStop stops a pool in less time than a pre-stop handler takes.
func TestStopDoesNotWaitForPreStop(t *testing.T) {
	asked := make(chan struct{})
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		f, _ := a.receive()
		a.answer(f)
		a.receive()
		close(asked)
		<-a.killed
	}}, nil)
	f := s.function()
	f.Spec.StopHandler, f.Spec.StopTimeout = "index.stop", 90*time.Second
	_, err := s.try(t.Context(), f, `1`, time.Second)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	require.NoError(t, s.Stop(ctx))
}

// TestHeartbeat has an instance that is not well, and one that does not answer as it should.
func TestHeartbeat(t *testing.T) {
	for _, requests := range []int{1, 4} {
		for name, sick := range map[string]byte{"says no": 0, "says nothing that it may": 9} {
			t.Run(fmt.Sprintf("%s, %d at a time", name, requests), func(t *testing.T) {
				t.Parallel()
				n := &notes{came: make(chan string, 100)}
				var beats atomic.Int64
				d := &actors{play: func(a *actor) {
					if !a.loaded() {
						return
					}
					for {
						f, ok := a.receive()
						if !ok {
							return
						}
						if f.Type == lang.FrameBeat && beats.Add(1) > 3 {
							a.send(lang.Frame{Type: lang.FrameBeaten, Seq: f.Seq, Meta: []byte{sick}})
							<-a.killed
							return
						}
						a.answer(f)
					}
				}}
				s := newStage(t, d, func(c *pool.Config) { c.BeatEvery, c.Note = 5*time.Millisecond, n.take })
				f := s.function()
				f.Spec.BeatHandler, f.Spec.RequestsPer = "index.beat", requests
				_, err := s.try(t.Context(), f, `1`, time.Second)
				require.NoError(t, err)
				require.Contains(t, <-n.came, "heartbeat "+f.Name)
				require.EqualValues(t, 4, beats.Load())
				require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second, time.Millisecond)
				_, err = s.try(t.Context(), f, `1`, time.Second)
				require.NoError(t, err, "the next call finds another instance")
			})
		}
	}
}

// TestFreeze calls an instance that has been frozen, with events small and large.
func TestFreeze(t *testing.T) {
	for _, requests := range []int{1, 4} {
		var frozen atomic.Pointer[actor]
		s := newStage(t, &actors{freeze: true, play: func(a *actor) {
			if a.loaded() {
				frozen.Store(a)
				a.echo()
			}
		}}, func(c *pool.Config) { c.FreezeAfter = time.Millisecond })
		f := s.function()
		f.Spec.RequestsPer = requests
		for i, event := range []string{`1`, `2`, `"` + strings.Repeat("x", 3<<20) + `"`, `4`} {
			res, err := s.try(t.Context(), f, event, time.Second)
			require.NoError(t, err)
			require.Nil(t, res.Failure)
			require.Equal(t, event, string(res.Output))
			a := frozen.Load()
			require.Eventually(t, func() bool { return a.frosts.Load() == int64(i+1) }, 10*time.Second, time.Millisecond)
		}
		require.EqualValues(t, 1, s.driver.started.Load())
	}
}

// TestReclaim has an instance idle twice: each time it is paged out once, and it answers.
func TestReclaim(t *testing.T) {
	var idler atomic.Pointer[actor]
	s := newStage(t, &actors{freeze: true, play: func(a *actor) {
		if a.loaded() {
			idler.Store(a)
			a.echo()
		}
	}}, func(c *pool.Config) { c.FreezeAfter, c.ReclaimAfter = time.Millisecond, 20*time.Millisecond })
	f := s.function()
	for i, event := range []string{`1`, `2`} {
		res, err := s.try(t.Context(), f, event, time.Second)
		require.NoError(t, err)
		require.Equal(t, event, string(res.Output))
		a := idler.Load()
		require.Eventually(t, func() bool { return a.reclaims.Load() == int64(i+1) }, 10*time.Second, time.Millisecond)
		<-time.After(50 * time.Millisecond) // time itself must pass: the instance idles on
		require.EqualValues(t, i+1, a.reclaims.Load(), "it is paged out again and again")
	}
	require.EqualValues(t, 1, s.driver.started.Load())
}

// TestPagedOutPythonAnswers is the same with the real thing.
func TestPagedOutPythonAnswers(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) {
		c.FreezeAfter, c.ReclaimAfter = 20*time.Millisecond, 40*time.Millisecond
	})
	if !h.driver.Capabilities().Reclaim {
		need.Skip(t, "only root, on a host with a cgroup v2 tree, pages instances out")
	}
	need.Swap(t)
	f := h.function(t, `import time
held = bytearray(b'x') * (8 << 20)
begun = time.time()
def swapped():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmSwap')).split()[1])
def handler(event, context):
    return [swapped(), held.count(b'x'), begun]
`)
	var first, again []float64
	require.NoError(t, json.Unmarshal(h.call(t, f, `0`).Output, &first))
	require.Eventually(t, func() bool {
		<-time.After(100 * time.Millisecond) // time itself must pass: the instance idles
		res := h.call(t, f, `1`)
		require.Nil(t, res.Failure)
		require.False(t, res.Cold)
		require.NoError(t, json.Unmarshal(res.Output, &again))
		require.Equal(t, first[1:], again[1:], "it is another one, or has lost what it held")
		return again[0] > 7<<10
	}, 20*time.Second, time.Millisecond, "nothing of it was paged out")
}

// TestFrozenPythonAnswers is the same with the real thing, and its time does not run while it is frozen.
func TestFrozenPythonAnswers(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.FreezeAfter = 20 * time.Millisecond })
	if !h.driver.Capabilities().Freeze {
		need.Skip(t, "this host has no cgroup v2 tree to freeze in")
	}
	f := h.function(t, "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\ndef handler(event, context):\n    if event == 0: threading.Thread(target=count, daemon=True).start()\n    return n\n")
	h.call(t, f, `0`)
	in := h.driver.of(f)
	require.NotNil(t, in)
	for range 3 {
		res := h.call(t, f, `1`)
		require.Nil(t, res.Failure)
		require.False(t, res.Cold)
		<-time.After(100 * time.Millisecond) // time itself must pass: the instance idles
	}
}

// TestOverloadIsRefusedAtOnce has more calls come than can be served while they may wait.
func TestOverloadIsRefusedAtOnce(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok || !a.wait(50*time.Millisecond) || !a.answer(call) {
				return
			}
		}
	}}, nil)
	f := s.function()
	f.Spec.MaxInstances = 1
	_, err := s.try(t.Context(), f, `0`, time.Second) // the pool learns how long a call takes
	require.NoError(t, err)
	var calls sync.WaitGroup
	var answered, refused, soon atomic.Int64
	for i := range 200 {
		calls.Go(func() {
			begun := time.Now()
			res, err := s.try(t.Context(), f, fmt.Sprint(i), time.Second)
			switch {
			case err == nil && res.Failure == nil && string(res.Output) == fmt.Sprint(i):
				answered.Add(1)
			case faas.CodeOf(err) == faas.CodeOverload:
				refused.Add(1)
				if time.Since(begun) < 500*time.Millisecond {
					soon.Add(1)
				}
			case faas.CodeOf(err) == faas.CodeQueueTimeout:
			default:
				t.Errorf("%v %+v", err, res)
			}
		})
	}
	calls.Wait()
	require.Greater(t, answered.Load(), int64(5))
	require.Greater(t, refused.Load(), int64(150), "%d were answered", answered.Load())
	require.Equal(t, refused.Load(), soon.Load(), "a refusal does not wait")
}

// TestNoticeOfOneAtATime has a language that takes one call at a time, and calls no hooks, say so where they were asked for.
func TestNoticeOfOneAtATime(t *testing.T) {
	s := newStage(t, &actors{play: func(a *actor) {
		if a.loaded() {
			a.echo()
		}
	}}, nil)
	s.single = true
	f := s.sharing(5, 1)
	f.Spec.StopHandler, f.Spec.StopTimeout = "index.stop", time.Second
	res, err := s.try(t.Context(), f, `1`, time.Second)
	require.NoError(t, err)
	require.Len(t, res.Logs, 1)
	require.Equal(t, "an instance of Fake takes one call at a time, not 5: further calls get further instances; "+
		"heartbeat and pre-stop handlers are not called in Fake", res.Logs[0].Text)
}
