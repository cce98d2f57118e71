package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestShelfComesDownSlowly: the pool looks after its shelves twice a second, but what a burst has raised is there for another that comes
// soon, and halves with each quarter of the time that an instance may idle.
func TestShelfComesDownSlowly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const quarter = 15 * time.Second
	s := &shelf{pool: &Pool{cfg: Config{IdleTimeout: 4 * quarter}}, templates: &keeper{}, want: 64, used: now}
	for range s.want {
		in := &instance{}
		in.retired.Do(func() {}) // there is no process
		s.ready = append(s.ready, in)
	}
	for _, look := range []time.Duration{0, time.Second / 2, quarter - 1} {
		s.clear(false, now.Add(look))
		require.Len(t, s.ready, 64)
	}
	for _, left := range []int{32, 16, 8} {
		now = now.Add(quarter)
		s.clear(false, now)
		require.Len(t, s.ready, left)
		require.Equal(t, left, s.want)
	}
}
