package store

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/test/need"
)

// childSync tells a child of TestEnqueueSyncs how its database is to sync.
const childSync = "HANSHU_TEST_CHILD_SYNC"

// TestEnqueueSyncs counts the syncs of a program that accepts jobs one after another: one for each, before it is acknowledged.
// The same program over a database that does not sync shows that the test can fail.
func TestEnqueueSyncs(t *testing.T) {
	if how := os.Getenv(childSync); how != "" {
		acceptTen(t, how)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		need.Skip(t, "strace is missing")
	}
	t.Parallel()
	for how, want := range map[string]int{"full": 10, "off": 0} {
		trace := filepath.Join(t.TempDir(), "trace")
		cmd := exec.Command(strace, "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,write", os.Args[0], "-test.run", "^TestEnqueueSyncs$")
		cmd.Env = append(os.Environ(), childSync+"="+how)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		text, err := os.ReadFile(trace)
		require.NoError(t, err)
		_, rest, begun := strings.Cut(string(text), `"begin\n"`)
		require.True(t, begun)
		syncs, acknowledged, early := 0, 0, 0
		for line := range strings.Lines(rest) {
			switch {
			case strings.Contains(line, "sync(") && strings.Contains(line, "a.db-wal"):
				syncs++
			case strings.Contains(line, `"accepted\n"`):
				acknowledged++
				if syncs < acknowledged {
					early++
				}
			}
		}
		require.Equal(t, 10, acknowledged)
		require.Equal(t, 10-want, early, "synchronous=%s: acknowledged before their sync", how)
	}
}

func acceptTen(t *testing.T, how string) {
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.write.Exec("pragma synchronous = " + how)
	require.NoError(t, err)
	accept := func() {
		_, err := db.EnqueueJob(t.Context(), faas.Job{ID: uuid.NewString(), Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f"}})
		require.NoError(t, err)
	}
	accept() // makes what is made once
	_, _ = os.Stdout.WriteString("begin\n")
	for range 10 {
		accept()
		_, _ = os.Stdout.WriteString("accepted\n")
	}
}
