package blob

import "strings"

// Limits of the names in a package. They are those of Linux for one part of a path, and generous for the whole.
const (
	maxNameBytes = 1024
	maxPartBytes = 255
	maxDepth     = 64
	maxLinkBytes = 1024
)

// nameFault says what is wrong with a file's name inside a package, and "" when it is a plain path that stays below the
// folder it is laid into, whatever that folder is.
func nameFault(name string) string {
	switch {
	case name == "":
		return "has no name"
	case len(name) > maxNameBytes:
		return "has a name of more than 1024 bytes"
	case strings.ContainsRune(name, 0):
		return "has a NUL in its name"
	case strings.ContainsRune(name, '\\'):
		return `has a "\" in its name; folders are separated by "/"`
	case name[0] == '/':
		return "has an absolute name"
	case len(name) > 1 && name[1] == ':' && isLetter(name[0]):
		return "has a drive letter in its name"
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		depth++
		switch {
		case part == "":
			return "has an empty part in its name"
		case part == ".":
			return `has a "." in its name`
		case part == "..":
			return `leads out of the package by ".."`
		case len(part) > maxPartBytes:
			return "has a part of more than 255 bytes in its name"
		case depth > maxDepth:
			return "lies more than 64 folders deep"
		}
	}
	return ""
}

// linkFault says what is wrong with a symbolic link at name, and "" when it stays inside the package: it may climb at its
// beginning only, by no more folders than it lies deep. Those are real folders, since nothing lies below a link; from
// there it goes down, and any link on that way stays inside by the same rule.
func linkFault(name, target string) string {
	rest, climbs := target, 0
	for {
		first, behind, _ := strings.Cut(rest, "/")
		if first != "." && first != ".." {
			break
		}
		if first == ".." {
			climbs++
		}
		rest = behind
	}
	switch {
	case target == "":
		return "is a link to nothing"
	case climbs > strings.Count(name, "/"):
		return "is a link that leads out of the package"
	case rest == "":
		return ""
	}
	if fault := nameFault(strings.TrimSuffix(rest, "/")); fault != "" {
		return "is a link whose target " + fault
	}
	return ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
