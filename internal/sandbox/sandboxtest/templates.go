package sandboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang/python"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// RunTemplates holds a driver's templates to their contract, and the copies to that of sandboxes. A driver without
// templates on this host must say so.
func RunTemplates(t *testing.T, newDriver func(t *testing.T) sandbox.Driver) {
	d := newDriver(t)
	maker, ok := d.(sandbox.Templater)
	require.True(t, ok)
	s := templateSpec(t)
	first, err := maker.Template(t.Context(), s)
	if errors.Is(err, errors.ErrUnsupported) {
		require.Contains(t, strings.Join(d.Capabilities().Lacks, "\n"), "booted")
		return
	}
	require.NoError(t, err)
	first.Close()
	copies := func(t *testing.T) *copier {
		inner := newDriver(t)
		made, err := inner.(sandbox.Templater).Template(t.Context(), templateSpec(t))
		require.NoError(t, err)
		return &copier{inner, made}
	}
	runShared(t, copies(t), func(t *testing.T) sandbox.Driver { return copies(t) })
	t.Run("copies are strangers", func(t *testing.T) { testStrangers(t, copies(t)) })
	t.Run("copies outlive their template", func(t *testing.T) { testOutlive(t, copies(t)) })
	t.Run("a step that fails", func(t *testing.T) { testStepFails(t, copies(t)) })
	t.Run("a program that is no template", func(t *testing.T) {
		for _, script := range []string{"echo no such thing; exit 3", "exec 3>&-", "exec sleep 600"} {
			s := spec(script)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			_, err := maker.Template(ctx, s)
			cancel()
			require.ErrorContains(t, err, "did not come up")
		}
	})
}

// becoming is a template whose copies read from their control socket what to become. Python is the one language that has
// templates.
const becoming = `
import importlib.util, json, os
spec = importlib.util.spec_from_file_location("template", "/opt/template/template.py")
template = importlib.util.module_from_spec(spec)
spec.loader.exec_module(template)
template.imports()
template.wait()
line = b""
while not line.endswith(b"\n"):
    line += os.read(3, 1)
become = json.loads(line)
if "code" in become:
    exec(become["code"])
else:
    os.set_inheritable(3, True)
    os.chdir(become["dir"])
    os.execve(become["command"][0], become["command"], dict(e.split("=", 1) for e in become["env"]))
`

func templateSpec(t *testing.T) sandbox.Spec { return templateOf(t, becoming) }

// DyingTemplate is a template that dies when it has made a copy, before it tells of it.
func DyingTemplate(t *testing.T) sandbox.Spec {
	const before = "template.wait()"
	return templateOf(t, strings.Replace(becoming, before, "class Die:\n    def pack(self, *_):\n        os.kill(os.getpid(), 9)\ntemplate.ANSWER = Die()\n"+before, 1))
}

func templateOf(t *testing.T, becoming string) sandbox.Spec {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, python.Language().Bootstrap))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "becoming.py"), []byte(becoming), 0o644))
	s := spec("")
	s.Command = []string{"/usr/bin/python3", "-I", "-B", "/opt/template/becoming.py"}
	s.Mounts, s.Empty = []sandbox.Mount{{Source: dir, Target: "/opt/template"}}, []string{"/opt/function/code", "/opt/function/more"}
	return s
}

// copier is a driver that makes each sandbox of a copy.
type copier struct {
	sandbox.Driver
	template sandbox.Template
}

// Capabilities are the driver's, but a copy has the root of its template.
func (c *copier) Capabilities() sandbox.Capabilities {
	all := c.Driver.Capabilities()
	all.Root = false
	return all
}

func (c *copier) Start(ctx context.Context, s sandbox.Spec) (sandbox.Instance, error) {
	return c.become(ctx, s, map[string]any{"command": s.Command, "env": s.Env, "dir": s.Dir})
}

func (c *copier) become(ctx context.Context, s sandbox.Spec, what map[string]any) (sandbox.Instance, error) {
	in, err := c.template.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(what)
	if err == nil {
		_, err = in.Control().Write(append(line, '\n'))
	}
	if err != nil { // it ended at once
		<-in.Done()
	}
	return in, nil
}

// StartCopies starts a template. What it gives starts a copy that runs Python, its output in the instance's.
// Where the template does not start, no copy does, and for the same reason.
func StartCopies(t *testing.T, d sandbox.Driver) func(ctx context.Context, s sandbox.Spec, code string) (sandbox.Instance, error) {
	made, err := d.(sandbox.Templater).Template(t.Context(), templateSpec(t))
	c := &copier{d, made}
	if err == nil {
		t.Cleanup(made.Close)
	}
	return func(ctx context.Context, s sandbox.Spec, code string) (sandbox.Instance, error) {
		if err != nil {
			return nil, err
		}
		return c.become(ctx, s, map[string]any{"code": code})
	}
}

// ask has a copy run Python that answers with one line on its control socket.
func (c *copier) ask(t *testing.T, code string) (sandbox.Instance, string) {
	t.Helper()
	in, err := c.become(t.Context(), spec(""), map[string]any{"code": code})
	require.NoError(t, err)
	t.Cleanup(func() { in.Kill(); <-in.Done(); in.Control().Close(); in.Output().Close() })
	require.NoError(t, in.Control().(*net.UnixConn).SetReadDeadline(time.Now().Add(20*time.Second)))
	line, err := bufio.NewReader(in.Control()).ReadString('\n')
	require.NoError(t, err)
	return in, strings.TrimSpace(line)
}

// testStrangers compares what copies that live at the same time have.
func testStrangers(t *testing.T, c *copier) {
	const tell = `
import json, os, random, secrets, signal, socket, ssl, sys, tempfile, threading, uuid
mine = "secret-of-%d" % random.getrandbits(64)
os.write(3, (json.dumps({
    "random": random.getrandbits(64), "system": secrets.token_hex(8), "uuid": str(uuid.uuid4()), "ssl": ssl.RAND_bytes(8).hex(),
    "temporary": tempfile.mktemp(), "pid": os.getpid(), "threads": threading.active_count(), "ids": os.getresuid() + os.getresgid(),
    "groups": os.getgroups(), "parent": os.getppid(), "session": os.getsid(0), "thread": threading.get_native_id(),
    "fds": sorted(int(f) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)),
    "writable": os.access("/proc/self/fd", os.R_OK), "seen": [p for p in os.listdir("/proc") if p.isdigit()],
}) + "\n").encode())
os.read(3, 1)
`
	type told struct {
		Random    json.Number
		System    string
		UUID      string
		SSL       string
		Temporary string
		PID       int
		Threads   int
		Parent    int
		Session   int
		Thread    int
		IDs       []int
		Groups    []int
		FDs       []int
		Seen      []string
		Writable  bool
	}
	different := map[string]bool{}
	const n = 4
	for range n {
		_, line := c.ask(t, tell)
		var one told
		require.NoError(t, json.Unmarshal([]byte(line), &one), line)
		for _, v := range []string{string(one.Random), one.System, one.UUID, one.SSL, one.Temporary} {
			require.False(t, different[v], "two copies have %s", v)
			different[v] = true
		}
		require.Equal(t, []int{1, 1, 0, 1, 1}, []int{one.PID, one.Threads, one.Parent, one.Session, one.Thread})
		require.Equal(t, []int{1003, 1003, 1003, 1003, 1003, 1003}, one.IDs)
		require.Empty(t, one.Groups)
		require.Equal(t, []int{0, 1, 2, 3}, one.FDs)
		require.Equal(t, []string{"1"}, one.Seen)
		require.True(t, one.Writable)
	}
}

// testOutlive ends the template while copies of it live, and while copies are being made.
func testOutlive(t *testing.T, c *copier) {
	in, line := c.ask(t, "import os\nos.write(3, b'up\\n')\nwhile True: os.write(3, os.read(3, 1))")
	require.Equal(t, "up", line)
	starts := make(chan error, 8)
	for range cap(starts) {
		go func() {
			for {
				in, err := c.template.Start(context.Background(), spec(""))
				if err != nil {
					starts <- err
					return
				}
				in.Kill()
				<-in.Done()
				in.Control().Close()
				in.Output().Close()
			}
		}()
	}
	c.template.Close()
	for range cap(starts) {
		require.Error(t, <-starts)
	}
	<-c.template.Done()
	_, err := fmt.Fprint(in.Control(), "x")
	require.NoError(t, err)
	answer := make([]byte, 1)
	_, err = in.Control().Read(answer)
	require.NoError(t, err)
	require.Equal(t, "x", string(answer))
	select {
	case <-in.Done():
		t.Fatal("the copy ended with its template")
	default:
	}
}

// testStepFails asks for what cannot be done: a folder where no room was made.
func testStepFails(t *testing.T, c *copier) {
	s := spec("")
	s.Mounts = []sandbox.Mount{{Source: t.TempDir(), Target: "/opt/elsewhere"}}
	_, err := c.template.Start(t.Context(), s)
	require.ErrorContains(t, err, "show /opt/elsewhere: no such file")
}
