package pool_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// echoes is a driver of workers that answer with their events, once open is closed.
func echoes(open <-chan struct{}) *actors {
	return &actors{freeze: true, play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			if call.Type == lang.FrameCall {
				select {
				case <-open:
				case <-a.killed:
					return
				}
			}
			if !a.answer(call) {
				return
			}
		}
	}}
}

func ajar() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestReservedBySchedule sees instances come when a schedule occurs and go when it expires, without a call.
func TestReservedBySchedule(t *testing.T) {
	shop, _ := reserving(0)
	from := time.Now().Truncate(time.Second).Add(2 * time.Second) // a second away at least
	shop.f.Spec.Tactics = &faas.Tactics{Schedules: []faas.ReservedSchedule{
		{Name: "burst", Cron: "* * * * * *", Count: 3, From: from, Until: from.Add(2 * time.Second)},
	}}
	d := echoes(ajar())
	s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout = shop, 5*time.Millisecond })
	all, _ := s.Instances(shop.f.Key())
	require.Zero(t, all, "not yet")
	require.Eventually(t, func() bool { all, reserved := s.Instances(shop.f.Key()); return all == 3 && reserved == 3 }, 10*time.Second, time.Millisecond)
	require.False(t, time.Now().Before(from))
	require.Eventually(t, func() bool { return d.running.Load() == 3 }, 10*time.Second, time.Millisecond, "those counted may still be starting")
	require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second, time.Millisecond)
	require.False(t, time.Now().Before(from.Add(2*time.Second)))
}

// TestReservedByLoad has calls ask for more instances than serve them.
func TestReservedByLoad(t *testing.T) {
	shop, f := reserving(0)
	f.Spec.Tactics = &faas.Tactics{Metrics: []faas.ReservedMetric{{Name: "load", Threshold: 50, Min: 1}}}
	open := make(chan struct{})
	d := echoes(open)
	s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout, c.MaxInstances = shop, 20*time.Millisecond, 10 })
	up := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool { all, reserved := s.Instances(f.Key()); return all == n && reserved == n }, 10*time.Second, time.Millisecond)
	}
	up(1)
	var calls sync.WaitGroup
	call := func() {
		calls.Go(func() {
			_, err := s.try(t.Context(), f, `1`, 5*time.Second)
			if err != nil {
				t.Error(err)
			}
		})
	}
	call()
	call()
	up(4)
	for range 4 {
		call()
	}
	up(9) // and not 12: a tenth of the places is left to others
	close(open)
	calls.Wait()
	up(9) // for a minute
	shop.change(s.Pool, func(f *faas.Function) { f.Spec.Tactics = nil })
	require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second, time.Millisecond)
}

// TestSnapshot keeps one instance that has loaded, frozen, and counts it among none that are reserved.
func TestSnapshot(t *testing.T) {
	shop, f := reserving(0)
	f.Spec.Snapshot = true
	d := echoes(ajar())
	s := newStage(t, d, func(c *pool.Config) {
		c.Versions, c.IdleTimeout, c.FreezeAfter = shop, 20*time.Millisecond, 2*time.Millisecond
	})
	require.Eventually(t, func() bool { return s.Idle(f) == 1 }, 10*time.Second, time.Millisecond)
	_, reserved := s.Instances(f.Key())
	require.Zero(t, reserved)
	res, err := s.try(t.Context(), f, `1`, time.Second)
	require.NoError(t, err)
	require.False(t, res.Cold)
	shop.change(s.Pool, func(f *faas.Function) { f.Spec.Snapshot = false })
	require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second, time.Millisecond)
}

// TestReservedForVersionAndAlias keeps what both ask for.
func TestReservedForVersionAndAlias(t *testing.T) {
	shop, f := reserving(1)
	f.Spec.AliasReserve = &faas.AliasReserve{Alias: "prod", Count: 1, Tactics: &faas.Tactics{
		Schedules: []faas.ReservedSchedule{{Name: "always", Cron: "* * * * * *", Count: 2}},
	}}
	d := echoes(ajar())
	s := newStage(t, d, func(c *pool.Config) { c.Versions, c.IdleTimeout = shop, 5*time.Millisecond })
	require.Eventually(t, func() bool { all, reserved := s.Instances(f.Key()); return all == 3 && reserved == 3 }, 10*time.Second, time.Millisecond)
	shop.change(s.Pool, func(f *faas.Function) { f.Spec.AliasReserve = nil })
	require.Eventually(t, func() bool { return d.running.Load() == 1 }, 10*time.Second, time.Millisecond)
}
