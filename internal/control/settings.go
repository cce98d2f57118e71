package control

import (
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Longest texts that have no rule of their own, so that a row stays bounded.
const (
	maxHandler = 128
	maxName    = 256
)

// Settings is what a caller wants set. nil leaves a setting as it is, or gives it its default when a function is made;
// "" clears a text.
type Settings struct {
	Description *string
	Title       *string // "" for none
	ModifiedBy  *string
	Runtime     *string
	Handler     *string
	Contract    *string
	Config      *string // JSON object; "" for {}
	TimeoutSec  *int
	MemoryMB    *int
	TmpMB       *int

	InitHandler    *string
	InitTimeoutSec *int
	StopHandler    *string
	StopTimeoutSec *int
	BeatHandler    *string

	// UserData and EncryptedUserData are JSON objects as text: see ParseVariables.
	UserData          *string
	EncryptedUserData *string

	MaxInstances  *int
	RequestsPer   *int
	DynamicMemory *bool
	Generation    *string
	Role          *string
	AppRole       *string
	AuthInHeader  *bool
	EnterpriseID  *string
	Egress        *string
	Isolation     *string
	NoPublic      *bool
	Dependencies  *[]string // see Functions.withLayers
	layers        []string
	Image         *faas.Image // of faas.RuntimeImage only; one without Ref takes it away
	// Carried fields by name, as JSON text that the dialect has checked; "" takes one away.
	Carried map[string]string
}

// required tells the first setting that a new function lacks.
func (set *Settings) required() error {
	switch {
	case set.Runtime == nil || *set.Runtime == "":
		return faas.Errorf(faas.CodeInvalid, "runtime", "runtime must be given")
	case set.Handler == nil || *set.Handler == "":
		return faas.Errorf(faas.CodeInvalid, "handler", "handler must be given")
	case set.MemoryMB == nil:
		return faas.Errorf(faas.CodeInvalid, "memory_size", "memory_size must be given, one of %v MB", faas.MemorySizes)
	case set.TimeoutSec == nil:
		return faas.Errorf(faas.CodeInvalid, "timeout", "timeout must be given, in seconds")
	}
	return nil
}

// apply sets what is given and holds the result to every rule. f must not be used after an error.
func (s *Functions) apply(f *faas.Function, set Settings) error {
	was := f.Spec
	spec := &f.Spec
	assign(&spec.Description, set.Description)
	assign(&spec.Runtime, set.Runtime)
	assign(&spec.Handler, set.Handler)
	assign(&spec.Contract, set.Contract)
	assign(&spec.Config, set.Config)
	assign(&f.Title, set.Title)
	assign(&f.ModifiedBy, set.ModifiedBy)
	assign(&spec.MemoryMB, set.MemoryMB)
	assign(&spec.TmpMB, set.TmpMB)
	assign(&spec.InitHandler, set.InitHandler)
	assign(&spec.StopHandler, set.StopHandler)
	assign(&spec.BeatHandler, set.BeatHandler)
	assign(&spec.MaxInstances, set.MaxInstances)
	assign(&spec.RequestsPer, set.RequestsPer)
	assign(&spec.DynamicMemory, set.DynamicMemory)
	assign(&spec.Generation, set.Generation)
	assign(&spec.Role, set.Role)
	assign(&spec.AppRole, set.AppRole)
	assign(&spec.AuthInHeader, set.AuthInHeader)
	assign(&spec.EnterpriseID, set.EnterpriseID)
	assign(&spec.Egress, set.Egress)
	assign(&spec.Isolation, set.Isolation)
	assign(&spec.NoPublicNetwork, set.NoPublic)
	if set.Egress != nil { // what was once allowed stays
		if err := faas.CheckEgress(spec.Egress); err != nil {
			return err
		}
	}
	if err := setSeconds(&spec.Timeout, set.TimeoutSec, "timeout", faas.MinTimeout, faas.MaxTimeout); err != nil {
		return err
	}
	if err := setSeconds(&spec.InitTimeout, set.InitTimeoutSec, "initializer_timeout", 0, faas.MaxInitTimeout); err != nil {
		return err
	}
	if err := setSeconds(&spec.StopTimeout, set.StopTimeoutSec, "pre_stop_timeout", 0, faas.MaxStopTimeout); err != nil {
		return err
	}
	if err := s.checkLanguage(f, was); err != nil {
		return err
	}
	if err := s.checkHooks(spec, &was); err != nil {
		return err
	}
	if err := setImage(f, was, set.Image); err != nil {
		return err
	}
	if err := spec.Check(); err != nil {
		return err
	}
	if err := checkLengths(spec); err != nil {
		return err
	}
	if err := s.setVariables(f, set); err != nil {
		return err
	}
	if err := setDependencies(f, set.Dependencies, set.layers); err != nil {
		return err
	}
	setCarried(spec, set.Carried)
	return nil
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// setSeconds checks before it multiplies: a huge number of seconds would wrap around.
func setSeconds(to *time.Duration, seconds *int, field string, low, high time.Duration) error {
	if seconds == nil {
		return nil
	}
	if *seconds < int(low/time.Second) || *seconds > int(high/time.Second) {
		return faas.Errorf(faas.CodeInvalid, field, "%s %d must be %d to %d seconds", field, *seconds, low/time.Second, high/time.Second)
	}
	*to = time.Duration(*seconds) * time.Second
	return nil
}

// checkLanguage holds runtime and handler to the language, but only when one of them changed: a function whose
// language was removed from the host can still be described anew.
//
// Bare source lies under the name that its handler asks for. It follows when the handler changes, as clients send new code
// first and the new handler second.
func (s *Functions) checkLanguage(f *faas.Function, was faas.Spec) error {
	spec := &f.Spec
	if spec.Runtime == was.Runtime && spec.Handler == was.Handler {
		return nil
	}
	if spec.Contract == faas.ContractCallback && !strings.HasPrefix(spec.Runtime, "Node.js") {
		return faas.Errorf(faas.CodeInvalid, "runtime", "runtime %.60q cannot serve a function that answers by a callback; use Node.js", spec.Runtime)
	}
	if spec.Handler == "" || utf8.RuneCountInString(spec.Handler) > maxHandler {
		return faas.Errorf(faas.CodeInvalid, "handler", "handler must have 1 to %d characters", maxHandler)
	}
	if err := s.cfg.Runtimes.CheckHandler(spec.Runtime, "handler", spec.Handler); err != nil {
		return err
	}
	if !f.Code.Source {
		return nil
	}
	if file, err := s.cfg.Runtimes.SourceFile(was.Runtime, was.Handler); err != nil || file != f.Code.Filename {
		return nil // a name that the owner chose
	}
	file, err := s.cfg.Runtimes.SourceFile(spec.Runtime, spec.Handler)
	f.Code.Filename = file
	return err
}

// checkHooks holds the handlers beside the main one to the language's rule, but only when something changed, as
// checkLanguage does.
func (s *Functions) checkHooks(spec, was *faas.Spec) error {
	for _, hook := range []struct{ field, value, was string }{
		{"initializer_handler", spec.InitHandler, was.InitHandler},
		{"pre_stop_handler", spec.StopHandler, was.StopHandler},
		{"heartbeat_handler", spec.BeatHandler, was.BeatHandler},
	} {
		if hook.value == "" || hook.value == hook.was && spec.Runtime == was.Runtime {
			continue
		}
		if utf8.RuneCountInString(hook.value) > maxHandler {
			return faas.Errorf(faas.CodeInvalid, hook.field, "%s must have at most %d characters", hook.field, maxHandler)
		}
		if err := s.cfg.Runtimes.CheckHandler(spec.Runtime, hook.field, hook.value); err != nil {
			return err
		}
	}
	return nil
}

func checkLengths(spec *faas.Spec) error {
	for _, text := range []struct{ field, value string }{
		{"xrole", spec.Role}, {"app_xrole", spec.AppRole}, {"enterprise_project_id", spec.EnterpriseID},
	} {
		if utf8.RuneCountInString(text.value) > maxName {
			return faas.Errorf(faas.CodeInvalid, text.field, "%s is over %d characters", text.field, maxName)
		}
	}
	return nil
}

func setCarried(spec *faas.Spec, fields map[string]string) {
	if len(fields) == 0 {
		return
	}
	carried := maps.Clone(spec.Carried)
	if carried == nil {
		carried = map[string]string{}
	}
	for name, text := range fields {
		if text == "" {
			delete(carried, name)
		} else {
			carried[name] = text
		}
	}
	spec.Carried = carried
}
