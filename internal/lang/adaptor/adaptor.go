//go:build linux

// Package adaptor is what the workers of foreign executables have in common: the worker's end of the protocol, and a
// process of the function's that is started, watched and told apart from the worker.
//
// The worker shares its user and its sandbox with that process, which is hostile for all it knows. So the control socket is
// never inherited, and the kernel lets nobody of the sandbox look into the worker or take its descriptors (not dumpable). It
// must not know how a process is isolated, nor what the function's process speaks.
package adaptor

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Control is the worker's end of the control socket. Send may be called by several at once, Read by one.
type Control struct {
	fd int
	in *bufio.Reader

	mu  sync.Mutex
	out []byte
}

// Open takes the control socket over and hides it. Call it first.
func Open() (*Control, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("hide from the function: %w", err)
	}
	unix.CloseOnExec(lang.ControlFD)
	if err := unix.SetNonblock(lang.ControlFD, false); err != nil {
		return nil, fmt.Errorf("take the control socket: %w", err)
	}
	// Caught and dropped: ended by them, the worker could not tell the true reason of an end. Ignoring would be handed on to
	// the function's process, which is to have the usual signals.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGABRT, unix.SIGUSR1, unix.SIGUSR2)
	return &Control{fd: lang.ControlFD, in: bufio.NewReaderSize(blocking(lang.ControlFD), 8<<10)}, nil
}

// Read reads the next frame. It is the caller's until the next Read when buf is handed in again.
func (c *Control) Read(buf []byte) (lang.Frame, error) {
	return lang.ReadFrame(c.in, buf, lang.MaxFrameBytes)
}

// Send writes a frame whole.
func (c *Control) Send(f lang.Frame) error { return c.send(f, nil) }

// SendFD writes a frame with a file descriptor beside its first byte.
func (c *Control) SendFD(f lang.Frame, fd int) error { return c.send(f, unix.UnixRights(fd)) }

func (c *Control) send(f lang.Frame, rights []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = lang.AppendFrame(c.out[:0], f)
	rest := c.out
	if cap(c.out) > 64<<10 {
		c.out = nil
	}
	for len(rest) > 0 {
		n, err := c.write(rest, rights)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		rest, rights = rest[n:], nil
	}
	return nil
}

func (c *Control) write(p, rights []byte) (int, error) {
	if rights == nil {
		return unix.Write(c.fd, p)
	}
	return unix.SendmsgN(c.fd, p, rights, nil, 0)
}

// Result answers a call. peak is the highest resident memory in KiB, 0 where it is not known.
func (c *Control) Result(seq uint32, peak uint32, body []byte) error {
	return c.Send(lang.Frame{Type: lang.FrameResult, Seq: seq, Meta: binary.BigEndian.AppendUint32(nil, peak), Body: body})
}

// Fail answers a load or a call with a failure of a kind.
func (c *Control) Fail(seq uint32, kind byte, f lang.Failure) error {
	return c.Send(lang.FailedFrame(seq, kind, f))
}

// GiveUp answers a load with a failure, and returns when the server has no more use for this worker.
func (c *Control) GiveUp(kind byte, f lang.Failure) {
	if c.Fail(0, kind, f) == nil {
		_, _ = c.Read(nil) // its end, or a breach of the protocol: over either way
	}
}

// Loaded answers a load.
func (c *Control) Loaded() error { return c.Send(lang.Frame{Type: lang.FrameLoaded}) }

// Ready says that the worker has come up, and gives the load that it is sent: ok is false when there will be none.
func (c *Control) Ready() (load lang.Load, ok bool, err error) {
	if err := c.Send(lang.Frame{Type: lang.FrameReady}); err != nil {
		return load, false, err
	}
	f, err := c.Read(nil)
	switch {
	case err != nil:
		return load, false, nil // the server has no use for this worker
	case f.Type != lang.FrameLoad:
		return load, false, fmt.Errorf("a frame of type %d where a load is due", f.Type)
	}
	err = json.Unmarshal(f.Body, &load)
	return load, err == nil, err
}

// blocking reads a descriptor without the runtime's poller: nothing else waits in a worker, and a plain read is quicker.
type blocking int

func (fd blocking) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, errEnd
		}
		return n, nil
	}
}
