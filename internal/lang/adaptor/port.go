//go:build linux

package adaptor

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// dialLimit bounds one connection to the function, which a server with a full backlog keeps waiting.
const dialLimit = 10 * time.Second

// FreePort finds a port of 127.0.0.1 that nobody listens on, and makes a socket with which it can be reached: one with another port of
// its own, as a socket that connects to its own port meets itself.
func FreePort() (port, socket int, err error) {
	fd, port, err := bound()
	if err != nil {
		return 0, -1, err
	}
	defer unix.Close(fd)
	socket, _, err = bound()
	return port, socket, err
}

// bound makes a socket with a port of 127.0.0.1.
func bound() (fd, port int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, err
	}
	err = unix.Bind(fd, local(0))
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if in, ok := name.(*unix.SockaddrInet4); ok {
		return fd, in.Port, nil
	}
	unix.Close(fd)
	return -1, 0, errors.Join(err, errors.New("no port"))
}

func local(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

// Dial connects to a port of 127.0.0.1. The descriptor is blocking, and closed when another program is executed.
func Dial(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(dialLimit.Nanoseconds())
	err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err == nil {
		err = connect(fd, port)
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// connect waits out interruptions: a call that was interrupted goes on in the kernel, and its second attempt tells how it ended.
func connect(fd, port int) error {
	for {
		err := unix.Connect(fd, local(port))
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EALREADY):
			continue
		case errors.Is(err, unix.EISCONN):
			return nil
		case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EAGAIN):
			return unix.ETIMEDOUT
		}
		return err
	}
}

// Await connects to a port as soon as the process listens there. ok is false when the process has ended instead. It waits
// for as long as it takes: the server has the budget.
func (p *Process) Await(port int) (fd int, ok bool) {
	pause := 100 * time.Microsecond
	for {
		if fd, err := Dial(port); err == nil {
			return fd, true
		}
		select {
		case <-p.ended:
			return -1, false
		case <-time.After(pause):
		}
		pause = min(pause+pause/8, 10*time.Millisecond)
	}
}
