package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// object reads the fields of one JSON object of a definition, and keeps the first fault with its path. A field that nobody has read
// is a fault too, so that nothing is taken in without effect.
type object struct {
	path   string
	fields map[string]any
	read   map[string]bool
	fault  *error // shared by all objects of a definition
}

func newObject(text []byte) (*object, error) {
	v, err := Decode(text)
	if err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "definition", "the definition is not JSON: %v", err)
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, faas.Errorf(faas.CodeInvalid, "definition", "the definition must be a JSON object")
	}
	return &object{fields: fields, read: map[string]bool{}, fault: new(error)}, nil
}

// at is the path of a field.
func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	if name == "" {
		return o.path
	}
	return o.path + "." + name
}

// bad notes a fault of a field; only the first counts.
func (o *object) bad(name, format string, args ...any) {
	if *o.fault == nil {
		*o.fault = faas.Errorf(faas.CodeInvalid, "definition", "%s %s", o.at(name), fmt.Sprintf(format, args...))
	}
}

// take gives a field; nil where it is absent or null.
func (o *object) take(name string) any {
	o.read[name] = true
	return o.fields[name]
}

func (o *object) text(name string, least, most int) string {
	v := o.take(name)
	if v == nil {
		if least > 0 {
			o.bad(name, "is missing")
		}
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		o.bad(name, "must be a text, not %s", kindOf(v))
	case utf8.RuneCountInString(s) < least || utf8.RuneCountInString(s) > most:
		o.bad(name, "must have %d to %d characters", least, most)
	}
	return s
}

// words are the characters of names (FunctionGraph reference, "WFCHARS").
var words = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_().\-\x{4E00}-\x{9FA5}]*$`) })

func (o *object) word(name string, least, most int) string {
	s := o.text(name, least, most)
	if !words().MatchString(s) {
		o.bad(name, "may hold letters, digits, '_', '(', ')', '.', '-' and Chinese characters only")
	}
	return s
}

func (o *object) choice(name, standard string, among ...string) string {
	s := o.text(name, 0, 64)
	if s == "" {
		return standard
	}
	if !slices.Contains(among, s) {
		o.bad(name, "is %q and must be one of %q", s, among)
	}
	return s
}

func (o *object) flag(name string, standard bool) bool {
	v := o.take(name)
	if v == nil {
		return standard
	}
	b, ok := v.(bool)
	if !ok {
		o.bad(name, "must be true or false, not %s", kindOf(v))
	}
	return b
}

func (o *object) number(name string, standard, least, most float64) float64 {
	v := o.take(name)
	if v == nil {
		return standard
	}
	n, ok := toFloat(v)
	if !ok {
		o.bad(name, "must be a number, not %s", kindOf(v))
		return standard
	}
	if n < least || n > most {
		o.bad(name, "must be %v to %v", least, most)
	}
	return n
}

func (o *object) whole(name string, standard, least, most int) int {
	n := o.number(name, float64(standard), float64(least), float64(most))
	if n != float64(int(n)) {
		o.bad(name, "must be a whole number")
	}
	return int(n)
}

// list gives the objects of a list.
func (o *object) list(name string, least, most int) []*object {
	v := o.take(name)
	if v == nil {
		if least > 0 {
			o.bad(name, "is missing")
		}
		return nil
	}
	items, ok := v.([]any)
	if !ok {
		o.bad(name, "must be a list, not %s", kindOf(v))
		return nil
	}
	if len(items) < least || len(items) > most {
		o.bad(name, "must have %d to %d items, not %d", least, most, len(items))
	}
	var all []*object
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", name, i)
		fields, ok := item.(map[string]any)
		if !ok {
			o.bad(at, "must be an object, not %s", kindOf(item))
			continue
		}
		all = append(all, &object{path: o.at(at), fields: fields, read: map[string]bool{}, fault: o.fault})
	}
	return all
}

// inner gives the object of a field; nil where there is none.
func (o *object) inner(name string) *object {
	v := o.take(name)
	if v == nil {
		return nil
	}
	fields, ok := v.(map[string]any)
	if !ok {
		o.bad(name, "must be an object, not %s", kindOf(v))
		return nil
	}
	return &object{path: o.at(name), fields: fields, read: map[string]bool{}, fault: o.fault}
}

// done finds fields that nobody has read.
func (o *object) done() {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.read[name] {
			o.bad(name, "is no field that is known here")
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}
