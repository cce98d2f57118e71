package edge

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// maxMarks bounds the marks that wait for the database. Beyond it the oldest go: a later report says the same.
const maxMarks = 100_000

// mark has something stored behind the back of whoever says it. What waits is stored together.
func (s *Service) mark(m faas.GatewayMark) {
	s.mu.Lock()
	if len(s.marks) == maxMarks {
		s.marks = s.marks[1:]
	}
	s.marks = append(s.marks, m)
	s.mu.Unlock()
	signal(s.wakeMark)
}

func (s *Service) markLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakeMark:
		}
		if err := s.flush(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("store what gateways reported; it is tried again", "err", err)
			if !rest(ctx, time.Second) {
				return
			}
			signal(s.wakeMark)
		}
	}
}

// flush stores all marks. Those that could not be stored stay.
func (s *Service) flush(ctx context.Context) error {
	for {
		s.mu.Lock()
		n := min(len(s.marks), batchMarks)
		batch := s.marks[:n:n]
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := s.cfg.Store.MarkGateways(ctx, batch); err != nil {
			return err
		}
		s.mu.Lock()
		s.marks = s.marks[min(n, len(s.marks)):]
		if len(s.marks) == 0 {
			s.marks = nil
		}
		s.mu.Unlock()
	}
}

// rest waits, and tells whether ctx has not ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
