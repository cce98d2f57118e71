//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/tundev"
)

// networkMark is the byte that the init sends with the device it has made.
const networkMark = 'n'

// canNetwork tries it in a sandbox: whether the device can be made depends on the host's file for it, and on who may open that.
func (d *Driver) canNetwork(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	in, err := d.Start(ctx, sandbox.Spec{
		Name: "probe", Command: []string{"/bin/sleep", "60"}, Dir: "/", Network: true,
		MemoryBytes: 64 << 20, Processes: 16, Files: 64, TmpBytes: 1 << 20,
	})
	if err != nil {
		return false
	}
	defer in.Output().Close()
	defer in.Control().Close()
	defer func() { in.Kill(); <-in.Done() }()
	device, err := in.Network()
	if err == nil {
		device.Close()
	}
	return err == nil
}

// Network implements sandbox.Instance. A server that may enter the sandbox makes the device now; the init of any other has.
func (in *instance) Network() (*os.File, error) {
	fd := -1
	if in.driver.detached == nil {
		in.pidfdLock.Lock()
		device := in.device
		in.device = nil
		in.pidfdLock.Unlock()
		if device == nil {
			return nil, fmt.Errorf("network of a sandbox that was started without: %w", errors.ErrUnsupported)
		}
		return device, nil
	}
	err := in.within(unix.CLONE_NEWNET, func() (err error) {
		fd, err = tundev.Open(sandbox.NetworkAddresses())
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "network"), nil
}

// takeDevice receives the device that the init has made, before the command runs.
func (in *instance) takeDevice() error {
	conn, ok := in.channels.Control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	mark, room := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, roomed, flags, _, err := conn.ReadMsgUnix(mark, room)
	if err != nil {
		return fmt.Errorf("take network device: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(room[:roomed])
	if err != nil || n != 1 || mark[0] != networkMark || len(messages) != 1 || flags&unix.MSG_CTRUNC != 0 {
		return errors.Join(err, errors.New("take network device: it was not sent"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return errors.Join(err, errors.New("take network device: it was not sent"))
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return err
	}
	unix.CloseOnExec(fds[0])
	in.device = os.NewFile(uintptr(fds[0]), "network")
	return conn.SetReadDeadline(time.Time{})
}

// dropDevice closes a device that nobody took.
func (in *instance) dropDevice() {
	in.pidfdLock.Lock()
	defer in.pidfdLock.Unlock()
	if in.device != nil {
		in.device.Close()
		in.device = nil
	}
}
