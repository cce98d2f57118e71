//go:build linux

package oci

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

const cpuPeriod = 100_000 // us

// writeBundle makes the folder that the runtime is given: the specification, and a root with what is no mount.
func (in *instance) writeBundle(config []byte, spec sandbox.Spec) error {
	root := filepath.Join(in.bundle, "rootfs")
	folders := append([]string{"/", "/etc", "/dev", "/proc", "/tmp"}, spec.Empty...)
	for _, m := range spec.Mounts {
		folders = append(folders, m.Target)
	}
	for _, f := range folders {
		if err := os.MkdirAll(root+f, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(root+"/tmp", 0o777|os.ModeSticky); err != nil { // runc gives what it mounts there the folder's mode
		return err
	}
	for _, f := range sandbox.MadeFiles() {
		if err := os.WriteFile(root+f[0], []byte(f[1]), 0o644); err != nil {
			return err
		}
	}
	for _, dir := range sandbox.SystemFolders() {
		info, err := os.Lstat(dir)
		switch {
		case err != nil:
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(dir)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, root+dir); err != nil {
				return err
			}
		default:
			if err := os.MkdirAll(root+dir, 0o755); err != nil {
				return err
			}
		}
	}
	// The sandbox's root makes what is missing for mounts.
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, in.user()-1, in.user()-1)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.bundle, "config.json"), config, 0o600) // it holds the environment
}

// bundle is what the runtime is told.
func (d *Driver) bundle(in *instance, spec sandbox.Spec) *specs.Spec {
	score := 500 // as in the native level: a sandbox goes first when the host runs out of memory
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: "function",
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{
			User: specs.User{UID: innerID, GID: innerID}, NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{},
			Args: append([]string{"/bin/sh", "-c", become, "sh"}, spec.Command...), Env: spec.Env, Cwd: spec.Dir, OOMScoreAdj: &score,
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Hard: uint64(spec.Files), Soft: uint64(spec.Files)}, {Type: "RLIMIT_CORE"},
				{Type: "RLIMIT_MSGQUEUE", Hard: 819200, Soft: 819200},
			},
		},
		Mounts: mounts(spec),
		Linux:  d.linux(in, spec),
	}
}

func mounts(spec sandbox.Spec) []specs.Mount {
	memory := []string{"nosuid", "nodev", "mode=1777", "size=" + strconv.FormatInt(spec.TmpBytes, 10), "nr_inodes=100000"}
	all := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev", "subset=pid"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=64k"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs", Options: memory},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: memory},
	}
	show := func(source, target string) {
		all = append(all, specs.Mount{Destination: target, Type: "bind", Source: source, Options: []string{"rbind", "ro", "nosuid", "nodev"}})
	}
	for _, dir := range sandbox.SystemFolders() {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			show(dir, dir)
		}
	}
	for _, file := range sandbox.SystemFiles() {
		if real, err := filepath.EvalSymlinks(file); err == nil {
			show(real, file)
		}
	}
	for _, m := range spec.Mounts {
		show(m.Source, m.Target)
	}
	return all
}

func (d *Driver) linux(in *instance, spec sandbox.Spec) *specs.Linux {
	pids := int64(spec.Processes)
	l := &specs.Linux{
		CgroupsPath: in.groupPath(),
		Resources: &specs.LinuxResources{
			Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
			Memory:  &specs.LinuxMemory{Limit: &spec.MemoryBytes}, Pids: &specs.LinuxPids{Limit: pids},
		},
		Seccomp: seccomp(),
	}
	if spec.CPUMillis > 0 {
		period, quota := uint64(cpuPeriod), int64(spec.CPUMillis*cpuPeriod/1000)
		l.Resources.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	for _, n := range []specs.LinuxNamespaceType{
		specs.UserNamespace, specs.PIDNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace,
		specs.CgroupNamespace,
	} {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: n})
	}
	user := uint32(in.user())
	users := []specs.LinuxIDMapping{{ContainerID: 0, HostID: user - 1, Size: 1}, {ContainerID: innerID, HostID: user, Size: 1}}
	l.UIDMappings, l.GIDMappings = users, users
	return l
}

// seccomp is the filter of the native level, in the words of the OCI. A runtime with a kernel of its own may look past it.
func seccomp() *specs.LinuxSeccomp {
	refused, missing := uint(unix.EPERM), uint(unix.ENOSYS)
	allow := func(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args}
	}
	equal := func(index uint, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
	}
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
	calls := []specs.LinuxSyscall{
		{Names: sandbox.Calls(), Action: specs.ActAllow},
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &missing},
		allow("clone", specs.LinuxSeccompArg{Value: namespaces, Op: specs.OpMaskedEqual}),
		allow("prctl", specs.LinuxSeccompArg{Value: unix.PR_SET_PDEATHSIG, Op: specs.OpNotEqual}),
		allow("ioctl", specs.LinuxSeccompArg{Index: 1, Value: unix.TIOCSTI, Op: specs.OpNotEqual}),
		allow("personality", equal(0, 0)), allow("personality", equal(0, 0xffffffff)),
	}
	for _, family := range []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		calls = append(calls, allow("socket", equal(0, family)))
	}
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &refused, Syscalls: calls}
	switch runtime.GOARCH {
	case "amd64":
		s.Architectures = []specs.Arch{specs.ArchX86_64}
	case "arm64":
		s.Architectures = []specs.Arch{specs.ArchAARCH64}
	}
	return s
}
