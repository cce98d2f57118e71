//go:build linux

package native_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/sandboxtest"
)

// children lists the processes that this one would have to reap, zombies included.
func children(t *testing.T) []int {
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var all []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if parent, _ := strconv.Atoi(string(fields[1])); parent == os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}

// TestCopiesThatNobodyKnowsAreReaped: of a template that dies before it has told, where the server cannot make what a copy is to have,
// and where it has no descriptor left for one.
func TestCopiesThatNobodyKnowsAreReaped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("templates take root")
		return
	}
	d := drivers(t)(t).(*native.Driver)
	before := len(children(t))
	s := guestSpec()
	dying, err := d.Template(t.Context(), sandboxtest.DyingTemplate(t))
	require.NoError(t, err)
	_, err = dying.Start(t.Context(), s)
	require.ErrorContains(t, err, "the template has ended")
	<-dying.Done()
	require.Eventually(t, func() bool { return len(children(t)) == before }, 20*time.Second, 10*time.Millisecond)

	start := sandboxtest.StartCopies(t, d)
	in, err := start(t.Context(), s, "import os; os.read(3, 1)")
	require.NoError(t, err)
	with := len(children(t))
	without := s
	without.Mounts = []sandbox.Mount{{Source: filepath.Join(t.TempDir(), "none"), Target: "/opt/function/code"}}
	_, err = start(t.Context(), without, "pass")
	require.ErrorContains(t, err, "/none: no such file")
	require.Len(t, children(t), with)
	native.FailToOpen(d)
	_, err = start(t.Context(), s, "pass")
	require.ErrorContains(t, err, "too many open files")
	require.Len(t, children(t), with)
	endOf(in)
}

func endOf(in sandbox.Instance) {
	in.Kill()
	<-in.Done()
	in.Control().Close()
	in.Output().Close()
}
