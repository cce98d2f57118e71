package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Bounds of connections to functions that serve HTTP. An idle one goes with its instance, at the latest. It goes before a usual
// server closes it by itself (gunicorn after 2 s, Node.js after 5 s), as a request that meets such an end cannot be made again.
const (
	maxIdle        = 1024
	maxIdlePerHost = 64
	idleTime       = time.Second
	maxHeader      = 1 << 20 // bytes of an answer before its body
)

// connections makes requests to instances, over connections that it keeps, by the id of an instance, which no other ever has.
//
// It writes and reads where the request is served: http.Transport has two goroutines of its own for each connection, and to wake them
// costs as much as the request.
type connections struct {
	mu    sync.Mutex
	idle  map[string][]*connection // by instance, the one used last behind
	count int                      // of idle ones
}

func newConnections() *connections { return &connections{idle: map[string][]*connection{}} }

// question is a request to an instance.
type question struct {
	to     faas.Backend
	asked  *http.Request        // what a client asked; its method tells how the answer ends
	text   []byte               // what is sent, whole
	repeat bool                 // it may be made again
	early  func(*http.Response) // hears of answers before the answer (1xx)
}

// ask makes a request, until the body of its answer begins. The request, which is not kept, is no more than a socket takes before its
// other end reads. When ctx ends so does the connection; the body tells of it then.
func (c *connections) ask(ctx context.Context, q question) (*http.Response, error) {
	for {
		k, err := c.take(ctx, q.to)
		if err != nil {
			return nil, err
		}
		k.stop = context.AfterFunc(ctx, func() { k.Close() })
		answer, err := k.exchange(ctx, q)
		if err == nil {
			return answer, nil
		}
		k.done(false)
		if gone := ctx.Err(); gone != nil {
			return nil, gone
		}
		if !k.kept || k.answered || !q.repeat {
			return nil, err
		}
	}
}

// take gives an idle connection to the instance, or a new one.
func (c *connections) take(ctx context.Context, to faas.Backend) (*connection, error) {
	host := to.ID()
	for {
		k := c.last(host)
		if k == nil {
			break
		}
		k.timer.Stop() // one that has fired meanwhile finds nothing
		if k.quiet() {
			return k, nil
		}
		k.Close()
	}
	conn, err := to.Dial(ctx)
	if err != nil {
		return nil, err
	}
	k := &connection{Conn: conn, all: c, host: host}
	k.in = bufio.NewReader(&k.from)
	k.from.conn = conn
	if socket, ok := conn.(syscall.Conn); ok {
		if k.raw, err = socket.SyscallConn(); err != nil {
			conn.Close()
			return nil, err
		}
	}
	k.look = k.peek
	return k, nil
}

func (c *connections) last(host string) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.idle[host]
	if len(idle) == 0 {
		return nil
	}
	k := idle[len(idle)-1]
	c.drop(k, len(idle)-1)
	return k
}

// put keeps a connection for a while, if there is room.
func (c *connections) put(k *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count >= maxIdle || len(c.idle[k.host]) >= maxIdlePerHost {
		return false
	}
	k.kept = true
	c.idle[k.host] = append(c.idle[k.host], k)
	c.count++
	if k.timer == nil {
		k.timer = time.AfterFunc(idleTime, k.expire)
	} else {
		k.timer.Reset(idleTime)
	}
	return true
}

// drop takes an idle connection out; c.mu is held.
func (c *connections) drop(k *connection, at int) {
	c.idle[k.host] = slices.Delete(c.idle[k.host], at, at+1)
	if len(c.idle[k.host]) == 0 {
		delete(c.idle, k.host)
	}
	c.count--
}

// connection is one to an instance, which makes one request at a time.
type connection struct {
	net.Conn
	all   *connections
	host  string
	raw   syscall.RawConn // nil where it has none
	in    *bufio.Reader
	from  bounded
	timer *time.Timer // of its idleness
	stop  func() bool // has the end of the request's context end it no more

	kept     bool // it has made requests before
	answered bool // something of an answer has come

	look   func(fd uintptr) // peek, which finds still
	still  bool
	unread [1]byte
}

// bounded reads as much as it may.
type bounded struct {
	conn net.Conn
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the header of the function's answer is too long")
	}
	n, err := b.conn.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// quiet tells whether an idle connection is still open, and nothing came over it that nobody asked for.
func (k *connection) quiet() bool {
	return k.raw != nil && k.raw.Control(k.look) == nil && k.still
}

func (k *connection) peek(fd uintptr) {
	_, _, err := syscall.Recvfrom(int(fd), k.unread[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	k.still = err == syscall.EAGAIN
}

func (k *connection) expire() {
	k.all.mu.Lock()
	at := slices.Index(k.all.idle[k.host], k)
	if at >= 0 {
		k.all.drop(k, at)
	}
	k.all.mu.Unlock()
	if at >= 0 {
		k.Close()
	}
}

// exchange makes a request, and reads its answer up to the body.
func (k *connection) exchange(ctx context.Context, q question) (*http.Response, error) {
	k.answered, k.from.left = false, maxHeader
	_, err := k.Write(q.text)
	if err == nil {
		_, err = k.in.Peek(1)
	}
	k.answered = err == nil
	for err == nil {
		var answer *http.Response
		if answer, err = http.ReadResponse(k.in, q.asked); err != nil {
			break
		}
		switch status := answer.StatusCode; {
		case status >= http.StatusOK:
			k.from.left = math.MaxInt64
			k.hand(ctx, answer)
			return answer, nil
		case status == http.StatusSwitchingProtocols:
			return nil, errors.New("the function switches to a protocol that nobody asked for")
		}
		q.early(answer)
	}
	return nil, err
}

// hand leaves the connection to the body of an answer, until that ends.
func (k *connection) hand(ctx context.Context, answer *http.Response) {
	if answer.Body == http.NoBody {
		k.done(!answer.Close)
		return
	}
	answer.Body = &body{ReadCloser: answer.Body, ctx: ctx, from: k, keep: !answer.Close}
}

// done ends a request. The connection is kept if it may be, and is clean.
func (k *connection) done(keep bool) {
	if k.stop() && keep && k.in.Buffered() == 0 && k.all.put(k) {
		return
	}
	k.Close()
}

// body is that of an answer.
type body struct {
	io.ReadCloser
	ctx  context.Context
	from *connection
	keep bool
	over bool
}

// Read is of io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || b.over {
		return n, err
	}
	b.over = true
	b.from.done(err == io.EOF && b.keep)
	if gone := b.ctx.Err(); err != io.EOF && gone != nil {
		err = gone
	}
	return n, err
}

// Close is of io.Closer. What was not read is not waited for.
func (b *body) Close() error {
	if !b.over {
		b.over = true
		b.from.done(false)
	}
	return nil
}

// waits tells whether nothing of an answer's body has come with its header.
func waits(answer io.ReadCloser) bool {
	b, ok := answer.(*body)
	return ok && b.from.in.Buffered() == 0
}
