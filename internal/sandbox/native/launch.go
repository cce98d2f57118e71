//go:build linux

package native

import (
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// startRequest asks the launcher for one process.
type startRequest struct {
	args  []string
	attr  *os.ProcAttr
	reply chan<- startReply
}

type startReply struct {
	process *os.Process
	err     error
}

// launcher starts every process from one thread that lives as long as the driver: the kernel ties a child to the thread
// that made it, and a thread of Go's may end at any time.
func (d *Driver) launcher() {
	defer close(d.down)
	runtime.LockOSThread()
	for r := range d.starts {
		p, err := os.StartProcess(r.args[0], r.args[1:], r.attr)
		r.reply <- startReply{p, err}
	}
}

const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS |
	unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// initCaps are what the init needs inside its own namespaces, and gives up before it becomes the command.
var initCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_RESOURCE}

// templateNamespaces are those of a template. It stays in the host's pid namespace, since copies of a first process could
// not be children of the server, and in its cgroup namespace, since it puts its copies into other groups.
const templateNamespaces = namespaces &^ (unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP)

// templateCaps are what a template keeps, within its user namespace: to give its copies users of their own, and to make
// namespaces where a host lets only the privileged do so.
var templateCaps = []int{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SYS_ADMIN}

// templateUID is the user of templates on the host: no sandbox has it.
const templateUID = firstUID - 1

// maxSlots bounds the users that sandboxes can have. A template can give its copies any of them.
const maxSlots = 1 << 16

// fork clones a process into new namespaces, where it is the one user there is, and has it execute the init.
func (d *Driver) fork(in *instance, files []*os.File, argument string) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files[0] = null
	users, people, flags, caps := one(in.uid, os.Geteuid()), one(in.gid, os.Getegid()), uintptr(namespaces), initCaps
	switch {
	case in.template:
		users, flags = append(one(in.uid, templateUID), syscall.SysProcIDMap{ContainerID: firstUID, HostID: firstUID, Size: maxSlots}), templateNamespaces
		people, caps = users, slices.Concat(initCaps, []uintptr{unix.CAP_SETUID, unix.CAP_SETGID})
	case d.privileged:
		user := d.userOf(in.slot)
		users, people = one(in.uid, user), one(in.gid, user)
		if err := in.ownOutput(); err != nil {
			return nil, err
		}
	}
	sys := &syscall.SysProcAttr{
		Cloneflags:                 d.namespaces(flags),
		UidMappings:                users,
		GidMappings:                people,
		Credential:                 &syscall.Credential{Uid: uint32(in.uid), Gid: uint32(in.gid), NoSetGroups: !d.privileged},
		AmbientCaps:                caps,
		Setsid:                     !d.lacks(initspec.OwnSession),
		GidMappingsEnableSetgroups: d.privileged,
		PidFD:                      &in.pidfd,
	}
	if sys.Cloneflags&unix.CLONE_NEWUSER == 0 {
		sys.UidMappings, sys.GidMappings = nil, nil
	}
	if in.group.dir != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(in.group.dir.Fd())
	}
	// The init is handed over with the rest, as its last descriptor. Any other of the server's may be in the way of those.
	files = append(files, d.init)
	reply := make(chan startReply, 1)
	d.starts <- startRequest{
		args:  []string{path.Join("/proc/self/fd", strconv.Itoa(len(files)-1)), "hanshu-init", argument},
		attr:  &os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: sys},
		reply: reply,
	}
	r := <-reply
	if r.err == nil && !in.template {
		d.sacrifice(r.process.Pid)
	}
	return r.process, r.err
}

// one maps the only user inside a sandbox, or its group, to one outside.
func one(inner, host int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: inner, HostID: host, Size: 1}}
}

// ownOutput gives the output pipe to the sandbox's user, so that what a function opens by name (/dev/stdout) is its own.
func (in *instance) ownOutput() error {
	user := in.driver.userOf(in.slot)
	return in.channels.InnerOutput.Chown(user, user)
}

// sacrifice has the kernel choose a sandbox before anyone else when the host runs out of memory. What a
// server with CAP_SYS_RESOURCE sets here the sandbox cannot lower, even where the server itself may go lower. It is a
// preference: a process that has ended, or a kernel that refuses, changes nothing.
func (d *Driver) sacrifice(pid int) {
	if d.lacks(initspec.FirstToGo) {
		return
	}
	_ = writeFile(path.Join("/proc", strconv.Itoa(pid), "oom_score_adj"), "500")
}
