package faas

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of tags.
const (
	MaxTags     = 20 // of one function
	maxTagKey   = 128
	maxTagValue = 255
)

// Tag is a key and a value that a function carries, to be found by. A function has one value for a key.
type Tag struct{ Key, Value string }

// Check holds a tag to the rules of FunctionGraph's user guide, "Tags". Error: CodeInvalid, field "tags".
func (t Tag) Check() error {
	bad := func(r rune, more string) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" _.:=+-@"+more, r)
	}
	switch {
	case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || !utf8.ValidString(t.Key):
		return Errorf(CodeInvalid, "tags", "the key of a tag must have 1 to %d characters, and %.150q has not", maxTagKey, t.Key)
	case strings.HasPrefix(t.Key, "_sys_"):
		return Errorf(CodeInvalid, "tags", "the key %.150q begins with _sys_, which is the system's", t.Key)
	case strings.TrimSpace(t.Key) != t.Key || strings.ContainsFunc(t.Key, func(r rune) bool { return bad(r, "") }):
		return Errorf(CodeInvalid, "tags", "the key %.150q must be letters, digits, blanks and _.:=+-@, and no blank at an end", t.Key)
	case !utf8.ValidString(t.Value) || utf8.RuneCountInString(t.Value) > maxTagValue || strings.ContainsFunc(t.Value, func(r rune) bool { return bad(r, "/") }):
		return Errorf(CodeInvalid, "tags", "the value of tag %.150q must be at most %d letters, digits, blanks and _.:/=+-@", t.Key, maxTagValue)
	}
	return nil
}

// FunctionTag is a tag with the function that carries it. Version is "": all versions carry it.
type FunctionTag struct {
	Function FunctionKey
	Tag      Tag
}
