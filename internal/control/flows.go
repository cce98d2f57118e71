package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// FlowStore keeps workflows. Each method is one whole transaction; what it acknowledges is on disk. The store of the server documents
// each of them.
type FlowStore interface {
	CreateFlow(ctx context.Context, f *faas.Flow, triggers []*faas.Trigger, most int) error
	UpdateFlow(ctx context.Context, project, id string, change func(*faas.Flow) ([]*faas.Trigger, error)) (*faas.Flow, error)
	FlowNames
	DeleteFlow(ctx context.Context, project, id string, goneNote []byte) error
}

// FlowNames finds workflows.
type FlowNames interface {
	Flow(ctx context.Context, project, id string) (*faas.Flow, error)
	FlowNamed(ctx context.Context, project, name string) (*faas.Flow, error)
	ListFlows(ctx context.Context, filter faas.FlowFilter) ([]*faas.Flow, int64, error)
}

// FlowInterpreter knows what a definition means.
type FlowInterpreter interface {
	// Check holds a definition to its rules, and gives what stands in it. Error: CodeInvalid, field "definition", with the path of
	// the fault.
	Check(definition []byte) (faas.Flow, []FlowTrigger, error)
	// GoneNote is what a run learns whose subflow was deleted.
	GoneNote() []byte
	// Forget hears that a workflow was deleted.
	Forget(id string)
}

// FlowTrigger is a trigger as a definition has it.
type FlowTrigger struct {
	Name    string
	Kind    string // as TriggerKinds has it
	Enabled bool
	Data    map[string]any
}

// FlowsConfig is what Flows needs. All of it is required but Now.
type FlowsConfig struct {
	Store       FlowStore
	Interpreter FlowInterpreter
	Triggers    *Triggers // nil where there are none
	Region      string
	Now         func() time.Time // nil means time.Now
}

// Flows are the use cases on workflows.
type Flows struct{ cfg FlowsConfig }

// NewFlows makes the use cases.
func NewFlows(cfg FlowsConfig) *Flows {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Flows{cfg}
}

// URN is that of a workflow.
func (s *Flows) URN(f *faas.Flow) string { return faas.FlowURN(s.cfg.Region, f.Project, f.Name) }

// Create makes a workflow of a definition. Errors: CodeInvalid, field "definition", with the path of the fault; CodeExists, field
// "workflow" or "trigger"; CodeQuota, field "workflows".
func (s *Flows) Create(ctx context.Context, project, creator string, definition []byte) (*faas.Flow, error) {
	f, wanted, err := s.check(definition)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	f.ID, f.Project, f.CreatedBy, f.CreatedAt, f.ModifiedAt = uuid.NewString(), project, creator, now, now
	triggers, err := s.triggers(ctx, f, wanted)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.CreateFlow(ctx, f, triggers, faas.MaxFlows); err != nil {
		return nil, err
	}
	s.changed(ctx)
	return f, nil
}

func (s *Flows) changed(ctx context.Context) {
	if s.cfg.Triggers != nil {
		s.cfg.Triggers.cfg.Changes.TriggersChanged(ctx)
	}
}

func (s *Flows) check(definition []byte) (*faas.Flow, []FlowTrigger, error) {
	f, triggers, err := s.cfg.Interpreter.Check(definition)
	f.Definition = string(definition)
	return &f, triggers, err
}

// Update replaces the definition of a workflow. Runs under way keep to the one that they began with. Errors: as Create and Get.
func (s *Flows) Update(ctx context.Context, project, id string, definition []byte) (*faas.Flow, error) {
	next, wanted, err := s.check(definition)
	if err != nil {
		return nil, err
	}
	f, err := s.Get(ctx, project, id)
	if err != nil {
		return nil, err
	}
	triggers, err := s.triggers(ctx, f, wanted)
	if err != nil {
		return nil, err
	}
	f, err = s.cfg.Store.UpdateFlow(ctx, project, f.ID, func(f *faas.Flow) ([]*faas.Trigger, error) {
		f.Name, f.Description, f.Mode, f.EnterpriseID, f.Streaming = next.Name, next.Description, next.Mode, next.EnterpriseID, next.Streaming
		f.Definition, f.ModifiedAt = next.Definition, s.cfg.Now().UTC().Truncate(time.Millisecond)
		return triggers, nil
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	return f, nil
}

// Get gives a workflow by its id, its URN or its name. Error: CodeNotFound, field "workflow".
func (s *Flows) Get(ctx context.Context, project, id string) (*faas.Flow, error) {
	if of, name, ok := faas.ParseFlowURN(id); ok {
		if of != project {
			return nil, faas.NotFound("workflow", id)
		}
		return s.cfg.Store.FlowNamed(ctx, project, name)
	}
	f, err := s.cfg.Store.Flow(ctx, project, id)
	if err != nil && faas.CodeOf(err) == faas.CodeNotFound {
		return s.cfg.Store.FlowNamed(ctx, project, id)
	}
	return f, err
}

// List gives a page of a project's workflows, and how many there are.
func (s *Flows) List(ctx context.Context, filter faas.FlowFilter) ([]*faas.Flow, int64, error) {
	return s.cfg.Store.ListFlows(ctx, filter)
}

// Delete removes a workflow with its runs: those under way are called off. Error: CodeNotFound, field "workflow".
func (s *Flows) Delete(ctx context.Context, project, id string) error {
	f, err := s.Get(ctx, project, id)
	if err != nil {
		return err
	}
	if err := s.cfg.Store.DeleteFlow(ctx, project, f.ID, s.cfg.Interpreter.GoneNote()); err != nil {
		return err
	}
	s.cfg.Interpreter.Forget(f.ID)
	s.changed(ctx)
	return nil
}

// triggers makes those of a definition, and takes over what is known of those of the same kind and name.
func (s *Flows) triggers(ctx context.Context, f *faas.Flow, wanted []FlowTrigger) ([]*faas.Trigger, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	if s.cfg.Triggers == nil {
		return nil, faas.Errorf(faas.CodeUnsupported, "definition", "triggers are not served here")
	}
	known, err := s.known(ctx, f)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	var all []*faas.Trigger
	twice := map[string]bool{}
	for i, w := range wanted {
		t := &faas.Trigger{
			ID: triggerID(f, w), Key: faas.FunctionKey{Project: f.Project, Package: faas.FlowPackage, Name: f.ID, Version: faas.Latest},
			Kind: w.Kind, CreatedAt: now, Since: now,
		}
		if twice[t.ID] {
			return nil, faas.Errorf(faas.CodeInvalid, "definition", "triggers[%d].trigger_name: another trigger of this type has the name %q", i, w.Name)
		}
		twice[t.ID] = true
		old := known[t.ID]
		wasData, wasActive := "", false
		if old != nil {
			wasData, wasActive = old.Data, old.Active
			t = old
		}
		data := maps.Clone(w.Data)
		if data == nil {
			data = map[string]any{}
		}
		if w.Kind == "TIMER" || w.Kind == "APIG" || w.Kind == "DEDICATEDGATEWAY" {
			data["name"] = w.Name
		}
		if _, err := s.cfg.Triggers.set(t, data); err != nil {
			return nil, inDefinition(err, i)
		}
		if t.Active = w.Enabled; wasData != t.Data || !wasActive {
			t.Since = now
		}
		t.ModifiedAt = now
		all = append(all, t)
	}
	return all, nil
}

func (s *Flows) known(ctx context.Context, f *faas.Flow) (map[string]*faas.Trigger, error) {
	found, err := s.cfg.Triggers.cfg.Store.ListTriggers(ctx, faas.TriggerFilter{Project: f.Project, Package: faas.FlowPackage, Name: f.ID})
	if err != nil {
		return nil, err
	}
	byID := map[string]*faas.Trigger{}
	for _, t := range found {
		byID[t.ID] = t
	}
	return byID, nil
}

// flowTriggers keeps ids that are made of names apart from all others.
var flowTriggers = uuid.MustParse("0f4e3f0b-6c0d-4b0e-9b52-6a8c7f3a4d21")

// triggerID is the same for a trigger of the same kind and name, so that its address stays when the definition changes.
func triggerID(f *faas.Flow, w FlowTrigger) string {
	return uuid.NewSHA1(flowTriggers, []byte(f.ID+"/"+w.Kind+"/"+w.Name)).String()
}

// inDefinition says where in a definition the data of a trigger is wrong.
func inDefinition(err error, i int) error {
	var e *faas.Error
	if !errors.As(err, &e) || e.Code != faas.CodeInvalid && e.Code != faas.CodeUnsupported {
		return err
	}
	return faas.Errorf(e.Code, "definition", "triggers[%d].trigger_config: %s", i, e.Message)
}

// Shown gives the definition of a workflow for its owner: as it was set, and in the configuration of each trigger what the server made.
func (s *Flows) Shown(ctx context.Context, f *faas.Flow) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.Definition), &fields); err != nil {
		return nil, fmt.Errorf("decode definition of %s: %w", f.ID, err)
	}
	if s.cfg.Triggers == nil || len(fields["triggers"]) == 0 {
		return json.RawMessage(f.Definition), nil
	}
	var set []map[string]any
	if err := decodeInto(fields["triggers"], &set); err != nil || len(set) == 0 {
		return json.RawMessage(f.Definition), err
	}
	_, wanted, err := s.cfg.Interpreter.Check([]byte(f.Definition))
	if err != nil {
		return nil, err
	}
	known, err := s.known(ctx, f)
	if err != nil {
		return nil, err
	}
	for i := range min(len(set), len(wanted)) {
		t := known[triggerID(f, wanted[i])]
		if t == nil {
			continue
		}
		v, err := s.cfg.Triggers.view(t, nil)
		if err != nil {
			return nil, err
		}
		if url, ok := v.Shown["invoke_url"]; ok {
			config, _ := set[i]["trigger_config"].(map[string]any)
			if config == nil {
				config = map[string]any{}
			}
			config["invoke_url"] = url
			set[i]["trigger_config"] = config
		}
	}
	if fields["triggers"], err = json.Marshal(set); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

func decodeInto(text []byte, to *[]map[string]any) error {
	if string(text) == "null" {
		return nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("decode triggers: %w", err)
	}
	return nil
}
