package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	lineReclaimed = "Node instance PSS, paged out"
	lineWake      = "Node paged out, first call, p50"
	reclaimTime   = 30 * time.Second // for all instances to be paged out
)

// paged is what was measured of instances that idle for long.
type paged struct {
	none string    // why nothing was
	held []float64 // PSS, MiB
	wake coldTimes
}

// measureReclaim has Node instances idle on a server of their own until they are paged out, and calls each once. It needs swap, and makes
// some in memory (zram) where there is none, for root.
func (b *bench) measureReclaim(ctx context.Context) (err error) {
	b.paged = &paged{}
	end, err := swap(ctx)
	if err != nil {
		b.paged.none = err.Error()
		fmt.Fprintf(b.log, "nothing is paged out: %v\n", err)
		return nil
	}
	defer end()
	s, done, err := b.ownServer(ctx, "--freeze-after", "200ms", "--reclaim-after", "1s", "--idle-timeout", "10m")
	if err != nil {
		return err
	}
	defer done()
	l := languages()[1]
	runtime, err := s.runtime(ctx, l.Prefix)
	if err != nil {
		return err
	}
	m := &measured{language: l, runtime: runtime}
	targets, err := freshFunctions(ctx, s, m, idleInstances)
	if err != nil {
		return err
	}
	for _, to := range targets {
		if err := b.callOnce(ctx, to); err != nil {
			return err
		}
	}
	if b.paged.held, err = settled(ctx, func() ([]float64, error) { return workers(s.pid(), m.program()) }); err != nil {
		return err
	}
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, to := range targets {
		if err := b.paged.wake.call(c, to); err != nil {
			return err
		}
	}
	return nil
}

// settled looks every second until the middle of what it sees has come down to less than half and stays there.
func settled(ctx context.Context, look func() ([]float64, error)) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, reclaimTime)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	first, last := 0.0, 0.0
	for {
		all, err := look()
		if err != nil {
			return nil, err
		}
		now := median(all)
		if first == 0 {
			first = now
		}
		if now < first/2 && now > last*0.98 && last > 0 {
			return all, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return all, nil // and the line tells
		case <-tick.C:
		}
	}
}

// swap sees to it that the host has swap, and gives what takes it away again.
func swap(ctx context.Context) (end func(), err error) {
	text, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return nil, err
	}
	if strings.Count(string(text), "\n") > 1 {
		return func() {}, nil
	}
	number, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		return nil, fmt.Errorf("the host has no swap, and no zram to make some: %w", err)
	}
	n := strings.TrimSpace(string(number))
	remove := func() { _ = os.WriteFile("/sys/class/zram-control/hot_remove", []byte(n), 0) } // it fails while it is in use
	if err := os.WriteFile("/sys/block/zram"+n+"/disksize", []byte("512M"), 0); err != nil {
		remove()
		return nil, err
	}
	for _, command := range []string{"mkswap", "swapon"} {
		if out, failed := exec.CommandContext(ctx, "/usr/sbin/"+command, "/dev/zram"+n).CombinedOutput(); failed != nil {
			remove()
			return nil, errors.Join(fmt.Errorf("%s: %w: %s", command, failed, out))
		}
	}
	return func() {
		_ = exec.CommandContext(context.WithoutCancel(ctx), "/usr/sbin/swapoff", "/dev/zram"+n).Run() // what a part has measured stands without it
		remove()
	}, nil
}

func (p *paged) rows() []row {
	if p.none != "" {
		return nil
	}
	return []row{
		{Line: lineReclaimed, Unit: mebibyte, Value: median(p.held)},
		{Line: lineWake, Unit: millisecond, Value: quantile(p.wake.Call, 0.5)},
		{Line: "Node paged out, first call, p99", Unit: millisecond, Value: quantile(p.wake.Call, 0.99)},
	}
}

func pagedAims() map[string]aim {
	return map[string]aim{lineReclaimed: {bound: 2}, lineWake: {bound: 5}}
}
