//go:build linux

package native

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// instance is one sandbox. Its init is the first process of a pid namespace: when that ends, the kernel ends the rest.
type instance struct {
	driver   *Driver
	slot     int
	name     string
	memory   int64 // limit, bytes
	tmpBytes int64 // size of the memory folders
	uid, gid int   // inside
	group    *group
	channels *sandbox.Channels
	process  *os.Process
	steps    []string // of a copy's set-up, to name the one that fails
	template bool     // makes sandboxes of copies of itself, and is none

	pidfdLock sync.Mutex
	pidfd     int          // -1 once the process has been waited for
	pidfile   *os.File     // the same, for the poller; nil where that does not take it
	device    *os.File     // of a network, that nobody has taken yet; guarded by pidfdLock
	overfull  atomic.Bool  // the memory watch ended it
	peak      atomic.Int64 // bytes, by the memory watch

	done chan struct{}
	exit sandbox.Exit
}

func (in *instance) Control() net.Conn         { return in.channels.Control }
func (in *instance) Output() *os.File          { return in.channels.Output }
func (in *instance) Path(inside string) string { return inside }
func (in *instance) Done() <-chan struct{}     { return in.done }
func (in *instance) Exit() sandbox.Exit        { return in.exit }

// SetCPU implements sandbox.Instance.
func (in *instance) SetCPU(millis int) error {
	if in.driver.lacks(initspec.ProcessorTime) {
		return nil
	}
	return in.group.setCPU(millis)
}

// SetShare implements sandbox.Instance.
func (in *instance) SetShare(of int) error { return in.group.setShare(of) }

// SetPatient implements sandbox.Instance.
func (in *instance) SetPatient(patient bool) error {
	if patient {
		return in.group.setPatient()
	}
	return in.group.endPatience()
}

// Freeze implements sandbox.Instance.
func (in *instance) Freeze() error { return in.group.freeze("1") }

// Thaw implements sandbox.Instance.
func (in *instance) Thaw() error { return in.group.freeze("0") }

func (in *instance) MemoryPeak() int64 {
	if in.driver.watch != nil {
		return in.peak.Load()
	}
	return in.group.memoryPeak()
}

func (in *instance) Kill() {
	in.group.kill()
	_ = in.process.Kill() // fails only when it has ended
}

// wait reaps the sandbox. When the first process has been reaped, every other of its namespace is gone.
func (in *instance) wait() {
	in.awaitEnd()
	state, err := in.process.Wait()
	if err != nil {
		in.exit = sandbox.Exit{Code: -1, Signal: err.Error()}
	} else {
		in.exit = sandbox.ExitOf(state)
	}
	// A first process that supervises another tells of that one's end by a signal as shells do.
	killed := in.exit.Signal != "" || in.exit.Code == 128+int(syscall.SIGKILL)
	in.exit.OOM = killed && (in.overfull.Load() || in.group.oomKilled())
	if in.driver.watch != nil {
		in.driver.watch.drop(in)
	}
	in.group.remove()
	in.closePidfd()
	in.dropDevice()
	in.driver.forget(in)
	close(in.done)
}

// awaitEnd returns when the first process has ended. To wait in the kernel instead would take a thread for each sandbox; where it
// cannot be done otherwise, this returns at once.
func (in *instance) awaitEnd() {
	if in.pidfd < 0 || unix.SetNonblock(in.pidfd, true) != nil {
		return
	}
	in.pidfdLock.Lock()
	in.pidfile = os.NewFile(uintptr(in.pidfd), "process") // known to the poller, since it does not block
	in.pidfdLock.Unlock()
	if raw, err := in.pidfile.SyscallConn(); err == nil {
		_ = raw.Read(func(fd uintptr) (ended bool) {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
	}
	_ = unix.SetNonblock(in.pidfd, false) // what Go knows of the process is the same open file
}
