package faas

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what an owner may set (FunctionGraph reference, sections 1.17 and 3.3).
const (
	MaxPackageBytes   = 50 << 20   // a package sent through the API
	MaxPulledBytes    = 300 << 20  // a package pulled from a bucket or URL
	MaxUnpackedBytes  = 1500 << 20 // a package once unpacked
	MaxPackageFiles   = 100_000
	MaxEventBytes     = 6 << 20 // synchronous request
	MaxResultBytes    = 6 << 20 // synchronous response
	MaxUserDataBytes  = 4096
	MaxUserDataItems  = 20
	MaxDescription    = 512 // characters
	MaxRequestsPer    = 1000
	MaxInstancesLimit = 1000
	MinTimeout        = 3 * time.Second
	MaxTimeout        = 259200 * time.Second
	MaxInitTimeout    = 300 * time.Second
	MaxCallbackLoad   = 10 * time.Second // for code of ContractCallback, whose callers wait for 5 s
	MaxCallDepth      = 8                // functions that call each other
	MaxTitle          = 128              // characters
	MaxStopTimeout    = 90 * time.Second
	InitAttempts      = 3 // instances that a failing initializer is tried on
)

// MemorySizes are the instance sizes that can be asked for, in MB.
var MemorySizes = []int{128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 8192, 10240}

var (
	functionName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?$`) })
	packageName  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?$`) })
)

// CheckFunctionName holds a function's name to its rule: 1 to 60 letters, digits, "-" and "_", starting with a letter and
// ending with a letter or digit. Error: CodeInvalid, field "func_name".
func CheckFunctionName(name string) error {
	if !functionName().MatchString(name) {
		return Errorf(CodeInvalid, "func_name", "func_name %.80q must be 1 to 60 letters, digits, '-' or '_', start with a letter and end with a letter or digit", name)
	}
	return nil
}

// CheckPackageName holds a group's name to the same rule. Error: CodeInvalid, field "package".
func CheckPackageName(name string) error {
	if !packageName().MatchString(name) {
		return Errorf(CodeInvalid, "package", "package %.80q must be 1 to 60 letters, digits, '-' or '_', start with a letter and end with a letter or digit", name)
	}
	return nil
}

// CheckTitle holds a title to its rule: 1 to MaxTitle printable characters without "/", "\\" and ":", and no blank at an end.
// Error: CodeInvalid, field "name".
func CheckTitle(title string) error {
	bad := title == "" || !utf8.ValidString(title) || utf8.RuneCountInString(title) > MaxTitle || strings.TrimSpace(title) != title ||
		title == "." || title == ".." ||
		strings.ContainsFunc(title, func(r rune) bool { return r == '/' || r == '\\' || r == ':' || !unicode.IsPrint(r) })
	if bad {
		return Errorf(CodeInvalid, "name", "name %.150q must be 1 to %d printable characters without '/', '\\' and ':'", title, MaxTitle)
	}
	return nil
}

// Check holds the parts of a Spec that do not depend on a language to their rules. Error: CodeInvalid with the field.
func (s *Spec) Check() error {
	switch {
	case !slices.Contains(MemorySizes, s.MemoryMB):
		return Errorf(CodeInvalid, "memory_size", "memory_size %d is not one of %v MB", s.MemoryMB, MemorySizes)
	case s.Timeout < MinTimeout || s.Timeout > MaxTimeout:
		return Errorf(CodeInvalid, "timeout", "timeout %d must be %d to %d seconds", s.Timeout/time.Second, MinTimeout/time.Second, MaxTimeout/time.Second)
	case s.TmpMB != 512 && s.TmpMB != 10240:
		return Errorf(CodeInvalid, "ephemeral_storage", "ephemeral_storage %d must be 512 or 10240 MB", s.TmpMB)
	case utf8.RuneCountInString(s.Description) > MaxDescription:
		return Errorf(CodeInvalid, "description", "description is over %d characters", MaxDescription)
	case s.MaxInstances < Unlimited || s.MaxInstances > MaxInstancesLimit:
		return Errorf(CodeInvalid, "concurrency", "concurrency %d must be -1 (unlimited), 0 (switched off) or up to %d", s.MaxInstances, MaxInstancesLimit)
	case s.RequestsPer < 1 || s.RequestsPer > MaxRequestsPer:
		return Errorf(CodeInvalid, "concurrent_num", "concurrent_num %d must be 1 to %d", s.RequestsPer, MaxRequestsPer)
	case s.Generation != "v1" && s.Generation != "v2":
		return Errorf(CodeInvalid, "type", "type %.20q must be v1 or v2", s.Generation)
	case s.Reserved < 0 || s.Reserved > MaxInstancesLimit:
		return Errorf(CodeInvalid, "count", "count %d must be 0 to %d", s.Reserved, MaxInstancesLimit)
	case s.AliasReserve != nil && (s.AliasReserve.Count < 0 || s.AliasReserve.Count > MaxInstancesLimit):
		return Errorf(CodeInvalid, "count", "count %d must be 0 to %d", s.AliasReserve.Count, MaxInstancesLimit)
	case s.StopTimeout > MaxStopTimeout || s.StopHandler != "" && s.StopTimeout < time.Second:
		return Errorf(CodeInvalid, "pre_stop_timeout", "pre_stop_timeout %d must be 1 to %d seconds when pre_stop_handler is set", s.StopTimeout/time.Second, MaxStopTimeout/time.Second)
	case s.Contract != ContractContext && s.Contract != ContractCallback && s.Contract != ContractEdge:
		return Errorf(CodeInvalid, "contract", "contract %.20q must be empty, callback or edge", s.Contract)
	case s.Contract == ContractCallback && s.RequestsPer > 1:
		return Errorf(CodeInvalid, "concurrent_num", "concurrent_num must be 1 for a function that answers by a callback")
	case CheckIsolation(s.Isolation) != nil:
		return CheckIsolation(s.Isolation)
	case s.InitHandler == "" && s.InitTimeout != 0:
		return s.checkPolicies() // the time is kept, and without effect until a handler is set
	case s.InitHandler != "" && (s.InitTimeout < time.Second || s.InitTimeout > MaxInitTimeout):
		return Errorf(CodeInvalid, "initializer_timeout", "initializer_timeout %d must be 1 to %d seconds when initializer_handler is set", s.InitTimeout/time.Second, MaxInitTimeout/time.Second)
	}
	return s.checkPolicies()
}
