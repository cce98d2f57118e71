package workflow

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

var record = flag.Bool("flow.record", false, "write the golden histories anew: only where nothing of an earlier release is to be replayed any more")

// history is a run as a release recorded it, and what that release made of it. The files in testdata are never changed: a later interpreter
// must make the same of them.
type history struct {
	Definition json.RawMessage   `json:"definition"`
	Input      json.RawMessage   `json:"input"`
	Events     []json.RawMessage `json:"events"`
	// Effects are what was to happen after each event, those of the beginning first.
	Effects [][]string      `json:"effects"`
	Status  faas.FlowStatus `json:"status"`
	Output  json.RawMessage `json:"output"`
	Waits   []string        `json:"waits"`
}

// told writes effects for a history.
func told(effects []Effect) []string {
	all := []string{}
	for _, e := range effects {
		switch {
		case e.Call != nil:
			all = append(all, fmt.Sprintf("call %s %s %s", e.Call.Task, e.Call.Function.Name, e.Call.Event()))
		case e.Child != nil:
			all = append(all, fmt.Sprintf("start %s %s %s", e.Child.Task, e.Child.Flow, e.Child.Input))
		default:
			all = append(all, "drop "+e.Drop)
		}
	}
	return all
}

// replay folds a history's events, and gives what this interpreter makes of them.
func (h *history) replay(t *testing.T) history {
	t.Helper()
	p, err := Parse(h.Definition)
	require.NoError(t, err)
	input, err := Decode(h.Input)
	require.NoError(t, err)
	m := NewMachine(p, Begin{Input: input, At: 1000})
	got := history{Definition: h.Definition, Input: h.Input, Events: h.Events, Effects: [][]string{told(m.Effects())}}
	for _, text := range h.Events {
		e, err := DecodeEvent(text)
		require.NoError(t, err)
		require.True(t, m.Apply(e), "%s does not fit any more", text)
		got.Effects = append(got.Effects, told(m.Effects()))
	}
	got.Status, got.Output = m.Status(), Encode(m.Output())
	for _, w := range m.Pending() {
		got.Waits = append(got.Waits, fmt.Sprintf("%s %s %d %d", w.Path, w.What, w.Since, w.Due))
	}
	return got
}

// TestGoldenHistories replays what releases have recorded.
func TestGoldenHistories(t *testing.T) {
	t.Parallel()
	if *record {
		recordHistories(t)
	}
	names, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.Len(t, names, 40)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var h history
		require.NoError(t, json.Unmarshal(text, &h))
		got, err := json.Marshal(h.replay(t))
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(got), name)
	}
}

// recordHistories lets the simulation's workflows run, and keeps what is recorded of some.
func recordHistories(t *testing.T) {
	t.Helper()
	require.NoError(t, os.MkdirAll("testdata/histories", 0o755))
	for i := range uint64(40) {
		definition := (&drawn{r: rand.New(rand.NewPCG(i, 1))}).definition()
		p, err := Parse(definition)
		require.NoError(t, err)
		w := newWorld(i*10+i%10, p, 0)
		require.NoError(t, w.run())
		h := &history{Definition: definition, Input: Encode(w.begin.Input)}
		for _, e := range w.log {
			h.Events = append(h.Events, e)
		}
		if i%4 == 0 {
			h.Events = h.Events[:len(h.Events)/2] // one that is under way
		}
		got := h.replay(t)
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		require.NoError(t, enc.Encode(&got))
		require.NoError(t, os.WriteFile(fmt.Sprintf("testdata/histories/0.1-%02d.json", i), text.Bytes(), 0o644))
	}
}

var example = regexp.MustCompile("(?s)```json\n(.*?)```")

// TestDocumentedExamples takes the examples of docs/WORKFLOWS.md.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/WORKFLOWS.md")
	require.NoError(t, err)
	found := example.FindAllSubmatch(text, -1)
	require.NotEmpty(t, found)
	for _, one := range found {
		_, err := Parse(bytes.ReplaceAll(one[1], []byte("<project>"), []byte("p")))
		require.NoError(t, err)
	}
}

// TestSchemaKnowsEveryField compares the names of the schema with those that the parser reads.
func TestSchemaKnowsEveryField(t *testing.T) {
	t.Parallel()
	var schema any
	require.NoError(t, json.Unmarshal(Schema(), &schema))
	source, err := os.ReadFile("definition.go")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b(?:o|e|f|r|t|s|c|d|b|a|ref)\.?(?:text|word2?|choice|flag|number|whole|list|inner|take)\("([a-z_]+)"`).FindAllSubmatch(source, -1) {
		known[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?:filter|field|exitOf)\((?:o|f), "([a-z_]+)"`).FindAllSubmatch(source, -1) {
		known[string(m[1])] = true
	}
	var walk func(v any)
	inSchema := map[string]bool{}
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					inSchema[name] = true
				}
			}
			for _, field := range v {
				walk(field)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(schema)
	require.Equal(t, known, inSchema)
}

// TestFaultsNameTheirPath shows what is said of a definition that is wrong.
func TestFaultsNameTheirPath(t *testing.T) {
	t.Parallel()
	sleep := func(id, next string) string {
		return `{"id":"` + id + `","name":"s","type":"Sleep","duration":1,` + next + `}`
	}
	for states, want := range map[string]string{
		sleep("a", `"transition":"b"`):                                        `states[0].transition is "b"`,
		sleep("a", `"transition":"b"`) + "," + sleep("b", `"transition":"a"`): `states lead in a ring at b -> a`,
		sleep("a", `"end":true`) + "," + sleep("b", `"end":true`):             `states[1] (id "b") is not reached`,
		sleep("a", `"end":true`) + "," + sleep("a", `"end":true`):             `states[1].id "a" is that of states[0] too`,
		sleep("a", `"end":true,"transition":"a"`):                             `states[0].transition must name`,
		sleep("a", `"end":true,"colour":"red"`):                               `states[0].colour is no field that is known here`,
		`{"id":"a","name":"s","type":"Sleep","end":true}`:                     `states[0].duration is missing`,
		`{"id":"a","name":"s","type":"Sleep","duration":90000,"end":true}`:    `states[0].duration must be 0.001 to 86400`,
		`{"id":"a","name":"s","type":"sleep","end":true}`:                     `states[0].type is "sleep"`,
		`{"id":"a","name":"s","type":"Operation","actions":[],"end":true}`:    `states[0].actions must have 1 to 10 items`,
		`{"id":"a","name":"a b","type":"End"}`:                                `states[0].name may hold`,
		fmt.Sprintf(strings.Replace(op, `"f"`, `"x"`, 1), "{}", ""):           `states[0].actions[0].function_ref.ref_name is "x"`,
		fmt.Sprintf(op, `{"a":{"b":["$["]}}`, ""):                             `states[0].actions[0].function_ref.arguments.a.b[0]: `,
		fmt.Sprintf(op, `{"a":"$..x..y"}`, ""):                                `more than one '..'`,
		fmt.Sprintf(op, `{"a":"$.x | what"}`, ""):                             `the default "what" must be`,
		fmt.Sprintf(op, "{}", `,"on_errors":[{"error":"$.a = 1"}]`):           `states[0].on_errors[0].error the condition "$.a = 1" cannot be read`,
		fmt.Sprintf(op, "{}", `,"on_errors":[{"error":"$.a < 'x'"}]`):         `< compares numbers only`,
		fmt.Sprintf(op, "{}", `,"on_errors":[{"retry_ref":"none"}]`):          `states[0].on_errors[0].retry_ref is "none"`,
		`{"id":"a","name":"s","type":"parallel","end":true,"branches":[{"name":"x","start":"b","states":[` + sleep("b", `"transition":"a"`) + `]}]}`: `states[0].branches[0].states[0].transition is "a"`,
	} {
		_, err := Parse(definition(states))
		require.ErrorContains(t, err, want, states)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
	}
	_, err := Parse(definition(`{"id":"a","name":"s","type":"callback","end":true}`, `"mode":"EXPRESS"`))
	require.ErrorContains(t, err, `states[0].type is callback, which a workflow of mode EXPRESS cannot have`)
	many := sleep("a", `"transition":"s1"`)
	for i := 1; i <= faas.MaxFlowStates; i++ {
		many += "," + sleep(fmt.Sprintf("s%d", i), `"end":true`)
	}
	_, err = Parse(definition(many))
	require.ErrorContains(t, err, "states must have 1 to 100 items, not 101")
}
