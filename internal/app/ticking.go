package app

import (
	"context"
	"time"
)

// ticking is the part of a lifecycle.Service that does something at intervals, from begin to Stop.
type ticking struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// begin has run called once every interval, with a context that ends with Stop.
func (t *ticking) begin(ctx context.Context, every time.Duration, run func(context.Context)) {
	ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.ended = make(chan struct{})
	go func() {
		defer close(t.ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				run(ctx)
			}
		}
	}()
}

// Stop implements lifecycle.Service.
func (t *ticking) Stop(context.Context) error {
	if t.cancel != nil {
		t.cancel()
		<-t.ended
	}
	return nil
}
