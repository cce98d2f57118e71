//go:build linux

package native_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServerWeighsMoreThanFunctions looks where the kernel has this process while a driver is up: it does not run beside others that are.
func TestServerWeighsMoreThanFunctions(t *testing.T) {
	root := "/sys/fs/cgroup/cpu"
	if _, err := os.Stat(filepath.Join(root, "cpu.shares")); err != nil || os.Geteuid() != 0 {
		t.Log("only root on cgroup v1 makes a group for the server alone")
		return
	}
	own := func() string {
		text, err := os.ReadFile("/proc/self/cgroup")
		require.NoError(t, err)
		for _, line := range strings.Split(string(text), "\n") {
			if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && strings.Contains(","+parts[1]+",", ",cpu,") {
				return parts[2]
			}
		}
		return ""
	}
	shares := func(group string) int {
		text, err := os.ReadFile(filepath.Join(root, group, "cpu.shares"))
		require.NoError(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		return n
	}
	before := own()
	d := drivers(t)(t)
	group := own()
	require.NotEqual(t, before, group)
	functions, ok := strings.CutSuffix(group, "-server")
	require.True(t, ok, group)
	require.Equal(t, 10*shares(functions), shares(group))
	require.NoError(t, d.Close())
	require.Equal(t, before, own())
	require.NoDirExists(t, filepath.Join(root, group))
}
