//go:build linux

package native

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// attachRequest asks the attacher to put a detached tree into a sandbox's view and to resize its memory filesystems.
type attachRequest struct {
	pidfd    int
	tree     int
	target   string
	tmpBytes int64
	reply    chan<- error
}

// startAttacher starts the thread that enters other mount namespaces. Only root may: an ordinary user's server would have to
// enter the sandbox's user namespace too, which no process of many threads can.
func (d *Driver) startAttacher() {
	d.attaches, d.detached = make(chan attachRequest), make(chan struct{})
	go func() {
		defer close(d.detached)
		d.attacher()
	}()
}

// attacher serves requests from a thread of its own, which never goes back to Go's other work: it ends with the driver, or
// stays out of use when it cannot leave a sandbox's namespace again.
func (d *Driver) attacher() {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(home)
		err = unix.Unshare(unix.CLONE_FS) // a namespace can be entered only by a thread with a root and folder of its own
	}
	for r := range d.attaches {
		if err != nil {
			r.reply <- fmt.Errorf("attach: %w", err)
			continue
		}
		r.reply <- attach(r)
		if back := unix.Setns(home, unix.CLONE_NEWNS); back != nil {
			err = fmt.Errorf("cannot leave a sandbox: %w", back)
		}
	}
}

// attach works inside the sandbox's mount namespace. No foreign code has run there, so its paths are what the init made.
func attach(r attachRequest) error {
	if err := unix.Setns(r.pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter sandbox: %w", err)
	}
	if err := unix.MoveMount(r.tree, "", unix.AT_FDCWD, r.target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("show folder at %s: %w", r.target, err)
	}
	for _, dir := range memoryFolders {
		data := "size=" + strconv.FormatInt(r.tmpBytes, 10)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
			return fmt.Errorf("resize %s: %w", dir, err)
		}
	}
	return nil
}

// Attach implements sandbox.Instance.
func (in *instance) Attach(m sandbox.Mount, memoryBytes, tmpBytes int64) error {
	d := in.driver
	if d.detached == nil {
		return errors.ErrUnsupported
	}
	if shows(realPath(m.Source), d.private) {
		return fmt.Errorf("attach: %s is above what no sandbox may see", m.Source)
	}
	if err := errors.Join(in.group.endPatience(), in.group.setMemory(memoryBytes)); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	tree, err := cloneTree(m.Source, d.mountAttributes())
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	in.pidfdLock.Lock()
	defer in.pidfdLock.Unlock()
	if in.pidfd < 0 {
		return errors.New("attach: the sandbox has ended")
	}
	reply := make(chan error, 1)
	d.attaches <- attachRequest{pidfd: in.pidfd, tree: tree, target: m.Target, tmpBytes: tmpBytes, reply: reply}
	return <-reply
}

// closePidfd lets go of a process that has been waited for.
func (in *instance) closePidfd() {
	in.pidfdLock.Lock()
	defer in.pidfdLock.Unlock()
	if in.pidfd >= 0 {
		unix.Close(in.pidfd)
		in.pidfd = -1
	}
}
