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

// attachRequest asks the attacher to do something inside a namespace of a sandbox.
type attachRequest struct {
	pidfd int
	space int // CLONE_NEWNS or CLONE_NEWNET
	do    func() error
	reply chan<- error
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
	home := map[int]int{}
	var err error
	for space, file := range map[int]string{unix.CLONE_NEWNS: "mnt", unix.CLONE_NEWNET: "net"} {
		fd, missing := unix.Open("/proc/thread-self/ns/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if missing != nil {
			err = missing
			continue
		}
		home[space] = fd
		defer unix.Close(fd)
	}
	if err == nil {
		err = unix.Unshare(unix.CLONE_FS) // a namespace can be entered only by a thread with a root and folder of its own
	}
	for r := range d.attaches {
		if err != nil {
			r.reply <- fmt.Errorf("attach: %w", err)
			continue
		}
		if in := unix.Setns(r.pidfd, r.space); in != nil {
			r.reply <- fmt.Errorf("enter sandbox: %w", in)
		} else {
			r.reply <- r.do()
		}
		if back := unix.Setns(home[r.space], r.space); back != nil {
			err = fmt.Errorf("cannot leave a sandbox: %w", back)
		}
	}
}

// within does something inside a namespace of a sandbox, on the attacher's thread.
func (in *instance) within(space int, do func() error) error {
	return in.withinWhile(space, do, func() error { return nil })
}

// withinWhile is within, with something else that is done meanwhile.
func (in *instance) withinWhile(space int, do, meanwhile func() error) error {
	in.pidfdLock.Lock()
	defer in.pidfdLock.Unlock()
	if in.pidfd < 0 {
		return errors.New("attach: the sandbox has ended")
	}
	reply := make(chan error, 1)
	in.driver.attaches <- attachRequest{pidfd: in.pidfd, space: space, do: do, reply: reply}
	err := meanwhile()
	return errors.Join(err, <-reply)
}

// shown is a folder that was opened to be shown at a place.
type shown struct {
	tree   int
	target string
}

// attach works inside the sandbox's mount namespace. No foreign code has run there, so its paths are what the init made.
func attach(folders []shown, resize bool, tmpBytes int64) error {
	for _, f := range folders {
		if err := unix.MoveMount(f.tree, "", unix.AT_FDCWD, f.target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("show folder at %s: %w", f.target, err)
		}
	}
	if !resize {
		return nil
	}
	for _, dir := range memoryFolders {
		data := "size=" + strconv.FormatInt(tmpBytes, 10)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
			return fmt.Errorf("resize %s: %w", dir, err)
		}
	}
	return nil
}

// Attach implements sandbox.Instance.
func (in *instance) Attach(mounts []sandbox.Mount, memoryBytes, tmpBytes int64) error {
	d := in.driver
	if d.detached == nil {
		return errors.ErrUnsupported
	}
	var folders []shown
	for _, m := range mounts {
		tree, err := d.tree(m.Source)
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		defer tree.Close()
		folders = append(folders, shown{int(tree.Fd()), m.Target})
	}
	resize := tmpBytes != in.tmpBytes
	in.tmpBytes = tmpBytes
	return in.withinWhile(unix.CLONE_NEWNS,
		func() error { return attach(folders, resize, tmpBytes) },
		func() error { return errors.Join(in.group.endPatience(), in.group.setMemory(memoryBytes)) })
}

// closePidfd lets go of a process that has been waited for.
func (in *instance) closePidfd() {
	in.pidfdLock.Lock()
	defer in.pidfdLock.Unlock()
	switch {
	case in.pidfile != nil:
		in.pidfile.Close()
	case in.pidfd >= 0:
		unix.Close(in.pidfd)
	}
	in.pidfd = -1
}
