// Package sandboxtest is the conformance suite of sandbox drivers: what every level promises, and what only an isolating
// one does.
package sandboxtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Run holds a driver to the contract. Each test makes a driver of its own; newDriver closes it by t.Cleanup.
func Run(t *testing.T, newDriver func(t *testing.T) sandbox.Driver) {
	d := newDriver(t)
	t.Run("a command that does not exist", func(t *testing.T) { testNoCommand(t, d) })
	runShared(t, d, newDriver)
}

// runShared is what holds for every sandbox, however it is made.
func runShared(t *testing.T, d sandbox.Driver, newDriver func(t *testing.T) sandbox.Driver) {
	t.Run("control socket and exit code", func(t *testing.T) { testControl(t, d) })
	t.Run("output pipe", func(t *testing.T) { testOutput(t, d) })
	t.Run("mounts", func(t *testing.T) { testMounts(t, d) })
	t.Run("root of its own", func(t *testing.T) { testRoot(t, d) })
	t.Run("kill ends the whole tree", func(t *testing.T) { testKill(t, d) })
	t.Run("freeze", func(t *testing.T) { testFreeze(t, d) })
	t.Run("reclaim", func(t *testing.T) { testReclaim(t, d) })
	t.Run("network", func(t *testing.T) { testNetwork(t, d) })
	t.Run("patient", func(t *testing.T) { testPatient(t, d) })
	t.Run("attach", func(t *testing.T) { testAttach(t, d) })
	t.Run("many at once", func(t *testing.T) { testMany(t, d) })
	t.Run("closed while others start", func(t *testing.T) { testClose(t, newDriver(t)) })
	if !d.Capabilities().Isolated {
		return
	}
	t.Run("walls", func(t *testing.T) { testWalls(t, d) })
	t.Run("limits", func(t *testing.T) { testLimits(t, d) })
}

// spec is a shell script under usual limits.
func spec(script string) sandbox.Spec {
	return sandbox.Spec{
		Name: "test", Command: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		MemoryBytes: 64 << 20, Processes: 32, Files: 128, TmpBytes: 4 << 20,
	}
}

// outcome is how a sandbox ended and what it said.
type outcome struct {
	sandbox.Exit
	said string
}

// run starts a sandbox, reads its output to the end and waits until it is gone, 30 seconds at most.
func run(t *testing.T, d sandbox.Driver, s sandbox.Spec) outcome {
	t.Helper()
	in, err := d.Start(t.Context(), s)
	require.NoError(t, err)
	defer in.Control().Close()
	defer in.Output().Close()
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(in.Output(), 1<<20))
		said <- string(b)
	}()
	select {
	case <-in.Done():
	case <-time.After(30 * time.Second):
		in.Kill()
		<-in.Done()
		t.Errorf("still running after 30 s: %v", s.Command)
	}
	return outcome{in.Exit(), <-said}
}

func testControl(t *testing.T, d sandbox.Driver) {
	in, err := d.Start(t.Context(), spec("read line <&3; echo got $line >&3; exit 7"))
	require.NoError(t, err)
	defer in.Output().Close()
	defer in.Control().Close()
	_, err = io.WriteString(in.Control(), "hello\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(in.Control()).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "got hello\n", line)
	<-in.Done()
	require.Equal(t, 7, in.Exit().Code)
}

func testOutput(t *testing.T, d sandbox.Driver) {
	o := run(t, d, spec("echo one; echo two >&2; sh -c 'echo three > /dev/stdout'"))
	require.Equal(t, "one\ntwo\nthree\n", o.said)
	require.Zero(t, o.Code)
}

func testNoCommand(t *testing.T, d sandbox.Driver) {
	s := spec("")
	s.Command = []string{"/usr/bin/no-such-program"}
	_, err := d.Start(t.Context(), s)
	require.ErrorContains(t, err, "no-such-program")
}

func testMounts(t *testing.T, d sandbox.Driver) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), []byte("shown"), 0o644))
	s := spec("")
	s.Mounts = []sandbox.Mount{{Source: dir, Target: "/opt/function/code"}}
	s.Dir = "/opt/function/code"
	s.Command = []string{"/bin/sh", "-c", "cat data; cat /opt/function/code/data || true; pwd"}
	in, err := d.Start(t.Context(), s)
	require.NoError(t, err)
	defer in.Control().Close()
	defer in.Output().Close()
	said, err := io.ReadAll(in.Output())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(said), "shown"), string(said))
	require.Contains(t, string(said), in.Path("/opt/function/code"))
	<-in.Done()
}

// testKill leaves children and grandchildren behind that hold a socket open; its end shows that they are gone.
func testKill(t *testing.T, d sandbox.Driver) {
	escape := ""
	if d.Capabilities().Isolated {
		escape = "setsid " // leaves the process group, which is all that a level without isolation can end
	}
	in, err := d.Start(t.Context(), spec("("+escape+"sleep 1000 &) ; sleep 1000 & echo up >&3; wait"))
	require.NoError(t, err)
	defer in.Output().Close()
	defer in.Control().Close()
	_, err = bufio.NewReader(in.Control()).ReadString('\n')
	require.NoError(t, err)
	in.Kill()
	in.Kill()
	<-in.Done()
	require.Equal(t, "killed", in.Exit().Signal)
	require.NoError(t, in.Control().(*net.UnixConn).SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = in.Control().Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "something of the tree still holds the socket")
}

// testAttach gives a process that waits a folder and other limits.
func testAttach(t *testing.T, d sandbox.Driver) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), []byte("shown\n"), 0o644))
	s := spec("read line <&3; cat /opt/function/code/data /opt/function/more/data; touch /opt/function/code/x 2>/dev/null && echo open; dd if=/dev/zero of=/tmp/x bs=1M count=64 2>/dev/null; stat -c %s /tmp/x")
	s.Empty, s.Patient = []string{"/opt/function/code", "/opt/function/more"}, true
	in, err := d.Start(t.Context(), s)
	require.NoError(t, err)
	defer in.Control().Close()
	defer in.Output().Close()
	defer in.Kill()
	code, more := sandbox.Mount{Source: dir, Target: "/opt/function/code"}, sandbox.Mount{Source: dir, Target: "/opt/function/more"}
	err = in.Attach([]sandbox.Mount{code, more}, 128<<20, 8<<20)
	if !d.Capabilities().Attach {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	require.NoError(t, in.SetCPU(1000))
	_, err = io.WriteString(in.Control(), "go\n")
	require.NoError(t, err)
	said, err := io.ReadAll(in.Output())
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("shown\nshown\n%d\n", 8<<20), string(said))
	<-in.Done()
	require.Error(t, in.Attach([]sandbox.Mount{code}, 1<<20, 1<<20), "the sandbox is gone")
}

func testMany(t *testing.T, d sandbox.Driver) {
	results := make(chan string)
	const n = 16
	for i := range n {
		go func() {
			in, err := d.Start(t.Context(), spec(fmt.Sprintf("echo %d", i)))
			if err != nil {
				results <- err.Error()
				return
			}
			defer in.Control().Close()
			defer in.Output().Close()
			b, _ := io.ReadAll(in.Output())
			<-in.Done()
			results <- strings.TrimSpace(string(b))
		}()
	}
	seen := map[string]bool{}
	for range n {
		seen[<-results] = true
	}
	for i := range n {
		require.True(t, seen[fmt.Sprint(i)], "%d missing in %v", i, seen)
	}
}

// testClose closes a driver in the middle of starts: each gives an instance that Close ends, or an error.
func testClose(t *testing.T, d sandbox.Driver) {
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			for {
				in, err := d.Start(context.Background(), spec("sleep 600"))
				if err != nil {
					return
				}
				defer in.Control().Close()
				defer in.Output().Close()
				defer func() { <-in.Done() }()
			}
		})
	}
	first, err := d.Start(t.Context(), spec("sleep 600"))
	require.NoError(t, err)
	defer first.Control().Close()
	defer first.Output().Close()
	require.NoError(t, d.Close())
	ended := make(chan struct{})
	go func() { starts.Wait(); <-first.Done(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("instances outlive their driver, or starts do not end")
	}
	_, err = d.Start(t.Context(), spec("true"))
	require.Error(t, err)
}

// testWalls tries what a function must not be able to do. Each script says "open" when the wall is open, and "shut" at
// its end.
func testWalls(t *testing.T, d sandbox.Driver) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o644))
	t.Setenv("HANSHU_SECRET", "x")
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Fatal("the suite needs /usr/bin/python3")
	}
	shell := func(script string) sandbox.Spec { return spec(script + "; echo shut") }
	py := func(code string) sandbox.Spec {
		s := spec("")
		s.Command = []string{python, "-I", "-S", "-c", code + "\nprint('shut')"}
		return s
	}
	syscall := func(expr string) sandbox.Spec {
		return py("import ctypes,os\nlibc=ctypes.CDLL(None,use_errno=True)\nr=" + expr + "\nprint('open' if r>=0 else os.strerror(ctypes.get_errno()))")
	}
	for name, s := range map[string]sandbox.Spec{
		"files of the host":         shell("[ -e " + secret + " ] && echo open; ls /root /home /var 2>/dev/null && echo open"),
		"passwords of the host":     shell("[ -e /etc/shadow ] && echo open"),
		"environment of the host":   shell("env | grep HANSHU && echo open"),
		"processes of the host":     shell("[ $(ls -d /proc/[0-9]* | wc -l) -gt 8 ] && echo open; [ -e /proc/sys ] && echo open"),
		"environment of the server": shell("cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep HANSHU && echo open"),
		"write to the view":         shell("(echo x > /usr/x || echo x > /x || echo x > /etc/x || mkdir /opt/y) 2>/dev/null && echo open"),
		"write to mounts":           shell("touch /usr/bin/env 2>/dev/null && echo open"),
		"network of the host":       py("import socket\ntry:\n socket.create_connection(('1.1.1.1',53),2); print('open')\nexcept OSError as e: print(e)"),
		"other interfaces":          shell("[ $(wc -l < /proc/self/net/dev) -gt 3 ] && echo open"),
		"capabilities":              shell("grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -v 0000000000000000 && echo open"),
		"new privileges":            shell("grep -q 'NoNewPrivs:.*1' /proc/self/status || echo open"),
		"seccomp":                   shell("grep -q 'Seccomp:.*2' /proc/self/status || echo open"),
		"be root":                   shell("[ $(id -u) = 0 ] && echo open; [ $(id -u) = 1003 ] || echo open"),
		"other descriptors":         py("import os\nfds=[f for f in os.listdir('/proc/self/fd') if int(f)>3 and os.path.exists('/proc/self/fd/'+f) and not os.readlink('/proc/self/fd/'+f).startswith('/proc/')]\nprint('open' if fds else 'none', fds)"),
		"new user namespace":        syscall("libc.unshare(0x10000000)"),
		"new user namespace, clone": syscall("libc.syscall(56, 0x10000000|17, 0,0,0,0) if os.uname().machine=='x86_64' else -1"),
		"clone3":                    syscall("libc.syscall(435, 0, 0)"),
		"mount":                     syscall("libc.mount(b'none',b'/tmp',b'tmpfs',0,None)"),
		"unmount":                   syscall("libc.umount2(b'/tmp',2)"),
		"chroot":                    syscall("libc.chroot(b'/tmp')"),
		"ptrace":                    syscall("libc.ptrace(0,0,0,0)"),
		"bpf":                       syscall("libc.syscall(321,0,0,0)"),
		"keyring":                   syscall("libc.syscall(248,b'user',b'k',b'v',1,-3)"),
		"io_uring":                  syscall("libc.syscall(425,8,0)"),
		"userfaultfd":               syscall("libc.syscall(323,0)"),
		"perf":                      syscall("libc.syscall(298,0,0,-1,-1,0)"),
		"host name":                 syscall("libc.sethostname(b'x',1)"),
		"raw socket":                syscall("libc.socket(2,3,1)"),
		"packet socket":             syscall("libc.socket(17,3,0)"),
		"vsock":                     syscall("libc.socket(40,1,0)"),
		"kernel crypto socket":      syscall("libc.socket(38,5,0)"),
		"flush the host's disks":    syscall("libc.syncfs(os.open('/usr',0))"),
		"outlive the server":        syscall("libc.prctl(1,0,0,0,0)"),
		"set-user-id root":          shell("for f in /usr/bin/su /usr/bin/passwd /usr/bin/mount; do [ -u $f ] && $f --version >/dev/null 2>&1; done; [ $(id -u) = 1003 ] || echo open"),
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, d, s)
			require.NotContains(t, o.said, "open")
			require.Contains(t, o.said, "shut", "the attempt itself did not run to its end")
		})
	}
}

func testLimits(t *testing.T, d sandbox.Driver) {
	t.Run("memory", func(t *testing.T) {
		s := spec("")
		s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", "x=[]\nwhile True: x.append(bytearray(1<<20))"}
		o := run(t, d, s)
		require.True(t, o.OOM, "%+v", o)
	})
	t.Run("memory that no process maps", func(t *testing.T) {
		s := spec("")
		s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", "import os\nfd=os.memfd_create('x')\nfor i in range(256): os.write(fd,b'x'*(1<<20))\nprint('taken')"}
		require.NotContains(t, run(t, d, s).said, "taken")
	})
	t.Run("processes", func(t *testing.T) {
		s := spec("")
		s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", "import os,time\nn=0\ntry:\n  while n<100:\n    if os.fork()==0: time.sleep(60)\n    n+=1\nexcept OSError: pass\nprint(n)"}
		o := run(t, d, s)
		var n int
		_, err := fmt.Sscan(o.said, &n)
		require.NoError(t, err, o.said)
		require.Less(t, n, s.Processes)
	})
	t.Run("files", func(t *testing.T) {
		s := spec("")
		s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", "n=0\nf=[]\ntry:\n  while True: f.append(open('/dev/null')); n+=1\nexcept OSError: print(n)"}
		o := run(t, d, s)
		var n int
		_, err := fmt.Sscan(o.said, &n)
		require.NoError(t, err, o.said)
		require.Less(t, n, s.Files)
	})
	t.Run("first to go when memory runs out", func(t *testing.T) {
		// It is set when Start returns; on a full machine the command may be there before.
		const wait = "n=0; until grep -qx 500 /proc/$$/oom_score_adj || [ $n = 200 ]; do sleep 0.01; n=$((n+1)); done; cat /proc/$$/oom_score_adj"
		require.Equal(t, "500", strings.TrimSpace(run(t, d, spec(wait)).said))
	})
	t.Run("space in /tmp", func(t *testing.T) {
		o := run(t, d, spec("dd if=/dev/zero of=/tmp/x bs=1M count=64 2>/dev/null; stat -c %s /tmp/x"))
		require.Equal(t, fmt.Sprint(4<<20), strings.TrimSpace(o.said))
	})
	t.Run("files in /tmp", func(t *testing.T) {
		s := spec("")
		s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", "n=0\ntry:\n  while n<200000: open('/tmp/%d'%n,'w').close(); n+=1\nexcept OSError: pass\nprint(n<200000)"}
		s.MemoryBytes = 512 << 20
		o := run(t, d, s)
		require.Equal(t, "True", strings.TrimSpace(o.said))
	})
}
