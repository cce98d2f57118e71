package app

import (
	"context"
	"log/slog"
	"time"
)

// sweep removes the packages or images that no function names any more: every hour, and only those that were added long enough
// ago for their function to have been stored.
type sweep struct {
	what  string
	sweep sweeper
	used  func(ctx context.Context, digest string) (bool, error)
	log   *slog.Logger

	ticking
}

// sweeper is the Sweep of a store.
type sweeper func(ctx context.Context, used func(digest string) (bool, error), age time.Duration) (int, error)

const (
	sweepEvery = time.Hour
	sweepAge   = time.Hour
)

func newSweep(what string, from sweeper, used func(context.Context, string) (bool, error), log *slog.Logger) *sweep {
	return &sweep{what: what, sweep: from, used: used, log: log}
}

// Start implements lifecycle.Service.
func (s *sweep) Start(ctx context.Context) error {
	s.begin(ctx, sweepEvery, s.run)
	return nil
}

func (s *sweep) run(ctx context.Context) {
	n, err := s.sweep(ctx, func(digest string) (bool, error) { return s.used(ctx, digest) }, sweepAge)
	if err != nil && ctx.Err() == nil {
		s.log.Error("sweep of unused "+s.what, "error", err)
	}
	if n > 0 {
		s.log.Info("removed unused "+s.what, "count", n)
	}
}
