//go:build linux

package native

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

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
	for _, r := range numberRanges(info.SyscallNames, slices.Concat(sandbox.Calls(), open), refused) {
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
