package control

import (
	"context"
	"crypto/rand"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/schedule"
)

// Runtimes knows the languages of this host. Its errors are CodeInvalid or CodeUnsupported, field "runtime", for a runtime
// that cannot be served.
type Runtimes interface {
	// CheckHandler holds a handler to its language's rule. Error: CodeInvalid with the field given.
	CheckHandler(runtime, field, handler string) error
	// SourceFile names the file that a handler's bare source stands in, e.g. "index.py".
	SourceFile(runtime, handler string) (string, error)
	// Notice says in one line that another version serves this runtime name; "" when none does.
	Notice(runtime string) string
}

// Preparer makes the code of a function ready ahead of its first call, where its language wants that. Errors: CodeInvalid, field
// "func_code", for code that cannot be made ready.
type Preparer interface {
	Prepare(ctx context.Context, f *faas.Function) error
}

// FunctionsConfig is what Functions needs. All of it is required but Preparer, Images, Dependencies, MaxReserved and Now.
type FunctionsConfig struct {
	Store    FunctionStore
	Packages PackageStore
	Fetcher  Fetcher
	Sealer   Sealer
	Changes  Changes
	Runtimes Runtimes
	Preparer Preparer // nil where no language wants it
	Images   Images   // nil where no image can be run
	// Dependencies finds those that functions name; nil where there are none.
	Dependencies DependencyFinder
	Quota        faas.Quota
	// MaxReserved bounds the reserved instances of all functions together; 0 for no bound.
	MaxReserved int
	Zones       *schedule.Zones // of schedules of reserved instances; nil for UTC
	Tags        TagStore        // nil where functions are made without tags
	Region      string
	Now         func() time.Time // nil means time.Now
}

// Functions are the use cases on functions: make, read, change, remove. A change is whole or not at all: the package is
// stored first and the function second, so that a failure in between leaves a package that nobody names and no more.
//
// Every method takes the project it works in and a URN within it. A URN of another project names a function that does not
// exist. Errors of all: CodeNotFound with field "function", "version" or "alias".
type Functions struct {
	cfg   FunctionsConfig
	zones *schedule.Zones
}

// NewFunctions makes the use cases.
func NewFunctions(cfg FunctionsConfig) *Functions {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	zones := cfg.Zones
	if zones == nil {
		zones = schedule.NewZones(time.UTC)
	}
	return &Functions{cfg: cfg, zones: zones}
}

// NewFunction describes a function to be made.
type NewFunction struct {
	Package string // "" means faas.DefaultPackage
	Name    string
	// Title, when not "", is what people call the function; Name, when "", is made from it.
	Title     string
	CreatedBy string   // name of a user; "" where nobody is to be noted
	Settings  Settings // Runtime, Handler, TimeoutSec and MemoryMB are required
	Code      Code
	Tags      []faas.Tag
}

// Create makes a function. Errors: CodeInvalid or CodeUnsupported with the field; CodeExists; CodeQuota; CodeTooLarge;
// those of Fetcher for a package at a URL.
func (s *Functions) Create(ctx context.Context, project string, n NewFunction) (*faas.Function, error) {
	if n.Package == "" {
		n.Package = faas.DefaultPackage
	}
	if err := s.nameByTitle(ctx, project, &n); err != nil {
		return nil, err
	}
	if err := faas.CheckFunctionName(n.Name); err != nil {
		return nil, err
	}
	if err := faas.CheckPackageName(n.Package); err != nil {
		return nil, err
	}
	now := s.now()
	f := &faas.Function{
		ID: uuid.NewString(), Project: project, Package: n.Package, Name: n.Name, Version: faas.Latest, Revision: 1,
		Title: n.Title, CreatedBy: n.CreatedBy,
		Spec:      faas.Spec{TmpMB: 512, MaxInstances: faas.Unlimited, RequestsPer: 1, Generation: "v2"},
		CreatedAt: now, ModifiedAt: now,
	}
	if err := n.Settings.required(); err != nil {
		return nil, err
	}
	if err := checkTags(n.Tags); err != nil {
		return nil, err
	}
	if err := s.withLayers(ctx, project, &n.Settings); err != nil {
		return nil, err
	}
	if err := s.apply(f, n.Settings); err != nil {
		return nil, err
	}
	// Asked before the package is pulled, which may be long. The store decides in the end.
	if _, err := s.cfg.Store.Function(ctx, f.Key()); err == nil {
		return nil, faas.Errorf(faas.CodeExists, "function", "function %q exists already in package %q", n.Name, n.Package)
	} else if faas.CodeOf(err) != faas.CodeNotFound {
		return nil, err
	}
	pkg, err := s.takeInFor(ctx, f, n.Code)
	if err != nil {
		return nil, err
	}
	if err := s.setCode(f, pkg, now); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, f); err != nil {
		return nil, err
	}
	if err := s.cfg.Store.CreateFunction(ctx, f, s.cfg.Quota); err != nil {
		return nil, err
	}
	if err := s.firstTags(ctx, f, n.Tags); err != nil {
		return nil, err
	}
	s.cfg.Changes.FunctionChanged(f.Key())
	return f, nil
}

// Get gives one version, Latest when the URN names none.
func (s *Functions) Get(ctx context.Context, project string, urn faas.URN) (*faas.Function, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.cfg.Store.Function(ctx, key)
}

// ListQuery chooses functions of a project.
type ListQuery struct {
	Package  string // "" for all
	NamePart string // anywhere in the name; "" for all
	Offset   int64  // so many are left out, the oldest first
	Limit    int    // at least 1
}

// List gives functions, oldest first, and how many match in all.
//
// It pages by offset, as the clients of the dialects do: they take a marker that equals the total for the end, which a
// cursor could do by accident.
func (s *Functions) List(ctx context.Context, project string, q ListQuery) ([]*faas.Function, int64, error) {
	page, err := s.cfg.Store.ListFunctions(ctx, faas.FunctionFilter{
		Project: project, Package: q.Package, NamePart: q.NamePart, Skip: q.Offset, Limit: q.Limit,
	})
	return page.Functions, page.Total, err
}

// UpdateConfig changes the settings given and leaves the others. Errors: as Create.
func (s *Functions) UpdateConfig(ctx context.Context, project string, urn faas.URN, set Settings) (*faas.Function, error) {
	if err := s.withLayers(ctx, project, &set); err != nil {
		return nil, err
	}
	var pkg *faas.Package
	if set.Image != nil {
		var err error
		if pkg, err = s.otherImage(ctx, project, urn, set); err != nil {
			return nil, err
		}
	}
	alter := func(f *faas.Function) error {
		f.ModifiedAt = s.now()
		if err := s.apply(f, set); err != nil || pkg == nil {
			return err
		}
		return s.setCode(f, *pkg, f.ModifiedAt)
	}
	if set.Runtime != nil || set.Handler != nil || set.MemoryMB != nil || set.Egress != nil || set.Isolation != nil {
		if err := s.rehearse(ctx, project, urn, alter); err != nil {
			return nil, err
		}
	}
	return s.change(ctx, project, urn, alter)
}

// SetMaxInstances sets how many instances may run: faas.Unlimited, 0 to switch the function off, or up to
// faas.MaxInstancesLimit. Error: CodeInvalid, field "concurrency".
func (s *Functions) SetMaxInstances(ctx context.Context, project string, urn faas.URN, n int) (*faas.Function, error) {
	return s.UpdateConfig(ctx, project, urn, Settings{MaxInstances: &n})
}

// SetPinned stars a function in the console, or takes the star away. It is no change of the function itself.
func (s *Functions) SetPinned(ctx context.Context, project string, urn faas.URN, pinned bool) error {
	key, err := s.mutableKey(ctx, project, urn)
	if err != nil {
		return err
	}
	_, err = s.cfg.Store.UpdateFunction(ctx, key, s.cfg.Quota, func(f *faas.Function) error {
		f.Pinned = pinned
		return nil
	})
	return err
}

// Delete removes a function with all that belongs to it: versions, aliases, triggers, calls that wait. A URN that names a version
// or an alias means that version alone, with the aliases that lead to it and the triggers of them all. Errors: CodeInvalid, field
// "version", for Latest, which cannot go without the function; CodeConflict, field "additional_version", for a version that is the
// second one of an alias.
func (s *Functions) Delete(ctx context.Context, project string, urn faas.URN) error {
	key, err := s.key(ctx, project, urn)
	if err != nil {
		return err
	}
	if !urn.Qualified() {
		if err := s.cfg.Store.DeleteFunction(ctx, key); err != nil {
			return err
		}
		key.Version = "" // all of them
		s.cfg.Changes.FunctionChanged(key)
		return nil
	}
	if key.Version == faas.Latest {
		if _, err := s.cfg.Store.Function(ctx, key); err != nil {
			return err
		}
		return faas.Errorf(faas.CodeInvalid, "version", "version %q cannot be deleted alone; leave the version out to delete the function", key.Version)
	}
	aliases, err := s.cfg.Store.DeleteVersion(ctx, key)
	if err != nil {
		return err
	}
	for _, name := range aliases {
		s.cfg.Changes.FunctionChanged(aliasKey(key, name))
	}
	s.cfg.Changes.FunctionChanged(key)
	return nil
}

// Code opens the package of a version; that of an image is empty. Its last Read fails when the stored bytes were damaged. The caller closes it.
func (s *Functions) Code(ctx context.Context, project string, urn faas.URN) (*faas.Function, io.ReadCloser, error) {
	f, err := s.Get(ctx, project, urn)
	if err != nil {
		return nil, nil, err
	}
	if f.Code.Kind == faas.KindImage {
		return f, io.NopCloser(strings.NewReader("")), nil
	}
	r, err := s.cfg.Packages.Open(ctx, f.Code.Digest)
	if err != nil {
		return nil, nil, err
	}
	return f, r, nil
}

// CodeUpdate is a change of a function's code.
type CodeUpdate struct {
	// Code may be empty when Dependencies are given: then the code stays.
	Code         Code
	Dependencies *[]string         // nil leaves them
	Image        *faas.Image       // nil leaves it. Either way what it names is looked up anew, where it is the function's code
	Carried      map[string]string // as Settings.Carried
}

// UpdateCode gives a function other code. Errors: as Create.
func (s *Functions) UpdateCode(ctx context.Context, project string, urn faas.URN, u CodeUpdate) (*faas.Function, error) {
	if _, err := s.mutableKey(ctx, project, urn); err != nil {
		return nil, err
	}
	f, err := s.Get(ctx, project, urn) // before a package is pulled for nothing
	if err != nil {
		return nil, err
	}
	if err := setImage(f, f.Spec, u.Image); err != nil {
		return nil, err
	}
	var pkg faas.Package
	keep := u.Code.empty() && u.Dependencies != nil
	if !keep {
		if pkg, err = s.takeInFor(ctx, f, u.Code); err != nil {
			return nil, err
		}
	}
	set := Settings{Dependencies: u.Dependencies, Image: u.Image, Carried: u.Carried}
	if err := s.withLayers(ctx, project, &set); err != nil {
		return nil, err
	}
	alter := func(f *faas.Function) error {
		f.ModifiedAt = s.now()
		if err := s.apply(f, set); err != nil {
			return err
		}
		if keep {
			return nil
		}
		return s.setCode(f, pkg, f.ModifiedAt)
	}
	if err := s.rehearse(ctx, project, urn, alter); err != nil {
		return nil, err
	}
	return s.change(ctx, project, urn, alter)
}

// otherImage takes in the image of a change of settings; nil when it is the one that the function has.
func (s *Functions) otherImage(ctx context.Context, project string, urn faas.URN, set Settings) (*faas.Package, error) {
	f, err := s.Get(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	was := f.Spec
	after := *f
	if err := s.apply(&after, set); err != nil {
		return nil, err
	}
	if after.Spec.Image == nil || was.Image != nil && was.Image.Ref == after.Spec.Image.Ref {
		return nil, nil
	}
	pkg, err := s.takeInFor(ctx, &after, Code{})
	return &pkg, err
}

// rehearse makes the code of a function ready as a change would have it, before the change is made. A change that comes in
// between is not seen: then the code is made ready at the first call.
func (s *Functions) rehearse(ctx context.Context, project string, urn faas.URN, alter func(*faas.Function) error) error {
	if s.cfg.Preparer == nil {
		return nil
	}
	key, err := s.mutableKey(ctx, project, urn)
	if err != nil {
		return err
	}
	f, err := s.cfg.Store.Function(ctx, key)
	if err != nil {
		return err
	}
	after := *f
	if err := alter(&after); err != nil {
		return err
	}
	return s.prepare(ctx, &after)
}

func (s *Functions) prepare(ctx context.Context, f *faas.Function) error {
	if s.cfg.Preparer == nil {
		return nil
	}
	return s.cfg.Preparer.Prepare(ctx, f)
}

// Usage tells what a project holds and may hold.
func (s *Functions) Usage(ctx context.Context, project string) (faas.Usage, faas.Quota, error) {
	u, err := s.cfg.Store.Usage(ctx, project)
	return u, s.cfg.Quota, err
}

// Region is the region in the URNs of this server.
func (s *Functions) Region() string { return s.cfg.Region }

// Notice says in one line that a runtime is served by another version than the one asked for; "" when it is not.
func (s *Functions) Notice(runtime string) string { return s.cfg.Runtimes.Notice(runtime) }

// change alters a version that may change and tells those who run it.
func (s *Functions) change(ctx context.Context, project string, urn faas.URN, alter func(*faas.Function) error) (*faas.Function, error) {
	key, err := s.mutableKey(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	f, err := s.cfg.Store.UpdateFunction(ctx, key, s.cfg.Quota, alter)
	if err != nil {
		return nil, err
	}
	s.cfg.Changes.FunctionChanged(key)
	return f, nil
}

// key resolves a URN to a version: an alias to its main one. Only an alias is looked up.
func (s *Functions) key(ctx context.Context, project string, urn faas.URN) (faas.FunctionKey, error) {
	key := faas.FunctionKey{Project: project, Package: urn.Package, Name: urn.Name, Version: urn.Version}
	if key.Version == "" {
		key.Version = faas.Latest
	}
	if urn.Project != "" && urn.Project != project {
		return key, faas.NotFound("function", urn.Name)
	}
	if urn.Alias != "" {
		a, err := s.cfg.Store.Alias(ctx, key, urn.Alias)
		if err != nil {
			return key, err
		}
		key.Version = a.Key.Version
	}
	return key, nil
}

// mutableKey resolves a URN to a version that may change, which is Latest only. Error: CodeInvalid, field "version".
func (s *Functions) mutableKey(ctx context.Context, project string, urn faas.URN) (faas.FunctionKey, error) {
	key, err := s.key(ctx, project, urn)
	if err != nil || key.Version == faas.Latest {
		return key, err
	}
	if _, err := s.cfg.Store.Function(ctx, key); err != nil {
		return key, err
	}
	return key, faas.Errorf(faas.CodeInvalid, "version", "version %q is published and cannot change", key.Version)
}

func (s *Functions) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// imageLabel is the internal label of a version whose code came at a time: latest-<yymmddHHMMSS>@<5 random characters>.
func imageLabel(version string, at time.Time) string {
	return version + "-" + at.Format("060102150405") + "@" + strings.ToLower(rand.Text()[:5])
}
