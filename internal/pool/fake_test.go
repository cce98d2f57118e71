package pool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// actors is a sandbox driver whose processes are goroutines that speak the worker protocol, so that a test can say what a
// worker does and when, and run thousands of them.
type actors struct {
	start func(ctx context.Context) error // before a process is made; may wait
	play  func(a *actor)                  // what a process does; its end is the process's

	attach bool // processes can wait for their code
	freeze bool // processes can be frozen

	started atomic.Int64
	running atomic.Int64
}

// actor is a process of actors.
type actor struct {
	channels *sandbox.Channels
	inner    net.Conn
	killed   chan struct{}
	kill     sync.Once
	done     chan struct{}
	exit     sandbox.Exit
	cpu      chan int // each limit that is set
	patient  atomic.Bool
	share    atomic.Int64 // the last that was set
	load     lang.Load

	mu     sync.Mutex
	frozen chan struct{} // closed by Thaw; nil while not frozen
	frosts atomic.Int64

	reclaims atomic.Int64
}

func (d *actors) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{Attach: d.attach, Freeze: d.freeze, Reclaim: d.freeze}
}

func (d *actors) Close() error { return nil }

func (d *actors) Start(ctx context.Context, _ sandbox.Spec) (sandbox.Instance, error) {
	d.started.Add(1)
	if d.start != nil {
		if err := d.start(ctx); err != nil {
			return nil, err
		}
	}
	channels, err := sandbox.NewChannels()
	if err != nil {
		return nil, err
	}
	inner, err := net.FileConn(channels.InnerControl)
	if err != nil {
		return nil, err
	}
	channels.InnerControl.Close()
	a := &actor{channels: channels, inner: inner, killed: make(chan struct{}), done: make(chan struct{}), cpu: make(chan int, 1)}
	d.running.Add(1)
	go func() {
		d.play(a)
		a.Kill()
		a.channels.InnerOutput.Close()
		d.running.Add(-1)
		close(a.done)
	}()
	return a, nil
}

func (a *actor) Control() net.Conn         { return a.channels.Control }
func (a *actor) Output() *os.File          { return a.channels.Output }
func (a *actor) Path(inside string) string { return inside }
func (a *actor) MemoryPeak() int64         { return 0 }

func (a *actor) Freeze() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.frozen == nil {
		a.frozen = make(chan struct{})
		a.frosts.Add(1)
	}
	return nil
}

func (a *actor) Reclaim() error {
	a.reclaims.Add(1)
	return nil
}

func (a *actor) SetPatient(patient bool) error {
	a.patient.Store(patient)
	return nil
}

func (a *actor) SetShare(of int) error {
	a.share.Store(int64(of))
	return nil
}

func (a *actor) Network() (*os.File, error) { return nil, errors.ErrUnsupported }

func (a *actor) Thaw() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.frozen != nil {
		close(a.frozen)
		a.frozen = nil
	}
	return nil
}

// thawed waits while the process is frozen.
func (a *actor) thawed() {
	a.mu.Lock()
	frozen := a.frozen
	a.mu.Unlock()
	if frozen == nil {
		return
	}
	select {
	case <-frozen:
	case <-a.killed:
	}
}
func (a *actor) Done() <-chan struct{} { return a.done }
func (a *actor) Exit() sandbox.Exit    { return a.exit }
func (a *actor) Kill()                 { a.kill.Do(func() { close(a.killed); a.inner.Close() }) }

func (a *actor) Attach([]sandbox.Mount, int64, int64) error {
	select {
	case <-a.done:
		return errors.New("gone")
	default:
		return nil
	}
}

func (a *actor) SetCPU(millis int) error {
	select {
	case a.cpu <- millis:
	default:
	}
	return nil
}

// send sends a frame; it gives false when the process has been killed.
func (a *actor) send(f lang.Frame) bool {
	_, err := a.inner.Write(lang.AppendFrame(nil, f))
	return err == nil
}

func (a *actor) receive() (lang.Frame, bool) {
	f, err := lang.ReadFrame(slowly{a}, nil, lang.MaxFrameBytes)
	return f, err == nil
}

// slowly reads as a process does that may be frozen at any time: what it has not read stays in the socket.
type slowly struct{ a *actor }

func (s slowly) Read(p []byte) (int, error) {
	n, err := s.a.inner.Read(p[:min(len(p), 4<<10)])
	s.a.thawed()
	return n, err
}

// ready comes up and takes the load.
func (a *actor) ready() bool {
	if !a.send(lang.Frame{Type: lang.FrameReady}) {
		return false
	}
	f, ok := a.receive()
	return ok && json.Unmarshal(f.Body, &a.load) == nil
}

// loaded is ready, and loads without fault.
func (a *actor) loaded() bool { return a.ready() && a.send(lang.Frame{Type: lang.FrameLoaded}) }

// answer gives a call its own event back.
func (a *actor) answer(call lang.Frame) bool {
	switch call.Type {
	case lang.FrameBeat:
		return a.send(lang.Frame{Type: lang.FrameBeaten, Seq: call.Seq, Meta: []byte{1}})
	case lang.FrameStop:
		return a.send(lang.Frame{Type: lang.FrameStopped, Seq: call.Seq})
	case lang.FrameDial:
		return a.connect(call.Seq)
	}
	return a.send(lang.Frame{Type: lang.FrameResult, Seq: call.Seq, Meta: make([]byte, 4), Body: call.Body})
}

// connect answers a dial with a connection to something that gives back what it is sent.
func (a *actor) connect(seq uint32) bool {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer l.Close()
	ours, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return false
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		return false
	}
	go func() { _, _ = io.Copy(theirs, theirs); theirs.Close() }()
	go func() { <-a.killed; theirs.Close() }() // as the kernel does
	raw, err := ours.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	frame := lang.AppendFrame(nil, lang.Frame{Type: lang.FrameDialed, Seq: seq})
	sent := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := a.inner.(*net.UnixConn).WriteMsgUnix(frame, syscall.UnixRights(int(fd)), nil)
		sent = err == nil
	})
	return sent && err == nil
}

// echo answers calls until it is killed.
func (a *actor) echo() {
	for {
		call, ok := a.receive()
		if !ok || !a.answer(call) {
			return
		}
	}
}

// wait ends after a time, or with false at once when the process is killed.
func (a *actor) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-a.killed:
		return false
	}
}

// stage is a pool of actors. Every function runs as play says.
type stage struct {
	*pool.Pool
	driver *actors
	serial atomic.Int64
	single bool // the language takes one call at a time
}

func (s *stage) Dir(context.Context, faas.Package) (string, func(), error) {
	return "/", func() {}, nil
}
func (s *stage) Variables(*faas.Function) (map[string]string, error) { return nil, nil }
func (s *stage) Resolve(string) (lang.Runtime, error) {
	return lang.Runtime{Name: "Fake1", Exact: true, Language: &lang.Language{
		ID: "fake", Command: func(lang.Install, string) []string { return []string{"/fake"} }, Bootstrap: fstest.MapFS{}, Concurrent: !s.single, Hooks: !s.single, HTTP: true, Title: "Fake",
	}}, nil
}

// newStage starts a pool. The test's end stops it, and holds the books: no process, no instance is left.
func newStage(t *testing.T, d *actors, change func(*pool.Config)) *stage {
	t.Helper()
	s := &stage{driver: d}
	cfg := pool.Config{
		Driver: d, Folders: s, Runtimes: s, Variables: s, StateDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: metrics.NewSet(),
	}
	if change != nil {
		change(&cfg)
	}
	s.Pool = pool.New(cfg)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		stopped := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			stopped <- s.Stop(ctx)
		}()
		select {
		case err := <-stopped:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			t.Fatal("Stop does not return")
		}
		require.Zero(t, d.running.Load(), "processes left")
	})
	return s
}

func (s *stage) function() *faas.Function {
	id := fmt.Sprintf("f%d", s.serial.Add(1))
	return &faas.Function{
		ID: id, Project: "p", Package: "default", Name: id, Version: faas.Latest, Revision: 1,
		Spec: faas.Spec{Handler: "index.handler", Timeout: 3 * time.Second, MemoryMB: 128, TmpMB: 512, MaxInstances: faas.Unlimited},
	}
}

func (s *stage) try(ctx context.Context, f *faas.Function, event string, wait time.Duration) (*faas.Result, error) {
	return s.Run(ctx, f, faas.Invocation{ID: "id", Event: []byte(event), QueueBy: time.Now().Add(wait), Deadline: time.Now().Add(wait + f.Spec.Timeout)})
}

var errNoStart = errors.New("no start today")
