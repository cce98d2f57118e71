package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Warm loads an instance without a call, which the first call then finds; code that does not load says so.
func TestWarm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	f := h.function(t, "def handler(event, context):\n    return 1\n")
	res, err := h.Warm(t.Context(), f, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	res, err = h.Warm(t.Context(), f, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Nil(t, res.Failure, "one is warm already")
	all, _ := h.Instances(f.Key())
	require.Equal(t, 1, all)

	bad := h.function(t, "raise RuntimeError('no')\n")
	res, err = h.Warm(t.Context(), bad, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, faas.CodeLoad, res.Failure.Code)
}
