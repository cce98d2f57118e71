//go:build linux

package native

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// lacks tells whether a guard is left out: never but in tests of the guards.
func (d *Driver) lacks(guard string) bool { return slices.Contains(d.without, guard) }

// namespaces gives the flags of clone for a sandbox.
func (d *Driver) namespaces(all uintptr) uintptr {
	for guard, flag := range map[string]uintptr{
		initspec.UserNamespace: unix.CLONE_NEWUSER, initspec.PIDNamespace: unix.CLONE_NEWPID, initspec.MountNamespace: unix.CLONE_NEWNS,
		initspec.IPCNamespace: unix.CLONE_NEWIPC, initspec.UTSNamespace: unix.CLONE_NEWUTS, initspec.NetNamespace: unix.CLONE_NEWNET,
		initspec.CgroupNamespace: unix.CLONE_NEWCGROUP,
	} {
		if d.lacks(guard) {
			all &^= flag
		}
	}
	return all
}

// mountAttributes are those of what a sandbox is shown.
func (d *Driver) mountAttributes() uint64 {
	return (&initspec.Spec{Without: d.without}).MountAttributes()
}

// userOf is the user on the host of the sandbox in a slot.
func (d *Driver) userOf(slot int) int {
	if d.lacks(initspec.OwnUser) {
		slot = 0
	}
	return firstUID + slot
}
