// Package sandbox starts a process that can be trusted with nothing, and ends it for certain.
//
// A Driver knows processes, mounts and limits. It must not know functions, languages or how many instances there are.
package sandbox

import (
	"context"
	"net"
	"os"
)

// Driver starts sandboxed processes at one level of isolation. sandboxtest is its conformance suite.
type Driver interface {
	// Start runs a process. It returns once the process has been started, or with the reason why not; nothing is left
	// behind then. ctx bounds the start only.
	Start(ctx context.Context, spec Spec) (Instance, error)
	// Capabilities tell what this driver gives on this host. The answer never changes.
	Capabilities() Capabilities
	// Close ends every instance and removes what the driver made on the host.
	Close() error
}

// Spec describes a process and what it may see and use.
type Spec struct {
	Name    string   // for people: host name and group names are made from it
	Command []string // absolute path inside the sandbox, and arguments
	Env     []string // the whole environment
	Dir     string   // working directory inside the sandbox
	Mounts  []Mount  // beside the system view, read-only
	Empty   []string // folders made empty, for Attach
	// Root is a folder of the host that is shown read-only as "/", in place of the host's system folders; "" for those. What the
	// driver itself shows (Mounts, Empty, /tmp, /dev, /proc) hides what the folder has in that place. Only drivers whose
	// Capabilities say Root can do it.
	Root string
	UID  int // user and group inside; 0 for the usual one
	GID  int
	// Network has a network device made at once, where that cannot be done later. See Instance.Network.
	Network bool
	Patient bool // until Attach it gets the processor only when nothing else of the driver's wants it

	MemoryBytes int64 // whole tree, /tmp included
	CPUMillis   int   // thousandths of a core; 0 for no limit
	Processes   int   // processes and threads
	Files       int   // open files of one process
	TmpBytes    int64 // size of /tmp
}

// Mount shows a folder of the host inside, read-only, without devices and set-user-id.
type Mount struct {
	Source string // absolute, on the host
	Target string // absolute, inside
}

// Instance is a running sandboxed process.
type Instance interface {
	// Control is the host's end of the stream socket that is file descriptor 3 inside. The caller closes it.
	Control() net.Conn
	// Output is the reading end of the pipe that is standard output and error inside; non-blocking. The caller closes it.
	Output() *os.File
	// Path gives the place where the process sees a path of Spec: the same path at levels with a view of their own.
	Path(inside string) string
	// SetCPU changes the processor share, in thousandths of a core.
	SetCPU(millis int) error
	// SetPatient has the sandbox get the processor only when no other sandbox wants it, or as usual again, where the level can do it.
	SetPatient(patient bool) error
	// SetShare has so many sandboxes together get what a single one gets of a processor that others want too, where the level can
	// do it. It is not for a patient one.
	SetShare(of int) error
	// Attach shows further folders inside a running sandbox, at places where Spec.Empty made room, and gives the sandbox
	// other limits of memory and /tmp. It is for a process that waits and has run no foreign code yet. Only drivers whose
	// Capabilities say Attach can do it.
	Attach(mounts []Mount, memoryBytes, tmpBytes int64) error
	// Network gives the host's end of the sandbox's network device, a TUN that carries bare IP packets and does not block. A driver whose
	// Capabilities say Attach makes it now; others have made it at the start where Spec.Network asked for it. It can be had once,
	// before foreign code runs, and the caller closes it; with it the device goes. Only drivers whose Capabilities say Network
	// can do it.
	Network() (*os.File, error)
	// Freeze stops every process of the tree where it stands, and Thaw has them go on. A frozen tree can be killed, and ends
	// with the server's own death, as any other. Only drivers whose Capabilities say Freeze can do it.
	Freeze() error
	Thaw() error
	// Reclaim writes what the processes of a frozen tree alone hold in memory out to swap; it is read again as it is used. It fails with
	// errors.ErrUnsupported while the host has no swap, and where the driver's Capabilities do not say Reclaim.
	Reclaim() error
	// MemoryPeak is the highest memory use of the tree so far, in bytes; 0 where the level cannot tell.
	MemoryPeak() int64
	// Kill ends the whole tree at once. It may be called at any time, by anyone, more than once.
	Kill()
	// Done is closed when the whole tree is gone and everything made for it on the host is removed.
	Done() <-chan struct{}
	// Exit tells how the process ended; valid after Done.
	Exit() Exit
}

// Exit is how a process ended.
type Exit struct {
	Code   int    // exit code; -1 when a signal ended it
	Signal string // "killed", "segmentation fault", ...; "" when it exited
	OOM    bool   // the limit of memory ended it
}

// Capabilities say what a driver gives on this host.
type Capabilities struct {
	Driver string // "native", "none", ...
	Level  string // one line for people, e.g. "namespaces, seccomp, cgroup v1 limits"
	// Lacks names each protection that is missing on this host and what would bring it; nil when nothing is.
	Lacks []string
	// Attach tells whether Instance.Attach works.
	Attach bool
	// Network tells whether Instance.Network works.
	Network bool
	// Freeze tells whether Instance.Freeze works.
	Freeze bool
	// Reclaim tells whether Instance.Reclaim works while the host has swap.
	Reclaim bool
	// Root tells whether Spec.Root works.
	Root bool
	// Isolated is false for a driver that gives no protection at all.
	Isolated bool
}
