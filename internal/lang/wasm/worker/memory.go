package main

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memories gives instances their linear memory: address space for the most that one may have, of which the kernel fills in
// what is touched. So growing moves nothing, and what an instance leaves behind is given back at once and not by a collection.
type memories struct {
	mu   sync.Mutex
	free []*linearMemory // cleared, all of the same size
}

const (
	maxFree  = 8       // memories kept for the next instances
	keepSize = 1 << 20 // a memory that grew beyond this is given back
)

// Allocate implements experimental.MemoryAllocator.
func (a *memories) Allocate(_, limit uint64) experimental.LinearMemory {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.free); n > 0 && uint64(len(a.free[n-1].space)) == limit {
		m := a.free[n-1]
		a.free = a.free[:n-1]
		return m
	}
	m := &linearMemory{from: a}
	if limit > 0 {
		m.space, m.err = unix.Mmap(-1, 0, int(limit), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	}
	return m
}

type linearMemory struct {
	from  *memories
	space []byte
	used  uint64
	err   error
}

// Reallocate implements experimental.LinearMemory; nil says that there is no more.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if m.err != nil || size > uint64(len(m.space)) {
		return nil
	}
	m.used = max(m.used, size)
	return m.space[:size:size]
}

// Free implements experimental.LinearMemory. No instance sees what another one left.
func (m *linearMemory) Free() {
	if m.space == nil {
		return
	}
	if m.used <= keepSize {
		clear(m.space[:m.used])
		m.used = 0
		m.from.mu.Lock()
		defer m.from.mu.Unlock()
		if len(m.from.free) < maxFree {
			m.from.free = append(m.from.free, m)
			return
		}
	}
	_ = unix.Munmap(m.space)
	m.space = nil
}
