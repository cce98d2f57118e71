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
	round   uint64 // grows when all is forgotten
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

// find gives what is kept, or else what fetch finds until the end that it tells. What was fetched while clear was called is given but
// not kept: it may be older than the change that clear was called for.
func (c *cache[K, V]) find(key K, now time.Time, fetch func() (V, time.Time, error)) (V, error) {
	c.mu.RLock()
	e, ok := c.entries[key]
	round := c.round
	c.mu.RUnlock()
	if ok && now.Before(e.end) {
		return e.value, nil
	}
	value, end, err := fetch()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.round == round {
		c.keep(key, value, now, end)
	}
	return value, nil
}

// clear forgets everything.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	clear(c.entries)
}

func (c *cache[K, V]) put(key K, value V, now, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, value, now, end)
}

// keep is put with c.mu held.
func (c *cache[K, V]) keep(key K, value V, now, end time.Time) {
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
