package main

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memories gives instances their linear memory: address space for the most that one may have, of which the kernel fills in
// what is touched. So growing moves nothing, and what an instance leaves behind is given back at once and not by a collection.
type memories struct {
	mu     sync.Mutex
	free   []*linearMemory // cleared, all of the same size
	budget int64           // bytes that instances may still take, all together
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
		var err error
		m.space, err = unix.Mmap(-1, 0, int(limit), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil { // a host that promises no address space beyond its memory
			m.space, m.collected = make([]byte, limit), true
		}
	}
	return m
}

// take counts bytes that an instance wants; one that begins gets what it must have.
func (a *memories) take(bytes int64, begins bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !begins && bytes > a.budget {
		return false
	}
	a.budget -= bytes
	return true
}

type linearMemory struct {
	from      *memories
	space     []byte
	size      uint64
	collected bool // of Go's memory
}

// Reallocate implements experimental.LinearMemory; nil says that there is no more.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.space)) || size > m.size && !m.from.take(int64(size-m.size), m.size == 0) {
		return nil
	}
	m.size = max(m.size, size)
	return m.space[:size:size]
}

// Free implements experimental.LinearMemory. No instance sees what another one left.
func (m *linearMemory) Free() {
	if m.space == nil {
		return
	}
	keep := m.size <= keepSize && !m.collected
	if keep {
		clear(m.space[:m.size])
	} else if !m.collected {
		_ = unix.Munmap(m.space)
	}
	m.from.mu.Lock()
	defer m.from.mu.Unlock()
	m.from.budget += int64(m.size)
	m.size = 0
	if keep && len(m.from.free) < maxFree {
		m.from.free = append(m.from.free, m)
		return
	}
	if keep {
		_ = unix.Munmap(m.space)
	}
	m.space = nil
}
