// Package initspec is what the native driver tells the sandbox's init: plain data, passed as the only argument.
//
// It must not know what is built from the data, nor import anything but the standard library, since it is linked into the init, whose size is paid at each start.
package initspec

import "net/netip"

// Descriptors that the init finds open, beside 0 (/dev/null), 1 and 2 (the output pipe).
const (
	FDControl = 3 // kept for the worker
	FDStatus  = 4 // pipe; the init writes why it failed; closed by exec
	FDFirst   = 5 // first of the descriptors that Spec names by number
)

// Spec tells the init what to build around the command and which command to become.
type Spec struct {
	Command []string
	Env     []string
	Dir     string
	Host    string

	Binds   []Bind      // in order
	Links   [][2]string // symbolic links: target, path
	Files   [][2]string // small files: path, content
	Devices []string    // device files to take over from the host, e.g. "/dev/null"
	Tmp     []Tmpfs
	Folders []string // empty folders

	JoinFDs []int // open "tasks" files of cgroup v1 to join
	Rlimits []Rlimit
	Filter  []byte // seccomp program, struct sock_filter[]; none for a template

	// Keep lists the capabilities that the command keeps within its user namespace. Only a template has any: it makes
	// sandboxes of copies of itself, so it must be allowed namespaces, and it sees the host's /proc, since the kernel gives
	// a new /proc only to those who see one.
	Keep []int

	// Network are the addresses of a network device that the init is to make and to send over the control socket, with a byte; none for
	// no device.
	Network []netip.Prefix

	Landlock *Landlock // nil where the kernel has none, and for a template

	Without []string // guards to leave out, for tests of the guards
}

// Bind shows Source (or, when FD is not 0, the detached tree behind that descriptor) at Target, read-only.
type Bind struct {
	Source string
	FD     int
	Target string
	File   bool // Target is a file, not a folder
}

// Tmpfs is a writable memory filesystem.
type Tmpfs struct {
	Target string
	Data   string // mount options
}

// Landlock is what the kernel's Landlock is told.
type Landlock struct {
	Attributes []uint64 // struct landlock_ruleset_attr, as far as this kernel knows it
	Rules      []LandlockRule
}

// LandlockRule gives rights on everything beneath a path.
type LandlockRule struct {
	Path   string
	Rights uint64
}

// Rlimit is one setrlimit call, soft and hard alike.
type Rlimit struct {
	Resource int
	Value    uint64
}
