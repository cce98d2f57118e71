//go:build linux

// Command init turns a freshly cloned process into a sandbox and becomes the worker.
//
// The native driver has already put this process into its own user, pid, mount, ipc, uts and network namespaces; what is
// left is done here, in order: join the groups, build the read-only view, pivot into it, give up every privilege, exec.
// It is a program of its own, and small, because a big binary pays for its size at every start.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/tundev"
)

// root is where the new view is built before the process pivots into it.
const root = "/tmp"

func main() {
	runtime.LockOSThread() // credentials, filters and groups are per thread; exec keeps this one's
	err := run()
	// Reached only on failure: exec does not return.
	_, _ = unix.Write(initspec.FDStatus, []byte(err.Error()))
	os.Exit(125)
}

func run() error {
	var spec initspec.Spec
	if len(os.Args) != 2 {
		return fmt.Errorf("want one argument, the specification")
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &spec); err != nil {
		return fmt.Errorf("read specification: %w", err)
	}
	steps := []struct {
		name string
		do   func(*initspec.Spec) error
	}{
		{"join groups", joinGroups},
		{"name host", nameHost},
		{"raise loopback", raiseLoopback},
		{"make network", makeNetwork},
		{"build view", buildView},
		{"enter view", enterView},
		{"set limits", setLimits},
		{"drop privileges", dropPrivileges},
		{"restrict paths", restrictPaths},
		{"tie to parent", tieToParent},
		{"install filter", installFilter},
	}
	for _, s := range steps {
		if err := s.do(&spec); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	err := unix.Exec(spec.Command[0], spec.Command, spec.Env)
	return fmt.Errorf("start %s: %w", spec.Command[0], err)
}

// joinGroups moves this thread, which exec makes the whole process, into its cgroup v1 groups. Writing "0" to an open
// tasks file costs microseconds; writing a pid to cgroup.procs takes a global lock and costs milliseconds.
func joinGroups(s *initspec.Spec) error {
	for _, fd := range s.JoinFDs {
		if _, err := unix.Write(fd, []byte("0")); err != nil {
			return err
		}
	}
	return nil
}

func nameHost(s *initspec.Spec) error {
	if s.Lacks(initspec.UTSNamespace) {
		return nil
	}
	return unix.Sethostname([]byte(s.Host))
}

// raiseLoopback lets a function talk to itself on 127.0.0.1; there is no other interface.
func raiseLoopback(s *initspec.Spec) error {
	if s.Lacks(initspec.NetNamespace) {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// makeNetwork makes the sandbox's network device, while the host's file for it is still in view, and sends the other end out.
func makeNetwork(s *initspec.Spec) error {
	if len(s.Network) == 0 {
		return nil
	}
	fd, err := tundev.Open(s.Network)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendmsg(initspec.FDControl, []byte{'n'}, unix.UnixRights(fd), nil, 0)
}

func buildView(s *initspec.Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Detached trees must be opened before /tmp is covered, since a source may lie below it.
	trees := make([]int, len(s.Binds))
	for i, b := range s.Binds {
		fd, err := openTree(s, b)
		if err != nil {
			return fmt.Errorf("show %s: %w", b.Source, err)
		}
		trees[i] = fd
	}
	proc := -1
	hostProc := len(s.Keep) > 0 || s.Lacks(initspec.PIDNamespace)
	if hostProc {
		var err error
		if proc, err = unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE); err != nil {
			return fmt.Errorf("show /proc: %w", err)
		}
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m,nr_inodes=4096"); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	for i, b := range s.Binds {
		if err := placeTree(trees[i], b); err != nil {
			return fmt.Errorf("show %s at %s: %w", b.Source, b.Target, err)
		}
	}
	for _, l := range s.Links {
		if err := makeParent(l[1]); err != nil {
			return err
		}
		if err := os.Symlink(l[0], root+l[1]); err != nil {
			return err
		}
	}
	for _, f := range s.Files {
		if err := makeParent(f[0]); err != nil {
			return err
		}
		if err := os.WriteFile(root+f[0], []byte(f[1]), 0o644); err != nil {
			return err
		}
	}
	for _, f := range s.Folders {
		if err := os.MkdirAll(root+f, 0o755); err != nil {
			return err
		}
	}
	for _, d := range s.Devices {
		if err := placeDevice(d); err != nil {
			return fmt.Errorf("show %s: %w", d, err)
		}
	}
	for _, t := range s.Tmp {
		if err := os.MkdirAll(root+t.Target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", root+t.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, t.Data); err != nil {
			return fmt.Errorf("mount %s: %w", t.Target, err)
		}
	}
	if err := os.MkdirAll(root+"/proc", 0o555); err != nil {
		return err
	}
	if hostProc {
		if err := unix.MoveMount(proc, "", unix.AT_FDCWD, root+"/proc", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("show /proc: %w", err)
		}
		return protectRoot(s)
	}
	data := "subset=pid"
	if s.Lacks(initspec.ProcOfPIDs) {
		data = ""
	}
	// subset=pid leaves only the processes of this sandbox: no /proc/sys, no host-wide figures.
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, data); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return protectRoot(s)
}

// protectRoot makes the finished root read-only; what is mounted in it stays as it is.
func protectRoot(s *initspec.Spec) error {
	if s.Lacks(initspec.ReadOnlyRoot) {
		return nil
	}
	return unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

func openTree(s *initspec.Spec, b initspec.Bind) (int, error) {
	if b.FD != 0 {
		return b.FD, nil
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	return fd, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set:    s.MountAttributes(),
		Propagation: unix.MS_PRIVATE,
	})
}

func placeTree(fd int, b initspec.Bind) error {
	if err := makeTarget(b.Target, b.File); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, root+b.Target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// placeDevice takes a device file over from the host: a user namespace may not make one.
func placeDevice(path string) error {
	if err := makeTarget(path, true); err != nil {
		return err
	}
	return unix.Mount(path, root+path, "", unix.MS_BIND, "")
}

func makeParent(path string) error { return os.MkdirAll(root+filepath.Dir(path), 0o755) }

func makeTarget(path string, file bool) error {
	if !file {
		return os.MkdirAll(root+path, 0o755)
	}
	if err := makeParent(path); err != nil {
		return err
	}
	return os.WriteFile(root+path, nil, 0o644)
}

// enterView makes the new view "/" and lets go of the host's.
func enterView(s *initspec.Spec) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if !s.Lacks(initspec.OwnView) {
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return err
		}
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return unix.Chdir(s.Dir)
}

func setLimits(s *initspec.Spec) error {
	for _, l := range s.Rlimits {
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Value, Max: l.Value}); err != nil {
			return err
		}
	}
	unix.Umask(0o022)
	if s.Lacks(initspec.CloseAll) && len(s.Keep) == 0 {
		unix.CloseOnExec(initspec.FDStatus)
		return nil
	}
	// Whatever else is open ends with exec; the control socket stays.
	return unix.CloseRange(initspec.FDControl+1, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
}

func dropPrivileges(s *initspec.Spec) error {
	for c := uintptr(0); c <= 63; c++ {
		if slices.Contains(s.Keep, int(c)) || s.Lacks(initspec.BoundingSet) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break // past the last capability of this kernel
		}
	}
	if !s.Lacks(initspec.Capabilities) {
		if err := setCapabilities(s); err != nil {
			return err
		}
	}
	if s.Lacks(initspec.NoPrivileges) {
		return nil
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// setCapabilities leaves those that the command keeps.
func setCapabilities(s *initspec.Spec) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var left [2]unix.CapUserData
	for _, c := range s.Keep {
		bit := uint32(1) << (c % 32)
		left[c/32].Effective |= bit
		left[c/32].Permitted |= bit
		left[c/32].Inheritable |= bit
	}
	if err := unix.Capset(&head, &left[0]); err != nil {
		return err
	}
	for _, c := range s.Keep { // the ambient set is what passes through exec
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// restrictPaths has the kernel check each path once more, beside the view.
func restrictPaths(s *initspec.Spec) error {
	if s.Landlock == nil || s.Lacks(initspec.PathRules) {
		return nil
	}
	attributes := s.Landlock.Attributes
	rules, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes[0])), uintptr(8*len(attributes)), 0)
	if errno != 0 {
		return errno
	}
	for _, r := range s.Landlock.Rules {
		fd, err := unix.Open(r.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Path, err)
		}
		beneath := unix.LandlockPathBeneathAttr{Allowed_access: r.Rights, Parent_fd: int32(fd)}
		_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("%s: %w", r.Path, errno)
		}
		unix.Close(fd)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return unix.Close(int(rules))
}

// tieToParent makes the kernel end this sandbox when the server ends, however it ends.
func tieToParent(s *initspec.Spec) error {
	if s.Lacks(initspec.TieToParent) {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	// The server may have gone before the line above: then its end of the control socket is closed.
	poll := []unix.PollFd{{Fd: initspec.FDControl, Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil {
		return err
	}
	if poll[0].Revents&unix.POLLHUP != 0 {
		return fmt.Errorf("the server has gone")
	}
	return nil
}

func installFilter(s *initspec.Spec) error {
	if len(s.Keep) > 0 || s.Lacks(initspec.Seccomp) {
		return nil // a template runs no foreign code; each copy of it installs the filter
	}
	if len(s.Filter) == 0 {
		return fmt.Errorf("no filter given")
	}
	prog := unix.SockFprog{
		Len:    uint16(len(s.Filter) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&s.Filter[0])),
	}
	const setModeFilter = 1
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return errno
	}
	return nil
}
