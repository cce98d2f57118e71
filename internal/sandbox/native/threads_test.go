//go:build linux

package native_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// TestSandboxesTakeNoThreads: those that run are waited for by the poller, and their ends are told all the same.
func TestSandboxesTakeNoThreads(t *testing.T) {
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		return len(tasks)
	}
	const many = 40
	d := drivers(t)(t)
	s := guestSpec()
	s.Command = []string{"/bin/sleep", "600"}
	before := threads()
	var all []sandbox.Instance
	for range many {
		in, err := d.Start(t.Context(), s)
		require.NoError(t, err)
		defer in.Control().Close()
		defer in.Output().Close()
		all = append(all, in)
	}
	require.Less(t, threads(), before+many/2)
	for _, in := range all {
		in.Kill()
	}
	for _, in := range all {
		<-in.Done()
		require.Equal(t, "killed", in.Exit().Signal)
	}
}
