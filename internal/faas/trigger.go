package faas

import "time"

// Trigger binds a source of events to one version or alias of a function.
type Trigger struct {
	ID    string      // UUID
	Key   FunctionKey // Version is "" where Alias is set, and never otherwise
	Alias string      // without "!"; excludes Key.Version
	Kind  string      // "TIMER", "APIG", ...: see the catalogue of package trigger
	// Active tells whether events become calls. A trigger that is switched off keeps everything else.
	Active bool
	Data   string // what the owner set, without secrets: a JSON object as text, as its kind reads it
	Sealed []byte // the secrets among what the owner set, sealed with the server's key; nil for none
	// Unique, when not "", is a text that no other trigger of this server has: a request path, or a name within a version.
	Unique string
	// Since is when the trigger began to act as it does: made, switched on, or changed. Nothing before it is made up for.
	Since      time.Time
	Fired      time.Time // the newest occurrence handed over, of a timer; zero for none
	Revision   int64     // grows by one with every change; starts at 1
	CreatedAt  time.Time
	ModifiedAt time.Time
}

// Qualifier names the version, or the alias behind "!".
func (t *Trigger) Qualifier() string { return Qualifier(t.Key.Version, t.Alias) }

// Qualifier writes a version, or an alias behind "!".
func Qualifier(version, alias string) string {
	if alias != "" {
		return "!" + alias
	}
	return version
}

// URN gives the URN of the version or alias that the trigger calls.
func (t *Trigger) URN(region string) URN {
	return URN{Region: region, Project: t.Key.Project, Package: t.Key.Package, Name: t.Key.Name, Version: t.Key.Version, Alias: t.Alias}
}

// TriggerFilter chooses triggers of a project, oldest first.
type TriggerFilter struct {
	Project   string
	Package   string
	Name      string // "" for those of all functions of the project; Package is ignored then
	Qualifier string // "" for those of all versions and aliases
	ID        string // "" for all
}

// TriggerChange is a trigger as it is now, or that it went.
type TriggerChange struct {
	Seq     int64 // grows with every change of any trigger; changes become visible in this order
	Trigger *Trigger
	Gone    bool // of Trigger only ID and Kind are set then
}

// MaxTriggers is how many triggers one version or alias may have (FunctionGraph reference, section 3.3).
const MaxTriggers = 10

// TriggerData is what the owner of a trigger set, once its kind has checked it.
type TriggerData struct {
	Plain   map[string]any    // of what encoding/json decodes with UseNumber
	Secrets map[string]string // nil for none
	Unique  string            // as Trigger.Unique
	Told    map[string]string // secrets that the server made just now, to be shown this once
}
