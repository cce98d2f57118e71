package trigger

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// FieldType is what a field of event data holds.
type FieldType int

// The types of fields.
const (
	Text   FieldType = iota // Min and Max count characters
	Number                  // a whole number from Min to Max
	Bool
	Texts // a list of texts; Min and Max count them
	Object
)

// maxText bounds texts that name no bound.
const maxText = 1024

// Field is a rule for one field of event data. A field without a rule is refused: what would have no effect is not taken in.
type Field struct {
	Name     string
	Type     FieldType
	Need     bool
	Min, Max int      // both 0 for no rule
	OneOf    []string // of a Text or of each of Texts; nil for any
	Default  any      // laid in where the field is missing; nil for none
	Secret   bool     // sealed, and never given back
	Made     bool     // made by the server; one that a client sends back is left out
	Kept     string   // why the field has no effect here; "" where it has
}

// Bad is the refusal of event data of a kind.
func Bad(code, format string, args ...any) error {
	return faas.Errorf(faas.CodeInvalid, "event_data."+code, format, args...)
}

// Check holds data to the rules of a kind's fields and parts the secrets from the rest. An empty secret, or one left out, is
// taken from before. Error: CodeInvalid, field "event_data.<code>".
func Check(code string, fields []Field, set map[string]any, before map[string]string) (faas.TriggerData, error) {
	data := faas.TriggerData{Plain: map[string]any{}}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name }) {
			return data, Bad(code, "event_data of a trigger of type %s has no field %.60q; it has %s", code, name, names(fields))
		}
	}
	for _, f := range fields {
		value := set[f.Name]
		if f.Made {
			continue
		}
		if f.Secret {
			if err := takeSecret(&data, code, f, value, before); err != nil {
				return data, err
			}
			continue
		}
		if value == nil || value == "" && f.Need {
			value = f.Default
		}
		if value == nil {
			if f.Need {
				return data, Bad(code, "event_data.%s must be given for a trigger of type %s", f.Name, code)
			}
			continue
		}
		if why := f.breach(value); why != "" {
			return data, Bad(code, "event_data.%s %s", f.Name, why)
		}
		data.Plain[f.Name] = value
	}
	return data, nil
}

func takeSecret(data *faas.TriggerData, code string, f Field, value any, before map[string]string) error {
	text, ok := value.(string)
	if !ok && value != nil {
		return Bad(code, "event_data.%s must be a text", f.Name)
	}
	if text == "" {
		text = before[f.Name]
	}
	switch {
	case text == "" && f.Need:
		return Bad(code, "event_data.%s must be given for a trigger of type %s", f.Name, code)
	case text == "":
		return nil
	}
	if why := f.textBreach(text); why != "" {
		return Bad(code, "event_data.%s %s", f.Name, why)
	}
	if data.Secrets == nil {
		data.Secrets = map[string]string{}
	}
	data.Secrets[f.Name] = text
	return nil
}

func names(fields []Field) string {
	var all []string
	for _, f := range fields {
		if !f.Made {
			all = append(all, f.Name)
		}
	}
	return strings.Join(all, ", ")
}

// breach says how a value breaks the rule; "" when it does not.
func (f *Field) breach(value any) string {
	switch f.Type {
	case Text:
		text, ok := value.(string)
		if !ok {
			return "must be a text"
		}
		return f.textBreach(text)
	case Number:
		n, err := strconv.Atoi(fmt.Sprint(value))
		if _, text := value.(string); err != nil || text {
			return "must be a whole number"
		}
		if (f.Min != 0 || f.Max != 0) && (n < f.Min || n > f.Max) {
			return fmt.Sprintf("must be %d to %d", f.Min, f.Max)
		}
	case Bool:
		if _, ok := value.(bool); !ok {
			return "must be true or false"
		}
	case Object:
		if _, ok := value.(map[string]any); !ok {
			return "must be an object"
		}
	case Texts:
		return f.textsBreach(value)
	}
	return ""
}

func (f *Field) textBreach(text string) string {
	most := f.Max
	if most == 0 {
		most = maxText
	}
	n := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "must be text"
	case f.OneOf != nil && !slices.Contains(f.OneOf, text):
		return fmt.Sprintf("%.60q must be one of %s", text, strings.Join(f.OneOf, ", "))
	case n < f.Min || n > most:
		return fmt.Sprintf("must have %d to %d characters", f.Min, most)
	}
	return ""
}

func (f *Field) textsBreach(value any) string {
	list, ok := value.([]any)
	if !ok {
		return "must be a list of texts"
	}
	if f.Max != 0 && (len(list) < f.Min || len(list) > f.Max) {
		return fmt.Sprintf("must have %d to %d entries", f.Min, f.Max)
	}
	one := Field{Name: f.Name, OneOf: f.OneOf, Min: 1}
	for _, entry := range list {
		text, ok := entry.(string)
		if !ok {
			return "must be a list of texts"
		}
		if why := one.textBreach(text); why != "" {
			return why
		}
	}
	return ""
}

// Decode reads checked data, or that of a stored trigger, into a struct with JSON tags.
func Decode(data any, into any) error {
	text, ok := data.(string)
	if !ok {
		encoded, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("encode event data: %w", err)
		}
		text = string(encoded)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("decode event data: %w", err)
	}
	return nil
}
