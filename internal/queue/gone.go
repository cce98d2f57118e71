package queue

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// holding is an attempt that this server has: what cuts it off, and whose it is.
type holding struct {
	end context.CancelFunc
	key faas.FunctionKey // Version is ""
}

// FunctionChanged ends the calls under way of a function that has gone, where key.Version is "": its jobs went with it, so nothing would
// come of them.
func (q *Queue) FunctionChanged(key faas.FunctionKey) {
	if key.Version != "" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, held := range q.held {
		if held.key == key {
			held.end()
		}
	}
}
