package pool_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// shelfOfFolders counts what was asked for and let go of.
type shelfOfFolders struct {
	asked, released int
	err             error
}

func (s *shelfOfFolders) Dir(context.Context, faas.Package) (string, func(), error) {
	s.asked++
	return "/", func() { s.released++ }, s.err
}

// TestPrepareUnpacks: the code lies ready before the first call. What cannot be unpacked is told by that call.
func TestPrepareUnpacks(t *testing.T) {
	folders := &shelfOfFolders{}
	s := newStage(t, &actors{}, func(c *pool.Config) { c.Folders = folders })
	require.NoError(t, s.Prepare(t.Context(), s.function()))
	require.Equal(t, 1, folders.asked)
	require.Equal(t, 1, folders.released)

	folders.err = errors.New("no space left")
	require.NoError(t, s.Prepare(t.Context(), s.function()))
	require.Equal(t, 2, folders.asked)
	require.Equal(t, 1, folders.released)
}
