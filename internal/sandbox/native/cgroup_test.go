//go:build linux

package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPrepareV2 looks at what is asked of the kernel, on a folder that only looks like a group: with part of the
// controllers, the group of a server that was started by one of its kind, and what an earlier server left behind.
func TestPrepareV2(t *testing.T) {
	root := t.TempDir()
	service := filepath.Join(root, "service")
	stale := filepath.Join(service, "hanshu-x", "1")
	require.NoError(t, os.MkdirAll(stale, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(service, serverLeaf("hanshu-x")), 0o755))
	control := filepath.Join(service, "cgroup.subtree_control")
	for path, text := range map[string]string{filepath.Join(service, "cgroup.controllers"): "cpuset memory pids\n", control: ""} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	g := &groups{}
	// The last step fails: only the kernel makes a new group's files.
	require.False(t, g.useV2(root, "/service/"+serverLeaf("hanshu-x"), "hanshu-x"))
	require.NoDirExists(t, stale)
	asked, err := os.ReadFile(control)
	require.NoError(t, err)
	require.Equal(t, " +memory +pids", string(asked))
	_, has, err := prepareV2(service, "hanshu-x")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, []string{"memory", "pids"}, has)
	require.False(t, g.has("memory"))
}

// TestMakeGroupOverALeftOne makes a group where an earlier sandbox has left one.
func TestMakeGroupOverALeftOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "5")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "inner"), 0o755))
	require.NoError(t, makeGroup(dir))
	require.NoDirExists(t, filepath.Join(dir, "inner"))
	require.NoError(t, makeGroup(filepath.Join(dir, "new")))
}

// TestMemoryPeak reads the peak anew each time, and nothing once the group has gone: its descriptor may be another file's then.
func TestMemoryPeak(t *testing.T) {
	gr := &group{parent: &groups{v2: t.TempDir()}, name: "5"}
	require.NoError(t, os.Mkdir(gr.folder(""), 0o755))
	file := filepath.Join(gr.folder(""), "memory.peak")
	require.Zero(t, gr.memoryPeak())
	for text, want := range map[string]int64{"1000\n": 1000, "20000\n": 20000} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.Equal(t, want, gr.memoryPeak())
	}
	number := gr.from
	gr.remove()
	other, err := os.Open(file)
	require.NoError(t, err)
	defer other.Close()
	if int(other.Fd()) == number { // but for another test that was quicker
		require.Zero(t, gr.memoryPeak())
	}
}
