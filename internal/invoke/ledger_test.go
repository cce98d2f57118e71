package invoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// drawer is a LedgerStore in memory, which can be away.
type drawer struct {
	mu    sync.Mutex
	away  bool
	saved map[string]faas.CallRecord
	calls int
}

func (s *drawer) SaveCalls(_ context.Context, records []faas.CallRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.away {
		return errors.New("away")
	}
	for _, r := range records {
		if old, ok := s.saved[r.ID]; !ok || old.State < r.State {
			s.saved[r.ID] = r
		}
	}
	return nil
}

func (s *drawer) ForgetCalls(context.Context, time.Time, int) (bool, error) { return false, nil }

func (s *drawer) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *drawer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.saved)
}

func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &drawer{saved: map[string]faas.CallRecord{}, away: true}
		l := NewLedger(s, slog.New(slog.DiscardHandler), metrics.NewSet())
		require.NoError(t, l.Start(t.Context()))
		at := time.Now()
		for i := range 1000 {
			l.Add(faas.CallRecord{ID: fmt.Sprint(i), State: faas.CallDone, CreatedAt: at})
		}
		l.Add(faas.CallRecord{ID: "0", State: faas.CallRunning, CreatedAt: at}) // older news
		synctest.Wait()
		require.Zero(t, s.count())
		s.setAway(false)
		time.Sleep(2 * time.Second) // it asks again
		synctest.Wait()
		require.Equal(t, 1000, s.count())
		require.Less(t, s.calls, 20, "many in one transaction")
		seen := map[int64]bool{}
		for _, r := range s.saved {
			require.Equal(t, faas.CallDone, r.State)
			require.False(t, seen[r.Number], "numbers are unique")
			seen[r.Number] = true
		}
		l.Add(faas.CallRecord{ID: "last", CreatedAt: at})
		require.NoError(t, l.Stop(t.Context()))
		require.Equal(t, 1001, s.count(), "stored at the end")
	})
}

func TestPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plans
		by := time.Now().Add(2 * time.Second)
		first, err := p.enter(t.Context(), "p", 256, 1, by)
		require.NoError(t, err)
		other, err := p.enter(t.Context(), "p", 128, 1, by)
		require.NoError(t, err, "another size has a plan of its own")
		begun := time.Now()
		_, err = p.enter(t.Context(), "p", 256, 1, by)
		require.Equal(t, faas.CodeQueueTimeout, faas.CodeOf(err))
		require.Equal(t, 2*time.Second, time.Since(begun))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = p.enter(gone, "p", 256, 1, time.Now().Add(time.Hour))
		require.Equal(t, faas.CodeCancelled, faas.CodeOf(err))
		go func() { time.Sleep(time.Second); first() }()
		second, err := p.enter(t.Context(), "p", 256, 1, time.Now().Add(2*time.Second))
		require.NoError(t, err, "a place that is left is taken")
		second()
		other()
		require.Empty(t, p.rooms, "nothing is kept of who has left")
		leave, err := p.enter(t.Context(), "p", 512, 0, by)
		require.NoError(t, err)
		leave()
	})
}

func TestLogText(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 2, 3, 4e6, time.UTC)
	require.Equal(t, "2026-11-21T01:02:03.004Z LOG a\n", LogText([]faas.LogLine{{Time: at, Level: faas.LevelLog, Text: "a"}}, 100))
	var lines []faas.LogLine
	for range 100 {
		lines = append(lines, faas.LogLine{Time: at, Level: faas.LevelInfo, Text: strings.Repeat("x", 100)})
	}
	text := LogText(lines, 1000)
	require.LessOrEqual(t, len(text), 1000)
	require.True(t, strings.HasPrefix(text, "... the beginning is left out ...\n2026-"))
}
