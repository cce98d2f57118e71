package faas

import (
	"regexp"
	"strings"
	"sync"
)

// Latest is the name of the version that may change; every other version is immutable.
const Latest = "latest"

// DefaultPackage is the group of a function whose caller names none.
const DefaultPackage = "default"

// URN names a function, and perhaps one version or alias of it.
//
// Long form: urn:fss:<region>:<project>:function:<package>:<name>[:<version>|:!<alias>] (FunctionGraph reference,
// "Conventions that hold everywhere").
type URN struct {
	Region  string
	Project string
	Package string
	Name    string
	Version string // "" means Latest
	Alias   string // without the leading "!"; excludes Version
}

var nameInURN = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`) })

// ParseURN reads a long URN or one of its short forms: name, package:name, project:package:name, and the last one with a
// version or !alias behind it. Parts that the text leaves out stay empty, but for the package, which becomes
// DefaultPackage. It fails with CodeInvalid, field "function_urn".
func ParseURN(text string) (URN, error) {
	bad := Errorf(CodeInvalid, "function_urn", "%.200q is not a function URN", text)
	if len(text) > 1024 {
		return URN{}, bad
	}
	parts := strings.Split(text, ":")
	var u URN
	var qualifier string
	switch {
	case parts[0] == "urn":
		if len(parts) < 7 || len(parts) > 8 || parts[1] != "fss" || parts[4] != "function" {
			return URN{}, bad
		}
		u = URN{Region: parts[2], Project: parts[3], Package: parts[5], Name: parts[6]}
		if len(parts) == 8 {
			qualifier = parts[7]
			if qualifier == "" {
				return URN{}, bad
			}
		}
	case len(parts) == 1:
		u = URN{Package: DefaultPackage, Name: parts[0]}
	case len(parts) == 2:
		u = URN{Package: parts[0], Name: parts[1]}
	case len(parts) == 3:
		u = URN{Project: parts[0], Package: parts[1], Name: parts[2]}
	case len(parts) == 4:
		u = URN{Project: parts[0], Package: parts[1], Name: parts[2]}
		qualifier = parts[3]
		if qualifier == "" {
			return URN{}, bad
		}
	default:
		return URN{}, bad
	}
	if alias, ok := strings.CutPrefix(qualifier, "!"); ok {
		u.Alias = alias
		if !nameInURN().MatchString(alias) {
			return URN{}, bad
		}
	} else {
		u.Version = qualifier
		if qualifier != "" && !nameInURN().MatchString(qualifier) {
			return URN{}, bad
		}
	}
	if !nameInURN().MatchString(u.Package) || !nameInURN().MatchString(u.Name) {
		return URN{}, bad
	}
	return u, nil
}

// String gives the long form; without version or alias when the URN has none.
func (u URN) String() string {
	s := "urn:fss:" + u.Region + ":" + u.Project + ":function:" + u.Package + ":" + u.Name
	switch {
	case u.Alias != "":
		return s + ":!" + u.Alias
	case u.Version != "":
		return s + ":" + u.Version
	}
	return s
}

// Qualified tells whether the URN names one version or alias and not the whole function.
func (u URN) Qualified() bool { return u.Version != "" || u.Alias != "" }
