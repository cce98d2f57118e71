package gorpc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Between two attempts to connect.
const (
	firstPause = 100 * time.Microsecond
	mostPause  = 10 * time.Millisecond
)

// connect waits for the function, which takes the worker's place, to listen, connects the socket that came with the worker's
// answer, and greets. It gives what is to be answered to the load.
func (c *Conn) connect(loaded lang.Frame) (lang.Frame, error) {
	fd, ok := c.gifts.Take()
	if !ok || len(loaded.Meta) != 2 {
		return loaded, errors.New("no socket has come with the answer to the load")
	}
	file := os.NewFile(uintptr(fd), "function")
	defer file.Close() // FileConn has a copy of its own
	port := int(binary.BigEndian.Uint16(loaded.Meta))
	w := waiting{Conn: c, address: &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}, pause: firstPause}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return loaded, err
	}
	for {
		err := connect(fd, w.address)
		if err == nil {
			return c.greet(file)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EALREADY) && !errors.Is(err, syscall.EINTR) {
			return loaded, fmt.Errorf("connect to the function: %w", err)
		}
		if failed, over, err := w.wait(); over || err != nil {
			return failed, err
		}
	}
}

// connect tries once, and does not wait. EALREADY: it may come to be; everything else is final.
func connect(fd int, address *syscall.SockaddrInet4) error {
	err := syscall.Connect(fd, address)
	if errors.Is(err, syscall.EINPROGRESS) { // of which the loopback device knows the outcome by now
		err = syscall.Connect(fd, address)
	}
	if errors.Is(err, syscall.EISCONN) {
		return nil
	}
	return err
}

// waiting is the time until the function listens.
type waiting struct {
	*Conn
	address *syscall.SockaddrInet4
	pause   time.Duration
	became  bool // the worker has closed its socket, by becoming the function
}

// wait lets a little time pass. It is over when the worker says that it cannot become the function; an error tells of the process's end, the
// deadline, or ours.
func (w *waiting) wait() (failed lang.Frame, over bool, err error) {
	by, err := w.until()
	if err != nil {
		return failed, true, err
	}
	w.pause = min(w.pause+w.pause/8, mostPause)
	if w.became {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		select {
		case <-w.ended: // told by the next
		case <-timer.C:
		}
		return failed, false, nil
	}
	_ = w.Conn.Conn.SetReadDeadline(by) // one that is closed says so when it is read
	_, err = w.in.Peek(1)
	switch {
	case err == nil:
		failed, err = lang.ReadFrame(w.in, nil, lang.MaxFrameBytes)
		if err == nil && failed.Type != lang.FrameFailed {
			err = fmt.Errorf("a frame of type %d behind the answer to the load", failed.Type)
		}
		return failed, true, err
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		w.became = true
	default:
		return failed, true, err
	}
	return failed, false, nil
}

// until gives the end of the next pause.
func (w *waiting) until() (time.Time, error) {
	select {
	case <-w.ended:
		return time.Time{}, &lang.Hangup{Before: fmt.Sprintf(" before it listened at RUNTIME_API_ADDR (127.0.0.1:%d)", w.address.Port)}
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch by := now.Add(w.pause); {
	case w.closed:
		return by, net.ErrClosed
	case !w.readBy.IsZero() && !now.Before(w.readBy):
		return by, os.ErrDeadlineExceeded
	case !w.readBy.IsZero() && w.readBy.Before(by):
		return w.readBy, nil
	default:
		return by, nil
	}
}

// greet begins to speak net/rpc by HTTP on a connection.
func (c *Conn) greet(file *os.File) (lang.Frame, error) {
	conn, err := net.FileConn(file)
	if err != nil {
		return lang.Frame{}, err
	}
	function, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return lang.Frame{}, lang.ErrGift
	}
	_ = function.SetKeepAlive(false) // both ends are on this host, and one may be frozen
	if err := c.moveTo(function); err != nil {
		return lang.Frame{}, err
	}
	c.in = bufio.NewReaderSize(function, 4<<10)
	said, err := c.shakeHands(function)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
		return lang.Frame{}, err
	case err != nil:
		return lang.Frame{}, &lang.Hangup{Before: " before it took calls at RUNTIME_API_ADDR", Closed: "the function's process closed its connection at RUNTIME_API_ADDR, where it does not serve net/rpc"}
	case said != "":
		return lang.FailedFrame(0, lang.FailLoad, lang.Failure{Type: "ProtocolError", Message: "the function's process does not serve net/rpc at RUNTIME_API_ADDR: " + said}), nil
	}
	c.decoder = newDecoder(c.in, c.load.MaxResult+blankBytes)
	return lang.Frame{Type: lang.FrameLoaded}, nil
}

// blankBytes is by how much a payload may be over the limit of results for the blanks around one.
const blankBytes = 4 << 10

// moveTo has the bytes go to the function from now on. The worker is no more.
func (c *Conn) moveTo(function *net.TCPConn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Conn.Close()
	if c.closed {
		function.Close()
		return net.ErrClosed
	}
	if c.cut {
		_ = function.CloseRead() // what reads finds out
	}
	c.function = function
	return errors.Join(function.SetReadDeadline(c.readBy), function.SetWriteDeadline(c.writeBy))
}

// shakeHands says and hears what net/rpc does at the beginning. said is what was heard instead.
func (c *Conn) shakeHands(function *net.TCPConn) (said string, err error) {
	if _, err := io.WriteString(function, "CONNECT /_goRPC_ HTTP/1.0\n\n"); err != nil {
		return "", err
	}
	const greeting, maxHead = "HTTP/1.0 200 Connected", 16
	line, err := c.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && len(line) == 0 {
		return "", err
	}
	if !bytes.HasPrefix(line, []byte(greeting)) {
		return fmt.Sprintf("it answered %.100q", line), nil
	}
	for range maxHead {
		if line, err = c.in.ReadSlice('\n'); err == nil && len(bytes.TrimSpace(line)) == 0 {
			return "", nil
		} else if err != nil {
			break
		}
	}
	if err == nil || errors.Is(err, bufio.ErrBufferFull) {
		return "its greeting has no end", nil
	}
	return "", err
}
