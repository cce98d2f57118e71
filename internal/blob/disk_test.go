package blob_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/blob/blobtest"
	"github.com/hanshu-faas/hanshu/internal/control"
)

var _ control.PackageStore = (*blob.Disk)(nil)

func TestDisk(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blobtest.Subject {
		dir := filepath.Join(t.TempDir(), "blobs")
		disk, err := blob.OpenDisk(dir)
		require.NoError(t, err)
		t.Cleanup(func() {
			left, err := os.ReadDir(filepath.Join(dir, "tmp"))
			require.NoError(t, err)
			require.Empty(t, left, "nothing half written stays")
		})
		return blobtest.Subject{Store: disk, Spoil: func(t *testing.T, digest string, to []byte) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, digest[:2], digest), to, 0o600))
		}}
	})
}

func TestDiskReopens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	disk, err := blob.OpenDisk(dir)
	require.NoError(t, err)
	pkg, err := disk.Add(t.Context(), []byte("code"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tmp", "add-1"), []byte("half"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, pkg.Digest[:2], "README"), []byte("not ours"), 0o600))

	disk, err = blob.OpenDisk(dir)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "tmp", "add-1"))
	info, err := os.Stat(filepath.Join(dir, pkg.Digest[:2], pkg.Digest))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	found := 0
	for info, err := range disk.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, pkg.Digest, info.Digest)
		found++
	}
	require.Equal(t, 1, found)

	_, err = blob.OpenDisk(filepath.Join(dir, pkg.Digest[:2], "README"))
	require.Error(t, err)
}
