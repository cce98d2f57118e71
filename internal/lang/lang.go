// Package lang says what to start for a runtime name: which interpreter, with which bootstrap, under which handler rule.
//
// A language is a value. It must not know how a process is isolated (sandbox) nor how many there are (pool).
package lang

import (
	"cmp"
	"context"
	"io"
	"io/fs"
	"net"
)

// Paths inside a sandbox (FunctionGraph reference 5.1).
const (
	CodeRoot    = "/opt/function/code"    // the unpacked package, read-only
	RuntimeRoot = "/opt/function/runtime" // RuntimeRoot/<Language.ID>: the bootstrap files, read-only
	// CompiledRoot shows what Load.Compile made of the package, read-only; only of languages that compile.
	CompiledRoot = "/opt/function/compiled"
)

// Language is one way to run code.
type Language struct {
	ID       string   // folder under RuntimeRoot, e.g. "python"
	Title    string   // for people, e.g. "Python"
	Prefix   string   // of its runtime names, e.g. "Python" in "Python3.9"; "" for one that has Names only
	Versions []string // runtime versions that clients may name, e.g. "3.9"; the newest last
	// Names are runtime names without a version, e.g. "Custom", served by the first install that Find gives.
	Names []string
	// Majors tells that versions are named by their major alone, e.g. "17", and that a newer one serves the name of an older
	// one, but never the other way round.
	Majors bool
	// Oldest is the first version that the bootstrap runs on, as "major.minor"; Find leaves out what is older.
	Oldest string
	// Debian is the package that installs a version, e.g. "3.9" -> "python3".
	Debian func(version string) string
	// Find lists the interpreters in folders of this host, in the order of preference: newest first, and of one
	// major.minor the system's own first. It starts each once to learn its version, so callers keep the answer.
	Find func(ctx context.Context, dirs []string) []Install
	// Command starts the bootstrap that lies in a folder (RuntimeRoot/<ID> in a sandbox) under an interpreter.
	Command func(install Install, bootstrap string) []string
	// Template starts a process that boots like that of Command and then waits to be copied, each copy being a worker:
	// the other side of what internal/sandbox/template.go says. nil, or an answer of nil: the language, or this
	// interpreter of it, cannot.
	Template func(install Install, bootstrap string) []string
	// HTTP tells that a worker can hand out connections to the function (FrameDial): it serves HTTP by itself.
	HTTP bool
	// Wire is set where the worker becomes the function instead of standing before it (see the protocol). Of the control socket it
	// makes a connection over which the server goes on in frames, to the worker at first and then to the function. ended is closed
	// when the process is gone. nil for all others.
	Wire func(control net.Conn, ended <-chan struct{}) Wired
	// Env holds variables the interpreter needs, as NAME=value.
	Env []string
	// Concurrent tells whether the bootstrap takes several calls at a time (Load.Concurrency).
	Concurrent bool
	// Hooks tells whether the bootstrap calls heartbeat and pre-stop handlers (Load.BeatHandler, Load.StopHandler).
	Hooks bool
	// Bootstrap holds the files placed at RuntimeRoot/<ID>.
	Bootstrap fs.FS
	// CheckHandler holds a handler to the language's rule. Error: faas.CodeInvalid, field as given.
	CheckHandler func(field, handler string) error
	// SourceFile names the file that holds inline source for a handler, e.g. "index.handler" -> "index.py". The handler
	// has passed CheckHandler. nil for a language whose source has to be built first.
	SourceFile func(handler string) string
	// Compiles is true where a worker turns a package into a faster form, once: see Load.Compile.
	Compiles bool
}

// Wired is the connection to a worker that becomes the function. It takes whole frames in each Write.
type Wired interface {
	net.Conn
	// CloseRead has reads end behind what has come. It is called when the process has ended: a child of it may hold the other end.
	CloseRead() error
}

// Hangup is the io.EOF of a Wired, with what is to be told of it.
type Hangup struct {
	Before string // follows on how the process ended, e.g. " before it listened"; "" for nothing
	Closed string // what a process that goes on has done; "" where none can
}

func (h *Hangup) Error() string {
	return "the function's process has ended" + h.Before + ", or closed its connection"
}

// Unwrap makes it an io.EOF.
func (h *Hangup) Unwrap() error { return io.EOF }

// Install is an interpreter found on this host.
type Install struct {
	Path    string // absolute, links resolved
	Version string // "3.11.2"
	Title   string // of another implementation of the language, e.g. "Jython"; "" for the usual one
	// Roots are folders outside the system view (/usr, /lib*, /bin) that it needs, to be shown read-only at the same
	// place; nil for one that has all it needs under /usr.
	Roots []string
}

// Runtime is a runtime name resolved on this host.
type Runtime struct {
	Name     string // as asked for: "Python3.9"
	Language *Language
	Install  Install
	Exact    bool // the version asked for is the one served
}

// Notice says in one line that a runtime is served by another version than the one asked for; "" when it is not.
func (r Runtime) Notice() string {
	if r.Exact {
		return ""
	}
	return r.Name + " is served by " + cmp.Or(r.Install.Title, r.Language.Title) + " " + r.Install.Version + ", the nearest version installed on this host"
}
