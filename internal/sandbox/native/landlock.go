//go:build linux

package native

import (
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// leastLandlock is the version of Landlock from which a process may be let rename files between folders.
const leastLandlock = 2

// landlockVersion asks the kernel for its version of Landlock; 0 where there is none.
func landlockVersion() int {
	const askVersion = 1
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, askVersion)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// Rights of Landlock.
const (
	seeFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	putFiles = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

	truncateSince, ioctlSince, scopeSince = 3, 5, 6 // versions
)

// landlock gives the rules of every sandbox under a version of Landlock: everything below its own root can be read and
// run, nothing outside of it even through a descriptor that should not be there; /tmp and /dev/shm can be written to, and so
// can what stands in /dev and /proc. A process under such rules can neither mount nor trace or signal one that is not.
// It gives nil where Landlock cannot be used.
func landlock(version int) *initspec.Landlock {
	if version < leastLandlock {
		return nil
	}
	put, device := uint64(putFiles), uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
	if version >= truncateSince {
		put |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
		device |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= ioctlSince {
		put |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
		device |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	l := &initspec.Landlock{Attributes: []uint64{seeFiles | put}}
	if version >= scopeSince {
		const abstractSockets, signals = 1, 2
		l.Attributes = append(l.Attributes, 0, abstractSockets|signals)
	}
	l.Rules = []initspec.LandlockRule{{Path: "/", Rights: seeFiles}, {Path: "/dev", Rights: device}, {Path: "/proc", Rights: device}}
	for _, dir := range memoryFolders {
		l.Rules = append(l.Rules, initspec.LandlockRule{Path: dir, Rights: put})
	}
	return l
}

// restrictPaths is the init's step of the same name. The descriptors behind the status pipe are free and are taken in order.
func (d *Driver) restrictPaths(p *program) {
	if d.landlock == nil || d.lacks(initspec.PathRules) || d.lacks(initspec.CloseAll) {
		return
	}
	const ruleset = firstFD + 1
	attributes := p.words(d.landlock.Attributes...)
	p.call("make path rules", unix.SYS_LANDLOCK_CREATE_RULESET, attributes, uint64(8*len(d.landlock.Attributes)), 0)
	here := uint64(unix.AT_FDCWD & (1<<64 - 1))
	for i, rule := range d.landlock.Rules {
		fd := uint64(ruleset + 1 + i)
		p.call("open "+rule.Path, unix.SYS_OPENAT, here, p.text(rule.Path), unix.O_PATH|unix.O_CLOEXEC, 0)
		beneath := p.words(rule.Rights, fd) // struct landlock_path_beneath_attr: the descriptor has 32 bits, low ones first
		p.call("rule for "+rule.Path, unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, beneath, 0)
	}
	p.call("restrict paths", unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
	p.call("close path rules", unix.SYS_CLOSE_RANGE, ruleset, uint64(^uint32(0)), 0)
}
