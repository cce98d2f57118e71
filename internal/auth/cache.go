package auth

import (
	"sync"
	"time"
)

// cache keeps up to limit values, each until its own end. It is for what can be found again: when it is full, an entry
// that has ended goes first, or else any.
type cache[K comparable, V any] struct {
	limit int

	mu      sync.RWMutex
	entries map[K]entry[V]
}

type entry[V any] struct {
	value V
	end   time.Time
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, entries: map[K]entry[V]{}}
}

func (c *cache[K, V]) get(key K, now time.Time) (V, bool) {
	c.mu.RLock()
	e, ok := c.entries[key]
	c.mu.RUnlock()
	if !ok || !now.Before(e.end) {
		var none V
		return none, false
	}
	return e.value, true
}

func (c *cache[K, V]) put(key K, value V, now, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.entries[key]; !there && len(c.entries) >= c.limit {
		c.makeRoom(now)
	}
	c.entries[key] = entry[V]{value, end}
}

// makeRoom looks at a few entries, in the random order of a map, so that its cost does not grow with the cache.
func (c *cache[K, V]) makeRoom(now time.Time) {
	const look = 16
	var victim K
	seen := 0
	for key, e := range c.entries {
		victim = key
		if seen++; seen == look || !now.Before(e.end) {
			break
		}
	}
	delete(c.entries, victim)
}

func (c *cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
}
