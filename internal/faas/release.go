package faas

import (
	"strings"
	"time"
)

// Release is a version of the gateways' agent that a project keeps, as one program for each processor.
type Release struct {
	Project   string
	Version   string // what the program says of itself
	CreatedAt time.Time
	Programs  []ReleaseProgram // by Arch
}

// ReleaseProgram is a release for one processor.
type ReleaseProgram struct {
	Arch   string // GOARCH: one of ReleaseArchs
	Digest string // under which its bytes are kept
	Size   int64  // bytes
	SHA256 string // hex
}

// ReleaseUse says which release gateways shall run: one gateway, with SN "" all of a product, and with neither all of the project.
type ReleaseUse struct {
	Project string
	GatewayID
	Version string // "" for none
}

// ReleaseArchs are the processors that there are agents for.
var ReleaseArchs = [...]string{"amd64", "arm64"}

// MaxReleaseProgram bounds a program, in bytes.
const MaxReleaseProgram = 40 << 20

// Program finds the program for a processor. It may be called on nil.
func (r *Release) Program(arch string) (ReleaseProgram, bool) {
	if r != nil {
		for _, p := range r.Programs {
			if p.Arch == arch {
				return p, true
			}
		}
	}
	return ReleaseProgram{}, false
}

// CheckReleaseVersion holds the name of a release to its rule. Error: CodeInvalid, field "version".
func CheckReleaseVersion(version string) error {
	wrong := strings.ContainsFunc(version, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_+", c)
	})
	if version == "" || len(version) > 64 || wrong || version == "none" {
		return Errorf(CodeInvalid, "version", "the version %.64q must be 1 to 64 letters, digits, '.', '-', '_' or '+', and not 'none'", version)
	}
	return nil
}

// The states of a release on a gateway that shall run it.
const (
	ReleasePending  = "pending"  // the gateway has not got so far
	ReleaseRunning  = "running"  // it says that it runs it
	ReleaseReverted = "reverted" // it tried it, and went back to the version before
	ReleaseRefused  = "refused"  // it did not try it
	ReleaseMissing  = "missing"  // the release has no program for its processor
)

// ReleaseState tells how far a gateway is with a release that it shall run, by its report, and why it did not take it.
func (r *GatewayReport) ReleaseState(wanted *Release) (state, message string) {
	if r == nil {
		return ReleasePending, ""
	}
	if r.AgentVersion == wanted.Version {
		return ReleaseRunning, ""
	}
	if _, ok := wanted.Program(r.Arch); !ok && r.Arch != "" {
		return ReleaseMissing, "the release has no program for " + r.Arch
	}
	if r.AgentReverted == wanted.Version {
		return ReleaseReverted, "it ended, or did not reach the cloud within its trial, and the version before runs again"
	}
	for _, refusal := range r.Refused {
		if why, ok := strings.CutPrefix(refusal.Reason, "agent "+wanted.Version+": "); ok && refusal.Version == r.Version {
			return ReleaseRefused, why
		}
	}
	return ReleasePending, ""
}
