package app

import (
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

// Memory goes back once after each load, not during one, and not for what an idle server allocates.
func TestSettle(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	var total uint64
	given := 0
	s := &settle{allocated: func() uint64 { return total }, giveBack: func() { given++ }}
	for _, step := range []struct {
		what      string
		allocated uint64 // MiB between two looks
		looks     int
		want      int // given back in all
	}{
		{"nothing yet", 0, 3, 0},
		{"a load", 50, 5, 0},
		{"it is over", 0, 5, 1},
		{"nothing goes on", 0, 100, 1},
		{"a little load", 10, 1, 1},
		{"not worth it", 0, 5, 1},
		{"a little more", 10, 1, 1},
		{"now it is", 0, 5, 2},
	} {
		for range step.looks {
			total += step.allocated * mib
			s.look()
		}
		require.Equal(t, step.want, given, step.what)
	}
}

// What is let go of is seen to be.
func TestGiveBack(t *testing.T) {
	before := allocated()
	func() {
		garbage := make([]byte, 64<<20)
		for i := 0; i < len(garbage); i += 4096 {
			garbage[i] = 1
		}
	}()
	require.GreaterOrEqual(t, allocated()-before, uint64(64<<20))
	released := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	held := released()
	newSettle().giveBack()
	require.Greater(t, released(), held+32<<20)
}
