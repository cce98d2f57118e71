package lang

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

var shortForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$`) })

// parseVersion reads "major.minor".
func parseVersion(version string) (major, minor int, ok bool) {
	m := shortForm().FindStringSubmatch(version)
	if m == nil {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(m[1]) // at most four digits
	minor, _ = strconv.Atoi(m[2])
	return major, minor, true
}

var majorForm = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

// parse reads a version as runtime names of the language have it.
func (l *Language) parse(version string) (major, minor int, ok bool) {
	if !l.Majors {
		return parseVersion(version)
	}
	if !majorForm.MatchString(version) {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(version) // at most four digits
	return major, 0, true
}

// short gives the version of an install as runtime names have it.
func (l *Language) short(version string) string {
	if l.Majors {
		major, _, _ := strings.Cut(version, ".")
		return major
	}
	return shortVersion(version)
}

// shortVersion cuts "3.11.2" to "3.11".
func shortVersion(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// compareVersions compares dotted numbers as numbers; a part that is not one counts as 0.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return 0
}

// AtLeast tells whether an install is of a version ("major.minor") or newer.
func AtLeast(in Install, version string) bool { return compareVersions(in.Version, version) >= 0 }
