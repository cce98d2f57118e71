package faas

import "strings"

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

// nameInURN is a rule for names in URNs: 1 to 64 letters, digits, "_", "." and "-", the first a letter or digit. It is by
// hand because every call goes through it.
func nameInURN(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// ParseURN reads a long URN or one of its short forms: name, package:name, project:package:name, and the last one with a
// version or !alias behind it. Parts that the text leaves out stay empty, but for the package, which becomes
// DefaultPackage. It fails with CodeInvalid, field "function_urn".
func ParseURN(text string) (URN, error) {
	if u, ok := parseURN(text); ok {
		return u, nil
	}
	return URN{}, Errorf(CodeInvalid, "function_urn", "%.200q is not a function URN", text)
}

func parseURN(text string) (URN, bool) {
	if len(text) > 1024 {
		return URN{}, false
	}
	parts := strings.Split(text, ":")
	var u URN
	qualifier, qualified := "", false
	switch {
	case parts[0] == "urn":
		if len(parts) < 7 || len(parts) > 8 || parts[1] != "fss" || parts[4] != "function" {
			return URN{}, false
		}
		u = URN{Region: parts[2], Project: parts[3], Package: parts[5], Name: parts[6]}
		if qualified = len(parts) == 8; qualified {
			qualifier = parts[7]
		}
	case len(parts) == 1:
		u = URN{Package: DefaultPackage, Name: parts[0]}
	case len(parts) == 2:
		u = URN{Package: parts[0], Name: parts[1]}
	case len(parts) == 3:
		u = URN{Project: parts[0], Package: parts[1], Name: parts[2]}
	case len(parts) == 4:
		u = URN{Project: parts[0], Package: parts[1], Name: parts[2]}
		qualifier, qualified = parts[3], true
	default:
		return URN{}, false
	}
	if qualified {
		name, alias := strings.CutPrefix(qualifier, "!")
		if alias {
			u.Alias = name
		} else {
			u.Version = name
		}
		if !nameInURN(name) {
			return URN{}, false
		}
	}
	return u, nameInURN(u.Package) && nameInURN(u.Name)
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
