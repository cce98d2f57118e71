package pool

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Warm has an instance of a function loaded, without a call: one that is warm already does. The code's own failure to load is in
// the Result, any other is an error.
func (p *Pool) Warm(ctx context.Context, f *faas.Function, by time.Time) (*faas.Result, error) {
	for {
		g, err := p.group(f, faas.Invocation{})
		if err != nil {
			return nil, err
		}
		l, err := g.lease(ctx, by, by)
		if err == nil && l.instance != nil {
			g.release(l.instance, 0)
		}
		p.calls.Done()
		switch {
		case err == errAgain:
		case err != nil:
			return nil, err
		case l.failed != nil:
			return l.failed, nil
		default:
			return &faas.Result{Init: l.instance.initTime}, nil
		}
	}
}
