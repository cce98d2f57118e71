//go:build linux

package native

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"
)

// memoryWatch stands in for the memory controller where there is none: it adds up the resident memory of each sandbox's
// processes and ends a sandbox that passes its limit. It is late by its period, and says so in Capabilities.
type memoryWatch struct {
	mu    sync.Mutex
	on    map[*instance]struct{}
	quit  chan struct{}
	ended chan struct{}
}

const watchPeriod = 50 * time.Millisecond

func newMemoryWatch() *memoryWatch {
	w := &memoryWatch{on: map[*instance]struct{}{}, quit: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *memoryWatch) add(in *instance)  { w.mu.Lock(); w.on[in] = struct{}{}; w.mu.Unlock() }
func (w *memoryWatch) drop(in *instance) { w.mu.Lock(); delete(w.on, in); w.mu.Unlock() }

func (w *memoryWatch) stop() {
	close(w.quit)
	<-w.ended
}

func (w *memoryWatch) run() {
	defer close(w.ended)
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *memoryWatch) look() {
	w.mu.Lock()
	roots := make(map[int]*instance, len(w.on))
	for in := range w.on {
		roots[in.process.Pid] = in
	}
	w.mu.Unlock()
	if len(roots) == 0 {
		return
	}
	members := map[*instance][]int{}
	processes := listProcesses()
	for pid := range processes {
		for p, depth := pid, 0; p > 1 && depth < 64; p, depth = processes[p].parent, depth+1 {
			if in := roots[p]; in != nil {
				members[in] = append(members[in], pid)
				break
			}
		}
	}
	for in, pids := range members {
		sum := used(processes, pids, in.memory)
		if sum > in.peak.Load() {
			in.peak.Store(sum)
		}
		if sum > in.memory {
			in.overfull.Store(true)
			in.Kill()
		}
	}
}

// maxShares bounds how many processes of a sandbox are looked at closely: the kernel walks all their pages for it, and a
// bomb of forks must end soon.
const maxShares = 32

// used is the memory of a sandbox's processes together. A page that several have counts for each, which is quick to tell
// and enough while the sum is within the limit; beyond it each is asked for its share.
func used(processes map[int]process, pids []int, limit int64) int64 {
	var resident, shares int64
	for _, pid := range pids {
		resident += processes[pid].resident
	}
	if resident <= limit || len(pids) > maxShares {
		return resident
	}
	for _, pid := range pids {
		shares += min(share(pid, processes[pid].resident), processes[pid].resident)
	}
	return shares
}

// share is the resident memory of a process where a page counts in parts for those that have it: 0 for one that has ended
// meanwhile, otherwise when the kernel does not want to tell.
func share(pid int, otherwise int64) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	switch {
	case errors.Is(err, os.ErrPermission):
		return otherwise
	case err != nil:
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("\nPss:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(line, []byte("kB")))), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

type process struct {
	parent   int
	resident int64
}

func listProcesses() map[int]process {
	all := map[int]process{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	page := int64(os.Getpagesize())
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// pid (comm) state ppid ... ; comm may hold anything, so count from the last parenthesis. Field 24 is the resident set.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		pages, _ := strconv.ParseInt(string(fields[21]), 10, 64)
		all[pid] = process{parent: parent, resident: pages * page}
	}
	return all
}
