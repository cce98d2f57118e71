package blob_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestCacheSweep removes what nobody wants, and leaves what is wanted, in use, or was used a moment ago.
func TestCacheSweep(t *testing.T) {
	blobs, dir := newStore(t), filepath.Join(t.TempDir(), "cache")
	cache := newCache(t, dir, 1<<30, blobs)
	lay := func(source string) (faas.Package, string, func()) {
		pkg := add(t, blobs, []byte(source))
		pkg.Filename = "index.py"
		path, release, err := cache.Dir(t.Context(), pkg)
		require.NoError(t, err)
		return pkg, path, release
	}
	wanted, kept, release := lay("wanted = 1")
	release()
	_, gone, release := lay("gone = 1")
	release()
	inUse, busy, release := lay("busy = 1")
	keep := func(digest string) (bool, error) { return digest == wanted.Digest, nil }

	n, err := cache.Sweep(t.Context(), keep, time.Hour)
	require.NoError(t, err)
	require.Zero(t, n, "all were used a moment ago")
	n, err = cache.Sweep(t.Context(), keep, -time.Second)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoDirExists(t, filepath.Dir(gone))
	require.DirExists(t, kept)
	require.DirExists(t, busy)
	release()
	broken := errors.New("broken")
	_, err = cache.Sweep(t.Context(), func(string) (bool, error) { return false, broken }, -time.Second)
	require.ErrorIs(t, err, broken)
	n, err = cache.Sweep(t.Context(), keep, -time.Second)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoDirExists(t, filepath.Dir(busy))

	_, release, err = cache.Dir(t.Context(), inUse) // it can come back
	require.NoError(t, err)
	release()
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}
