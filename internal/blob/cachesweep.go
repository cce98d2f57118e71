package blob

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Sweep removes the unpacked packages that keep does not want, nobody uses, and nobody has used for a time. It gives how many these were.
func (c *Cache) Sweep(ctx context.Context, keep func(digest string) (bool, error), idle time.Duration) (int, error) {
	before := time.Now().Add(-idle)
	c.mu.Lock()
	var old []string
	for key, t := range c.trees {
		if len(key) >= digestDigits && t.sweepable(before) {
			old = append(old, key)
		}
	}
	c.mu.Unlock()
	removed := 0
	for _, key := range old {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		kept, err := keep(key[:digestDigits])
		if err != nil {
			return removed, fmt.Errorf("blob: sweep of unpacked packages: %w", err)
		}
		if !kept && c.remove(key, before) {
			removed++
		}
	}
	return removed, nil
}

// digestDigits is the length of a digest, with which every key begins.
const digestDigits = 128

func (t *tree) sweepable(before time.Time) bool { return t.users == 0 && t.used.Before(before) }

// remove removes a tree unless it has been used since, or cannot be moved.
func (c *Cache) remove(key string, before time.Time) bool {
	c.mu.Lock()
	t := c.trees[key]
	if t == nil || !t.sweepable(before) {
		c.mu.Unlock()
		return false
	}
	aside, err := c.moveAside(key)
	if err == nil {
		delete(c.trees, key)
		c.bytes -= t.bytes
	}
	c.mu.Unlock()
	if aside != "" {
		os.RemoveAll(aside)
	}
	return err == nil
}
