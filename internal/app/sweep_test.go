package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/image"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// An image goes when no function names it any more, and not before it has been here for an hour.
func TestSweepOfImages(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "hanshu.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
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
