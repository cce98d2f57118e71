package content_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/content"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/test/need"
)

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func open(t *testing.T, dir string) *content.Store {
	s, err := content.Open(dir, http.DefaultClient, content.Told{})
	require.NoError(t, err)
	return s
}

// A download that breaks off goes on from there, after a restart too; from a server that cannot do that it begins anew.
func TestResume(t *testing.T) {
	for name, ranges := range map[string]bool{"ranges": true, "no ranges": false} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Repeat([]byte("0123456789"), 20_000)
			var sent atomic.Int64
			cut := true
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !ranges {
					r.Header.Del("Range")
				}
				if cut {
					cut = false
					w.Header().Set("Content-Length", "200000")
					n, _ := w.Write(data[:150_000])
					sent.Add(int64(n))
					panic(http.ErrAbortHandler)
				}
				counted := &counter{ResponseWriter: w}
				http.ServeContent(counted, r, "x", time.Time{}, bytes.NewReader(data))
				sent.Add(int64(counted.n))
			}))
			dir := t.TempDir()
			d := digest(data)
			require.Error(t, open(t, dir).Fetch(t.Context(), d, 200_000, web.URL))
			require.False(t, open(t, dir).Has(d))
			s := open(t, dir)
			require.NoError(t, s.Fetch(t.Context(), d, 200_000, web.URL))
			require.NoError(t, s.Fetch(t.Context(), d, 200_000, "http://nowhere.invalid"), "it is there")
			r, err := s.Open(t.Context(), d)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, data, got)
			web.Close() // which waits for what it has begun
			if ranges {
				require.Less(t, sent.Load(), int64(210_000))
			}
		})
	}
}

type counter struct {
	http.ResponseWriter
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += n
	return n, err
}

// What is not what its digest says has no name, whatever its size; and what was spoiled on disk is found out when it is read.
func TestWrong(t *testing.T) {
	data := []byte("right")
	d := digest(data)
	served := []byte("wrong")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(served) }))
	defer web.Close()
	s := open(t, t.TempDir())
	require.ErrorIs(t, s.Fetch(t.Context(), d, 5, web.URL), content.ErrDigest)
	served = append(data, "and more"...)
	require.ErrorIs(t, s.Fetch(t.Context(), d, 5, web.URL), content.ErrDigest)
	require.ErrorIs(t, s.Fetch(t.Context(), "../../etc/passwd", 5, web.URL), content.ErrDigest)
	require.ErrorIs(t, s.Add(d, 5, strings.NewReader("wrong")), content.ErrDigest)
	require.Error(t, s.Add(d, 5, strings.NewReader("rig")))
	require.False(t, s.Has(d))
	_, err := s.Open(t.Context(), d)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))

	served = data
	require.NoError(t, s.Fetch(t.Context(), d, -1, web.URL), "of unknown size")
	require.NoError(t, os.WriteFile(s.Path(d), []byte("wrong"), 0o600))
	r, err := s.Open(context.Background(), d)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, content.ErrDigest)
	require.False(t, s.Has(d), "to be fetched again")

	require.NoError(t, s.Add(d, 5, bytes.NewReader(data)))
	require.NoError(t, s.Sweep(map[string]bool{d: true}))
	require.True(t, s.Has(d))
	require.NoError(t, s.Sweep(nil))
	require.False(t, s.Has(d))
}

// A full disk is an error that leaves nothing behind; when there is room again the next attempt works.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		need.Skip(t, "a small disk can be made by root only: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	s := open(t, dir)
	big, small := bytes.Repeat([]byte("x"), 1<<20), bytes.Repeat([]byte("y"), 128<<10)
	err := s.Add(digest(big), int64(len(big)), bytes.NewReader(big))
	require.True(t, errors.Is(err, syscall.ENOSPC), "%v", err)
	require.NoError(t, s.Add(digest(small), int64(len(small)), bytes.NewReader(small)))
	require.True(t, s.Has(digest(small)))
}
