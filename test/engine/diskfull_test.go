//go:build linux

package engine

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// TestDiskFull fills the small disk that a server's data lies on: calls that cannot be accepted are refused and told why, and
// those that were accepted run once there is room again.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		need.Skip(t, "only root can mount a small filesystem")
	}
	t.Parallel()
	p := newPlace(t, 0, "--sandbox", "none")
	require.NoError(t, os.MkdirAll(p.DataDir, 0o700))
	if err := syscall.Mount("tmpfs", p.DataDir, "tmpfs", 0, "size=64m,mode=700"); err != nil {
		need.Skip(t, "a small filesystem cannot be mounted: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(p.DataDir, syscall.MNT_DETACH)) })
	h := p.start(t)
	t.Cleanup(func() { h.Stop(t) }) // before its disk goes
	file := filepath.Join(filepath.Dir(p.DataDir), "ran")
	h.create(t, function{name: "mark", runtime: python, source: jobMark, concurrency: 1})

	event := func(n int) []byte {
		return []byte(`{"n":1,"file":"` + file + `","pad":"` + strings.Repeat("x", 100_000) + `"}`)
	}
	ballast := filepath.Join(p.DataDir, "ballast")
	acked := map[string]bool{}
	refused := 0
	for round := range 2 {
		for n := range 20 {
			id, a, err := h.enqueue(t.Context(), "mark", event(n))
			require.NoError(t, err)
			require.NotEmpty(t, id, "%d %s", a.status, a.body)
			acked[id] = true
		}
		fillDisk(t, ballast)
		for n := range 200 {
			id, a, err := h.enqueue(t.Context(), "mark", event(n))
			require.NoError(t, err)
			if id != "" {
				acked[id] = true
				continue
			}
			refused++
			require.Equal(t, http.StatusServiceUnavailable, a.status, "%s", a.body)
			require.Contains(t, string(a.body), "FSS.0503")
			require.Contains(t, string(a.body), "the disk of the database is full")
		}
		require.NotZero(t, refused, "the disk was not full")
		if round == 1 {
			h.Kill() // while the disk is full
			require.NoError(t, os.Remove(ballast))
			h = p.start(t)
			break
		}
		require.NoError(t, os.Remove(ballast))
		h.settled(t)
	}
	h.settled(t)
	rows, ran := h.asyncRows(t, "mark"), linesOf(t, file)
	for id := range acked {
		require.Equal(t, "SUCCESS", rows[id].Status, "%+v", rows[id])
		require.NotZero(t, ran[id])
	}
	require.Len(t, rows, len(acked), "what was refused does not run")
	t.Logf("%d acknowledged and run, %d refused", len(acked), refused)
}

// fillDisk leaves no room on the disk of a file.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	block := make([]byte, 4096)
	deadline := time.Now().Add(time.Minute)
	for err == nil && time.Now().Before(deadline) {
		_, err = f.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
}
