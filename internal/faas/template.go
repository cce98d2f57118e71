package faas

import (
	"strings"
	"time"
)

// Template is a function to begin with.
type Template struct {
	ID          string // e.g. "python-hello"
	Title       string
	Description string
	Family      string // how the names of its runtimes begin, e.g. "Python3"
	Runtime     string // the one that it is made for: the newest of the family that is served here
	Handler     string
	Kind        string // KindInline or KindZip: how Code is sent
	Filename    string
	Code        []byte
	// Build says how Code becomes a package, where it has to be compiled first; "" where Code is the package.
	Build    string
	Timeout  time.Duration
	MemoryMB int
	UserData string // JSON object as text; "" for none
	Scene    string // what it is for, e.g. "basic", "web", "data"
	Service  string // the kind of trigger that it answers, in lower case; "" for none
	Input    string // an event to try it with, JSON
	Output   string // what it answers then
	Triggers []TemplateTrigger
}

// Fits tells of a runtime's name that it belongs to the template's family: the family itself, or with a version behind it.
func (t *Template) Fits(runtime string) bool {
	version, ok := strings.CutPrefix(runtime, t.Family)
	return ok && (version == "" || strings.Trim(version, ".0123456789") == "")
}

// TemplateTrigger is a trigger that an application made from a template gets.
type TemplateTrigger struct {
	Kind string
	Data string // event data, JSON. "{name}" stands for the application's name
}

// Application is a function that was made from a template, with its triggers, under one name.
type Application struct {
	ID          string // UUID
	Project     string
	Name        string // unique in the project
	Description string
	Template    string      // its ID
	Function    FunctionKey // Version is ""
	FunctionID  string      // "" while it is being made
	URL         string      // of its HTTP route; "" for none
	CreatedAt   time.Time
}

// MaxApplications of a project.
const MaxApplications = 100
