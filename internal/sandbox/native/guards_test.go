//go:build linux

package native_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
	"github.com/hanshu-faas/hanshu/internal/sandbox/sandboxtest"
)

// mutation leaves one guard out and expects the evil that it keeps out to get in. With the guard the same probe must fail.
type mutation struct {
	guard  string   // "" when calls says it
	calls  []string // system calls that the filter lets pass
	beside []string // guards that keep the same evil out, left out both times
	evil   string   // Python: an expression that is true when the evil got in; after statements, behind the last newline
	with   func(t *testing.T, start starter, s *sandbox.Spec)
	cpu    int    // the instance's SetCPU before the probe runs
	leak   bool   // the server hands in a descriptor of the host's root that should not be there
	start  string // the start itself fails without the guard, with this error: the guard cannot be lost
	copied string // the same for copies
	root   bool   // only a server with privilege has it
	fresh  bool   // copies of a template have it by other means
}

func (m mutation) name() string {
	if m.guard == "" {
		return "call " + strings.Join(m.calls, " ")
	}
	return m.guard
}

// starter starts a sandbox that runs Python, in one of the ways that there are.
type starter func(ctx context.Context, s sandbox.Spec, code string) (sandbox.Instance, error)

const prelude = `
import ctypes, errno, json, os, resource, socket, sys, time
os.environ.update(json.loads(%q))
libc, numbers = ctypes.CDLL(None, use_errno=True), json.loads(%q)
def call(name, *args):
    ctypes.set_errno(0)
    return libc.syscall(ctypes.c_long(numbers[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
def asked(name, *args):
    """The kernel looked at the call, where the filter would have said EPERM."""
    call(name, *args)
    return ctypes.get_errno() != errno.EPERM
def works(f, *args):
    try:
        f(*args)
        return True
    except OSError:
        return False
def leaves(r):
    if r == 0:
        os._exit(0)
    return r > 0
os.read(3, 1)
`

func guestSpec() sandbox.Spec {
	return sandbox.Spec{
		Name: "guard", Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		MemoryBytes: 64 << 20, Processes: 32, Files: 128, TmpBytes: 4 << 20,
	}
}

// let gives the probe a variable.
func let(s *sandbox.Spec, name, value string) { s.Env = append(s.Env, name+"="+value) }

func (m mutation) code(t *testing.T, s sandbox.Spec) string {
	info, err := arch.GetInfo("")
	require.NoError(t, err)
	numbers, err := json.Marshal(info.SyscallNames)
	require.NoError(t, err)
	variables := map[string]string{}
	for _, e := range s.Env {
		name, value, _ := strings.Cut(e, "=")
		variables[name] = value
	}
	env, err := json.Marshal(variables)
	require.NoError(t, err)
	body := strings.TrimSpace(m.evil)
	cut := strings.LastIndex(body, "\n") + 1
	return fmt.Sprintf(prelude, env, numbers) + body[:cut] + "got_in = " + body[cut:] + "\nprint('open' if got_in else 'shut', flush=True)\n"
}

// tell runs the probe and gives what it said.
func (m mutation) tell(t *testing.T, start starter) (string, error) {
	t.Helper()
	s := guestSpec()
	if m.with != nil {
		m.with(t, start, &s)
	}
	in, err := start(t.Context(), s, m.code(t, s))
	if err != nil {
		return "", err
	}
	defer in.Control().Close()
	defer in.Output().Close()
	if m.cpu != 0 {
		require.NoError(t, in.SetCPU(m.cpu))
	}
	_, _ = in.Control().Write([]byte("x"))
	if m.leak {
		root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		_, _, err = in.Control().(*net.UnixConn).WriteMsgUnix([]byte("y"), unix.UnixRights(root), nil)
		require.NoError(t, err)
		unix.Close(root)
	}
	time.AfterFunc(time.Minute, in.Kill)
	said, _ := io.ReadAll(io.LimitReader(in.Output(), 1<<16))
	<-in.Done()
	return fmt.Sprintf("%s %+v", said, in.Exit()), nil
}

// check plays a mutation: shut with the guard, open without.
func (m mutation) check(t *testing.T, d *native.Driver, starter func(t *testing.T) starter) {
	for _, left := range []bool{false, true} {
		guards, calls := m.beside, []string(nil)
		if left {
			guards, calls = append([]string{m.guard}, m.beside...), m.calls
		}
		require.NoError(t, native.Without(d, guards, calls))
		start := starter(t)
		require.NotNil(t, start)
		said, err := m.tell(t, start)
		switch {
		case left && m.start != "" && err != nil:
			require.ErrorContains(t, err, m.start)
		case left:
			require.NoError(t, err)
			require.Contains(t, said, "open", "without the guard the evil has to get in, or this test could not see the guard go")
		default:
			require.NoError(t, err)
			require.NotContains(t, said, "open")
			if m.guard != initspec.MemoryLimit {
				require.Contains(t, said, "shut")
			}
		}
	}
}

// TestGuards leaves out each guard of a sandbox, for fresh ones and for copies of a template.
func TestGuards(t *testing.T) {
	newDriver := drivers(t)
	rows := guardRows()
	for guard, limit := range map[string]int{initspec.CoreLimit: unix.RLIMIT_CORE, initspec.QueueLimit: rlimitQueues} {
		if !raise(t, limit) { // then the sandbox's own does not differ from this process's
			t.Logf("%s: this process cannot have more, so leaving it out shows nothing", guard)
			rows = slices.DeleteFunc(rows, func(m mutation) bool { return m.guard == guard })
		}
	}
	play := func(t *testing.T, copies bool, start func(t *testing.T, d *native.Driver) starter) {
		for _, m := range rows {
			if os.Geteuid() != 0 && m.root || copies && m.fresh {
				continue
			}
			t.Run(m.name(), func(t *testing.T) {
				d := newDriver(t).(*native.Driver)
				if copies && m.copied != "" {
					m.start = m.copied
				}
				m.check(t, d, func(t *testing.T) starter { return start(t, d) })
			})
		}
	}
	t.Run("fresh", func(t *testing.T) {
		play(t, false, func(_ *testing.T, d *native.Driver) starter {
			return func(ctx context.Context, s sandbox.Spec, code string) (sandbox.Instance, error) {
				s.Command = []string{"/usr/bin/python3", "-I", "-S", "-c", code}
				return d.Start(ctx, s)
			}
		})
	})
	if os.Geteuid() != 0 {
		return // templates take root
	}
	t.Run("copies", func(t *testing.T) {
		play(t, true, func(t *testing.T, d *native.Driver) starter { return sandboxtest.StartCopies(t, d) })
	})
}

const rlimitQueues = 12 // RLIMIT_MSGQUEUE

// raise lifts a limit of this process, where it may.
func raise(t *testing.T, limit int) bool {
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(limit, &was))
	if unix.Setrlimit(limit, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}) != nil {
		return false
	}
	t.Cleanup(func() { _ = unix.Setrlimit(limit, &was) })
	return true
}

func guardRows() []mutation {
	rows := append(namespaceRows(), viewRows()...)
	return append(append(rows, limitRows()...), append(privilegeRows(), callRows()...)...)
}

func namespaceRows() []mutation {
	return []mutation{
		{guard: initspec.UserNamespace, evil: `sum(int(line.split()[2]) for line in open("/proc/self/uid_map")) > 1`, root: true, start: "operation not permitted"},
		{guard: initspec.PIDNamespace, evil: `os.path.exists("/proc/" + os.environ["SERVER"])`,
			with: func(_ *testing.T, _ starter, s *sandbox.Spec) { let(s, "SERVER", strconv.Itoa(os.Getpid())) }},
		{guard: initspec.MountNamespace, start: "operation not permitted", evil: "False"},
		{guard: initspec.IPCNamespace, evil: `libc.semget(int(os.environ["KEY"]), 0, 0) >= 0`,
			with: func(t *testing.T, _ starter, s *sandbox.Spec) {
				const key = 0x68616e73
				id, _, errno := unix.Syscall(unix.SYS_SEMGET, key, 1, unix.IPC_CREAT|0o666)
				require.Zero(t, errno)
				t.Cleanup(func() { _, _, _ = unix.Syscall(unix.SYS_SEMCTL, id, 0, unix.IPC_RMID) })
				let(s, "KEY", strconv.Itoa(key))
			}},
		{guard: initspec.UTSNamespace, evil: `os.uname().nodename != "function" and os.uname().nodename == os.environ["HOST"]`,
			fresh: true, // copies have the name of their template's host
			with: func(t *testing.T, _ starter, s *sandbox.Spec) {
				host, err := os.Hostname()
				require.NoError(t, err)
				let(s, "HOST", host)
			}},
		{guard: initspec.NetNamespace, evil: `works(socket.create_connection, ("127.0.0.1", int(os.environ["PORT"])), 5)`,
			with: func(t *testing.T, _ starter, s *sandbox.Spec) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				t.Cleanup(func() { l.Close() })
				let(s, "PORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
			}},
		{guard: initspec.CgroupNamespace, evil: `[line for line in open("/proc/self/cgroup") if line.startswith("0::") and "hanshu-" in line]`, root: true},
	}
}

func viewRows() []mutation {
	secret := func(t *testing.T, _ starter, s *sandbox.Spec) {
		dir, err := os.MkdirTemp("/var/tmp", "hanshu-guard-*")
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		require.NoError(t, os.Chmod(dir, 0o755))
		let(s, "SECRET", dir)
	}
	shown := func(fill func(t *testing.T, dir string)) func(*testing.T, starter, *sandbox.Spec) {
		return func(t *testing.T, _ starter, s *sandbox.Spec) {
			dir := t.TempDir()
			require.NoError(t, os.Chmod(dir, 0o777))
			fill(t, dir)
			s.Mounts = []sandbox.Mount{{Source: dir, Target: "/opt/function/code"}}
		}
	}
	return []mutation{
		{guard: initspec.OwnUser, root: true, evil: `open("/proc/self/uid_map").read().split()[1] == os.environ["NEIGHBOUR"]`,
			with: func(t *testing.T, start starter, s *sandbox.Spec) {
				in, err := start(t.Context(), guestSpec(), "import os\nos.write(3, open('/proc/self/uid_map').read().split()[1].encode() + b'\\n')\nos.read(3, 1)\n")
				require.NoError(t, err)
				t.Cleanup(func() { in.Kill(); <-in.Done(); in.Control().Close(); in.Output().Close() })
				user, err := bufio.NewReader(in.Control()).ReadString('\n')
				require.NoError(t, err)
				let(s, "NEIGHBOUR", strings.TrimSpace(user))
			}},
		{guard: initspec.OwnSession, evil: `os.getsid(0) != 1`},
		{guard: initspec.OwnView, beside: []string{initspec.PathRules}, evil: `os.path.exists("/.." + os.environ["SECRET"])`, with: secret, copied: "operation not permitted"},
		{guard: initspec.ReadOnlyRoot, evil: `works(os.mkdir, "/x") or not os.statvfs("/").f_flag & os.ST_RDONLY`},
		{guard: initspec.ReadOnly, beside: []string{initspec.PathRules}, evil: `works(os.mkdir, "/opt/function/code/x")`, with: shown(func(*testing.T, string) {})},
		{guard: initspec.NoSetuid, evil: `not os.statvfs("/opt/function/code").f_flag & os.ST_NOSUID`, with: shown(func(*testing.T, string) {})},
		{guard: initspec.NoDevices, root: true, evil: `works(lambda: os.read(os.open("/opt/function/code/device", os.O_RDONLY), 1))`,
			with: shown(func(t *testing.T, dir string) {
				device := filepath.Join(dir, "device")
				require.NoError(t, unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))))
				require.NoError(t, os.Chmod(device, 0o666))
			})},
		{guard: initspec.PathRules, beside: []string{initspec.ReadOnly}, evil: `works(os.mkdir, "/opt/function/code/x")`,
			with: shown(func(*testing.T, string) {})},
		{guard: initspec.PathRules, leak: true, evil: `
fd = socket.recv_fds(socket.socket(fileno=3), 1, 1)[1][0]
works(lambda: os.open("etc/passwd", os.O_RDONLY, dir_fd=fd))`},
		{guard: initspec.ProcOfPIDs, evil: `os.path.exists("/proc/sys")`},
		{guard: initspec.CloseAll, evil: `[f for f in os.listdir("/proc/self/fd") if int(f) > 3 and os.path.exists("/proc/self/fd/" + f)]`},
	}
}

func limitRows() []mutation {
	return []mutation{
		{guard: initspec.FirstToGo, evil: `int(open("/proc/self/oom_score_adj").read()) < 500`},
		{guard: initspec.MemoryLimit, root: true, evil: `len(bytearray(b"x") * (160 << 20)) > 0`},
		{guard: initspec.ProcessLimit, evil: "n = 0\ntry:\n    while n < 60:\n        if os.fork() == 0:\n            time.sleep(60)\n        n += 1\nexcept OSError:\n    pass\nn == 60",
			with: func(_ *testing.T, _ starter, s *sandbox.Spec) { s.MemoryBytes = 1 << 30 }},
		{guard: initspec.ProcessorTime, root: true, cpu: 40, evil: "begin = time.monotonic()\nwhile time.process_time() < 0.25:\n    pass\ntime.monotonic() - begin < 4"},
		{guard: initspec.FileLimit, evil: `works(lambda: [os.open("/dev/null", 0) for _ in range(200)])`},
		{guard: initspec.CoreLimit, root: true, evil: `resource.getrlimit(resource.RLIMIT_CORE)[1] != 0`},
		{guard: initspec.QueueLimit, root: true, evil: "a = (ctypes.c_ulong * 2)()\nlibc.getrlimit(12, a)\na[1] > 819200"},
		{guard: initspec.TmpBytes, evil: `works(lambda: open("/tmp/x", "wb", buffering=0).write(b"x" * (8 << 20))) and os.path.getsize("/tmp/x") == 8 << 20`,
			with: func(_ *testing.T, _ starter, s *sandbox.Spec) { s.MemoryBytes = 128 << 20 }},
		{guard: initspec.TmpNames, evil: `works(lambda: [os.close(os.open("/tmp/%d" % n, os.O_CREAT | os.O_WRONLY)) for n in range(100001)])`,
			with: func(_ *testing.T, _ starter, s *sandbox.Spec) { s.MemoryBytes, s.TmpBytes = 1<<30, 512<<20 }},
	}
}

const loopbackDown = `
import fcntl, struct
works(fcntl.ioctl, socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 0))`

func privilegeRows() []mutation {
	return []mutation{
		{guard: initspec.Capabilities, evil: loopbackDown},
		{guard: initspec.BoundingSet, evil: `libc.prctl(23, 21, 0, 0, 0) == 1`},
		{guard: initspec.NoPrivileges, beside: []string{initspec.PathRules}, start: "permission denied", evil: "False"},
		{guard: initspec.Seccomp, evil: `call("unshare", 0x10000000) == 0`},
	}
}

// callRows are the filter's rules, and the calls that it leaves out on purpose.
func callRows() []mutation {
	call := func(name, evil string) mutation { return mutation{calls: []string{name}, evil: evil} }
	rows := []mutation{
		call("clone", `leaves(call("clone", 0x10000000 | 17, 0, 0, 0, 0))`),
		call("clone3", `leaves(call("clone3", ctypes.byref((ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)), 64))`),
		call("socket", `works(socket.socket, 40, socket.SOCK_SEQPACKET) or works(socket.socket, 38, socket.SOCK_SEQPACKET)`),
		call("prctl", `libc.prctl(1, 0, 0, 0, 0) == 0`),
		call("ioctl", `asked("ioctl", 1, 0x5412, 0)`),
		call("personality", `call("personality", 0x40000) >= 0`),
		call("unshare", `call("unshare", 0x10000000) == 0`),
		call("setns", `asked("setns", -1, 0)`),
		call("mount", `asked("mount", 0, 0, 1, 0, 0)`),
		call("umount2", `asked("umount2", 0, 0x100)`),
		call("chroot", `asked("chroot", b"/nowhere")`),
		call("open_tree", `call("open_tree", -100, b"/", 0) >= 0`),
		call("mount_setattr", `asked("mount_setattr", -1, 0, 1, 0, 0)`),
		{calls: []string{"ptrace"}, beside: []string{initspec.PathRules}, evil: `call("ptrace", 0, 0, 0, 0) == 0`},
		call("process_vm_readv", `asked("process_vm_readv", 1, 0, 0, 0, 0, 1)`),
		call("process_vm_writev", `asked("process_vm_writev", 1, 0, 0, 0, 0, 1)`),
		call("pidfd_getfd", `asked("pidfd_getfd", -1, 0, 0)`),
		call("process_madvise", `asked("process_madvise", -1, 0, 0, 0, 0)`),
		call("kcmp", `call("kcmp", os.getpid(), os.getpid(), 1, 0, 0) == 0`),
		call("bpf", `asked("bpf", 0, 0, 1 << 20)`),
		call("add_key", `call("add_key", b"user", b"k", b"v", 1, -3) > 0`),
		call("request_key", `asked("request_key", b"user", b"nothing", 0, 0)`),
		call("keyctl", `call("keyctl", 0, -3, 1) > 0`),
		call("io_uring_setup", `call("io_uring_setup", 8, ctypes.create_string_buffer(120)) >= 0`),
		call("userfaultfd", `call("userfaultfd", 1) >= 0`),
		call("perf_event_open", `asked("perf_event_open", 1, 0, -1, -1, 0)`),
		call("sync", `call("sync") == 0`),
		call("syncfs", `asked("syncfs", -1)`),
		call("vmsplice", `asked("vmsplice", -1, 0, 0, 0)`),
		call("set_mempolicy", `call("set_mempolicy", 0, 0, 0) == 0`),
		call("fanotify_init", `call("fanotify_init", 0x200, 0) >= 0`),
	}
	if runtime.GOARCH == "amd64" {
		// ptrace(PTRACE_TRACEME) by the number and gate of 32-bit programs; 26 is the harmless msync of 64-bit ones.
		rows = append(rows, mutation{calls: []string{native.ForeignCalls}, beside: []string{initspec.PathRules}, evil: `
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("53b81a00000031db31c931d231f6cd805bc3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))() == 0`})
	}
	return rows
}

// orphanVariable has this program be a server that is about to be killed; its value says without which guard.
const orphanVariable = "HANSHU_TEST_ORPHAN"

// TestTieToServer kills a server with SIGKILL. Its sandbox ends with it, unless the tie is left out.
func TestTieToServer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "init")
	require.NoError(t, os.WriteFile(program, buildInit(t), 0o755))
	for guard, lives := range map[string]bool{"none": false, initspec.TieToParent: true} {
		server := exec.Command("/proc/self/exe", "-test.run=^TestOrphan$")
		server.Env = append(os.Environ(), orphanVariable+"="+guard, initVariable+"="+program, "HANSHU_TEST_TOKEN="+filepath.Base(filepath.Dir(t.TempDir())))
		out, err := server.StdoutPipe()
		require.NoError(t, err)
		server.Stderr = os.Stderr
		require.NoError(t, server.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		require.NoError(t, err, line)
		sandboxed, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		require.NoError(t, server.Process.Kill())
		_ = server.Wait()
		wait := 20_000 // ms
		if lives {
			wait = 500
		}
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(sandboxed), Events: unix.POLLIN}}, wait)
		for errors.Is(err, unix.EINTR) {
			ended, err = unix.Poll([]unix.PollFd{{Fd: int32(sandboxed), Events: unix.POLLIN}}, wait)
		}
		require.NoError(t, err)
		require.Equal(t, lives, ended == 0, "without %s", guard)
		_ = unix.PidfdSendSignal(sandboxed, unix.SIGKILL, nil, 0)
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(sandboxed), Events: unix.POLLIN}}, 5000)
		unix.Close(sandboxed)
	}
	// What the killed servers left of their groups goes with the next one of the name.
	d, err := native.New(t.Context(), native.Config{Init: buildInit(t), Token: filepath.Base(filepath.Dir(t.TempDir()))})
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

// TestOrphan is the server of TestTieToServer, in a process of its own.
func TestOrphan(t *testing.T) {
	guard := os.Getenv(orphanVariable)
	if guard == "" {
		return
	}
	d, err := native.New(t.Context(), native.Config{Init: buildInit(t), Token: os.Getenv("HANSHU_TEST_TOKEN")})
	require.NoError(t, err)
	require.NoError(t, native.Without(d, []string{guard}, nil))
	s := guestSpec()
	s.Command = []string{"/bin/sleep", "600"}
	in, err := d.Start(t.Context(), s)
	require.NoError(t, err)
	fmt.Println(native.PID(in))
	<-in.Done()
}
