package langtest

import (
	"encoding/binary"
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
func (m *template) copy(t testing.TB) func(control, output *os.File) *os.Process {
	return func(control, output *os.File) *os.Process {
		failed, report, err := os.Pipe()
		require.NoError(t, err)
		defer failed.Close()
		fds := unix.UnixRights(int(report.Fd()), int(control.Fd()), int(output.Fd()))
		_, _, err = m.conn.WriteMsgUnix(m.request(), fds, nil)
		require.NoError(t, err)
		report.Close()
		var answer sandbox.TemplateAnswer
		require.NoError(t, binary.Read(m.conn, binary.NativeEndian, &answer))
		require.Positive(t, answer.PID, "%v", unix.Errno(answer.Errno))
		said := make([]byte, 8)
		n, _ := failed.Read(said)
		require.Zero(t, n, "call %d: %v", said[0], unix.Errno(said[4]))
		p, err := os.FindProcess(int(answer.PID))
		require.NoError(t, err)
		return p
	}
}

// request asks for a copy that leads a process group and has the three channels.
func (m *template) request() []byte {
	first := m.hello.FirstFD
	held, letGo := first+3, first+4
	var head sandbox.TemplateRequest
	size := uint64(binary.Size(head))
	clone := []uint64{unix.CLONE_PARENT | unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID, 0, m.hello.ThreadID, 0, 0, 0, 0, 0, 0, 0, 0}
	if m.hello.ThreadID == 0 {
		clone[0] = unix.CLONE_PARENT
	}
	scratch := m.hello.Arena + size + 88
	calls := []uint64{
		unix.SYS_CLOSE, letGo, 0, 0, 0, 0, 0, 0,
		unix.SYS_READ, held, scratch, 1, 0, 0, 0, 1,
		unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0, 0,
		unix.SYS_DUP3, first + 2, 1, 0, 0, 0, 0, 0,
		unix.SYS_DUP3, first + 2, 2, 0, 0, 0, 0, 0,
		unix.SYS_DUP3, first + 1, lang.ControlFD, 0, 0, 0, 0, 0,
		unix.SYS_CLOSE_RANGE, first, 1<<32 - 1, 0, 0, 0, 0, 0,
	}
	words := append(append(clone, 0), calls...)
	head = sandbox.TemplateRequest{
		Size: size + uint64(8*len(words)), Clone: size, CloneSize: 88, Calls: size + 96, CallCount: uint64(len(calls) / 8),
	}
	all, _ := binary.Append(nil, binary.NativeEndian, head)
	for _, w := range words {
		all = binary.NativeEndian.AppendUint64(all, w)
	}
	return all
}

// shadowed are names that functions give to modules of their own and that a template has imported already.
func shadowed() map[string]string {
	files := map[string]string{"index.py": "import queue, logging, csv\nfrom csv import inner\n\ndef handler(event, context):\n    return [queue.MINE, logging.MINE, inner.MINE, csv.__file__.endswith('csv/__init__.py')]\n"}
	for _, name := range strings.Fields("queue.py logging.py csv/inner.py csv/__init__.py") {
		files[name] = "MINE = '" + name + "'\n"
	}
	return files
}
