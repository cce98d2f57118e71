package record_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/test/need"
)

// A disk without room loses records, which is counted, and nothing else: adding goes on, and works again when there is room.
func TestDiskFull(t *testing.T) {
	dir, counts := t.TempDir(), metrics.NewSet()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=700"); err != nil {
		need.Skip(t, "a small disk needs the right to mount: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	cfg := small(dir)
	cfg.Metrics = counts
	s := open(t, cfg)
	fill(t, s, 100)
	ballast := filepath.Join(dir, "ballast")
	require.ErrorIs(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o600), syscall.ENOSPC)
	fill(t, s, 1000)
	lost := value(t, counts, "hanshu_records_dropped_total")
	require.NotZero(t, lost)
	count := func() uint64 {
		return uint64(len(all(t, s, faas.RecordFilter{Project: "p0"})) + len(all(t, s, faas.RecordFilter{Project: "p1"})))
	}
	before := count()
	require.EqualValues(t, 1100, before+lost, "what is not there was counted")
	require.NoError(t, os.Remove(ballast))
	fill(t, s, 100)
	require.Equal(t, before+100, count())
	require.NoError(t, s.Close())
	s = open(t, cfg)
	require.Equal(t, before+100, count())
}
