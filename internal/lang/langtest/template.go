package langtest

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// template is a process that makes workers of copies of itself, without a sandbox: the other side of the protocol that
// package sandbox describes, at its least.
type template struct {
	conn  *net.UnixConn
	hello sandbox.TemplateHello
}

func newTemplate(t *testing.T, l *lang.Language, in lang.Install, bootstrap string) *template {
	t.Helper()
	ours, theirs := socketPair(t)
	defer theirs.Close()
	cmd := command(l, l.Template(in, bootstrap), theirs, os.Stderr)
	require.NoError(t, cmd.Start())
	m := &template{conn: ours.(*net.UnixConn)}
	t.Cleanup(func() {
		m.conn.Close()
		require.NoError(t, cmd.Wait(), "the template ends with its stream")
	})
	require.NoError(t, binary.Read(m.conn, binary.NativeEndian, &m.hello))
	return m
}

// copy gives a way to start a worker as a copy. Copies are children of the test.
func (m *template) copy(t testing.TB) launcher {
	return func(ours net.Conn, control, output *os.File) *os.Process {
		failed, report, err := os.Pipe()
		require.NoError(t, err)
		defer failed.Close()
		p := m.ask(t, report, control, output)
		_, err = ours.Write(m.program())
		require.NoError(t, err)
		said := make([]byte, 8)
		n, _ := failed.Read(said)
		require.Zero(t, n, "call %d: %v", said[0], unix.Errno(said[4]))
		return p
	}
}

// ask has a copy made that waits to be told what to become.
func (m *template) ask(t testing.TB, report, control, output *os.File) *os.Process {
	t.Helper()
	defer report.Close()
	fds := unix.UnixRights(int(report.Fd()), int(control.Fd()), int(output.Fd()))
	_, _, err := m.conn.WriteMsgUnix(m.request(), fds, nil)
	require.NoError(t, err)
	var answer sandbox.TemplateAnswer
	require.NoError(t, binary.Read(m.conn, binary.NativeEndian, &answer))
	require.Positive(t, answer.PID, "%v", unix.Errno(answer.Errno))
	p, err := os.FindProcess(int(answer.PID))
	require.NoError(t, err)
	return p
}

// request asks for a copy.
func (m *template) request() []byte {
	clone := []uint64{unix.CLONE_PARENT | unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID, 0, m.hello.ThreadID, 0, 0, 0, 0, 0, 0, 0, 0}
	if m.hello.ThreadID == 0 {
		clone[0] = unix.CLONE_PARENT
	}
	var head sandbox.TemplateRequest
	head.Clone, head.CloneSize = uint64(binary.Size(head)), uint64(8*len(clone))
	head.Size = head.Clone + head.CloneSize
	return words(head, clone)
}

// program has a copy lead a process group and have the three channels.
func (m *template) program() []byte {
	first := m.hello.FirstFD
	held, letGo := first+3, first+4
	var head sandbox.TemplateProgram
	head.Calls = uint64(binary.Size(head)) + 8
	scratch := m.hello.Arena + head.Calls - 8
	calls := []uint64{
		unix.SYS_CLOSE, letGo, 0, 0, 0, 0, 0, 0,
		unix.SYS_READ, held, scratch, 1, 0, 0, 0, 1,
		unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0, 0,
		unix.SYS_DUP3, first + 2, 1, 0, 0, 0, 0, 0,
		unix.SYS_DUP3, first + 2, 2, 0, 0, 0, 0, 0,
		unix.SYS_CLOSE_RANGE, first, 1<<32 - 1, 0, 0, 0, 0, 0,
	}
	head.CallCount = uint64(len(calls) / 8)
	head.Size = head.Calls + uint64(8*len(calls))
	return words(head, append([]uint64{0}, calls...))
}

func words(head any, behind []uint64) []byte {
	all, _ := binary.Append(nil, binary.NativeEndian, head) // numbers only
	all, _ = binary.Append(all, binary.NativeEndian, behind)
	return all
}

// testUntold ends the stream that a copy's program should come by: before it begins, and before it is whole.
func (m *template) testUntold(t *testing.T) {
	for _, begun := range []int{0, 4, 30} {
		ours, theirs := socketPair(t)
		failed, report, err := os.Pipe()
		require.NoError(t, err)
		p := m.ask(t, report, theirs, report)
		theirs.Close()
		_, err = ours.Write(m.program()[:begun])
		require.NoError(t, err)
		ours.Close()
		state, err := p.Wait()
		require.NoError(t, err)
		require.True(t, state.Exited(), state)
		_, err = failed.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "nobody else holds what it had")
		failed.Close()
	}
}

// shadowed are names that functions give to modules of their own and that a template has imported already.
func shadowed() map[string]string {
	files := map[string]string{"index.py": "import queue, logging, csv\nfrom csv import inner\n\ndef handler(event, context):\n    return [queue.MINE, logging.MINE, inner.MINE, csv.__file__.endswith('csv/__init__.py')]\n"}
	for _, name := range strings.Fields("queue.py logging.py csv/inner.py csv/__init__.py") {
		files[name] = "MINE = '" + name + "'\n"
	}
	return files
}
