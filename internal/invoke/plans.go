package invoke

import (
	"context"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// plans bounds the calls that run at a time, for each project and memory size. The zero value is ready.
type plans struct {
	mu    sync.Mutex
	rooms map[planKey]*room
}

type planKey struct {
	project  string
	memoryMB int
}

type room struct {
	places chan struct{}
	users  int // calls in it or waiting; without any the room goes
}

// enter waits for a place until a time, and gives what leaves it. most 0 means as many as come. Errors: CodeQueueTimeout and
// CodeCancelled.
func (p *plans) enter(ctx context.Context, project string, memoryMB, most int, by time.Time) (leave func(), err error) {
	if most == 0 {
		return func() {}, nil
	}
	key := planKey{project, memoryMB}
	p.mu.Lock()
	r := p.rooms[key]
	if r == nil {
		if p.rooms == nil {
			p.rooms = map[planKey]*room{}
		}
		r = &room{places: make(chan struct{}, most)}
		p.rooms[key] = r
	}
	r.users++
	p.mu.Unlock()
	select {
	case r.places <- struct{}{}:
	default:
		if err := r.wait(ctx, by, most, memoryMB); err != nil {
			p.forget(key, r)
			return nil, err
		}
	}
	return func() {
		<-r.places
		p.forget(key, r)
	}, nil
}

func (r *room) wait(ctx context.Context, by time.Time, most, memoryMB int) error {
	over := time.NewTimer(time.Until(by))
	defer over.Stop()
	select {
	case r.places <- struct{}{}:
		return nil
	case <-over.C:
		return faas.Errorf(faas.CodeQueueTimeout, "plan", "%d calls of functions with %d MB run in this project already, as many as may at a time", most, memoryMB)
	case <-ctx.Done():
		return faas.Errorf(faas.CodeCancelled, "", "the caller went away while the call waited for its turn")
	}
}

func (p *plans) forget(key planKey, r *room) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.users--; r.users == 0 {
		delete(p.rooms, key)
	}
}
