//go:build linux

package native

import (
	"encoding/binary"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// firstFD is the number that the first descriptor of a request gets, and that a copy reports its failure to: the one behind
// the control socket.
const firstFD = initspec.FDControl + 1

// fdPlan says which numbers the descriptors of a copy get: firstFD the status pipe, then its control socket, the output pipe, a
// cgroup v2 folder, and the two ends of the pipe that holds the copy back; behind them what comes with the program.
type fdPlan struct {
	group int // 1 with a cgroup v2 folder
	joins int // files of cgroup v1 groups, which come with the program
	trees int // folders, which do too
}

const (
	planOutput = firstFD + 2
	planGroup  = firstFD + 3
)

func (p fdPlan) pipe() int      { return planGroup + p.group }
func (p fdPlan) joinsFrom() int { return p.pipe() + 2 }
func (p fdPlan) treesFrom() int { return p.joinsFrom() + p.joins }

// message is what a template or a copy reads into the arena: a head of numbers, then what those and others are the places of.
type message struct {
	head int    // bytes
	base uint64 // address of the arena
	data []byte // from behind the head on
}

// put adds data to a message and gives its place.
func (m *message) put(b []byte) uint64 {
	for len(m.data)%8 != 0 {
		m.data = append(m.data, 0)
	}
	place := uint64(m.head + len(m.data))
	m.data = append(m.data, b...)
	return place
}

// at gives the address of data.
func (m *message) at(b []byte) uint64 { return m.base + m.put(b) }

// text gives the address of a C string.
func (m *message) text(s string) uint64 { return m.at(append([]byte(s), 0)) }

// words gives the address of 64-bit words.
func (m *message) words(w ...uint64) uint64 {
	var b []byte
	for _, v := range w {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return m.at(b)
}

// size is that of the whole message.
func (m *message) size() uint64 { return uint64(m.head + len(m.data)) }

// under gives the message with its head.
func (m *message) under(head any) []byte {
	all, _ := binary.Append(nil, binary.NativeEndian, head) // numbers only
	return append(all, m.data...)
}

// program is a TemplateProgram in the making.
type program struct {
	message
	calls []uint64 // eight words for each
	names []string // of the calls, for people
}

// call adds a system call that must not fail.
func (p *program) call(name string, number uintptr, args ...uint64) { p.want(0, name, number, args...) }

// want adds a system call whose result must be least or more.
func (p *program) want(least uint64, name string, number uintptr, args ...uint64) {
	words := [8]uint64{uint64(number)}
	copy(words[1:7], args)
	words[7] = least
	p.calls = append(p.calls, words[:]...)
	p.names = append(p.names, name)
}

// bytes finishes a program.
func (p *program) bytes() []byte {
	var calls []byte
	for _, w := range p.calls {
		calls = binary.NativeEndian.AppendUint64(calls, w)
	}
	head := sandbox.TemplateProgram{Calls: p.put(calls), CallCount: uint64(len(p.names))}
	head.Size = p.size()
	return p.under(head)
}

// cloneArgs is struct clone_args of the kernel, up to its third version.
type cloneArgs struct {
	Flags, PidFD, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}

// plan counts the descriptors of a copy.
func (in *instance) plan(spec sandbox.Spec) fdPlan {
	p := fdPlan{joins: len(in.group.parent.v1), trees: len(spec.Mounts)}
	if in.group.dir != nil {
		p.group = 1
	}
	return p
}

// copyRequest makes the request for the process of a sandbox.
func (d *Driver) copyRequest(hello sandbox.TemplateHello, slot int, spec sandbox.Spec, plan fdPlan) []byte {
	var head sandbox.TemplateRequest
	m := &message{head: binary.Size(head), base: hello.Arena}
	// The server is to be the parent: it reaps the sandbox, and its end is the sandbox's, not the template's.
	clone := cloneArgs{Flags: uint64(d.namespaces(namespaces)) | unix.CLONE_PARENT}
	if hello.ThreadID != 0 {
		clone.Flags |= unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID
		clone.ChildTID = hello.ThreadID
	}
	if plan.group != 0 {
		clone.Flags |= unix.CLONE_INTO_CGROUP
		clone.Cgroup = planGroup
	}
	args, _ := binary.Append(nil, binary.NativeEndian, clone)
	head.Clone, head.CloneSize = m.put(args), uint64(len(args))
	users := []byte(strconv.Itoa(innerID) + " " + strconv.Itoa(d.userOf(slot)) + " 1\n")
	if d.lacks(initspec.UserNamespace) {
		users = nil
	}
	head.UserMap, head.UserMapLen = m.put(users), uint64(len(users))
	head.GroupMap, head.GroupMapLen = head.UserMap, head.UserMapLen
	if spec.Patient {
		head.Patient = 1
	}
	head.Size = m.size()
	return m.under(head)
}

// copyProgram makes the program for a copy that is to be what the init makes of a fresh process: the same steps in the
// same order, but that the common view is the template's already.
func (d *Driver) copyProgram(hello sandbox.TemplateHello, spec sandbox.Spec, plan fdPlan) *program {
	p := &program{message: message{head: binary.Size(sandbox.TemplateProgram{}), base: hello.Arena}}
	d.joinNamespaces(p, hello, plan)
	d.becomeUser(p)
	d.placeMounts(p, spec, plan)
	d.limitSelf(p, spec)
	d.giveUpPrivileges(p)
	return p
}

// joinNamespaces makes the copy the leader of what is its own, and waits until it has users.
func (d *Driver) joinNamespaces(p *program, hello sandbox.TemplateHello, plan fdPlan) {
	p.call("close pipe", unix.SYS_CLOSE, uint64(plan.pipe()+1)) // so that the template's end shows
	if hello.Robust != 0 {
		p.call("set list of locks", unix.SYS_SET_ROBUST_LIST, hello.Robust, hello.RobustLen)
	}
	zero := p.text("0")
	for i := range plan.joins {
		p.want(1, "join group", unix.SYS_WRITE, uint64(plan.joinsFrom()+i), zero, 1)
	}
	if !d.lacks(initspec.NetNamespace) {
		raiseLoopback(p, plan)
	}
	p.want(1, "wait for users", unix.SYS_READ, uint64(plan.pipe()), p.words(0), 1)
	if !d.lacks(initspec.OwnSession) { // until here it can be found by the group that it shares with the template
		p.call("lead session", unix.SYS_SETSID)
	}
}

func raiseLoopback(p *program, plan fdPlan) {
	var lo [40]byte // struct ifreq: name, flags
	copy(lo[:], "lo")
	binary.NativeEndian.PutUint16(lo[16:], unix.IFF_UP|unix.IFF_RUNNING)
	socket := uint64(plan.pipe() + 1) // the number that has just become free
	p.call("open socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0)
	p.call("raise loopback", unix.SYS_IOCTL, socket, unix.SIOCSIFFLAGS, p.at(lo[:]))
}

func (d *Driver) becomeUser(p *program) {
	p.call("leave groups", unix.SYS_SETGROUPS, 0, 0)
	p.call("change group", unix.SYS_SETRESGID, innerID, innerID, innerID)
	p.call("change user", unix.SYS_SETRESUID, innerID, innerID, innerID)
}

func (d *Driver) placeMounts(p *program, spec sandbox.Spec, plan fdPlan) {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	tmpfs, proc := p.text("tmpfs"), p.text("proc")
	for _, dir := range memoryFolders {
		p.call("mount "+dir, unix.SYS_MOUNT, tmpfs, p.text(dir), tmpfs, flags, p.text(d.tmpfsData(spec.TmpBytes)))
	}
	options := "subset=pid"
	if d.lacks(initspec.ProcOfPIDs) {
		options = ""
	}
	if !d.lacks(initspec.PIDNamespace) { // else what the template sees of the host's stays
		p.call("mount /proc", unix.SYS_MOUNT, proc, p.text("/proc"), proc, flags|unix.MS_NOEXEC, p.text(options))
	}
	here, none := uint64(unix.AT_FDCWD&(1<<64-1)), p.text("")
	for i, m := range spec.Mounts {
		p.call("show "+m.Target, unix.SYS_MOVE_MOUNT, uint64(plan.treesFrom()+i), none, here, p.text(m.Target), unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	p.call("enter "+spec.Dir, unix.SYS_CHDIR, p.text(spec.Dir))
}

// limitSelf sets limits and leaves the descriptors of a fresh worker, but for the status pipe.
func (d *Driver) limitSelf(p *program, spec sandbox.Spec) {
	for _, l := range d.rlimits(spec) {
		p.call("set limits", unix.SYS_PRLIMIT64, 0, uint64(l.Resource), p.words(l.Value, l.Value), 0)
	}
	p.call("set mask", unix.SYS_UMASK, 0o022)
	for _, to := range [][2]uint64{{planOutput, 1}, {planOutput, 2}} {
		p.call("place descriptors", unix.SYS_DUP3, to[0], to[1], 0)
	}
	if d.lacks(initspec.CloseAll) {
		return
	}
	p.call("close descriptors", unix.SYS_CLOSE_RANGE, firstFD+1, uint64(^uint32(0)), 0)
}

// giveUpPrivileges is the init's dropPrivileges, tieToParent and installFilter. Closing the status pipe tells that all is done.
func (d *Driver) giveUpPrivileges(p *program) {
	if !d.lacks(initspec.BoundingSet) {
		for c := range d.lastCap + 1 {
			p.call("drop capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uint64(c), 0, 0, 0)
		}
	}
	if !d.lacks(initspec.Capabilities) {
		p.call("drop capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		p.call("drop capabilities", unix.SYS_CAPSET, p.words(unix.LINUX_CAPABILITY_VERSION_3), p.words(0, 0, 0))
	}
	if !d.lacks(initspec.NoPrivileges) {
		p.call("forbid privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	// The change of user has taken both away: its own files in /proc, and the tie to the server.
	p.call("own files in /proc", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	if !d.lacks(initspec.TieToParent) {
		p.call("tie to parent", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL), 0, 0, 0)
	}
	d.restrictPaths(p)
	length := uint64(len(d.filter) / int(unsafe.Sizeof(unix.SockFilter{})))
	const setModeFilter = 1
	if !d.lacks(initspec.Seccomp) {
		p.call("install filter", unix.SYS_SECCOMP, setModeFilter, 0, p.words(length, p.at(d.filter)))
	}
	p.call("report", unix.SYS_CLOSE, firstFD)
}
