package main

import (
	"os"
	"path"
	"slices"
	"strings"
)

// ignoreName is the file that lists what stays out of a package.
const ignoreName = ".hanshuignore"

// ignore decides what stays out of a package. Each line of the file is a pattern of path.Match: without a slash it is held to
// the name of every file and folder, with one to the path from the function's folder; a slash at its end takes folders only.
// Empty lines and those that begin with # say nothing.
type ignore struct{ patterns []ignorePattern }

type ignorePattern struct {
	glob    string
	whole   bool // held to the whole path
	folders bool // takes folders only
}

// readIgnore reads the file, which need not be there.
func readIgnore(file string) (ignore, error) {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return ignore{}, nil
	}
	if err != nil {
		return ignore{}, usagef("%v", err)
	}
	var ig ignore
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p := ignorePattern{folders: strings.HasSuffix(line, "/")}
		p.glob = strings.Trim(line, "/")
		p.whole = strings.Contains(strings.TrimSuffix(line, "/"), "/")
		if _, err := path.Match(p.glob, ""); err != nil || p.glob == "" || strings.HasPrefix(line, "!") || strings.Contains(line, "**") {
			return ignore{}, usagef("%s, line %d: %q is no pattern that is understood here; * ? and [a-z] are, ! and ** are not", file, number, line)
		}
		ig.patterns = append(ig.patterns, p)
	}
	return ig, nil
}

// skips tells whether a file or folder stays out; name is its slash-separated path from the function's folder.
func (ig ignore) skips(name string, folder bool) bool {
	base := path.Base(name)
	if name == manifestName || name == ignoreName || folder && (base == ".git" || base == "__pycache__") {
		return true
	}
	return slices.ContainsFunc(ig.patterns, func(p ignorePattern) bool {
		held := base
		if p.whole {
			held = name
		}
		matched, _ := path.Match(p.glob, held) // the pattern was tried when it was read
		return matched && (folder || !p.folders)
	})
}
