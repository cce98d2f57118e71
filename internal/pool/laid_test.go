package pool

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// What lies there as it should is not written again, and whatever differs is made good.
func TestLayDown(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a.py": {Data: []byte("one")}, "lib/b.py": {Data: make([]byte, 20_000)}}
	dir := filepath.Join(t.TempDir(), "python")
	written := func() bool {
		t.Helper()
		old := time.Unix(1, 0)
		if err := os.Chtimes(filepath.Join(dir, "a.py"), old, old); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		require.NoError(t, layDown(files, dir))
		require.True(t, laidDown(files, dir))
		info, err := os.Stat(filepath.Join(dir, "a.py"))
		require.NoError(t, err)
		return !info.ModTime().Equal(old)
	}
	require.True(t, written(), "nothing was there")
	require.False(t, written(), "all was")
	require.NoError(t, os.Truncate(filepath.Join(dir, "lib", "b.py"), 19_999))
	require.True(t, written(), "one was torn")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.py"), nil, 0o600))
	require.True(t, written(), "one was foreign")
	require.NoError(t, os.Remove(filepath.Join(dir, "lib", "b.py")))
	require.True(t, written(), "one was gone")
}
