//go:build linux

package native

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// allowed lists the system calls that code in a sandbox may make. What is missing here answers EPERM. Left out on purpose:
// everything that makes or enters namespaces, mounts, traces or reads other processes, loads code into the kernel (bpf,
// modules, kexec), what reaches the whole host (sync and syncfs flush its disks), and the surfaces with the worst record
// (io_uring, userfaultfd, keyrings, perf, vmsplice).
// Names that an architecture lacks are skipped.
var allowed = []string{
	// files
	"access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
	"fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
	"ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init",
	"inotify_init1", "inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr",
	"lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2",
	"pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
	"readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "splice",
	"stat", "statfs", "statx", "symlink", "symlinkat", "sync_file_range", "tee", "truncate", "umask",
	"unlink", "unlinkat", "utime", "utimensat", "utimes", "write", "writev", "memfd_create",
	// waiting
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
	"poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
	"timerfd_settime", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	// memory
	"brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync",
	"munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack",
	// processes and threads
	"arch_prctl", "capget", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait",
	"futex_waitv", "futex_wake", "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid",
	"getgroups", "getitimer", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid",
	"getrlimit", "getrusage", "getsid", "gettid", "getuid", "ioprio_get", "kill", "pause", "pidfd_open",
	"pidfd_send_signal", "prlimit64", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max",
	"sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_rr_get_interval", "sched_setaffinity", "sched_yield", "set_robust_list", "set_thread_area",
	"set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid", "setpriority", "setregid",
	"setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid", "sigaltstack", "tgkill", "time", "times",
	"tkill", "vfork", "wait4", "waitid", "alarm", "sched_setattr", "sched_setparam", "sched_setscheduler",
	// sandboxing oneself further
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
	// clocks, randomness, the machine
	"clock_getres", "clock_gettime", "clock_nanosleep", "getrandom", "gettimeofday", "nanosleep", "sysinfo", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "uname",
	// sockets and System V and POSIX queues, all in namespaces of their own
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",
	"recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
	"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
	"msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
}

// namespaceFlags are the flags of clone that would make a namespace.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

const (
	retAllow    = uint32(unix.SECCOMP_RET_ALLOW)
	retRefuse   = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	retNoSys    = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	retNoFamily = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EAFNOSUPPORT)
)

// offsets in struct seccomp_data
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16 // low half, little endian
	offArg1   = 24
)

// hiding are allowed system calls that keep memory which no process has mapped. Only a group counts that: where there is
// none, and what processes have mapped is added up instead, a function could take all of the host's.
var hiding = []string{"memfd_create", "shmget", "msgget"}

const foreignCalls = "calls of other architectures"

// filterProgram assembles the seccomp program for this machine as the bytes of struct sock_filter[]. The calls in refused
// are not allowed. Those in open are, whatever their arguments, and foreignCalls
// among them opens the calls of other architectures: only tests open any.
func filterProgram(refused, open []string) ([]byte, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: retRefuse},
	}
	if slices.Contains(open, foreignCalls) {
		p = nil
	}
	p = append(p, bpf.LoadAbsolute{Off: offNumber, Size: 4})
	rule := func(name string, body ...bpf.Instruction) {
		if nr, ok := info.SyscallNames[name]; ok && !slices.Contains(open, name) {
			p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(nr), SkipTrue: uint8(len(body))})
			p = append(p, body...)
		}
	}
	// clone3 keeps its flags in memory, where a filter cannot look; C libraries fall back to clone.
	rule("clone3", bpf.RetConstant{Val: retNoSys})
	rule("clone",
		bpf.LoadAbsolute{Off: offArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaceFlags, SkipTrue: 1},
		bpf.RetConstant{Val: retRefuse},
		bpf.RetConstant{Val: retAllow})
	rule("socket",
		bpf.LoadAbsolute{Off: offArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
		bpf.RetConstant{Val: retNoFamily},
		bpf.RetConstant{Val: retAllow})
	// A worker that cut the tie to the server could outlive it.
	rule("prctl",
		bpf.LoadAbsolute{Off: offArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PR_SET_PDEATHSIG, SkipTrue: 1},
		bpf.RetConstant{Val: retRefuse},
		bpf.RetConstant{Val: retAllow})
	// Pushing characters back into a terminal.
	rule("ioctl",
		bpf.LoadAbsolute{Off: offArg1, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		bpf.RetConstant{Val: retAllow},
		bpf.RetConstant{Val: retRefuse})
	const queryPersonality = 0xffffffff
	rule("personality",
		bpf.LoadAbsolute{Off: offArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: queryPersonality, SkipTrue: 1},
		bpf.RetConstant{Val: retRefuse},
		bpf.RetConstant{Val: retAllow})
	for _, r := range numberRanges(info.SyscallNames, slices.Concat(allowed, open), refused) {
		p = append(p,
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: r[0], SkipTrue: 1},
			bpf.RetConstant{Val: retRefuse},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: r[1], SkipTrue: 1},
			bpf.RetConstant{Val: retAllow})
	}
	// Numbers above the last range: x32 calls among them.
	p = append(p, bpf.RetConstant{Val: retRefuse})
	return encodeFilter(p)
}

// numberRanges gives the allowed numbers as ascending [first, last] pairs: fewer instructions, so a cheaper installation.
func numberRanges(numbers map[string]int, allowed, refused []string) [][2]uint32 {
	var all []uint32
	for _, name := range allowed {
		if nr, ok := numbers[name]; ok && !slices.Contains(refused, name) {
			all = append(all, uint32(nr))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	var ranges [][2]uint32
	for _, nr := range all {
		if n := len(ranges); n > 0 && ranges[n-1][1] == nr-1 {
			ranges[n-1][1] = nr
			continue
		}
		ranges = append(ranges, [2]uint32{nr, nr})
	}
	return ranges
}

func encodeFilter(p []bpf.Instruction) ([]byte, error) {
	raw, err := bpf.Assemble(p)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	var out []byte
	for _, in := range raw {
		out = binary.NativeEndian.AppendUint16(out, in.Op)
		out = append(out, in.Jt, in.Jf)
		out = binary.NativeEndian.AppendUint32(out, in.K)
	}
	return out, nil
}
