// Package lifecycle starts the long-lived parts of a process in order and stops them in reverse.
//
// It must not know what the parts do.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
)

// Service is a part that runs until it is stopped.
type Service interface {
	// Start brings the part up and returns; what it leaves running ends with Stop. ctx bounds the start only.
	Start(ctx context.Context) error
	// Stop ends everything Start began and returns when it is down. It may be called twice, and before Start.
	Stop(ctx context.Context) error
}

// Named is a Service with the name that messages call it by.
type Named struct {
	Name string
	Service
}

// Group starts Services in order and stops them in reverse.
type Group struct{ started []Named }

// StartAll starts the services one after the other. When one fails, those already up are stopped again.
func (g *Group) StartAll(ctx context.Context, services ...Named) error {
	for _, s := range services {
		if err := s.Start(ctx); err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", s.Name, err), g.StopAll(context.WithoutCancel(ctx)))
		}
		g.started = append(g.started, s)
	}
	return nil
}

// StopAll stops what was started, last first, and joins the errors.
func (g *Group) StopAll(ctx context.Context) error {
	var all error
	for i := len(g.started) - 1; i >= 0; i-- {
		if err := g.started[i].Stop(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("stop %s: %w", g.started[i].Name, err))
		}
	}
	g.started = nil
	return all
}
