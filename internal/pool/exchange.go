package pool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Exchange leases an instance that serves HTTP to talk. See invoke.Runner.
//
// An exchange counts as a call: an instance runs as many of both together as it may have calls. One whose time is over ends the
// instance, but for neighbours that are in time: those run to their end first.
func (p *Pool) Exchange(ctx context.Context, f *faas.Function, call faas.Invocation, talk func(faas.Backend) error) (*faas.Result, error) {
	rt, err := p.cfg.Runtimes.Resolve(f.Spec.Runtime)
	if err != nil {
		return nil, err
	}
	if !rt.Language.HTTP {
		return nil, faas.Errorf(faas.CodeUnsupported, "runtime", "a function of runtime %s takes events: it does not serve HTTP", f.Spec.Runtime)
	}
	res, err := p.run(ctx, f, call, talk)
	if err == nil && res.Failure != nil && res.Failure.Code == faas.CodeCancelled {
		return nil, faas.Errorf(faas.CodeCancelled, "", "%s", res.Failure.Message)
	}
	return res, err
}

// backend is an instance as talk sees it.
type backend struct {
	in     *instance
	header map[string]string
}

func (b backend) ID() string                                 { return "instance-" + strconv.FormatInt(b.in.number, 10) }
func (b backend) Header() map[string]string                  { return b.header }
func (b backend) Dial(ctx context.Context) (net.Conn, error) { return b.in.dial(ctx) }

// exchange has talk speak with an instance, for as long as a call of it may take.
func (g *group) exchange(ctx context.Context, in *instance, c faas.Invocation, talk func(faas.Backend) error) (*faas.Result, liveness) {
	f := g.function
	defer in.hold()()
	if in.gone() {
		res := &faas.Result{Failure: in.fate(io.EOF)}
		in.report(res)
		return res, untouched
	}
	in.output.wake()
	in.melt() // connections of earlier exchanges may be used without a word to the worker
	begun := time.Now()
	told := make(chan struct{})
	late := time.AfterFunc(f.Spec.Timeout, func() { g.overdue(in); close(told) })
	err := talk(backend{in, in.header(f, c.ID)})
	inTime := late.Stop()
	res, state := &faas.Result{Run: time.Since(begun)}, alive
	switch {
	case !inTime:
		<-told
		res.Failure, state = timedOut("the function", f.Spec.Timeout), g.late(in)
	case err == nil:
	case ctx.Err() != nil:
		res.Failure = &faas.Failure{Code: faas.CodeCancelled, Message: "the caller went away before the answer was complete"}
	case in.goneSoon():
		res.Failure, state = in.fate(io.EOF), ended
	default:
		res.Failure = &faas.Failure{Code: faas.CodeException, Type: "ConnectionError", Message: firstBytes(err.Error(), maxMessage)}
	}
	if state == alive && in.gone() {
		state = ended
	}
	in.report(res)
	return res, state
}

// overdue notes that the time of an exchange is over. The instance takes no further call, and ends when all that it has are
// overdue: what hangs in it cannot be ended alone.
func (g *group) overdue(in *instance) {
	if in.shared == nil {
		in.box.Kill()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	in.leaving = true
	in.overdue++
	g.unopen(in)
	in.endOverdue()
}

// late says what becomes of an instance when an overdue exchange has come to its end.
func (g *group) late(in *instance) liveness {
	if in.shared == nil {
		<-in.box.Done()
		return ended
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	in.overdue--
	return leaving
}

// endOverdue ends an instance all of whose calls are overdue exchanges. g.mu of its group is held.
func (in *instance) endOverdue() {
	if in.overdue > 0 && in.overdue == in.active {
		in.box.Kill()
	}
}

func (in *instance) header(f *faas.Function, requestID string) map[string]string {
	h := faas.CallHeader(in.region, f.Project, f.Package, f.Name, f.Version, in.memoryMB, int(f.Spec.Timeout/time.Second), requestID)
	if f.Spec.AuthInHeader {
		maps.Copy(h, faas.CredentialHeader(in.credentials(f)))
	}
	return h
}

// goneSoon waits a little for the end that a broken connection may be the first sign of.
func (in *instance) goneSoon() bool {
	select {
	case <-in.box.Done():
		return true
	case <-time.After(exitGrace):
		return false
	}
}

// dialLimit is longer than a worker tries to connect.
const dialLimit = 15 * time.Second

// dial asks the worker for a connection to the function. It may be called at any time, and by several: a client may dial ahead.
func (in *instance) dial(ctx context.Context) (net.Conn, error) {
	defer in.hold()()
	if in.shared != nil {
		return in.shared.dial(ctx)
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer in.gifts.Discard()
	in.seq++
	_ = in.conn.SetDeadline(time.Now().Add(dialLimit))
	err := in.write(lang.AppendFrame(nil, lang.Frame{Type: lang.FrameDial, Seq: in.seq}))
	var frame lang.Frame
	if err == nil {
		frame, err = lang.ReadFrame(in.reader, nil, maxFrame)
	}
	switch {
	case err != nil:
		in.box.Kill()
		return nil, fmt.Errorf("connect to the function: %w", err)
	case frame.Seq == in.seq && frame.Type == lang.FrameDialed:
		conn, err := connectionOf(in.gifts)
		if err != nil {
			in.box.Kill()
			return nil, fmt.Errorf("connect to the function: %w", err)
		}
		return in.callers.add(conn)
	case frame.Seq == in.seq && frame.Type == lang.FrameFailed:
		_, failure, err := frame.Failure()
		return nil, errors.Join(err, errors.New(failure.Message))
	}
	in.box.Kill()
	return nil, fmt.Errorf("connect to the function: %w", errUnexpected)
}

// openReader makes the reader of frames. Plain reads lose descriptors, which is right where none are expected.
func (in *instance) openReader(gifts bool) {
	var from io.Reader = in.conn
	if socket, ok := in.conn.(*net.UnixConn); ok && gifts {
		in.gifts = &lang.Gifts{Socket: socket, Most: 1}
		from = in.gifts
	}
	in.reader = bufio.NewReaderSize(from, 4<<10)
}

// connectionOf makes a connection of the descriptor that has come. It must be one end of a TCP connection.
func connectionOf(gifts *lang.Gifts) (*net.TCPConn, error) {
	fd, ok := gifts.Take()
	if !ok {
		return nil, errors.New("no connection has come")
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close() // FileConn has a copy of its own
	kind, err := syscall.GetsockoptInt(int(file.Fd()), syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil || kind != syscall.SOCK_STREAM {
		return nil, lang.ErrGift
	}
	if _, err := syscall.Getpeername(int(file.Fd())); err != nil {
		return nil, lang.ErrGift // it listens, or leads nowhere
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp, nil
	}
	conn.Close()
	return nil, lang.ErrGift
}

// connections are those to one instance that are open. They end with it: whoever has one may keep it beyond a call.
type connections struct {
	mu     sync.Mutex
	open   map[*caller]struct{}
	closed bool
}

// caller is one connection.
type caller struct {
	*net.TCPConn
	all *connections
}

func (c *connections) add(conn *net.TCPConn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, errors.New("connect to the function: its instance has ended")
	}
	one := &caller{TCPConn: conn, all: c}
	if c.open == nil {
		c.open = map[*caller]struct{}{}
	}
	c.open[one] = struct{}{}
	return one, nil
}

func (c *caller) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.TCPConn.Close()
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for one := range c.open {
		one.TCPConn.Close()
	}
	c.open = nil
}
