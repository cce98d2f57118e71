// Package lang says what to start for a runtime name: which interpreter, with which bootstrap, under which handler rule.
//
// A language is a value. It must not know how a process is isolated (sandbox) nor how many there are (pool).
package lang

import (
	"context"
	"io/fs"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Paths inside a sandbox (FunctionGraph reference 5.1).
const (
	CodeRoot    = "/opt/function/code"    // the unpacked package, read-only
	RuntimeRoot = "/opt/function/runtime" // RuntimeRoot/<Language.ID>: the bootstrap files, read-only
)

// Language is one way to run code.
type Language struct {
	ID       string   // folder under RuntimeRoot, e.g. "python"
	Title    string   // for people, e.g. "Python"
	Prefix   string   // of its runtime names, e.g. "Python" in "Python3.9"
	Versions []string // runtime versions that clients may name, e.g. "3.9"; the newest last
	// Debian is the package that installs a version of a major, e.g. 3 -> "python3".
	Debian func(version string) string
	// Find lists the interpreters on this host, newest first. It starts each once to learn its version, so callers keep
	// the answer.
	Find func(ctx context.Context) []Install
	// Command starts the bootstrap under an interpreter; paths are those inside the sandbox.
	Command func(Install) []string
	// Env holds variables the interpreter needs, as NAME=value.
	Env []string
	// Bootstrap holds the files placed at RuntimeRoot/<ID>.
	Bootstrap fs.FS
	// CheckHandler holds a handler to the language's rule. Error: faas.CodeInvalid, field as given.
	CheckHandler func(field, handler string) error
	// SourceFile names the file that holds inline source for a handler, e.g. "index.handler" -> "index.py".
	SourceFile func(handler string) string
}

// Install is an interpreter found on this host.
type Install struct {
	Path    string // absolute, links resolved
	Version string // "3.11.2"
	// Roots are folders outside the system view (/usr, /lib*, /bin) that it needs, to be shown read-only at the same
	// place; nil for one that lives under /usr.
	Roots []string
}

// Runtime is a runtime name resolved on this host.
type Runtime struct {
	Name     string // as asked for: "Python3.9"
	Language *Language
	Install  Install
	Exact    bool // the version asked for is the one served
}

// Catalogue resolves runtime names. Make one with NewCatalogue; it is immutable.
type Catalogue struct {
	languages []*Language
	installs  map[string][]Install // by Language.ID
}

// NewCatalogue looks for the interpreters of languages on this host.
func NewCatalogue(ctx context.Context, languages ...*Language) *Catalogue {
	c := &Catalogue{languages: languages, installs: map[string][]Install{}}
	for _, l := range languages {
		c.installs[l.ID] = l.Find(ctx)
	}
	return c
}

// Notice says in one line that a runtime is served by another version than the one asked for; "" when it is not.
func (r Runtime) Notice() string {
	if r.Exact {
		return ""
	}
	return r.Name + " is served by " + r.Language.Title + " " + r.Install.Version + ", the nearest version installed on this host"
}

// errNoRuntime is the Error for a name that no language knows.
func errNoRuntime(name string) error {
	return faas.Errorf(faas.CodeInvalid, "runtime", "runtime %.60q is not known here; `hanshu runtimes` lists what is", name)
}
