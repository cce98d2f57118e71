package initspec

import "slices"

// Guards are the protections of a sandbox by name. Every sandbox has all of them; only the driver's own tests leave out one
// at a time, to see that the evil it keeps out does get in then. So none can be lost without a test that fails.
const (
	UserNamespace   = "user namespace"
	PIDNamespace    = "pid namespace"
	MountNamespace  = "mount namespace"
	IPCNamespace    = "ipc namespace"
	UTSNamespace    = "uts namespace"
	NetNamespace    = "network namespace"
	CgroupNamespace = "cgroup namespace"

	OwnUser      = "user of its own"
	OwnSession   = "session of its own"
	OwnView      = "host's view let go"
	ReadOnlyRoot = "read-only root"
	ReadOnly     = "read-only mounts"
	NoSetuid     = "mounts without set-user-id"
	NoDevices    = "mounts without devices"
	ProcOfPIDs   = "proc without the host"
	CloseAll     = "descriptors closed"
	PathRules    = "landlock"

	Capabilities  = "capabilities dropped"
	BoundingSet   = "bounding set emptied"
	NoPrivileges  = "no new privileges"
	Seccomp       = "seccomp"
	TieToParent   = "tie to the server"
	FirstToGo     = "first to go without memory"
	MemoryLimit   = "limit of memory"
	ProcessLimit  = "limit of processes"
	ProcessorTime = "limit of processor time"
	FileLimit     = "limit of open files"
	CoreLimit     = "no core dumps"
	QueueLimit    = "limit of message queues"
	TmpBytes      = "size of /tmp"
	TmpNames      = "names in /tmp"
)

// Lacks tells whether a guard is left out.
func (s *Spec) Lacks(guard string) bool { return slices.Contains(s.Without, guard) }

// The attributes of mounts in struct mount_attr.
const (
	attrReadOnly = 0x1
	attrNoSetuid = 0x2
	attrNoDev    = 0x4
)

// MountAttributes are those of every folder that a sandbox is shown: read-only, without set-user-id and devices.
func (s *Spec) MountAttributes() uint64 {
	var all uint64
	for _, g := range []struct {
		guard     string
		attribute uint64
	}{{ReadOnly, attrReadOnly}, {NoSetuid, attrNoSetuid}, {NoDevices, attrNoDev}} {
		if !s.Lacks(g.guard) {
			all |= g.attribute
		}
	}
	return all
}
