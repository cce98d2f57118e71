package faas

import (
	"regexp"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Limits of dependencies (FunctionGraph reference 1.6 and 1.17; the vendor's user manual for the number in one function).
const (
	MaxFunctionDependencies = 20  // of one function
	MaxDependencies         = 400 // of one project
)

// Dependency is a library that functions share. What it holds are its versions, of which there is one at least.
type Dependency struct {
	ID      string // UUID
	Project string
	Name    string // unique within the project
	Public  bool   // functions of every project may use it
}

// DependencyVersion is an immutable package of a Dependency. Functions name it by its ID.
type DependencyVersion struct {
	Dependency
	VersionID   string // UUID; that of the first version may be the dependency's
	Number      int64  // 1 for the first; set by the store
	Runtime     string // that it was made for, as its owner wrote it
	Description string
	Kind        string // KindZip or KindOBS
	Filename    string
	URL         string // where KindOBS came from; "" otherwise
	ETag        string // MD5 of the package, hexadecimal
	Digest      string // its name in the blob store
	Size        int64  // bytes
	CreatedAt   time.Time
}

// DependencyFilter chooses dependencies that a project may use, oldest first.
type DependencyFilter struct {
	Project  string
	Public   *bool  // nil for public ones and its own
	Runtime  string // of the newest version; "" for all
	NamePart string // anywhere in the name, letter case ignored; "" for all
	Offset   int64
	Limit    int // at least 1
}

// DependencyPage is a page of a listing.
type DependencyPage struct {
	Versions []*DependencyVersion // the newest of each dependency, or those of one
	Total    int64                // all that match, whatever the page
}

// dependencyRuntimes are the names that the vendor's clients know (FunctionGraph reference, conventions).
var dependencyRuntimes = []string{
	"Java8", "Java11", "Java17", "Java21", "Python2.7", "Python3.6", "Python3.9", "Python3.10", "Python3.12", "Go1.8", "Go1.x",
	"Node.js6.10", "Node.js8.10", "Node.js10.16", "Node.js12.13", "Node.js14.18", "Node.js16.17", "Node.js18.15", "Node.js20.15",
	"C#(.NET Core 2.0)", "C#(.NET Core 2.1)", "C#(.NET Core 3.1)", "C#(.NET Core 6.0)", "Custom", "PHP7.3", "PHP8.3", "Cangjie1.0",
	"http", "Custom Image", "WASM",
}

var dependencyName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9])?$`) })

// Check holds what an owner sets to its rules. Errors: CodeInvalid, field "depend_name", "depend_runtime" or "description".
func (v *DependencyVersion) Check() error {
	switch {
	case !dependencyName().MatchString(v.Name):
		return Errorf(CodeInvalid, "depend_name", "name %.120q must be 1 to 96 letters, digits, '_', '.' or '-', start with a letter and end with a letter or digit", v.Name)
	case !slices.Contains(dependencyRuntimes, v.Runtime):
		return Errorf(CodeInvalid, "depend_runtime", "runtime %.60q is none that a dependency can be made for", v.Runtime)
	case utf8.RuneCountInString(v.Description) > MaxDescription:
		return Errorf(CodeInvalid, "description", "description is over %d characters", MaxDescription)
	}
	return nil
}
