//go:build linux

package native

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Without leaves guards out of the sandboxes that d makes from now on, and lets the filter pass system calls by name.
func Without(d *Driver, guards, calls []string) error {
	var refused []string
	if !d.groups.has("memory") {
		refused = slices.DeleteFunc(slices.Clone(hiding), func(name string) bool { return slices.Contains(calls, name) })
	}
	filter, err := filterProgram(refused, calls)
	d.without, d.filter = guards, filter
	return err
}

// ForeignCalls opens the calls of other architectures when it is among Without's.
const ForeignCalls = foreignCalls

// PID is the host's number of a sandbox's first process.
func PID(in sandbox.Instance) int { return in.(*instance).process.Pid }

// FailToOpen has the driver find no processes of copies any more, as where descriptors run out.
func FailToOpen(d *Driver) {
	d.openProcess = func(int) (int, error) { return -1, unix.EMFILE }
}
