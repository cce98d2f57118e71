// Package langtest is the conformance suite of languages, and a harness that runs one worker without a sandbox.
//
// The harness starts a real interpreter with the real bootstrap and speaks the real protocol. It must not be used to run
// code that is not trusted.
package langtest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Patience is how long the harness waits for an answer or an end before it fails the test.
const Patience = 30 * time.Second

// Worker is a bootstrap that runs, with its socket and its output.
type Worker struct {
	t        testing.TB
	language string // Language.ID
	pid      int
	state    *os.ProcessState // after exited
	conn     net.Conn
	wired    lang.Wired // the same, where the worker becomes the function; nil for all others
	in       *bufio.Reader
	out      []byte // reused for frames that are sent
	buf      []byte // reused for frames that are read
	seq      uint32
	lines    chan string
	pipe     *os.File // the writing end of the output
	exited   chan struct{}
	closed   sync.Once
}

// Reply is what a worker answers to a load or a call. Its Body is the caller's to keep.
type Reply struct {
	Frame   lang.Frame
	Fail    byte         // one of lang.Fail...; 0 on success
	Failure lang.Failure // set when Fail is
	PeakKiB int64        // of a result
	Err     error        // the stream ended or broke; all else is empty then
}

// Bootstrap lays the bootstrap files of a language into a folder of the test and gives the folder.
func Bootstrap(t testing.TB, l *lang.Language) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), l.ID)
	defer noForks()()
	require.NoError(t, os.CopyFS(dir, l.Bootstrap))
	if adaptor := filepath.Join(dir, lang.Adaptor); fileExists(adaptor) {
		require.NoError(t, os.Chmod(adaptor, 0o755)) // embedded files have no modes
	}
	return dir
}

// noForks holds off the start of processes by this one until the answer is called: a process that is born while a program is
// being written holds it open for writing for a moment, and it cannot be started then.
func noForks() func() {
	syscall.ForkLock.RLock()
	return syscall.ForkLock.RUnlock
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Write lays files (path -> text) into a new folder of the test and gives the folder. What begins like a program is executable.
func Write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	defer noForks()()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "\x7fELF") || strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
	}
	return dir
}

// Start starts a worker from the folder that Bootstrap gave and waits until it is ready. It is closed with the test.
func Start(t testing.TB, l *lang.Language, in lang.Install, bootstrap string) *Worker {
	t.Helper()
	w := start(t, l.Wire, func(_ net.Conn, control, output *os.File) *os.Process {
		cmd := command(l, l.Command(in, bootstrap), control, output)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		return cmd.Process
	})
	w.language = l.ID
	return w
}

// command is a process of a language with its three channels.
func command(l *lang.Language, args []string, control, output *os.File) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/tmp"}, l.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{control} // becomes lang.ControlFD
	return cmd
}

// launcher starts a process that gets one end of the control socket, whose other is ours, and of the output pipe.
type launcher func(ours net.Conn, control, output *os.File) *os.Process

// wiring is Language.Wire.
type wiring func(control net.Conn, ended <-chan struct{}) lang.Wired

// start starts a worker, its process by launch, as the leader of a process group.
func start(t testing.TB, wire wiring, launch launcher) *Worker {
	t.Helper()
	ours, theirs := socketPair(t)
	defer theirs.Close()
	read, write, err := os.Pipe()
	require.NoError(t, err)

	w := &Worker{t: t, conn: ours, lines: make(chan string, 1<<16), pipe: write, exited: make(chan struct{})}
	if wire != nil {
		w.wired = wire(ours, w.exited)
		w.conn = w.wired
	}
	w.in = bufio.NewReaderSize(w.conn, 64<<10)
	process := launch(ours, theirs, write)
	w.pid = process.Pid
	go w.readOutput(read)
	go func() {
		w.state, _ = process.Wait() // read by Exit
		close(w.exited)
		if w.wired != nil {
			_ = w.wired.CloseRead()
		}
	}()
	t.Cleanup(w.Close)

	require.NoError(t, w.conn.SetDeadline(time.Now().Add(Patience)))
	f, err := lang.ReadFrame(w.in, nil, lang.MaxFrameBytes)
	if err != nil {
		t.Fatalf("worker is not ready: %v; output: %s", err, strings.Join(w.Output(), "\n"))
	}
	require.Equal(t, byte(lang.FrameReady), f.Type)
	return w
}

func socketPair(t testing.TB) (ours net.Conn, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	ours, err = net.FileConn(f)
	require.NoError(t, err)
	return ours, os.NewFile(uintptr(fds[1]), "control")
}

func (w *Worker) readOutput(r *os.File) {
	defer r.Close()
	defer close(w.lines)
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); line != "" || err == nil {
			w.lines <- line
		}
		if err != nil {
			return
		}
	}
}

// Load sends a load and waits for the answer.
func (w *Worker) Load(l lang.Load) Reply {
	w.t.Helper()
	return w.exchange(lang.AppendLoad(w.out[:0], l), 0)
}

// Call sends a call with a minute to go and waits for the answer.
func (w *Worker) Call(event string) Reply {
	w.t.Helper()
	return w.CallWith(event, time.Now().Add(time.Minute), "request-1", lang.CallExtra{})
}

// CallWith is Call with all that a call head carries.
func (w *Worker) CallWith(event string, deadline time.Time, requestID string, extra lang.CallExtra) Reply {
	w.t.Helper()
	w.seq++
	return w.exchange(lang.AppendCall(w.out[:0], w.seq, deadline, requestID, extra, []byte(event)), w.seq)
}

func (w *Worker) exchange(frame []byte, seq uint32) Reply {
	w.out = frame
	if err := w.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return Reply{Err: err}
	}
	if _, err := w.conn.Write(frame); err != nil {
		return Reply{Err: err}
	}
	r := w.Receive()
	if r.Err == nil && r.Frame.Seq != seq {
		return Reply{Err: fmt.Errorf("answer to call %d, not %d", r.Frame.Seq, seq)}
	}
	return r
}

// Begin sends one call and gives its sequence number; it does not wait for the answer.
func (w *Worker) Begin(event, requestID string) uint32 {
	w.t.Helper()
	w.seq++
	require.NoError(w.t, w.conn.SetDeadline(time.Now().Add(Patience)))
	_, err := w.conn.Write(lang.AppendCall(nil, w.seq, time.Now().Add(time.Minute), requestID, lang.CallExtra{}, []byte(event)))
	require.NoError(w.t, err)
	return w.seq
}

// Send sends calls in one piece and gives the sequence number of the first; it does not wait for answers.
func (w *Worker) Send(events ...string) uint32 {
	w.t.Helper()
	var wire []byte
	for i, event := range events {
		wire = lang.AppendCall(wire, w.seq+1+uint32(i), time.Now().Add(time.Minute), fmt.Sprintf("request-%d", i), lang.CallExtra{}, []byte(event))
	}
	first := w.seq + 1
	w.seq += uint32(len(events))
	require.NoError(w.t, w.conn.SetDeadline(time.Now().Add(Patience)))
	_, err := w.conn.Write(wire)
	require.NoError(w.t, err)
	return first
}

// Ask sends what is no call, FrameBeat or FrameStop, and waits for the answer.
func (w *Worker) Ask(kind byte) Reply {
	w.t.Helper()
	w.seq++
	return w.exchange(lang.AppendFrame(w.out[:0], lang.Frame{Type: kind, Seq: w.seq}), w.seq)
}

// SendFrames sends what is no call in one piece, and waits for nothing.
func (w *Worker) SendFrames(frames ...lang.Frame) {
	w.t.Helper()
	var wire []byte
	for _, f := range frames {
		wire = lang.AppendFrame(wire, f)
	}
	_, err := w.conn.Write(wire)
	require.NoError(w.t, err)
}

// Receive waits for the next answer, whichever call it is for.
func (w *Worker) Receive() Reply {
	f, err := lang.ReadFrame(w.in, nil, lang.MaxFrameBytes)
	if err != nil {
		return Reply{Err: err}
	}
	r := Reply{Frame: f}
	switch f.Type {
	case lang.FrameResult:
		r.PeakKiB, r.Err = f.PeakKiB()
	case lang.FrameFailed:
		r.Fail, r.Failure, r.Err = f.Failure()
	case lang.FrameLoaded, lang.FrameBeaten, lang.FrameStopped, lang.FrameAsk:
	default:
		r.Err = fmt.Errorf("answer of type %d", f.Type)
	}
	return r
}

// Echo makes one call at the least cost to the harness, for benchmarks. The answer is valid until the next call.
func (w *Worker) Echo(event []byte, deadline time.Time) (lang.Frame, error) {
	w.seq++
	w.out = lang.AppendCall(w.out[:0], w.seq, deadline, "9e107d9d-372b-4b6e-9bd1-2c9a4c8b1f3a", lang.CallExtra{}, event)
	if _, err := w.conn.Write(w.out); err != nil {
		return lang.Frame{}, err
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, 64<<10)
	}
	return lang.ReadFrame(w.in, w.buf, lang.MaxFrameBytes)
}

// Output gives the lines that the worker has written since the last time and that are in the pipe by now. What a worker
// wrote before an answer is there once the answer is.
func (w *Worker) Output() []string {
	w.t.Helper()
	// A line of our own behind all that the worker has written: reading needs no guess of how long to wait.
	mark := fmt.Sprintf("mark %d", time.Now().UnixNano())
	_, err := fmt.Fprintln(w.pipe, mark)
	require.NoError(w.t, err)
	var lines []string
	for {
		select {
		case line := <-w.lines:
			rest, last := strings.CutSuffix(line, mark)
			if !last || rest != "" {
				lines = append(lines, rest)
			}
			if last {
				return lines
			}
		case <-time.After(Patience):
			w.t.Fatalf("output did not end; so far: %q", lines)
		}
	}
}

// Exit waits until the process ends by itself and gives its exit code, -1 for a signal.
func (w *Worker) Exit() int {
	w.t.Helper()
	select {
	case <-w.exited:
		return w.state.ExitCode()
	case <-time.After(Patience):
		w.t.Fatalf("worker %d goes on; output: %q", w.pid, w.Output())
		return 0
	}
}

// idle waits until the worker's main thread sleeps, which between calls means that it waits for the next one.
func (w *Worker) idle() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.Pid()))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "S")
	}, Patience, time.Millisecond)
}

// Pid is the process id of the worker.
func (w *Worker) Pid() int { return w.pid }

// HangUp closes the socket, which tells the worker to end.
func (w *Worker) HangUp() { _ = w.conn.Close() }

// Close ends the worker with all its children. It may be called more than once.
func (w *Worker) Close() {
	w.closed.Do(func() {
		_ = w.conn.Close()
		if err := syscall.Kill(-w.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			w.t.Errorf("end worker: %v", err)
		}
		<-w.exited
		_ = w.pipe.Close()
		for range w.lines { // until the reader of the output has ended
		}
	})
}
