package app

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/image"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

// An image goes when no function names it any more, and not before it has been here for an hour.
func TestSweepOfImages(t *testing.T) {
	dir := t.TempDir()
	db := freshtest.Open(t)
	images, err := image.Open(image.Config{Dir: filepath.Join(dir, "images")})
	require.NoError(t, err)
	lay := func(letter string, age time.Duration) string {
		digest := strings.Repeat(letter, 64)
		folder := filepath.Join(dir, "images", digest)
		require.NoError(t, os.MkdirAll(filepath.Join(folder, "root", "etc"), 0o755))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(folder, at, at))
		return folder
	}
	used, unused, young := lay("a", 2*time.Hour), lay("b", 2*time.Hour), lay("c", time.Minute)
	f := &faas.Function{
		ID: "1", Project: "p", Package: "default", Name: "f", Version: faas.Latest, Revision: 1,
		Spec: faas.Spec{Runtime: faas.RuntimeImage, Image: &faas.Image{Ref: "registry.example/app"}},
		Code: faas.Package{Kind: faas.KindImage, Digest: "sha256:" + strings.Repeat("a", 64), Size: 1},
	}
	require.NoError(t, db.CreateFunction(t.Context(), f, faas.DefaultQuota))

	s := newSweep("images", images.Sweep, db.DigestUsed, slog.New(slog.NewTextHandler(io.Discard, nil)))
	s.run(t.Context())
	require.DirExists(t, used)
	require.NoDirExists(t, unused)
	require.DirExists(t, young)

	require.NoError(t, db.DeleteFunction(t.Context(), f.Key()))
	s.run(t.Context())
	require.NoDirExists(t, used)
}

// The packages of a deleted function go from the disk, packed and unpacked, when they have been there for an hour; those that another
// function has stay.
func TestSweepOfPackages(t *testing.T) {
	dir := t.TempDir()
	db := freshtest.Open(t)
	blobs, err := blob.OpenDisk(filepath.Join(dir, "packages"))
	require.NoError(t, err)
	old := time.Now().Add(-2 * time.Hour)
	folders := map[string]string{}
	cache, err := blob.NewCache(blob.CacheConfig{Dir: filepath.Join(dir, "code"), MaxBytes: 1 << 30}, blobs)
	require.NoError(t, err)
	key := map[string]faas.FunctionKey{}
	for _, name := range []string{"goes", "stays"} {
		pkg, err := blobs.Add(t.Context(), []byte("name = '"+name+"'"))
		require.NoError(t, err)
		pkg.Kind, pkg.Filename = faas.KindInline, "index.py"
		f := &faas.Function{ID: name, Project: "p", Package: "default", Name: name, Version: faas.Latest, Code: pkg}
		require.NoError(t, db.CreateFunction(t.Context(), f, faas.DefaultQuota))
		_, err = db.PublishVersion(t.Context(), f.Key(), faas.DefaultQuota, faas.MaxVersions, func(f *faas.Function) (*faas.Function, error) {
			v := *f
			v.Version = "v1"
			return &v, nil
		})
		require.NoError(t, err)
		path, release, err := cache.Dir(t.Context(), pkg)
		require.NoError(t, err)
		release()
		folders[name], key[name] = path, f.Key()
		require.NoError(t, os.Chtimes(filepath.Join(filepath.Dir(path), "bytes"), old, old))
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "packages"), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	}))
	cache, err = blob.NewCache(blob.CacheConfig{Dir: filepath.Join(dir, "code"), MaxBytes: 1 << 30}, blobs) // it reads when they were used
	require.NoError(t, err)
	count := func() (n int) {
		for _, err := range blobs.List(t.Context()) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	log := slog.New(slog.DiscardHandler)
	packed, unpacked := newSweep("packages", blobs.Sweep, db.DigestUsed, log), newSweep("unpacked packages", cache.Sweep, db.DigestUsed, log)
	_, err = db.DeleteVersion(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: "goes", Version: "v1"})
	require.NoError(t, err)
	packed.run(t.Context())
	unpacked.run(t.Context())
	require.Equal(t, 2, count(), "latest has it still")
	require.DirExists(t, folders["goes"])

	require.NoError(t, db.DeleteFunction(t.Context(), key["goes"]))
	packed.run(t.Context())
	unpacked.run(t.Context())
	require.Equal(t, 1, count())
	require.NoDirExists(t, folders["goes"])
	require.DirExists(t, folders["stays"])
}
