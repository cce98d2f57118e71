//go:build linux

package oci

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// instance is one container. Its runtime stays in the foreground and hands its end on.
type instance struct {
	driver   *Driver
	slot     int
	name     string
	bundle   string
	channels *sandbox.Channels
	process  *exec.Cmd    // the runtime
	said     bytes.Buffer // by the runtime itself
	done     chan struct{}
	exit     sandbox.Exit

	mu   sync.Mutex
	over bool // the container is gone, or being removed
}

func (in *instance) Control() net.Conn         { return in.channels.Control }
func (in *instance) Output() *os.File          { return in.channels.Output }
func (in *instance) Path(inside string) string { return inside }
func (in *instance) Done() <-chan struct{}     { return in.done }
func (in *instance) Exit() sandbox.Exit        { return in.exit }

// Attach implements sandbox.Instance: what a runtime has started it does not let be changed.
func (in *instance) Attach([]sandbox.Mount, int64, int64) error { return errors.ErrUnsupported }

// SetPatient implements sandbox.Instance; this level cannot.
func (in *instance) SetPatient(bool) error { return nil }

// SetShare implements sandbox.Instance; this level cannot.
func (in *instance) SetShare(int) error { return nil }

// Network implements sandbox.Instance.
func (in *instance) Network() (*os.File, error) { return nil, errors.ErrUnsupported }

// Freeze implements sandbox.Instance.
func (in *instance) Freeze() error { return errors.ErrUnsupported }

// Reclaim implements sandbox.Instance.
func (in *instance) Reclaim() error { return errors.ErrUnsupported }

// Thaw implements sandbox.Instance.
func (in *instance) Thaw() error { return errors.ErrUnsupported }

// SetCPU implements sandbox.Instance.
func (in *instance) SetCPU(millis int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return nil
	}
	return in.driver.ask("update", "--cpu-period", strconv.Itoa(cpuPeriod), "--cpu-quota", strconv.Itoa(millis*cpuPeriod/1000), in.name)
}

// user is the sandbox's user on the host; the one before it is its root.
func (in *instance) user() int { return firstUID + 2*in.slot + 1 }

// Kill implements sandbox.Instance. The runtime is asked, since it alone knows what belongs to the container; where it has
// none yet, it is ended itself, and what it began is removed by wait. One whose container has just ended by itself is left
// to tell how.
func (in *instance) Kill() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over || in.process == nil {
		return
	}
	if in.driver.ask("kill", in.name, "KILL") != nil && !in.driver.stopped(in.name) {
		_ = in.process.Process.Kill()
	}
}

// MemoryPeak implements sandbox.Instance.
func (in *instance) MemoryPeak() int64 {
	for _, file := range []string{"memory.peak", "memory.max_usage_in_bytes"} {
		if text, err := os.ReadFile(filepath.Join(in.group(), file)); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			return n
		}
	}
	return 0
}

// group is the container's folder in the tree that limits memory.
func (in *instance) group() string {
	for _, root := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		if dir := root + in.groupPath(); exists(dir) {
			return dir
		}
	}
	return "/nonexistent"
}

func (in *instance) groupPath() string { return "/" + in.driver.groupName() + "/" + in.name }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// oomKilled tells whether the limit of memory has ended a process of the container.
func (in *instance) oomKilled() bool {
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		text, _ := os.ReadFile(filepath.Join(in.group(), file))
		for _, line := range strings.Split(string(text), "\n") {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				return n != "0"
			}
		}
	}
	return false
}

// wait reaps the runtime and removes the container. A runtime tells a signal as 128 and its number.
func (in *instance) wait() {
	_ = in.process.Wait()
	in.exit = sandbox.ExitOf(in.process.ProcessState)
	if in.exit.Code > 128 && in.exit.Code < 128+64 {
		in.exit = sandbox.Exit{Code: -1, Signal: unix.Signal(in.exit.Code - 128).String()}
	}
	in.exit.OOM = in.exit.Signal != "" && in.oomKilled()
	in.mu.Lock()
	in.over = true
	in.mu.Unlock()
	_ = in.driver.ask("delete", "--force", in.name) // it may be gone already
	in.driver.forget(in)
	close(in.done)
}
