package lang

import (
	"context"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Catalogue resolves runtime names. Make one with NewCatalogue; it is immutable.
type Catalogue struct {
	languages []*Language
	installs  map[string][]Install // by Language.ID
}

// NewCatalogue looks for the interpreters of languages in folders of this host; SearchDirs gives the usual ones.
func NewCatalogue(ctx context.Context, dirs []string, languages ...*Language) *Catalogue {
	c := &Catalogue{languages: languages, installs: map[string][]Install{}}
	for _, l := range languages {
		c.installs[l.ID] = l.Find(ctx, dirs)
	}
	return c
}

// Status tells how a runtime name is served on this host.
type Status string

// The ways a runtime name can be served.
const (
	StatusExact   Status = "exact"   // by the version it names
	StatusServed  Status = "served"  // by another version or implementation; Info.Note says which
	StatusMissing Status = "missing" // not at all; Info.Note says what is missing
)

// Info tells about one runtime name.
type Info struct {
	Name    string // "Python3.9"
	Title   string // "Python 3.9"
	Status  Status
	Version string // of the interpreter, "3.9.18"; "" when missing
	Path    string // of the interpreter; "" when missing
	Note    string // one line for people; "" when exact
}

// Resolve finds the interpreter for a runtime name: the version named where it is installed, else the nearest of the
// same major, the newer of two equally near. A version that is installed may be named even when FunctionGraph has no
// such name.
//
// Errors, all on field "runtime": CodeInvalid for a name that is not a runtime, CodeUnsupported for one that cannot run here; the
// text says what to install.
func (c *Catalogue) Resolve(name string) (Runtime, error) {
	for _, l := range c.languages {
		if slices.Contains(l.Names, name) {
			return c.byName(l, name)
		}
		version, ok := strings.CutPrefix(name, l.Prefix)
		if !ok || l.Prefix == "" {
			continue
		}
		major, minor, ok := l.parse(version)
		if !ok {
			continue
		}
		install, exact := l.nearest(c.installs[l.ID], major, minor)
		switch {
		case install == nil && !slices.Contains(l.Versions, version):
			continue
		case !exact && !slices.Contains(l.Versions, version):
			continue
		case install == nil:
			return Runtime{}, missing(l, name, version)
		}
		return Runtime{Name: name, Language: l, Install: *install, Exact: exact}, nil
	}
	if strings.HasPrefix(name, "C#(") && slices.Contains(withheld(), name) {
		return Runtime{}, faas.Errorf(faas.CodeUnsupported, "runtime",
			"%s needs .NET, package dotnet-runtime, which Debian does not carry and this release cannot use yet"+seeList, name)
	}
	if slices.Contains(withheld(), name) {
		return Runtime{}, faas.Errorf(faas.CodeUnsupported, "runtime", "runtime %s is not available in this release"+seeList, name)
	}
	return Runtime{}, faas.Errorf(faas.CodeInvalid, "runtime", "runtime %.60q is not known here"+seeList, name)
}

// byName serves a runtime name that has no version.
func (c *Catalogue) byName(l *Language, name string) (Runtime, error) {
	if len(c.installs[l.ID]) == 0 {
		return Runtime{}, faas.Errorf(faas.CodeUnsupported, "runtime", "%s needs %s, which is not installed on this host; install %s", name, l.Title, l.Debian(""))
	}
	return Runtime{Name: name, Language: l, Install: c.installs[l.ID][0], Exact: true}, nil
}

// seeList ends the refusal of a name that is not among those that a server can have.
const seeList = "; `hanshu runtimes` lists what is"

// List tells about every runtime name: those of FunctionGraph, and those of versions that are installed beside them.
func (c *Catalogue) List() []Info {
	var list []Info
	for _, l := range c.languages {
		for _, name := range l.Names {
			list = append(list, c.info(name, name))
		}
		if l.Prefix == "" {
			continue
		}
		versions := slices.Clone(l.Versions)
		for _, in := range c.installs[l.ID] {
			if short := l.short(in.Version); !slices.Contains(versions, short) {
				versions = append(versions, short)
			}
		}
		slices.SortFunc(versions, compareVersions)
		for _, v := range versions {
			list = append(list, c.info(l.Prefix+v, l.Title+" "+v))
		}
	}
	for _, name := range withheld() {
		list = append(list, c.info(name, name))
	}
	return list
}

func (c *Catalogue) info(name, title string) Info {
	info := Info{Name: name, Title: title, Status: StatusMissing}
	r, err := c.Resolve(name)
	if err != nil {
		info.Note = strings.TrimSuffix(err.Error(), seeList) // this is that list
		return info
	}
	info.Status, info.Version, info.Path, info.Note = StatusServed, r.Install.Version, r.Install.Path, r.Notice()
	if r.Exact {
		info.Status = StatusExact
	}
	return info
}

// nearest chooses among installs in order of preference. It gives nil when none is of that major, or, where versions are
// majors, none is of that or a newer one.
func (l *Language) nearest(installs []Install, major, minor int) (best *Install, exact bool) {
	distance := 0
	for i := range installs {
		m, n, ok := parseVersion(shortVersion(installs[i].Version))
		d := max(n-minor, minor-n)
		if l.Majors {
			d = m - major
		}
		if !ok || l.Majors && d < 0 || !l.Majors && m != major {
			continue
		}
		if best == nil || d < distance {
			best, distance = &installs[i], d
		}
	}
	return best, best != nil && distance == 0 && best.Title == ""
}

// missing is the Error for a version of which no install of the same major exists.
func missing(l *Language, name, version string) error {
	if compareVersions(version, l.Oldest) < 0 {
		return faas.Errorf(faas.CodeUnsupported, "runtime", "%s needs %s %s, which is past its end of life and cannot run here; install %s and name a runtime of %s %s or newer",
			name, l.Title, version, l.Debian(l.Versions[len(l.Versions)-1]), l.Title, l.Oldest)
	}
	major, _, _ := strings.Cut(version, ".")
	if l.Majors {
		major += " or newer"
	}
	return faas.Errorf(faas.CodeUnsupported, "runtime", "%s needs %s %s, which is not installed on this host; install %s",
		name, l.Title, major, l.Debian(version))
}

// withheld are the runtime names of FunctionGraph (reference, "Conventions") that no language here serves.
func withheld() []string {
	return []string{
		"Go1.8",
		"C#(.NET Core 2.0)", "C#(.NET Core 2.1)", "C#(.NET Core 3.1)", "C#(.NET Core 6.0)", "Cangjie1.0",
	}
}
