package workflow

import (
	"fmt"
	"strconv"
	"strings"
)

// template makes the arguments of a call of the data of a state (FunctionGraph reference 2.1): objects and lists are walked, and a
// text that begins with a path gives what stands there, or the default behind " | ".
type template struct {
	fields map[string]*template
	items  []*template
	isList bool
	path   *path
	consts bool // the path leads into the constants
	lit    any  // the literal, or the default
	def    *template
}

const constPrefix = "$CONST"

// newTemplate reads arguments; at is where they stand.
func newTemplate(v any, at string) (*template, error) {
	switch v := v.(type) {
	case map[string]any:
		t := &template{fields: make(map[string]*template, len(v))}
		for name, field := range v {
			inner, err := newTemplate(field, at+"."+name)
			if err != nil {
				return nil, err
			}
			t.fields[name] = inner
		}
		return t, nil
	case []any:
		t := &template{isList: true}
		for i, item := range v {
			inner, err := newTemplate(item, fmt.Sprintf("%s[%d]", at, i))
			if err != nil {
				return nil, err
			}
			t.items = append(t.items, inner)
		}
		return t, nil
	case string:
		if strings.HasPrefix(v, "$") {
			t, err := newReference(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			return t, nil
		}
	}
	return &template{lit: v}, nil
}

// newReference reads "path" or "path | default".
func newReference(text string) (*template, error) {
	at, standard, has := text, "", false
	if i := strings.LastIndex(text, " | "); i >= 0 {
		at, standard, has = strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+3:]), true
	}
	t, err := newPlace(at, constPrefix)
	if err != nil || !has {
		return t, err
	}
	if strings.HasPrefix(standard, "$") {
		if t.def, err = newPlace(standard, constPrefix, "$.constants"); err == nil && !t.def.consts {
			err = fmt.Errorf("the default %q must be a number, true, false, a 'text' or a path into $CONST", standard)
		}
		return t, err
	}
	lit, err := standardOf(standard)
	t.def = &template{lit: lit}
	return t, err
}

// newPlace reads a path, which leads into the constants where it begins with one of the prefixes.
func newPlace(text string, prefixes ...string) (*template, error) {
	t := &template{}
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(text, prefix); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			t.consts, text = true, "$"+rest
			break
		}
	}
	var err error
	t.path, err = parsePath(text)
	return t, err
}

func standardOf(text string) (any, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null", "nil":
		return nil, nil
	}
	if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
		return text[1 : len(text)-1], nil
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f, nil
	}
	return nil, fmt.Errorf("the default %q must be a number, true, false, a 'text' or a path into $CONST", text)
}

// of makes the value. A path that finds nothing, and has no default, gives null.
func (t *template) of(data, constants any) any {
	switch {
	case t.fields != nil:
		made := make(map[string]any, len(t.fields))
		for name, field := range t.fields {
			made[name] = field.of(data, constants)
		}
		return made
	case t.isList:
		made := make([]any, 0, len(t.items))
		for _, item := range t.items {
			made = append(made, item.of(data, constants))
		}
		return made
	case t.path == nil:
		return t.lit
	}
	if t.consts {
		data = constants
	}
	found, ok := t.path.of(data)
	if !ok && t.def != nil {
		return t.def.of(constants, constants)
	}
	return found
}
