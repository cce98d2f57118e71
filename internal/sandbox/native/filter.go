//go:build linux

package native

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
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
	rules, err := decide(spansOf(info.SyscallNames, refused, open))
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return encodeFilter(append(p, rules...))
}

// argumentRules are calls that are allowed with some arguments only.
func argumentRules() map[string][]bpf.Instruction {
	const queryPersonality = 0xffffffff
	return map[string][]bpf.Instruction{
		// clone3 keeps its flags in memory, where a filter cannot look; C libraries fall back to clone.
		"clone3": {bpf.RetConstant{Val: retNoSys}},
		"clone": {
			bpf.LoadAbsolute{Off: offArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaceFlags, SkipTrue: 1},
			bpf.RetConstant{Val: retRefuse},
			bpf.RetConstant{Val: retAllow},
		},
		"socket": {
			bpf.LoadAbsolute{Off: offArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 3},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
			bpf.RetConstant{Val: retNoFamily},
			bpf.RetConstant{Val: retAllow},
		},
		// A worker that cut the tie to the server could outlive it.
		"prctl": {
			bpf.LoadAbsolute{Off: offArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PR_SET_PDEATHSIG, SkipTrue: 1},
			bpf.RetConstant{Val: retRefuse},
			bpf.RetConstant{Val: retAllow},
		},
		// Pushing characters back into a terminal.
		"ioctl": {
			bpf.LoadAbsolute{Off: offArg1, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
			bpf.RetConstant{Val: retAllow},
			bpf.RetConstant{Val: retRefuse},
		},
		"personality": {
			bpf.LoadAbsolute{Off: offArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: queryPersonality, SkipTrue: 1},
			bpf.RetConstant{Val: retRefuse},
			bpf.RetConstant{Val: retAllow},
		},
	}
}

// span is what becomes of the calls from one number on, up to the next span.
type span struct {
	from uint32
	rule []bpf.Instruction
}

// spansOf covers all numbers, those above the last call among them, where x32 has its own.
func spansOf(numbers map[string]int, refused, open []string) []span {
	allow, refuse := []bpf.Instruction{bpf.RetConstant{Val: retAllow}}, []bpf.Instruction{bpf.RetConstant{Val: retRefuse}}
	rules := map[uint32][]bpf.Instruction{}
	for _, name := range slices.Concat(sandbox.Calls(), open) {
		if nr, ok := numbers[name]; ok && !slices.Contains(refused, name) {
			rules[uint32(nr)] = nil // whatever its arguments
		}
	}
	for name, rule := range argumentRules() {
		if nr, ok := numbers[name]; ok && !slices.Contains(open, name) {
			rules[uint32(nr)] = rule
		}
	}
	var spans []span
	next, allowing := uint32(0), false // behind the last call
	for _, nr := range slices.Sorted(maps.Keys(rules)) {
		if nr > next {
			spans, allowing = append(spans, span{next, refuse}), false
		}
		switch rule := rules[nr]; {
		case rule != nil:
			spans, allowing = append(spans, span{nr, rule}), false
		case !allowing:
			spans, allowing = append(spans, span{nr, allow}), true
		}
		next = nr + 1
	}
	return append(spans, span{next, refuse})
}

// decide finds the span of a number that is loaded, and does as it says. It halves the spans with each step: the kernel runs a new
// filter once for each number there is, to know what it need not ask again, which is most of what its installation costs.
func decide(spans []span) ([]bpf.Instruction, error) {
	if len(spans) == 1 {
		return spans[0].rule, nil
	}
	half := len(spans) / 2
	low, err := decide(spans[:half])
	if err != nil {
		return nil, err
	}
	high, err := decide(spans[half:])
	if err == nil && len(low) > math.MaxUint8 {
		err = fmt.Errorf("a jump over %d instructions", len(low))
	}
	if err != nil {
		return nil, err
	}
	step := bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[half].from, SkipTrue: uint8(len(low))}
	return slices.Concat([]bpf.Instruction{step}, low, high), nil
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
