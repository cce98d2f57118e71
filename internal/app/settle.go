package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// settle gives memory back to the system when a load is over: what it left in the heap would stay there until the next one. It costs
// one collection, at a time when nobody waits for anything.
type settle struct {
	allocated func() uint64 // bytes since the start
	giveBack  func()

	last, given uint64 // allocated at the last look, and when memory was given back last
	ticking
}

const (
	settleEvery = 2 * time.Second
	quietBytes  = 1 << 20  // allocated between two looks: nothing much goes on
	worthBytes  = 16 << 20 // allocated since memory was given back last: there may be garbage
)

func newSettle() *settle { return &settle{allocated: allocated, giveBack: debug.FreeOSMemory} }

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Start implements lifecycle.Service.
func (s *settle) Start(ctx context.Context) error {
	s.begin(ctx, settleEvery, func(context.Context) { s.look() })
	return nil
}

func (s *settle) look() {
	now := s.allocated()
	if now-s.last < quietBytes && now-s.given > worthBytes {
		s.giveBack()
		s.given = now
	}
	s.last = now
}
