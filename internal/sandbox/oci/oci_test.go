//go:build linux

package oci_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/oci"
	"github.com/hanshu-faas/hanshu/internal/sandbox/sandboxtest"
)

// find gives the path of a runtime, which `make deps` installs; /usr/sbin is not in everyone's PATH.
func find(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	require.NoError(t, err)
	return path
}

func newDriver(t *testing.T, runtime, private string) (*oci.Driver, error) {
	token := filepath.Base(filepath.Dir(t.TempDir())) + "-" + filepath.Base(t.TempDir())
	dir := "/run/hanshu-" + token
	if os.Geteuid() != 0 {
		dir = t.TempDir()
	}
	d, err := oci.New(t.Context(), oci.Config{Runtime: runtime, Dir: dir, Private: private, Token: token})
	if err == nil {
		t.Cleanup(func() {
			require.NoError(t, d.Close())
			require.NoDirExists(t, dir)
			for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
				left, err := filepath.Glob(pattern + "hanshu-oci-" + token)
				require.NoError(t, err)
				require.Empty(t, left)
			}
		})
	}
	return d, err
}

func suite(t *testing.T, name string) {
	path := find(t, name)
	sandboxtest.Run(t, func(t *testing.T) sandbox.Driver {
		d, err := newDriver(t, path, "")
		require.NoError(t, err)
		return d
	})
}

// TestRunc holds runc to what every isolating level promises.
func TestRunc(t *testing.T) {
	if refusedToUsers(t, "runc") {
		return
	}
	suite(t, "runc")
}

// TestCrun does the same, where crun can run: crun 1.8 refuses a host that has a v2 tree beside those of v1, and then so
// does the driver, in crun's words.
func TestCrun(t *testing.T) {
	if refusedToUsers(t, "crun") {
		return
	}
	if _, err := newDriver(t, find(t, "crun"), ""); err != nil {
		require.DirExists(t, "/sys/fs/cgroup/unified", "only there may it fail: %v", err)
		require.ErrorContains(t, err, "crun cannot start a sandbox on this host")
		t.Log(err)
		return
	}
	suite(t, "crun")
}

// refusedToUsers sees an ordinary user refused, and tells whether this is one.
func refusedToUsers(t *testing.T, name string) bool {
	if os.Geteuid() == 0 {
		return false
	}
	_, err := newDriver(t, find(t, name), "")
	require.ErrorContains(t, err, "run hanshu as root")
	return true
}

func TestNoRuntime(t *testing.T) {
	if os.Geteuid() != 0 {
		return // refused before
	}
	_, err := newDriver(t, "/usr/bin/no-such-runtime", "")
	require.ErrorContains(t, err, "/usr/bin/no-such-runtime is no OCI runtime")
	_, err = newDriver(t, "/bin/true", "")
	require.ErrorContains(t, err, "/bin/true cannot start a sandbox on this host")
}

// TestPrivateFoldersStayOutOfView asks for a folder above what no sandbox may see.
func TestPrivateFoldersStayOutOfView(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	dir := t.TempDir()
	private := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(private, 0o755))
	d, err := newDriver(t, find(t, "runc"), private)
	require.NoError(t, err)
	for _, source := range []string{dir, private, "/"} {
		_, err := d.Start(t.Context(), sandbox.Spec{Command: []string{"/bin/true"}, Dir: "/", Mounts: []sandbox.Mount{{Source: source, Target: "/opt/x"}}})
		require.ErrorContains(t, err, "cannot be shown")
	}
}

// TestEndBeforeKill kills a container that has ended by itself before its runtime could say so: how it ended is not lost.
func TestEndBeforeKill(t *testing.T) {
	if refusedToUsers(t, "runc") {
		return
	}
	d, err := newDriver(t, find(t, "runc"), "")
	require.NoError(t, err)
	in, err := d.Start(t.Context(), sandbox.Spec{
		Command: []string{"/bin/sh", "-c", "read -r word <&3; exit 3"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		MemoryBytes: 128 << 20, Processes: 64, Files: 64, TmpBytes: 1 << 20,
	})
	require.NoError(t, err)
	defer in.Output().Close()
	runtime := oci.RuntimePID(in)
	shell, err := unix.PidfdOpen(onlyChild(t, runtime), 0)
	require.NoError(t, err)
	defer unix.Close(shell)
	require.NoError(t, unix.Kill(runtime, unix.SIGSTOP))
	require.NoError(t, in.Control().Close())
	for err = unix.EINTR; err == unix.EINTR; {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(shell), Events: unix.POLLIN}}, -1)
	}
	require.NoError(t, err)
	in.Kill()
	require.NoError(t, unix.Kill(runtime, unix.SIGCONT))
	<-in.Done()
	require.Equal(t, sandbox.Exit{Code: 3}, in.Exit())
}

// onlyChild gives the process that a process has started, of whichever of its threads.
func onlyChild(t *testing.T, pid int) int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	var all []byte
	for _, list := range lists {
		text, err := os.ReadFile(list)
		require.NoError(t, err)
		all = append(all, text...)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(all)))
	require.NoError(t, err, "children %q", all)
	return child
}
