//go:build linux

package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sandboxed lists the processes that run in a sandbox of a server in this place. Whoever their parent is now, they see
// the function's code, which lies in the data directory, so their mounts tell.
func (p *place) sandboxed(t *testing.T) []int {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/mnt")
	require.NoError(t, err)
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/mnt"); err != nil || ns == own {
			continue // gone, a kernel thread, or no sandbox
		}
		if mounts, err := os.ReadFile("/proc/" + e.Name() + "/mountinfo"); err == nil && bytes.Contains(mounts, []byte(p.mark)) {
			found = append(found, pid)
		}
	}
	return found
}

// mounts lists the host's own mounts that mention the place.
func (p *place) mounts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, p.mark) {
			found = append(found, line)
		}
	}
	return found
}

// groups lists the folders named after the place's data directory in every tree of cgroups, and what is below them.
func (p *place) groups(t *testing.T) (own, below []string) {
	t.Helper()
	sum := sha256.Sum256([]byte(p.DataDir))
	name := "hanshu-" + hex.EncodeToString(sum[:6])
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // a group that ends while we look
		case !entry.IsDir():
		case entry.Name() == name:
			own = append(own, path)
		case strings.Contains(path, "/"+name+"/"):
			below = append(below, path)
		}
		return nil
	})
	require.NoError(t, err)
	return own, below
}

// memory gives a figure of /proc/PID/status in MiB: VmRSS or VmHWM.
func (h *host) memory(t *testing.T, figure string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.PID()))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return float64(kib) / 1024
		}
	}
	t.Fatalf("no %s in /proc/%d/status", figure, h.PID())
	return 0
}
