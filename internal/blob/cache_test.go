package blob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/blob/blobtest"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// counting is a store that counts openings and can hold them up.
type counting struct {
	blob.Store
	opened atomic.Int64
	before func(ctx context.Context) error // nil for none
}

func (c *counting) Open(ctx context.Context, digest string) (io.ReadCloser, error) {
	c.opened.Add(1)
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return nil, err
		}
	}
	return c.Store.Open(ctx, digest)
}

func newStore(t *testing.T) *counting {
	disk, err := blob.OpenDisk(filepath.Join(t.TempDir(), "blobs"))
	require.NoError(t, err)
	return &counting{Store: disk}
}

func newCache(t *testing.T, dir string, maxBytes int64, blobs blob.Opener) *blob.Cache {
	t.Helper()
	cache, err := blob.NewCache(blob.CacheConfig{Dir: dir, MaxBytes: maxBytes}, blobs)
	require.NoError(t, err)
	return cache
}

func add(t *testing.T, s blob.Store, data []byte) faas.Package {
	t.Helper()
	pkg, err := s.Add(t.Context(), data)
	require.NoError(t, err)
	return pkg
}

func dir(t *testing.T, c *blob.Cache, pkg faas.Package) (string, func()) {
	t.Helper()
	path, release, err := c.Dir(t.Context(), pkg)
	require.NoError(t, err)
	return path, release
}

func requireFile(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(text))
}

func TestCacheUnpacks(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // must make no difference
	blobs := newStore(t)
	place := filepath.Join(t.TempDir(), "cache")
	cache := newCache(t, place, 1<<30, blobs)

	packed := add(t, blobs, blobtest.Zip(t, "index.py", "pass", "lib/a.py", "a"))
	path, release := dir(t, cache, packed)
	requireFile(t, filepath.Join(path, "index.py"), "pass")
	requireFile(t, filepath.Join(path, "lib", "a.py"), "a")
	again, releaseAgain := dir(t, cache, packed)
	require.Equal(t, path, again)
	require.EqualValues(t, 1, blobs.opened.Load())
	release()
	release() // once more does nothing
	releaseAgain()

	script, releaseScript := dir(t, cache, named(add(t, blobs, []byte("#!/bin/sh\n")), "bootstrap"))
	laid, err := os.Stat(filepath.Join(script, "bootstrap"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), laid.Mode(), "a script that is a whole package is there to be run")
	releaseScript()

	bare := add(t, blobs, []byte("bare"))
	for _, name := range []string{"index.py", "main.py", "src/deep/index.py"} {
		bare.Filename = name
		path, release := dir(t, cache, bare)
		requireFile(t, filepath.Join(path, name), "bare")
		names, err := filepath.Glob(filepath.Join(path, "*"))
		require.NoError(t, err)
		require.Len(t, names, 1)
		release()
	}
	require.NoError(t, filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		switch {
		case path == place || filepath.Base(path) == "tmp":
		case d.IsDir():
			require.Equal(t, fs.FileMode(0o755), info.Mode().Perm(), path)
		case strings.HasSuffix(path, "/bootstrap"):
		case strings.Contains(path, "/code/"):
			require.Equal(t, fs.FileMode(0o644), info.Mode().Perm(), path)
		}
		return nil
	}))
	requireNothingLeft(t, place)
}

func named(pkg faas.Package, filename string) faas.Package {
	pkg.Filename = filename
	return pkg
}

func requireNothingLeft(t *testing.T, place string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(place, "tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCacheRefuses(t *testing.T) {
	blobs := newStore(t)
	place := t.TempDir()
	cache := newCache(t, place, 1<<30, blobs)
	bare := add(t, blobs, []byte("bare"))
	for _, name := range []string{"", "/index.py", "../index.py", "a/../../b", "a//b", ".", "a/.", `a\b`, "C:a", "a\x00", strings.Repeat("a", 256)} {
		bare.Filename = name
		_, _, err := cache.Dir(t.Context(), bare)
		var e *faas.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, faas.CodeInvalid, e.Code)
		require.Equal(t, "code_filename", e.Field)
	}
	bare.Source = false
	_, _, err := cache.Dir(t.Context(), bare)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), "text is no zip")
	for _, digest := range []string{"", "../../etc", strings.Repeat("ab", 64)} {
		_, _, err = cache.Dir(t.Context(), faas.Package{Digest: digest})
		require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
	}
	found, err := os.ReadDir(place)
	require.NoError(t, err)
	require.Len(t, found, 1, "only tmp")
	requireNothingLeft(t, place)
}

func TestCacheSpoiltPackage(t *testing.T) {
	blobs := t.TempDir()
	disk, err := blob.OpenDisk(blobs)
	require.NoError(t, err)
	place := t.TempDir()
	cache := newCache(t, place, 1<<30, disk)
	pkg := add(t, disk, blobtest.Zip(t, "a", "good"))
	bad := blobtest.Zip(t, "a", "evil")
	require.NoError(t, os.WriteFile(filepath.Join(blobs, pkg.Digest[:2], pkg.Digest), bad, 0o600))
	for _, source := range []bool{false, true} {
		pkg.Source, pkg.Filename = source, "a"
		_, _, err = cache.Dir(t.Context(), pkg)
		require.ErrorIs(t, err, blob.ErrCorrupt)
	}
	requireNothingLeft(t, place)

	add(t, disk, blobtest.Zip(t, "a", "good")) // once it is healed, it is unpacked
	pkg.Source = false
	path, release := dir(t, cache, pkg)
	defer release()
	requireFile(t, filepath.Join(path, "a"), "good")
}

func TestCacheUnpacksOnce(t *testing.T) {
	blobs := newStore(t)
	cache := newCache(t, t.TempDir(), 1<<30, blobs)
	pkg := add(t, blobs, blobtest.Zip(t, "a", "x"))
	var calls sync.WaitGroup
	for range 32 {
		calls.Go(func() {
			path, release, err := cache.Dir(t.Context(), pkg)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if _, err := os.Stat(filepath.Join(path, "a")); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.EqualValues(t, 1, blobs.opened.Load())
}

// The caller that unpacks goes away: those who wait behind it do not fail with it.
func TestCacheFirstCallerLeaves(t *testing.T) {
	blobs := newStore(t)
	began := make(chan struct{}, 2)
	blobs.before = func(ctx context.Context) error {
		began <- struct{}{}
		if blobs.opened.Load() == 1 {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	cache := newCache(t, t.TempDir(), 1<<30, blobs)
	pkg := add(t, blobs, blobtest.Zip(t, "a", "x"))
	first, leave := context.WithCancel(t.Context())
	firstErr, secondErr := make(chan error, 1), make(chan error, 1)
	go func() {
		_, _, err := cache.Dir(first, pkg)
		firstErr <- err
	}()
	<-began
	hasty, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := cache.Dir(hasty, pkg) // one that does not wait
	require.ErrorIs(t, err, context.Canceled)
	go func() {
		_, release, err := cache.Dir(t.Context(), pkg)
		if err == nil {
			release()
		}
		secondErr <- err
	}()
	leave()
	require.ErrorIs(t, <-firstErr, context.Canceled)
	require.NoError(t, <-secondErr)
}

func TestCacheTriesAgainAfterFailure(t *testing.T) {
	blobs := newStore(t)
	away := errors.New("store is away")
	blobs.before = func(context.Context) error {
		if blobs.opened.Load() == 1 {
			return away
		}
		return nil
	}
	place := t.TempDir()
	cache := newCache(t, place, 1<<30, blobs)
	pkg := add(t, blobs, blobtest.Zip(t, "a", "x"))
	_, _, err := cache.Dir(t.Context(), pkg)
	require.ErrorIs(t, err, away)
	requireNothingLeft(t, place)
	_, release := dir(t, cache, pkg)
	release()

	blobs.before = func(context.Context) error { panic("a store that panics") }
	other := add(t, blobs, []byte("other"))
	other.Filename = "a"
	require.Panics(t, func() { _, _, _ = cache.Dir(t.Context(), other) })
	blobs.before = nil
	_, release = dir(t, cache, other) // and leaves no one waiting for ever
	release()
}

func TestCacheReopens(t *testing.T) {
	blobs := newStore(t)
	place := t.TempDir()
	cache := newCache(t, place, 1<<30, blobs)
	pkg := add(t, blobs, blobtest.Zip(t, "a", "x"))
	path, _ := dir(t, cache, pkg) // never released: the process dies
	require.NoError(t, os.MkdirAll(filepath.Join(place, "tmp", "unpack-1", "code"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(place, strings.Repeat("ab", 64), "code"), 0o755)) // no marker

	cache = newCache(t, place, 1<<30, blobs)
	requireNothingLeft(t, place)
	require.NoDirExists(t, filepath.Join(place, strings.Repeat("ab", 64)))
	again, release := dir(t, cache, pkg)
	require.Equal(t, path, again)
	requireFile(t, filepath.Join(again, "a"), "x")
	require.EqualValues(t, 1, blobs.opened.Load(), "it was there already")
	release()

	newCache(t, place, 0, blobs)
	require.NoDirExists(t, path)
}

// Someone empties the folder while the server runs.
func TestCacheSurvivesRemoval(t *testing.T) {
	blobs := newStore(t)
	place := t.TempDir()
	cache := newCache(t, place, 1<<30, blobs)
	pkg := add(t, blobs, blobtest.Zip(t, "a", "x"))
	path, release := dir(t, cache, pkg)
	release()
	for _, remove := range []string{filepath.Dir(path), filepath.Join(filepath.Dir(path), "bytes")} {
		require.NoError(t, os.RemoveAll(remove))
		path, release = dir(t, cache, pkg)
		requireFile(t, filepath.Join(path, "a"), "x")
		release()
	}
	require.EqualValues(t, 3, blobs.opened.Load())
	requireNothingLeft(t, place)
}

func TestCachePrunesLeastRecentlyUsed(t *testing.T) {
	blobs := newStore(t)
	place := t.TempDir()
	const each = 100_000
	cache := newCache(t, place, 3*each+50_000, blobs) // room for three
	var paths []string
	var pkgs []faas.Package
	use := func(i int) func() {
		path, release := dir(t, cache, pkgs[i])
		paths[i] = path
		return release
	}
	for i := range 6 {
		pkgs = append(pkgs, add(t, blobs, blobtest.Zip(t, "a", strings.Repeat(string(rune('a'+i)), each))))
		paths = append(paths, "")
	}
	there := func() (names string) {
		for i, path := range paths {
			if _, err := os.Stat(path); err == nil && path != "" {
				names += string(rune('0' + i))
			}
		}
		return names
	}
	held := use(0)
	use(1)()
	use(2)()
	require.Equal(t, "012", there())
	use(1)()
	use(3)() // 2 is the oldest that no one uses
	require.Equal(t, "013", there())
	release4, release5 := use(4), use(5)
	require.Equal(t, "045", there())
	release2 := use(2) // all are in use: over the budget, and nothing goes
	require.Equal(t, "0245", there())
	release4()
	require.Equal(t, "025", there())
	held()
	release5()
	release2()
	require.Equal(t, "025", there())
	requireNothingLeft(t, place)

	// A restart remembers the order of use.
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(filepath.Dir(paths[5]), "bytes"), old, old))
	cache = newCache(t, place, 2*each+50_000, blobs)
	require.Equal(t, "02", there())
}

// Many callers on little room: nobody ever holds a folder that goes away.
func TestCacheUnderPressure(t *testing.T) {
	blobs := newStore(t)
	cache := newCache(t, t.TempDir(), 10_000, blobs)
	var pkgs []faas.Package
	for i := range 6 {
		pkgs = append(pkgs, add(t, blobs, blobtest.Zip(t, "a", strings.Repeat(string(rune('a'+i)), 5000))))
	}
	var calls sync.WaitGroup
	for worker := range 8 {
		calls.Go(func() {
			for i := range 15 {
				n := (worker*7 + i) % len(pkgs)
				path, release, err := cache.Dir(t.Context(), pkgs[n])
				if err != nil {
					t.Error(err)
					return
				}
				text, err := os.ReadFile(filepath.Join(path, "a"))
				if err != nil || string(text) != strings.Repeat(string(rune('a'+n)), 5000) {
					t.Errorf("package %d: %d bytes, %v", n, len(text), err)
				}
				release()
			}
		})
	}
	calls.Wait()
}
