package lang

import (
	"errors"
	"net"
	"syscall"
)

// Gifts reads a worker's socket over which file descriptors come, one at most for each frame. It has one reader at a time.
type Gifts struct {
	Socket *net.UnixConn
	Most   int // that may have come and not been taken: 1, or 2 where frames follow each other and one may be read together with the end of the one before

	oob [32]byte // room for more than one, so that they are seen
	fds []int    // in the order in which they came
}

// ErrGift says that a worker handed out what it was not asked for. It is broken and must be ended.
var ErrGift = errors.New("a descriptor that was not asked for")

// Read implements io.Reader.
func (g *Gifts) Read(p []byte) (int, error) {
	n, oobn, flags, _, err := g.Socket.ReadMsgUnix(p, g.oob[:]) // sets close-on-exec
	if oobn == 0 || err != nil {
		return max(n, 0), err // -1 is an error's
	}
	fds := rights(g.oob[:oobn])
	if len(fds) != 1 || len(g.fds) >= g.Most || flags&syscall.MSG_CTRUNC != 0 {
		for _, fd := range fds {
			syscall.Close(fd)
		}
		return 0, ErrGift
	}
	g.fds = append(g.fds, fds[0])
	return n, nil
}

// rights gives the descriptors in control messages.
func rights(oob []byte) []int {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := syscall.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// Take gives the first that has come, which is the caller's to close; ok is false when none has.
func (g *Gifts) Take() (fd int, ok bool) {
	if g == nil || len(g.fds) == 0 {
		return -1, false
	}
	fd = g.fds[0]
	g.fds = g.fds[1:]
	return fd, true
}

// Discard closes what has come and was not taken.
func (g *Gifts) Discard() {
	if g == nil {
		return
	}
	for _, fd := range g.fds {
		syscall.Close(fd)
	}
	g.fds = nil
}
