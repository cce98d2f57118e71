package control

import (
	"cmp"
	"context"
	"crypto/md5" // the ETag of the dialect is one; nothing is trusted for it
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// DependencyStore keeps dependencies. Each method is one whole transaction. A version can be read by the project that it belongs
// to and, where the dependency is public, by all.
type DependencyStore interface {
	// CreateDependencyVersion stores a version, and the dependency where there is none of its name yet: then with v.ID. fresh
	// refuses a name that is taken. It sets v.Number, v.ID and v.Public. Errors: CodeExists, field "dependency"; CodeQuota, field
	// "dependencies" or "code_bytes".
	CreateDependencyVersion(ctx context.Context, v *faas.DependencyVersion, quota faas.Quota, fresh bool) error
	Dependencies(ctx context.Context, f faas.DependencyFilter) (faas.DependencyPage, error)
	// DependencyVersions lists the versions of one. Error: CodeNotFound, field "dependency".
	DependencyVersions(ctx context.Context, project, id string, offset int64, limit int) (faas.DependencyPage, error)
	// DependencyVersion gives one version, the newest for 0. Error: CodeNotFound, field "dependency" or "dependency_version".
	DependencyVersion(ctx context.Context, project, id string, number int64) (*faas.DependencyVersion, error)
	// DependenciesByID gives versions in the order of their ids. Error: CodeNotFound, field "dependency".
	DependenciesByID(ctx context.Context, project string, ids []string) ([]*faas.DependencyVersion, error)
	// DeleteDependency removes a version, or all for 0. Errors: as DependencyVersion; CodeConflict, field "dependency", while a
	// function uses one; CodeForbidden for those of another project.
	DeleteDependency(ctx context.Context, project, id string, number int64) error
	// SetDependencyPublic lets every project use a dependency. Error: CodeNotFound, field "dependency".
	SetDependencyPublic(ctx context.Context, id string, public bool) error
}

// Dependencies are the use cases on packages that functions share (FunctionGraph reference 1.6).
type Dependencies struct {
	cfg DependenciesConfig
}

// DependenciesConfig is what Dependencies needs. All of it is required but Now.
type DependenciesConfig struct {
	Store    DependencyStore
	Packages PackageStore
	Fetcher  Fetcher
	Quota    faas.Quota
	Now      func() time.Time // nil means time.Now
}

// NewDependencies makes the use cases.
func NewDependencies(cfg DependenciesConfig) *Dependencies {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Dependencies{cfg: cfg}
}

// NewDependency describes a version of a dependency.
type NewDependency struct {
	Name        string
	Runtime     string
	Description string
	Kind        string // KindZip or KindOBS
	Data        []byte // of KindZip
	URL         string // of KindOBS
	// Fresh refuses a name that is taken, and gives the first version the id of the dependency: the way of the older interface,
	// which knows no versions.
	Fresh bool
}

// Create stores a version of the dependency of that name, and makes the dependency where there is none. Errors: CodeInvalid, field
// "depend_name", "depend_runtime", "description", "depend_type", "depend_file" or "depend_link"; CodeTooLarge, field "func_code";
// CodeExists and CodeQuota as DependencyStore; those of Fetcher.
func (d *Dependencies) Create(ctx context.Context, project string, n NewDependency) (*faas.DependencyVersion, error) {
	v := &faas.DependencyVersion{
		Dependency: faas.Dependency{ID: uuid.NewString(), Project: project, Name: n.Name},
		VersionID:  uuid.NewString(), Runtime: n.Runtime, Description: n.Description, Kind: n.Kind, URL: n.URL,
		CreatedAt: d.cfg.Now().UTC().Truncate(time.Millisecond),
	}
	if n.Fresh {
		v.VersionID = v.ID
	}
	if err := v.Check(); err != nil {
		return nil, err
	}
	data, err := d.takeIn(ctx, &n)
	if err != nil {
		return nil, err
	}
	pkg, err := d.cfg.Packages.Add(ctx, data)
	if err != nil {
		return nil, ofDependency(err)
	}
	sum := md5.Sum(data)
	v.ETag, v.Digest, v.Size, v.Filename = hex.EncodeToString(sum[:]), pkg.Digest, pkg.Size, dependencyFile(&n)
	return v, d.cfg.Store.CreateDependencyVersion(ctx, v, d.cfg.Quota, n.Fresh)
}

// takeIn gives the zip that is meant.
func (d *Dependencies) takeIn(ctx context.Context, n *NewDependency) ([]byte, error) {
	invalid := func(field, format string, args ...any) error {
		return faas.Errorf(faas.CodeInvalid, field, format, args...)
	}
	data := n.Data
	switch {
	case n.Kind == faas.KindZip && n.URL != "":
		return nil, invalid("depend_link", "depend_link must be empty when depend_type is zip")
	case n.Kind == faas.KindZip && len(data) == 0:
		return nil, invalid("depend_file", "depend_file must hold the package when depend_type is zip")
	case n.Kind == faas.KindZip && len(data) > faas.MaxPackageBytes:
		return nil, faas.Errorf(faas.CodeTooLarge, "func_code", "the package has %d bytes, over the limit of %d", len(data), faas.MaxPackageBytes)
	case n.Kind == faas.KindZip:
	case n.Kind == faas.KindOBS && len(data) > 0:
		return nil, invalid("depend_file", "depend_file must be empty when depend_type is obs")
	case n.Kind == faas.KindOBS && n.URL == "":
		return nil, invalid("depend_link", "depend_link must be given when depend_type is obs")
	case n.Kind == faas.KindOBS:
		var err error
		if data, err = d.cfg.Fetcher.Fetch(ctx, n.URL, faas.MaxPulledBytes); err != nil {
			return nil, ofDependency(err)
		}
	default:
		return nil, invalid("depend_type", "depend_type %.40q must be zip or obs", n.Kind)
	}
	if !isZip(data) {
		return nil, invalid("depend_file", "the package of a dependency must be a zip archive")
	}
	return data, nil
}

// ofDependency names the field of a dependency in place of the one of a function that has it by another name.
func ofDependency(err error) error {
	var e *faas.Error
	if !errors.As(err, &e) || e.Code != faas.CodeInvalid {
		return err
	}
	other := *e
	for was, is := range map[string]string{"func_code": "depend_file", "code_url": "depend_link"} {
		if e.Field == was {
			other.Field, other.Message = is, strings.ReplaceAll(e.Message, was, is)
		}
	}
	return &other
}

// dependencyFile names the package: as its link does, or like the dependency.
func dependencyFile(n *NewDependency) string {
	if u, err := url.Parse(n.URL); n.URL != "" && err == nil {
		if base := path.Base(u.Path); base != "." && base != "/" && checkFilename(base) == nil {
			return base
		}
	}
	return n.Name + ".zip"
}

// Replace adds a version to a dependency by its id, where one of these parts changes: a package that is not given again stays that of
// the newest version. Errors: as Create; CodeNotFound, field "dependency"; CodeInvalid, field "depend_name", for another name.
func (d *Dependencies) Replace(ctx context.Context, project, id string, n NewDependency) (*faas.DependencyVersion, error) {
	newest, err := d.cfg.Store.DependencyVersion(ctx, project, id, 0)
	switch {
	case err != nil:
		return nil, err
	case newest.Project != project:
		return nil, faas.Errorf(faas.CodeForbidden, "dependency", "dependency %q is public and belongs to another project", newest.Name)
	case n.Name != "" && n.Name != newest.Name:
		return nil, faas.Errorf(faas.CodeInvalid, "depend_name", "name %.120q is not that of the dependency, and a dependency cannot be renamed", n.Name)
	}
	n.Name, n.Fresh, n.Runtime = newest.Name, false, cmp.Or(n.Runtime, newest.Runtime)
	if len(n.Data) > 0 || n.URL != "" && n.URL != newest.URL {
		return d.Create(ctx, project, n)
	}
	if n.Runtime == newest.Runtime && n.Description == newest.Description {
		return newest, nil
	}
	next := *newest
	next.VersionID, next.Runtime, next.Description = uuid.NewString(), n.Runtime, n.Description
	next.CreatedAt = d.cfg.Now().UTC().Truncate(time.Millisecond)
	if err := next.Check(); err != nil {
		return nil, err
	}
	return &next, d.cfg.Store.CreateDependencyVersion(ctx, &next, d.cfg.Quota, false)
}

// List gives the dependencies that a project may use, each by its newest version.
func (d *Dependencies) List(ctx context.Context, f faas.DependencyFilter) (faas.DependencyPage, error) {
	return d.cfg.Store.Dependencies(ctx, f)
}

// Versions gives the versions of one. Error: CodeNotFound, field "dependency".
func (d *Dependencies) Versions(ctx context.Context, project, id string, offset int64, limit int) (faas.DependencyPage, error) {
	return d.cfg.Store.DependencyVersions(ctx, project, id, offset, limit)
}

// Version gives one, the newest for number 0. Error: CodeNotFound, field "dependency" or "dependency_version".
func (d *Dependencies) Version(ctx context.Context, project, id string, number int64) (*faas.DependencyVersion, error) {
	return d.cfg.Store.DependencyVersion(ctx, project, id, number)
}

// Package opens the package of a version, as Functions.Code does. The caller closes it.
func (d *Dependencies) Package(ctx context.Context, project, id string, number int64) (*faas.DependencyVersion, io.ReadCloser, error) {
	v, err := d.cfg.Store.DependencyVersion(ctx, project, id, number)
	if err != nil {
		return nil, nil, err
	}
	r, err := d.cfg.Packages.Open(ctx, v.Digest)
	return v, r, err
}

// Of gives what a function uses, in its order.
func (d *Dependencies) Of(ctx context.Context, f *faas.Function) ([]*faas.DependencyVersion, error) {
	if len(f.Spec.Dependencies) == 0 {
		return nil, nil
	}
	return d.cfg.Store.DependenciesByID(ctx, f.Project, f.Spec.Dependencies)
}

// KnownDependency is a version as another server knew it.
type KnownDependency struct {
	ID   string
	Name string // "" where only the id is known
	ETag string
}

// Find gives the ids of versions here: the same where a project may use such, and else the newest version with the same name and
// package. Error: CodeNotFound, field "dependency", for the first that there is not.
func (d *Dependencies) Find(ctx context.Context, project string, wanted []KnownDependency) ([]string, error) {
	var ids []string
	for _, w := range wanted {
		_, err := d.cfg.Store.DependenciesByID(ctx, project, []string{w.ID})
		if faas.CodeOf(err) == faas.CodeNotFound && w.Name != "" {
			w.ID, err = d.findPackage(ctx, project, w)
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, w.ID)
	}
	return ids, nil
}

func (d *Dependencies) findPackage(ctx context.Context, project string, w KnownDependency) (string, error) {
	page, err := d.cfg.Store.Dependencies(ctx, faas.DependencyFilter{Project: project, NamePart: w.Name, Limit: faas.MaxDependencies})
	if err != nil {
		return "", err
	}
	for _, newest := range page.Versions {
		if newest.Name != w.Name {
			continue
		}
		all, err := d.cfg.Store.DependencyVersions(ctx, project, newest.ID, 0, math.MaxInt32)
		if err != nil {
			return "", err
		}
		for _, v := range slices.Backward(all.Versions) {
			if v.ETag == w.ETag {
				return v.VersionID, nil
			}
		}
	}
	return "", faas.Errorf(faas.CodeNotFound, "dependency", "dependency %q with the package %.40q is not here; make it first", w.Name, w.ETag)
}

// Delete removes a version, or the whole dependency for number 0. Errors: CodeNotFound; CodeConflict while a function uses it.
func (d *Dependencies) Delete(ctx context.Context, project, id string, number int64) error {
	return d.cfg.Store.DeleteDependency(ctx, project, id, number)
}

// SetPublic lets the functions of every project use a dependency, or those of its own project alone; what others use already they
// keep. Error: CodeNotFound, field "dependency".
func (d *Dependencies) SetPublic(ctx context.Context, id string, public bool) error {
	return d.cfg.Store.SetDependencyPublic(ctx, id, public)
}
