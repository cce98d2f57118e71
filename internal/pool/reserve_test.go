package pool_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// shop is a store of one function.
type shop struct {
	mu sync.Mutex
	f  *faas.Function
}

func (s *shop) Function(context.Context, faas.FunctionKey) (*faas.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil, faas.NotFound("function", "f")
	}
	return s.f, nil
}

func (s *shop) Reserved(context.Context, string) ([]*faas.Function, error) {
	f, err := s.Function(context.Background(), faas.FunctionKey{})
	if err != nil || !f.Spec.KeepsAny() {
		return nil, nil
	}
	return []*faas.Function{f}, nil
}

// change stores another revision as a use case does, and tells the pool in the order that app does.
func (s *shop) change(p *pool.Pool, alter func(f *faas.Function)) *faas.Function {
	s.mu.Lock()
	next := *s.f
	next.Revision++
	alter(&next)
	s.f = &next
	s.mu.Unlock()
	p.WarmReserved(next.Key())
	p.FunctionChanged(next.Key())
	return &next
}

func reserving(n int) (*shop, *faas.Function) {
	f := &faas.Function{
		ID: "id", Project: "p", Package: "default", Name: "f", Version: faas.Latest, Revision: 1,
		Spec: faas.Spec{Handler: "index.handler", Timeout: 3 * time.Second, MemoryMB: 128, TmpMB: 512, MaxInstances: faas.Unlimited, Reserved: n},
	}
	return &shop{f: f}, f
}

// TestReservedInstancesAreKept holds their number through idle time, death, change and removal.
func TestReservedInstancesAreKept(t *testing.T) {
	shop, f := reserving(3)
	alive := make(chan *actor, 100)
	d := &actors{play: func(a *actor) {
		if a.loaded() {
			alive <- a
			a.echo()
		}
	}}
	s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout = shop, 5*time.Millisecond })
	up := func(n int64) {
		t.Helper()
		require.Eventually(t, func() bool { return d.running.Load() == n }, 10*time.Second, time.Millisecond)
	}
	first := []*actor{<-alive, <-alive, <-alive}
	idle := func(f *faas.Function, n int) {
		t.Helper()
		require.Eventually(t, func() bool { return s.Idle(f) == n }, 10*time.Second, time.Millisecond)
	}
	idle(f, 3)
	res, err := s.try(t.Context(), f, `1`, time.Second)
	require.NoError(t, err)
	require.False(t, res.Cold, "the first call finds an instance")

	first[0].Kill()
	<-alive
	up(3)
	idle(f, 3)

	next := shop.change(s.Pool, func(*faas.Function) {})
	require.GreaterOrEqual(t, len(alive), 3, "the new ones are up when the change has been told")
	idle(next, 3)
	res, err = s.try(t.Context(), next, `1`, time.Second)
	require.NoError(t, err)
	require.False(t, res.Cold)
	up(3)
	<-first[1].done

	shop.change(s.Pool, func(f *faas.Function) { f.Spec.Reserved = 1 })
	up(1)
	shop.mu.Lock()
	shop.f = nil
	shop.mu.Unlock()
	s.FunctionChanged(f.Key())
	up(0)
}

// TestReservedInstancesThatDoNotLoad are not started over and over.
func TestReservedInstancesThatDoNotLoad(t *testing.T) {
	shop, _ := reserving(3)
	var good atomic.Bool
	d := &actors{play: func(a *actor) {
		if !a.ready() {
			return
		}
		if !good.Load() {
			a.send(lang.Frame{Type: lang.FrameFailed, Meta: []byte{lang.FailLoad}, Body: []byte(`{}`)})
			<-a.killed
			return
		}
		a.send(lang.Frame{Type: lang.FrameLoaded})
		a.echo()
	}}
	s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout = shop, 4*time.Millisecond })
	require.Eventually(t, func() bool { return d.started.Load() >= 3 && d.running.Load() == 0 }, 10*time.Second, time.Millisecond)
	<-time.After(500 * time.Millisecond) // time itself must pass: nothing is to happen in it
	require.LessOrEqual(t, d.started.Load(), int64(4))
	good.Store(true)
	begun := time.Now()
	next := shop.change(s.Pool, func(*faas.Function) {})
	require.Less(t, time.Since(begun), 5*time.Second)
	require.Eventually(t, func() bool { return s.Idle(next) == 3 }, 10*time.Second, time.Millisecond)
	res, err := s.try(t.Context(), next, `1`, time.Second)
	require.NoError(t, err)
	require.False(t, res.Cold, "a change begins anew")
}

// TestReservedUnderLoad changes a function twenty times while clients call it: no call fails, and none is answered by a
// revision that was not current while it ran.
func TestReservedUnderLoad(t *testing.T) {
	for _, requests := range []int{1, 4} {
		shop, f := reserving(2)
		f.Spec.RequestsPer, f.Spec.Handler = requests, "1" // the handler's name tells the revision
		s := newStage(t, &actors{play: func(a *actor) {
			if !a.loaded() {
				return
			}
			for {
				call, ok := a.receive()
				if !ok || !a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq, Meta: make([]byte, 4), Body: []byte(a.load.Handler)}) {
					return
				}
			}
		}}, func(c *pool.Config) { c.Versions = shop })
		var acknowledged, stored atomic.Int64 // revisions
		acknowledged.Store(1)
		stored.Store(1)
		var visible atomic.Pointer[faas.Function] // what the invoker's cache holds
		visible.Store(f)
		over := make(chan struct{})
		var clients sync.WaitGroup
		for range 16 {
			clients.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					oldest := acknowledged.Load()
					res, err := s.try(t.Context(), visible.Load(), `1`, 5*time.Second)
					newest := stored.Load()
					var got int64
					if err == nil && res.Failure == nil {
						_, err = fmt.Sscan(string(res.Output), &got)
					}
					if err != nil || res.Failure != nil || got < oldest || got > newest {
						t.Errorf("%v %+v: revision %d, and %d to %d were current", err, res, got, oldest, newest)
						return
					}
				}
			})
		}
		for range 20 {
			shop.mu.Lock()
			next := *shop.f
			next.Revision++
			next.Spec.Handler = fmt.Sprint(next.Revision)
			stored.Store(next.Revision)
			shop.f = &next
			shop.mu.Unlock()
			s.WarmReserved(next.Key())
			visible.Store(&next)
			s.FunctionChanged(next.Key())
			acknowledged.Store(next.Revision)
		}
		close(over)
		clients.Wait()
	}
}

// TestLateCallKeepsNothing makes a call with a function as it was before it changed or went: what that starts ends again.
func TestLateCallKeepsNothing(t *testing.T) {
	for _, gone := range []bool{true, false} {
		shop, f := reserving(2)
		d := &actors{play: func(a *actor) {
			if a.loaded() {
				a.echo()
			}
		}}
		s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout = shop, 5*time.Millisecond })
		left := int64(0)
		if gone {
			shop.mu.Lock()
			shop.f = nil
			shop.mu.Unlock()
			s.FunctionChanged(f.Key())
		} else {
			shop.change(s.Pool, func(f *faas.Function) { f.Spec.Reserved = 1 })
			left = 1
		}
		_, err := s.try(t.Context(), f, `1`, time.Second)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return d.running.Load() == left }, 10*time.Second, time.Millisecond, "gone: %v", gone)
	}
}
