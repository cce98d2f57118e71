package app

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/config"
)

func TestDoctorTellsWhatIsWrong(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	cfg := config.Defaults()
	cfg.Sandbox, cfg.Path = config.SandboxNone, os.Getenv("PATH")
	cfg.DataDir, cfg.Listen = file, busy.Addr().String()
	cfg.DB = "postgres://nobody@127.0.0.1:1/none"
	levels := map[string]string{}
	for _, f := range Doctor(t.Context(), cfg) {
		levels[f.Name] = f.Level
		require.Equal(t, f.Level == LevelOK, f.OK)
		require.NotEmpty(t, f.Detail)
		if f.Level == LevelFail {
			require.NotEmpty(t, f.Fix, f.Name)
		}
	}
	require.Equal(t, map[string]string{
		"sandbox": LevelWarn, "runtimes": LevelOK, "data directory": LevelFail, "disk": LevelOK, "address": LevelWarn, "database": LevelFail,
	}, levels)

	cfg.DataDir, cfg.DB, cfg.Listen = filepath.Join(t.TempDir(), "new"), "", "127.0.0.1:0"
	for _, f := range Doctor(t.Context(), cfg) {
		require.NotEqual(t, LevelFail, f.Level, "%+v", f)
	}
	require.NoDirExists(t, cfg.DataDir, "looking must make nothing")
}
