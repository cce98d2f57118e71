package blob_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/blob/blobtest"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// layered gives a package with others laid over it.
func layered(pkg faas.Package, over ...faas.Package) faas.Package {
	for _, o := range over {
		pkg.Layers = append(pkg.Layers, o.Digest)
	}
	return pkg
}

// tree writes down a folder: name -> text, "/" for a folder, "-> target" for a link.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case path == dir:
		case entry.IsDir():
			all[name] = "/"
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			all[name] = "-> " + target
		default:
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			all[name] = string(text)
		}
		return nil
	}))
	return all
}

func TestCacheMergesLayers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // must make no difference
	blobs := newStore(t)
	cache := newCache(t, filepath.Join(t.TempDir(), "cache"), 1<<30, blobs)
	code := add(t, blobs, blobtest.Zip(t, "index.py", "code", "lib/a.py", "code", "lib/deep/b.py", "code", "plain", "code", "bin/run", "#!/bin/sh"))
	one := add(t, blobs, blobtest.Zip(t, "index.py", "one", "lib/c.py", "one", "plain/now/folder", "one"))
	two := add(t, blobs, blobtest.Zip(t, "lib/c.py", "two", "lib/deep", "two"))
	three := add(t, blobs, blobtest.Zip(t, "lib/deep/d.py", "three"))

	path, release := dir(t, cache, layered(code, one, two, three))
	require.Equal(t, map[string]string{
		"index.py": "one", "bin": "/", "bin/run": "#!/bin/sh", "lib": "/", "lib/a.py": "code", "lib/c.py": "two",
		"lib/deep": "/", "lib/deep/d.py": "three", // and not b.py, which a file had covered in between
		"plain": "/", "plain/now": "/", "plain/now/folder": "one",
	}, tree(t, path))
	require.EqualValues(t, 4, blobs.opened.Load())
	run, err := os.Stat(filepath.Join(path, "bin", "run"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), run.Mode())
	lib, err := os.Stat(filepath.Join(path, "lib"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|0o755, lib.Mode())

	other, releaseOther := dir(t, cache, layered(code, two, one))
	requireFile(t, filepath.Join(other, "lib", "c.py"), "one")
	require.EqualValues(t, 4, blobs.opened.Load(), "each package is unpacked once")
	alone, releaseAlone := dir(t, cache, one)
	require.Equal(t, inode(t, filepath.Join(alone, "index.py")), inode(t, filepath.Join(path, "index.py")), "one copy of each file")
	plain, releasePlain := dir(t, cache, code)
	requireFile(t, filepath.Join(plain, "index.py"), "code")

	source := add(t, blobs, []byte("source"))
	source.Filename = "src/index.py"
	bare, releaseBare := dir(t, cache, layered(source, two))
	require.Equal(t, map[string]string{"src": "/", "src/index.py": "source", "lib": "/", "lib/c.py": "two", "lib/deep": "two"}, tree(t, bare))
	for _, r := range []func(){release, releaseOther, releaseAlone, releasePlain, releaseBare} {
		r()
	}
	_, _, err = cache.Dir(t.Context(), layered(code, faas.Package{Digest: strings.Repeat("0", 128)}))
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
}

// linkZip is a package with one symbolic link.
func linkZip(t *testing.T, name, target string) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	head := &zip.FileHeader{Name: name}
	head.SetMode(fs.ModeSymlink | 0o777)
	f, err := w.CreateHeader(head)
	require.NoError(t, err)
	_, err = f.Write([]byte(target))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func inode(t *testing.T, path string) uint64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Ino
}

// A link of one layer must not lead what another writes out of the tree, nor anywhere in it.
func TestCacheMergeFollowsNoLink(t *testing.T) {
	blobs := newStore(t)
	cache := newCache(t, filepath.Join(t.TempDir(), "cache"), 1<<30, blobs)
	target := add(t, blobs, blobtest.Zip(t, "real/a", "code"))
	links := add(t, blobs, linkZip(t, "lib", "real"))
	folder := add(t, blobs, blobtest.Zip(t, "lib/a", "folder"))

	path, release := dir(t, cache, layered(target, links, folder))
	defer release()
	require.Equal(t, map[string]string{"real": "/", "real/a": "code", "lib": "/", "lib/a": "folder"}, tree(t, path))
	path, release = dir(t, cache, layered(target, folder, links))
	defer release()
	require.Equal(t, map[string]string{"real": "/", "real/a": "code", "lib": "-> real"}, tree(t, path))
}

// What is merged holds its parts; both go when there is too much, and come again.
func TestCachePrunesMerged(t *testing.T) {
	blobs := newStore(t)
	place := filepath.Join(t.TempDir(), "cache")
	cache := newCache(t, place, 0, blobs)
	code := add(t, blobs, blobtest.Zip(t, "index.py", "code"))
	lib := add(t, blobs, blobtest.Zip(t, "lib.py", "lib"))
	both := layered(code, lib)
	trees := func() int {
		found, err := filepath.Glob(filepath.Join(place, "*"))
		require.NoError(t, err)
		return len(found) - 1 // tmp
	}
	path, release := dir(t, cache, both)
	require.Equal(t, 3, trees())
	requireFile(t, filepath.Join(path, "lib.py"), "lib")
	release()
	require.Zero(t, trees(), "nothing uses anything")

	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 5 {
				path, release, err := cache.Dir(t.Context(), both)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(filepath.Join(path, "lib.py")); err != nil {
					t.Error(err)
				}
				release()
			}
		})
	}
	users.Wait()
	require.Zero(t, trees())

	cache = newCache(t, place, 1<<30, blobs)
	_, release = dir(t, cache, both)
	release()
	require.Equal(t, 3, trees())
	opened := blobs.opened.Load()
	cache = newCache(t, place, 1<<30, blobs) // as after a restart
	require.Equal(t, 2, trees(), "a merged tree is made anew")
	path, release = dir(t, cache, both)
	requireFile(t, filepath.Join(path, "lib.py"), "lib")
	release()
	require.Equal(t, opened, blobs.opened.Load())

	require.NoError(t, os.RemoveAll(filepath.Dir(path))) // someone takes it apart
	path, release = dir(t, cache, both)
	requireFile(t, filepath.Join(path, "lib.py"), "lib")
	release()
}
