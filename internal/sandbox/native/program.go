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

// fdPlan says which numbers the descriptors of a request get: firstFD the status pipe, then the control socket, the output
// pipe, and the rest in the order of these fields. The pipe that holds the copy back follows them.
type fdPlan struct {
	joins int // files of cgroup v1 groups
	trees int // folders
	group int // 1 with a cgroup v2 folder
}

const (
	planControl = firstFD + 1
	planOutput  = firstFD + 2
	planJoins   = firstFD + 3
)

func (p fdPlan) treesFrom() int { return planJoins + p.joins }
func (p fdPlan) groupAt() int   { return p.treesFrom() + p.trees }
func (p fdPlan) pipe() int      { return p.groupAt() + p.group }

// request is a TemplateRequest in the making. Addresses are those of the template's arena.
type request struct {
	head  sandbox.TemplateRequest
	base  uint64
	data  []byte   // from behind the head on
	calls []uint64 // eight words for each
	names []string // of the calls, for people
}

var requestHead = binary.Size(sandbox.TemplateRequest{})

// put adds data to a request and gives its place.
func (r *request) put(b []byte) uint64 {
	for len(r.data)%8 != 0 {
		r.data = append(r.data, 0)
	}
	place := uint64(requestHead + len(r.data))
	r.data = append(r.data, b...)
	return place
}

// at gives the address of data.
func (r *request) at(b []byte) uint64 { return r.base + r.put(b) }

// text gives the address of a C string.
func (r *request) text(s string) uint64 { return r.at(append([]byte(s), 0)) }

// words gives the address of 64-bit words.
func (r *request) words(w ...uint64) uint64 {
	var b []byte
	for _, v := range w {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return r.at(b)
}

// call adds a system call that must not fail.
func (r *request) call(name string, number uintptr, args ...uint64) { r.want(0, name, number, args...) }

// want adds a system call whose result must be least or more.
func (r *request) want(least uint64, name string, number uintptr, args ...uint64) {
	words := [8]uint64{uint64(number)}
	copy(words[1:7], args)
	words[7] = least
	r.calls = append(r.calls, words[:]...)
	r.names = append(r.names, name)
}

// bytes finishes a request.
func (r *request) bytes() []byte {
	var calls []byte
	for _, w := range r.calls {
		calls = binary.NativeEndian.AppendUint64(calls, w)
	}
	r.head.CallCount = uint64(len(r.names))
	r.head.Calls = r.put(calls)
	r.head.Size = uint64(requestHead + len(r.data))
	all, _ := binary.Append(nil, binary.NativeEndian, r.head) // numbers only
	return append(all, r.data...)
}

// cloneArgs is struct clone_args of the kernel, up to its third version.
type cloneArgs struct {
	Flags, PidFD, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}

// copyProgram makes the request for a sandbox that is to be what the init makes of a fresh process: the same steps in the
// same order, but that the common view is the template's already.
func (d *Driver) copyProgram(hello sandbox.TemplateHello, slot int, spec sandbox.Spec, plan fdPlan) *request {
	r := &request{base: hello.Arena}
	// The server is to be the parent: it reaps the sandbox, and its end is the sandbox's, not the template's.
	clone := cloneArgs{Flags: uint64(d.namespaces(namespaces)) | unix.CLONE_PARENT}
	if hello.ThreadID != 0 {
		clone.Flags |= unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID
		clone.ChildTID = hello.ThreadID
	}
	if plan.group != 0 {
		clone.Flags |= unix.CLONE_INTO_CGROUP
		clone.Cgroup = uint64(plan.groupAt())
	}
	args, _ := binary.Append(nil, binary.NativeEndian, clone)
	r.head.Clone, r.head.CloneSize = r.put(args), uint64(len(args))
	users := []byte(strconv.Itoa(innerID) + " " + strconv.Itoa(d.userOf(slot)) + " 1\n")
	if d.lacks(initspec.UserNamespace) {
		users = nil
	}
	r.head.UserMap, r.head.UserMapLen = r.put(users), uint64(len(users))
	r.head.GroupMap, r.head.GroupMapLen = r.head.UserMap, r.head.UserMapLen
	if spec.Patient {
		r.head.Patient = 1
	}

	d.joinNamespaces(r, hello, plan)
	d.becomeUser(r)
	d.placeMounts(r, spec, plan)
	d.limitSelf(r, spec)
	d.giveUpPrivileges(r)
	return r
}

// joinNamespaces makes the copy the leader of what is its own, and waits until it has users.
func (d *Driver) joinNamespaces(r *request, hello sandbox.TemplateHello, plan fdPlan) {
	r.call("close pipe", unix.SYS_CLOSE, uint64(plan.pipe()+1)) // so that the template's end shows
	if hello.Robust != 0 {
		r.call("set list of locks", unix.SYS_SET_ROBUST_LIST, hello.Robust, hello.RobustLen)
	}
	zero := r.text("0")
	for i := range plan.joins {
		r.want(1, "join group", unix.SYS_WRITE, uint64(planJoins+i), zero, 1)
	}
	if !d.lacks(initspec.NetNamespace) {
		raiseLoopback(r, plan)
	}
	r.want(1, "wait for users", unix.SYS_READ, uint64(plan.pipe()), r.words(0), 1)
	if !d.lacks(initspec.OwnSession) { // until here it can be found by the group that it shares with the template
		r.call("lead session", unix.SYS_SETSID)
	}
}

func raiseLoopback(r *request, plan fdPlan) {
	var lo [40]byte // struct ifreq: name, flags
	copy(lo[:], "lo")
	binary.NativeEndian.PutUint16(lo[16:], unix.IFF_UP|unix.IFF_RUNNING)
	socket := uint64(plan.pipe() + 1) // the number that has just become free
	r.call("open socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0)
	r.call("raise loopback", unix.SYS_IOCTL, socket, unix.SIOCSIFFLAGS, r.at(lo[:]))
}

func (d *Driver) becomeUser(r *request) {
	r.call("leave groups", unix.SYS_SETGROUPS, 0, 0)
	r.call("change group", unix.SYS_SETRESGID, innerID, innerID, innerID)
	r.call("change user", unix.SYS_SETRESUID, innerID, innerID, innerID)
}

func (d *Driver) placeMounts(r *request, spec sandbox.Spec, plan fdPlan) {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	tmpfs, proc := r.text("tmpfs"), r.text("proc")
	for _, dir := range memoryFolders {
		r.call("mount "+dir, unix.SYS_MOUNT, tmpfs, r.text(dir), tmpfs, flags, r.text(d.tmpfsData(spec.TmpBytes)))
	}
	options := "subset=pid"
	if d.lacks(initspec.ProcOfPIDs) {
		options = ""
	}
	if !d.lacks(initspec.PIDNamespace) { // else what the template sees of the host's stays
		r.call("mount /proc", unix.SYS_MOUNT, proc, r.text("/proc"), proc, flags|unix.MS_NOEXEC, r.text(options))
	}
	here, none := uint64(unix.AT_FDCWD&(1<<64-1)), r.text("")
	for i, m := range spec.Mounts {
		r.call("show "+m.Target, unix.SYS_MOVE_MOUNT, uint64(plan.treesFrom()+i), none, here, r.text(m.Target), unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	r.call("enter "+spec.Dir, unix.SYS_CHDIR, r.text(spec.Dir))
}

// limitSelf sets limits and leaves the descriptors of a fresh worker, but for the status pipe.
func (d *Driver) limitSelf(r *request, spec sandbox.Spec) {
	for _, l := range d.rlimits(spec) {
		r.call("set limits", unix.SYS_PRLIMIT64, 0, uint64(l.Resource), r.words(l.Value, l.Value), 0)
	}
	r.call("set mask", unix.SYS_UMASK, 0o022)
	for _, to := range [][2]uint64{{planOutput, 1}, {planOutput, 2}, {planControl, initspec.FDControl}} {
		r.call("place descriptors", unix.SYS_DUP3, to[0], to[1], 0)
	}
	if d.lacks(initspec.CloseAll) {
		return
	}
	r.call("close descriptors", unix.SYS_CLOSE_RANGE, firstFD+1, uint64(^uint32(0)), 0)
}

// giveUpPrivileges is the init's dropPrivileges, tieToParent and installFilter. Closing the status pipe tells that all is done.
func (d *Driver) giveUpPrivileges(r *request) {
	if !d.lacks(initspec.BoundingSet) {
		for c := range d.lastCap + 1 {
			r.call("drop capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uint64(c), 0, 0, 0)
		}
	}
	if !d.lacks(initspec.Capabilities) {
		r.call("drop capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		r.call("drop capabilities", unix.SYS_CAPSET, r.words(unix.LINUX_CAPABILITY_VERSION_3), r.words(0, 0, 0))
	}
	if !d.lacks(initspec.NoPrivileges) {
		r.call("forbid privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	// The change of user has taken both away: its own files in /proc, and the tie to the server.
	r.call("own files in /proc", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	if !d.lacks(initspec.TieToParent) {
		r.call("tie to parent", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL), 0, 0, 0)
	}
	d.restrictPaths(r)
	length := uint64(len(d.filter) / int(unsafe.Sizeof(unix.SockFilter{})))
	const setModeFilter = 1
	if !d.lacks(initspec.Seccomp) {
		r.call("install filter", unix.SYS_SECCOMP, setModeFilter, 0, r.words(length, r.at(d.filter)))
	}
	r.call("report", unix.SYS_CLOSE, firstFD)
}
