package app

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/config"
)

// TestTakenAddress: the likeliest failure of a first start says what to do, and leaves nothing but the lock.
func TestTakenAddress(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	cfg := config.Defaults()
	cfg.DataDir, cfg.Listen = t.TempDir(), busy.Addr().String()
	_, err = New(t.Context(), cfg, "test", NewLog(cfg, io.Discard))
	require.ErrorContains(t, err, "address already in use; choose another address with --listen")
	left, err := os.ReadDir(cfg.DataDir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "lock", left[0].Name())
}
