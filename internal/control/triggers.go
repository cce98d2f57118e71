package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TriggerStore keeps triggers. Each method is one whole transaction; what it acknowledges is on disk.
type TriggerStore interface {
	// CreateTrigger stores a new trigger. Errors: CodeNotFound (field "function" or "version"); CodeExists (field "trigger");
	// CodeQuota (field "triggers").
	CreateTrigger(ctx context.Context, t *faas.Trigger, most int) error
	// UpdateTrigger lets change alter a trigger and stores it. An error of change is returned and changes nothing. Errors:
	// CodeNotFound and CodeExists, field "trigger".
	UpdateTrigger(ctx context.Context, project, id string, change func(*faas.Trigger) error) (*faas.Trigger, error)
	ListTriggers(ctx context.Context, filter faas.TriggerFilter) ([]*faas.Trigger, error)
	// DeleteTriggers removes the triggers that match and tells how many. The filter names a function or an id.
	DeleteTriggers(ctx context.Context, filter faas.TriggerFilter) (int64, error)
}

// TriggerKinds knows the kinds of triggers that this server serves, and what each wants set.
type TriggerKinds interface {
	// Check holds what an owner set to the rules of t's kind. secrets are those known from before, which an empty text keeps.
	// Errors: CodeInvalid or CodeUnsupported, field "trigger_type_code" or "event_data.<kind>".
	Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error)
	// Show gives what the owner set, with secrets emptied, and what the server made: addresses and ids.
	Show(t *faas.Trigger, secrets map[string]string) (map[string]any, error)
	// Codes lists the kinds.
	Codes() []string
	// StartsInactive tells of a kind whose triggers are made switched off unless the owner says otherwise.
	StartsInactive(kind string) bool
}

// TriggerChanges hears of every change of triggers. When it returns, the change has taken effect on this server.
type TriggerChanges interface {
	TriggersChanged(ctx context.Context)
}

// TriggersConfig is what Triggers needs. All of it is required but Now.
type TriggersConfig struct {
	Store     TriggerStore
	Functions FunctionStore
	Kinds     TriggerKinds
	Sealer    Sealer
	Changes   TriggerChanges
	Now       func() time.Time // nil means time.Now
}

// Triggers are the use cases on triggers. Every method takes the project it works in and a URN within it, whose version or
// alias is what the trigger calls; no version means Latest.
//
// Errors of all: CodeNotFound with field "function", "version", "alias" or "trigger".
type Triggers struct {
	cfg       TriggersConfig
	functions *Functions // resolves URNs
}

// NewTriggers makes the use cases.
func NewTriggers(cfg TriggersConfig) *Triggers {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Triggers{cfg: cfg, functions: NewFunctions(FunctionsConfig{Store: cfg.Functions, Now: cfg.Now})}
}

// TriggerView is a trigger with the event data that may be shown: no secrets, but what the server made.
type TriggerView struct {
	*faas.Trigger
	Shown map[string]any
}

// NewTrigger describes a trigger to be made.
type NewTrigger struct {
	Kind   string
	Active *bool          // nil for what the kind starts with
	Data   map[string]any // as encoding/json decodes an object with UseNumber
}

// Create makes a trigger. Errors: those of TriggerKinds.Check; CodeExists (field "trigger.<kind>"); CodeQuota (field "triggers").
func (s *Triggers) Create(ctx context.Context, project string, urn faas.URN, n NewTrigger) (TriggerView, error) {
	key, err := s.target(ctx, project, urn)
	if err != nil {
		return TriggerView{}, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	t := &faas.Trigger{
		ID: uuid.NewString(), Key: key, Alias: urn.Alias, Kind: n.Kind, Active: !s.cfg.Kinds.StartsInactive(n.Kind),
		Since: now, CreatedAt: now, ModifiedAt: now,
	}
	if n.Active != nil {
		t.Active = *n.Active
	}
	told, err := s.set(t, n.Data)
	if err != nil {
		return TriggerView{}, err
	}
	if err := s.cfg.Store.CreateTrigger(ctx, t, faas.MaxTriggers); err != nil {
		return TriggerView{}, ofKind(err, t.Kind)
	}
	s.cfg.Changes.TriggersChanged(ctx)
	return s.view(t, told)
}

// ofKind names the kind in an error about a trigger, as dialects have words for each.
func ofKind(err error, kind string) error {
	if faas.CodeOf(err) != faas.CodeExists {
		return err
	}
	return &faas.Error{Code: faas.CodeExists, Field: "trigger." + kind, Message: "a trigger of type " + kind + " like this one exists already", Err: err}
}

// set checks data, and lays it into t with its secrets sealed.
func (s *Triggers) set(t *faas.Trigger, set map[string]any) (told map[string]string, err error) {
	before, err := s.secrets(t)
	if err != nil {
		return nil, err
	}
	data, err := s.cfg.Kinds.Check(t, set, before)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(data.Plain)
	if err != nil {
		return nil, fmt.Errorf("encode event data: %w", err)
	}
	t.Data, t.Unique, t.Sealed = string(text), data.Unique, nil
	if len(data.Secrets) > 0 {
		plain, err := json.Marshal(data.Secrets)
		if err != nil {
			return nil, fmt.Errorf("encode secrets: %w", err)
		}
		t.Sealed = s.cfg.Sealer.Seal(triggerLabel(t), plain)
	}
	return data.Told, nil
}

// triggerLabel binds secrets to their trigger.
func triggerLabel(t *faas.Trigger) string { return "trigger:" + t.ID }

func (s *Triggers) secrets(t *faas.Trigger) (map[string]string, error) {
	return TriggerSecrets(s.cfg.Sealer, t)
}

// TriggerSecrets opens the secrets of a trigger, for those who act on it.
func TriggerSecrets(sealer Sealer, t *faas.Trigger) (map[string]string, error) {
	if t.Sealed == nil {
		return nil, nil
	}
	plain, err := sealer.Open(triggerLabel(t), t.Sealed)
	if err != nil {
		return nil, fmt.Errorf("unseal trigger %s: %w", t.ID, err)
	}
	secrets := map[string]string{}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, fmt.Errorf("decode secrets of trigger %s: %w", t.ID, err)
	}
	return secrets, nil
}

func (s *Triggers) view(t *faas.Trigger, told map[string]string) (TriggerView, error) {
	secrets, err := s.secrets(t)
	if err != nil {
		return TriggerView{}, err
	}
	shown, err := s.cfg.Kinds.Show(t, secrets)
	if err != nil {
		return TriggerView{}, err
	}
	for name, secret := range told {
		shown[name] = secret
	}
	return TriggerView{t, shown}, nil
}

// Kinds lists the kinds of triggers that this server serves.
func (s *Triggers) Kinds() []string { return s.cfg.Kinds.Codes() }

// List gives the triggers of what the URN names, oldest first. Without a version, or for Latest, these are all triggers of
// the function.
func (s *Triggers) List(ctx context.Context, project string, urn faas.URN) ([]TriggerView, error) {
	filter, err := s.filter(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.list(ctx, filter)
}

// ListAll gives the triggers of a project, oldest first.
func (s *Triggers) ListAll(ctx context.Context, project string) ([]TriggerView, error) {
	return s.list(ctx, faas.TriggerFilter{Project: project})
}

func (s *Triggers) list(ctx context.Context, filter faas.TriggerFilter) ([]TriggerView, error) {
	found, err := s.cfg.Store.ListTriggers(ctx, filter)
	if err != nil {
		return nil, err
	}
	views := make([]TriggerView, 0, len(found))
	for _, t := range found {
		if t.Key.Package == faas.FlowPackage {
			continue // the definition of its workflow shows it
		}
		v, err := s.view(t, nil)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// Get gives one trigger. kind must be its own.
func (s *Triggers) Get(ctx context.Context, project string, urn faas.URN, kind, id string) (TriggerView, error) {
	t, err := s.find(ctx, project, urn, kind, id)
	if err != nil {
		return TriggerView{}, err
	}
	return s.view(t, nil)
}

// find looks a trigger up under its function. A URN with a version names any trigger of the function: clients write
// ":latest" where they mean no version.
func (s *Triggers) find(ctx context.Context, project string, urn faas.URN, kind, id string) (*faas.Trigger, error) {
	filter, err := s.filter(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	filter.ID = id
	found, err := s.cfg.Store.ListTriggers(ctx, filter)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0 || found[0].Kind != kind:
		return nil, noTrigger(kind, id)
	}
	return found[0], nil
}

func noTrigger(kind, id string) error {
	return faas.Errorf(faas.CodeNotFound, "trigger."+kind, "%s trigger %.64q does not exist", kind, id)
}

// TriggerUpdate is a change of a trigger; nil leaves a part as it is.
type TriggerUpdate struct {
	Active *bool
	Data   map[string]any // replaces what the owner set; a secret that is left out or empty stays
	Merge  map[string]any // replaces these fields only
}

// Update changes a trigger, and has taken effect when it returns. Errors: as Create.
func (s *Triggers) Update(ctx context.Context, project string, urn faas.URN, kind, id string, u TriggerUpdate) (TriggerView, error) {
	if _, err := s.find(ctx, project, urn, kind, id); err != nil {
		return TriggerView{}, err
	}
	var told map[string]string
	t, err := s.cfg.Store.UpdateTrigger(ctx, project, id, func(t *faas.Trigger) error {
		now := s.cfg.Now().UTC().Truncate(time.Millisecond)
		begins := u.Active != nil && *u.Active && !t.Active
		if u.Active != nil {
			t.Active = *u.Active
		}
		data := u.Data
		if u.Merge != nil {
			if err := decodeData(t.Data, &data); err != nil {
				return err
			}
			maps.Copy(data, u.Merge)
		}
		if data != nil {
			var err error
			if told, err = s.set(t, data); err != nil {
				return err
			}
			begins = true
		}
		if begins {
			t.Since = now
		}
		t.ModifiedAt = now
		return nil
	})
	if err != nil {
		return TriggerView{}, ofKind(err, kind)
	}
	s.cfg.Changes.TriggersChanged(ctx)
	return s.view(t, told)
}

// Delete removes one trigger, and has taken effect when it returns.
func (s *Triggers) Delete(ctx context.Context, project string, urn faas.URN, kind, id string) error {
	t, err := s.find(ctx, project, urn, kind, id)
	if err != nil {
		return err
	}
	deleted, err := s.cfg.Store.DeleteTriggers(ctx, faas.TriggerFilter{Project: project, ID: t.ID})
	if err == nil && deleted == 0 {
		return noTrigger(kind, id)
	}
	s.cfg.Changes.TriggersChanged(ctx)
	return err
}

// DeleteAll removes all triggers of what the URN names: a version or alias, or without one, or for Latest, all of the function.
func (s *Triggers) DeleteAll(ctx context.Context, project string, urn faas.URN) error {
	filter, err := s.filter(ctx, project, urn)
	if err != nil {
		return err
	}
	_, err = s.cfg.Store.DeleteTriggers(ctx, filter)
	s.cfg.Changes.TriggersChanged(ctx)
	return err
}

// target resolves a URN to what a trigger is to call.
func (s *Triggers) target(ctx context.Context, project string, urn faas.URN) (faas.FunctionKey, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return key, err
	}
	if _, err := s.cfg.Functions.Function(ctx, key); err != nil {
		return key, err
	}
	if urn.Alias != "" {
		key.Version = ""
	}
	return key, nil
}

func (s *Triggers) filter(ctx context.Context, project string, urn faas.URN) (faas.TriggerFilter, error) {
	key, err := s.target(ctx, project, urn)
	filter := faas.TriggerFilter{Project: key.Project, Package: key.Package, Name: key.Name}
	if key.Version != faas.Latest {
		filter.Qualifier = faas.Qualifier(key.Version, urn.Alias)
	}
	return filter, err
}

// decodeData reads event data as NewTrigger.Data has it.
func decodeData(text string, to *map[string]any) error {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(to); err != nil {
		return fmt.Errorf("decode event data: %w", err)
	}
	return nil
}
