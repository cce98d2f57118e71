package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ApplicationStore keeps applications. Each method is one whole transaction; what it acknowledges is on disk.
type ApplicationStore interface {
	// CreateApplication errors: CodeExists (field "application"), CodeQuota (field "applications").
	CreateApplication(ctx context.Context, a *faas.Application, most int) error
	// CompleteApplication notes the function and the address of an application.
	CompleteApplication(ctx context.Context, project, id, function, url string) error
	// Applications gives those of a project, or the one with an id.
	Applications(ctx context.Context, project, id string) ([]*faas.Application, error)
	DeleteApplication(ctx context.Context, project, id string) error
}

// Applications are the use cases on templates and on what is made from them.
type Applications struct {
	cfg ApplicationsConfig
}

// ApplicationsConfig is what Applications needs. All of it is required but Now.
type ApplicationsConfig struct {
	Store     ApplicationStore
	Functions *Functions
	Triggers  *Triggers
	Templates []faas.Template
	Now       func() time.Time // nil means time.Now
}

// NewApplications makes the use cases.
func NewApplications(cfg ApplicationsConfig) *Applications {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Applications{cfg}
}

// Templates gives those that match: for a runtime, whose name they then carry, a scene and a service, each "" for all.
func (s *Applications) Templates(runtime, scene, service string) []faas.Template {
	var found []faas.Template
	for _, t := range s.cfg.Templates {
		if runtime != "" && runtime != t.Runtime {
			if !t.Fits(runtime) {
				continue
			}
			t.Runtime = runtime
		}
		if (scene == "" || scene == t.Scene) && (service == "" || strings.EqualFold(service, t.Service)) {
			found = append(found, t)
		}
	}
	return found
}

// Template gives one. Error: CodeNotFound, field "template".
func (s *Applications) Template(id string) (faas.Template, error) {
	for _, t := range s.cfg.Templates {
		if t.ID == id {
			return t, nil
		}
	}
	return faas.Template{}, faas.NotFound("template", id)
}

// Deployed counts the applications of a project by their templates.
func (s *Applications) Deployed(ctx context.Context, project string) (map[string]int, error) {
	all, err := s.cfg.Store.Applications(ctx, project, "")
	n := map[string]int{}
	for _, a := range all {
		n[a.Template]++
	}
	return n, err
}

// NewApplication describes an application to be made.
type NewApplication struct {
	Name        string // also that of its function
	Description string
	Template    string
	Role        string            // agency of the function
	Enterprise  string            // enterprise project of the function
	Params      map[string]string // set user data that the template has; "package" is the function's
}

// Create makes the function of a template, with its triggers, under the application's name. It is whole or not at all, but for a server
// that ends in the middle: then the function may stand alone. Errors: CodeNotFound, field "template"; CodeUnsupported, field "template",
// for one whose code must be compiled first; CodeInvalid, field "name", "description" or "params"; CodeExists, field "application" or
// "function"; CodeQuota; those of Functions.Create and Triggers.Create.
func (s *Applications) Create(ctx context.Context, project string, n NewApplication) (*faas.Application, error) {
	t, err := s.Template(n.Template)
	switch {
	case err != nil:
		return nil, err
	case t.Build != "":
		return nil, faas.Errorf(faas.CodeUnsupported, "template", "the code of template %q must be compiled before it is sent: %s", t.ID, t.Build)
	case faas.CheckFunctionName(n.Name) != nil:
		return nil, faas.Errorf(faas.CodeInvalid, "name", "name %.80q must be 1 to 60 letters, digits, '-' or '_', start with a letter and end with a letter or digit", n.Name)
	case utf8.RuneCountInString(n.Description) > faas.MaxDescription || strings.ContainsRune(n.Description, 0):
		return nil, faas.Errorf(faas.CodeInvalid, "description", "description is over %d characters", faas.MaxDescription)
	}
	f, err := s.function(t, n)
	if err != nil {
		return nil, err
	}
	if f.Package == "" {
		f.Package = faas.DefaultPackage
	}
	a := &faas.Application{
		ID: uuid.NewString(), Project: project, Name: n.Name, Description: n.Description, Template: t.ID,
		Function: faas.FunctionKey{Project: project, Package: f.Package, Name: f.Name}, CreatedAt: s.cfg.Now().UTC().Truncate(time.Millisecond),
	}
	if err := s.cfg.Store.CreateApplication(ctx, a, faas.MaxApplications); err != nil {
		return nil, err
	}
	made, err := s.cfg.Functions.Create(ctx, project, f)
	if err != nil {
		return nil, s.undo(ctx, a, false, err)
	}
	a.FunctionID = made.ID
	if a.URL, err = s.addTriggers(ctx, a, t); err == nil {
		err = s.cfg.Store.CompleteApplication(ctx, project, a.ID, a.FunctionID, a.URL)
	}
	if err != nil {
		return nil, s.undo(ctx, a, true, err)
	}
	return a, nil
}

// undo takes back what was made of an application, and gives the failure.
func (s *Applications) undo(ctx context.Context, a *faas.Application, function bool, why error) error {
	ctx = context.WithoutCancel(ctx)
	if function {
		if err := s.cfg.Functions.Delete(ctx, a.Project, s.urn(a)); err != nil {
			return fmt.Errorf("take back the function of an application (%w) that failed: %w", err, why)
		}
	}
	if err := s.cfg.Store.DeleteApplication(ctx, a.Project, a.ID); err != nil {
		return fmt.Errorf("take back an application (%w) that failed: %w", err, why)
	}
	return why
}

func (s *Applications) urn(a *faas.Application) faas.URN {
	return faas.URN{Project: a.Project, Package: a.Function.Package, Name: a.Function.Name}
}

// function describes the function of a template, with the parameters of an application laid into its user data.
func (s *Applications) function(t faas.Template, n NewApplication) (NewFunction, error) {
	data := map[string]string{}
	if t.UserData != "" {
		if err := json.Unmarshal([]byte(t.UserData), &data); err != nil {
			return NewFunction{}, fmt.Errorf("user data of template %s: %w", t.ID, err)
		}
	}
	pkg := n.Params["package"]
	for name, value := range n.Params {
		if _, known := data[name]; !known && name != "package" {
			names := append(slices.Sorted(maps.Keys(data)), "package")
			return NewFunction{}, faas.Errorf(faas.CodeInvalid, "params", "template %q has no parameter %.80q, but %s", t.ID, name, strings.Join(names, ", "))
		}
		if name != "package" {
			data[name] = value
		}
	}
	text := ""
	if len(data) > 0 {
		encoded, err := json.Marshal(data)
		if err != nil {
			return NewFunction{}, err
		}
		text = string(encoded)
	}
	seconds := int(t.Timeout / time.Second)
	return NewFunction{
		Package: pkg, Name: n.Name,
		Settings: Settings{
			Runtime: &t.Runtime, Handler: &t.Handler, TimeoutSec: &seconds, MemoryMB: &t.MemoryMB, UserData: &text,
			Description: &n.Description, Role: &n.Role, EnterpriseID: &n.Enterprise,
		},
		Code: Code{Kind: t.Kind, Filename: t.Filename, Data: t.Code},
	}, nil
}

// addTriggers makes the triggers of a template, and gives the address of the last that has one.
func (s *Applications) addTriggers(ctx context.Context, a *faas.Application, t faas.Template) (string, error) {
	url := ""
	for _, trigger := range t.Triggers {
		data := map[string]any{}
		if err := decodeData(strings.ReplaceAll(trigger.Data, "{name}", a.Name), &data); err != nil {
			return "", fmt.Errorf("template %s: %w", t.ID, err)
		}
		made, err := s.cfg.Triggers.Create(ctx, a.Project, s.urn(a), NewTrigger{Kind: trigger.Kind, Data: data})
		if err != nil {
			return "", err
		}
		if at, ok := made.Shown["invoke_url"].(string); ok {
			url = at
		}
	}
	return url, nil
}

// List gives the applications of a project, oldest first.
func (s *Applications) List(ctx context.Context, project string) ([]*faas.Application, error) {
	return s.cfg.Store.Applications(ctx, project, "")
}

// Get gives one application, and whether its function is still there. Error: CodeNotFound, field "application".
func (s *Applications) Get(ctx context.Context, project, id string) (a *faas.Application, whole bool, err error) {
	found, err := s.cfg.Store.Applications(ctx, project, id)
	switch {
	case err != nil:
		return nil, false, err
	case len(found) == 0 || id == "":
		return nil, false, faas.NotFound("application", id)
	}
	whole, err = s.Whole(ctx, found[0])
	return found[0], whole, err
}

// Whole tells whether the function of an application is still there, and no other of its name.
func (s *Applications) Whole(ctx context.Context, a *faas.Application) (bool, error) {
	f, err := s.cfg.Functions.Get(ctx, a.Project, s.urn(a))
	if faas.CodeOf(err) == faas.CodeNotFound {
		return false, nil
	}
	return err == nil && f.ID == a.FunctionID, err
}

// Delete removes an application with its function and that one's triggers. Error: CodeNotFound, field "application".
func (s *Applications) Delete(ctx context.Context, project, id string) error {
	a, whole, err := s.Get(ctx, project, id)
	if err != nil {
		return err
	}
	if whole {
		if err := s.cfg.Functions.Delete(ctx, project, s.urn(a)); err != nil && faas.CodeOf(err) != faas.CodeNotFound {
			return err
		}
	}
	return s.cfg.Store.DeleteApplication(ctx, project, id)
}
