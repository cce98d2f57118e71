// Package gorpc speaks with functions of Go1.x as FunctionGraph does (reference 5.3): net/rpc over HTTP, with nobody in between. Conn
// makes a worker's connection of it, which takes calls and gives answers as frames.
//
// The other end is the function, which is hostile for all that is known: so the few messages that there are of encoding/gob are
// read and written here, within limits, and not by encoding/gob, which is not made for that. The package must not know who
// has the function called, nor how its process is isolated.
package gorpc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Conn is the worker's connection (see lang.Language.Wire): to the worker until that has answered its load, and then to the
// function. One may write while another reads. A Write carries whole frames.
type Conn struct {
	net.Conn // the control socket
	gifts    *lang.Gifts
	ended    <-chan struct{} // closed when the process is gone
	load     lang.Load

	// The reader's.
	in      *bufio.Reader
	head    []byte // of a frame that is being read, in first
	first   []byte // buffer
	body    []byte
	decoder *decoder

	// The writer's.
	encoder encoder
	out     []byte

	mu       sync.Mutex
	function *net.TCPConn // once there is one
	readBy   time.Time
	writeBy  time.Time
	closed   bool
	cut      bool
	calls    map[uint32]struct{} // under way
}

// New serves lang.Language.Wire.
func New(control net.Conn, ended <-chan struct{}) lang.Wired {
	c := &Conn{Conn: control, ended: ended, calls: map[uint32]struct{}{}}
	c.in = bufio.NewReaderSize(control, 512)
	if socket, ok := control.(*net.UnixConn); ok {
		c.gifts = &lang.Gifts{Socket: socket, Most: 1}
		c.in.Reset(c.gifts)
	}
	return c
}

// Read implements net.Conn. Errors beside those of the connection: io.EOF with what is to be told of it (*lang.Hangup), and one that
// says how the function does not keep to the protocol.
func (c *Conn) Read(p []byte) (int, error) {
	for len(c.head)+len(c.body) == 0 {
		var err error
		if c.decoder == nil {
			err = c.worker()
		} else {
			err = c.answer()
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	m := copy(p[n:], c.body)
	if c.body = c.body[m:]; len(c.body) == 0 {
		c.body = nil
		c.decoder.release()
	}
	return n + m, nil
}

// give has a frame read. Its body must stay until it has been.
func (c *Conn) give(f lang.Frame) {
	c.first = lang.AppendHead(c.first[:0], f)
	c.head, c.body = c.first, f.Body
}

// worker takes a frame of the worker. The answer to the load waits for the function to take calls.
func (c *Conn) worker() error {
	f, err := lang.ReadFrame(c.in, nil, lang.MaxFrameBytes)
	if err == nil && f.Type == lang.FrameLoaded {
		f, err = c.connect(f)
	}
	if err != nil {
		c.gifts.Discard()
		return err
	}
	c.give(f)
	return nil
}

// answer takes an answer of the function.
func (c *Conn) answer() error {
	a, err := c.decoder.next()
	if err != nil {
		return c.told(err)
	}
	c.mu.Lock()
	_, waits := c.calls[uint32(a.seq)]
	waits = waits && a.seq>>32 == 0
	if waits {
		delete(c.calls, uint32(a.seq))
	}
	c.mu.Unlock()
	if !waits {
		return fmt.Errorf("%s: an answer to call %d, which is not under way", where, a.seq)
	}
	c.give(c.frame(uint32(a.seq), &a))
	return nil
}

// frame makes a frame of an answer.
func (c *Conn) frame(seq uint32, a *answer) lang.Frame {
	switch {
	case a.failure != "":
		return reported(seq, a.failure)
	case a.size > 0 && a.payload == nil:
		return lang.FailedFrame(seq, lang.FailTooLarge, lang.TooLarge(int(a.size), c.load.MaxResult))
	case a.status != 200 && len(a.payload) == 0:
		return reported(seq, fmt.Sprintf("the function answered with status %d", a.status))
	case a.status != 200:
		return reported(seq, string(a.payload))
	}
	result, kind, failure := lang.ResultOf(a.payload, c.load.MaxResult)
	if kind != 0 {
		return lang.FailedFrame(seq, kind, failure)
	}
	return lang.Frame{Type: lang.FrameResult, Seq: seq, Meta: make([]byte, 4), Body: result} // nobody knows the peak of memory here
}

// reported tells what the function has reported: by net/rpc's error, or by a status of its own with the text as the payload.
func reported(seq uint32, text string) lang.Frame {
	f := lang.Failure{Message: text, Type: "Error"}
	var told lang.Failure
	if json.Unmarshal([]byte(text), &told) == nil && told.Message != "" {
		f = told
	}
	kind := byte(lang.FailException)
	if f.Type == "FunctionResponseTooLarge" {
		kind = lang.FailTooLarge
	}
	return lang.FailedFrame(seq, kind, f)
}

// where is what a connection is called for a function's owner.
const where = "net/rpc at RUNTIME_API_ADDR"

// told adds what is to be told of an end.
func (c *Conn) told(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &lang.Hangup{Closed: "the function's process closed its connection at RUNTIME_API_ADDR"}
	}
	var of net.Error
	if errors.As(err, &of) || errors.Is(err, net.ErrClosed) {
		return err
	}
	return fmt.Errorf("%s: %w", where, err)
}

// Write implements net.Conn. It takes a load, and then calls.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	function := c.function
	c.mu.Unlock()
	if function == nil {
		if f, _, err := lang.CutFrame(p, lang.MaxFrameBytes); err == nil && f.Type == lang.FrameLoad {
			if err := json.Unmarshal(f.Body, &c.load); err != nil {
				return 0, err
			}
			c.encoder.credit(c.load.Credentials)
		}
		return c.Conn.Write(p)
	}
	for rest := p; len(rest) > 0; {
		f, more, err := lang.CutFrame(rest, lang.MaxFrameBytes)
		if err == nil {
			err = c.call(function, f)
		}
		if err != nil {
			return len(p) - len(rest), err
		}
		rest = more
	}
	return len(p), nil
}

// joinBytes is the event up to which a request is written in one piece.
const joinBytes = 32 << 10

func (c *Conn) call(function *net.TCPConn, f lang.Frame) error {
	_, id, extra, err := f.CallHead()
	if err != nil {
		return err
	}
	if extra.Credentials != nil {
		c.encoder.credit(*extra.Credentials)
	}
	c.mu.Lock()
	c.calls[f.Seq] = struct{}{}
	c.mu.Unlock()
	c.out = c.encoder.append(c.out[:0], f.Seq, id, extra, f.Body)
	if len(f.Body) <= joinBytes {
		c.out = append(append(c.out, f.Body...), 0)
		_, err = function.Write(c.out)
	} else {
		pieces := net.Buffers{c.out, f.Body, []byte{0}}
		_, err = pieces.WriteTo(function)
	}
	if err != nil {
		return c.told(err)
	}
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy, c.writeBy = t, t
	return c.now().SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	return c.now().SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = t
	return c.now().SetWriteDeadline(t)
}

// now is what the bytes go over. c.mu is held.
func (c *Conn) now() net.Conn {
	if c.function != nil {
		return c.function
	}
	return c.Conn
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.function == nil {
		return c.Conn.Close() // connect ends by it, and has what it was given closed
	}
	return c.function.Close()
}

// CloseRead implements lang.Wired.
func (c *Conn) CloseRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	if c.function == nil {
		return nil // connect sees the end by itself
	}
	return c.function.CloseRead()
}
