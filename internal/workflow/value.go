package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/ohler55/ojg/jp"
)

// Decode reads one JSON value: numbers become int64 where they are whole and fit, else float64, and stay as they are written
// where neither holds them. What is read is never changed afterwards, so that values can be shared.
func Decode(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the value")
	}
	return plain(v), nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if strings.ContainsAny(v.String(), ".eE") {
			if f, err := v.Float64(); err == nil {
				return f
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

// Encode writes a value as JSON, without HTML escapes.
func Encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte("null") // never: values come from JSON
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// merged lays the fields of one object over those of another; what is no object takes the other's place.
func merged(under, over any) any {
	a, ok := under.(map[string]any)
	b, also := over.(map[string]any)
	if !ok || !also {
		return over
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// with lays one field over a value; over an empty object where it is no object.
func with(v any, name string, field any) any {
	if _, ok := v.(map[string]any); !ok {
		v = map[string]any{}
	}
	return merged(v, map[string]any{name: field})
}

// Path is a JSONPath.
type path struct {
	expr jp.Expr
	one  bool // it names at most one place
}

const maxPath = 256 // characters

// parsePath reads a JSONPath, which begins with "$" or "@".
func parsePath(text string) (*path, error) {
	if len(text) > maxPath {
		return nil, fmt.Errorf("a path has at most %d characters", maxPath)
	}
	if !strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "@") {
		return nil, fmt.Errorf("the path %q does not begin with $", text)
	}
	expr, err := jp.ParseString(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no path: %w", text, err)
	}
	p := &path{expr: expr, one: true}
	descents := strings.Count(text, "..")
	for _, frag := range expr {
		switch frag.(type) {
		case jp.Root, jp.At, jp.Child, jp.Nth, jp.Bracket:
		default:
			p.one = false
		}
	}
	if descents > 1 {
		return nil, fmt.Errorf("%q has more than one '..', whose cost would have no bound", text)
	}
	return p, nil
}

// of gives what stands at the path: one value, or the list of all where it can name several. ok is false where there is nothing.
func (p *path) of(v any) (found any, ok bool) {
	all := p.expr.Get(v)
	if !p.one {
		if all == nil {
			all = []any{}
		}
		return all, len(all) > 0
	}
	if len(all) == 0 {
		return nil, false
	}
	return all[0], true
}
