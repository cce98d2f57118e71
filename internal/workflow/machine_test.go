package workflow

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// definition wraps states for a test.
func definition(states string, more ...string) []byte {
	extra := ""
	for _, m := range more {
		extra += "," + m
	}
	return []byte(`{"name":"t","start":"a","functions":[{"name":"f","operation":"urn:fss:r:p:function:default:f"},{"name":"g","operation":"default:g"}],
		"constants":{"a":{"b":7}},"retries":[{"name":"twice","delay":1,"max_attempts":2}],"states":[` + states + `]` + extra + `}`)
}

func begin(t *testing.T, def []byte, input string) *Machine {
	t.Helper()
	p, err := Parse(def)
	require.NoError(t, err)
	in, err := Decode([]byte(input))
	require.NoError(t, err)
	return NewMachine(p, Begin{Input: in, At: 1000})
}

// calls lists the calls among the effects, as "task event".
func calls(m *Machine) (all []string) {
	for _, e := range m.Effects() {
		switch {
		case e.Call != nil:
			all = append(all, fmt.Sprintf("%s %s", e.Call.Task, e.Call.Event()))
		case e.Child != nil:
			all = append(all, fmt.Sprintf("%s %s %s", e.Child.Task, e.Child.Flow, e.Child.Input))
		default:
			all = append(all, "drop "+e.Drop)
		}
	}
	return all
}

func (m *Machine) returns(task, output string) bool {
	return m.Apply(Event{Kind: EventReturn, Task: task, Output: []byte(output)})
}

func (m *Machine) fails(task string, code int) bool {
	return m.Apply(Event{Kind: EventReturn, Task: task, Fault: &Fault{Code: code, Type: "x", Message: "no"}})
}

const op = `{"id":"a","name":"a","type":"Operation","end":true,"actions":[{"function_ref":{"ref_name":"f","arguments":%s}}]%s}`

func TestSequence(t *testing.T) {
	m := begin(t, definition(`{"id":"a","name":"a","type":"Operation","transition":"b","action_mode":"sequential","end":false,
		"actions":[{"function_ref":{"ref_name":"f","arguments":{}}},{"function_ref":{"ref_name":"g","arguments":{"x":"$.n","y":"$.z | 'q'","c":"$CONST.a.b","d":"$.z | $CONST.a.b","e":["$.n",true]}}}]},
		{"id":"b","name":"b","type":"Sleep","duration":2,"transition":"c","end":false},{"id":"c","name":"c","type":"End","end":true,"transition":"","action_mode":"","actions":[]}`), `{"n":1}`)
	require.Equal(t, []string{`a@1.1#0 {"n":1}`}, calls(m))
	require.True(t, m.returns("a@1.1#0", `{"n":2}`))
	require.False(t, m.returns("a@1.1#0", `{"n":3}`), "twice")
	require.Equal(t, []string{`a@1.1#1 {"c":7,"d":7,"e":[2,true],"x":2,"y":"q"}`}, calls(m))
	require.True(t, m.returns("a@1.1#1", `{"n":9}`))
	due, ok := m.Due()
	require.True(t, ok)
	require.EqualValues(t, 1000+2e6, due)
	require.False(t, m.Apply(Event{Kind: EventTimer, Task: "b@2.1~sleep", At: due - 1}))
	require.Equal(t, []string{"b@2.1~sleep"}, m.Fires(due))
	require.True(t, m.Apply(Event{Kind: EventTimer, Task: "b@2.1~sleep", At: due}))
	require.Equal(t, faas.FlowDone, m.Status())
	require.Equal(t, `{"n":9}`, string(Encode(m.Output())))
	require.Empty(t, m.tasks)
}

func TestRetryAndCatch(t *testing.T) {
	m := begin(t, definition(fmt.Sprintf(op, "null", `,"on_errors":[{"error":"$.errorCode == 500 && $.errorMessage == 'n*'","retry_ref":"twice","transition":"b"}]`)+
		`,{"id":"b","name":"b","type":"End","end":true}`), `{"n":1}`)
	for i := range 3 {
		m.Effects()
		require.True(t, m.fails(fmt.Sprintf("a@1.%d#0", i+1), 500))
		if i < 2 {
			require.False(t, m.fails(fmt.Sprintf("a@1.%d#0", i+1), 500))
			require.True(t, m.Apply(Event{Kind: EventTimer, Task: fmt.Sprintf("a@1.%d~retry", i+1), At: m.now + 1e6}))
		}
	}
	require.Equal(t, faas.FlowDone, m.Status())
	require.Equal(t, `{"error":{"errorCode":500,"errorMessage":"no","errorType":"x"},"n":1}`, string(Encode(m.Output())))

	m = begin(t, definition(fmt.Sprintf(op, "null", `,"on_errors":[{"error":"$.errorCode == 400","retry_ref":"twice"}]`)), `{"n":1}`)
	m.Effects()
	require.True(t, m.fails("a@1.1#0", 500))
	require.Equal(t, faas.FlowFailed, m.Status())
	require.Equal(t, 500, m.Fault().Code)
	require.True(t, m.Apply(Event{Kind: EventRetry, At: 2000}))
	require.Equal(t, []string{`a@1.2#0 {"n":1}`}, calls(m))
	require.True(t, m.returns("a@1.2#0", `5`))
	require.Equal(t, faas.FlowDone, m.Status())
	require.False(t, m.Apply(Event{Kind: EventRetry, At: 2000}))
	require.False(t, m.Apply(Event{Kind: EventCancel, At: 2000}))
}

func TestSwitchAndInject(t *testing.T) {
	states := `{"id":"a","name":"a","type":"switch","data_conditions":[{"condition":"$.n > 3 && ($.s == 'x*y' || !$.t)","transition":"b"},{"condition":"$.n < 0","end":true}],"default_condition":{"transition":"c"}},
		{"id":"b","name":"b","type":"inject","data":{"way":"b"},"end":true},{"id":"c","name":"c","type":"inject","data":{"way":"c"},"end":true}`
	for input, want := range map[string]string{
		`{"n":4,"s":"x..y","t":true}`: `{"n":4,"s":"x..y","t":true,"way":"b"}`, `{"n":4,"s":"q"}`: `{"n":4,"s":"q","way":"b"}`,
		`{"n":4,"t":1}`: `{"n":4,"t":1,"way":"c"}`, `{"n":-1}`: `{"n":-1}`, `{"n":"4"}`: `{"n":"4","way":"c"}`,
	} {
		m := begin(t, definition(states), input)
		require.Equal(t, faas.FlowDone, m.Status())
		require.Equal(t, want, string(Encode(m.Output())), input)
	}
}

func branches(completion string) []byte {
	one := func(name string) string {
		return fmt.Sprintf(`{"name":"%[1]s","start":"%[1]s","states":[{"id":"%[1]s","name":"s","type":"Operation","end":true,"actions":[{"function_ref":{"ref_name":"f"}}]}]}`, name)
	}
	return definition(`{"id":"a","name":"a","type":"parallel","end":true,"branches":[` + one("x") + "," + one("y") + "," + one("z") + `]` + completion + `}`)
}

func TestParallel(t *testing.T) {
	m := begin(t, branches(""), `{"n":1}`)
	require.Len(t, calls(m), 3)
	require.True(t, m.returns("z@4.1#0", "3"))
	require.True(t, m.returns("x@2.1#0", "1"))
	require.True(t, m.returns("y@3.1#0", "2"))
	require.Equal(t, `{"n":1,"result":{"x":1,"y":2,"z":3}}`, string(Encode(m.Output())))

	m = begin(t, branches(`,"completion_type":"at_least","num_completed":2,"result_path":"r"`), `{"n":1}`)
	m.Effects()
	require.True(t, m.fails("y@3.1#0", 500))
	require.True(t, m.returns("z@4.1#0", "3"))
	require.True(t, m.returns("x@2.1#0", "1"))
	require.Equal(t, `{"n":1,"r":{"x":1,"z":3}}`, string(Encode(m.Output())))

	m = begin(t, branches(`,"completion_type":"any_of"`), `{"n":1}`)
	m.Effects()
	require.True(t, m.returns("y@3.1#0", "3"))
	require.Equal(t, []string{"drop x@2.1#0", "drop z@4.1#0"}, calls(m))
	require.False(t, m.returns("x@2.1#0", "3"))
	require.Equal(t, `{"n":1,"result":{"y":3}}`, string(Encode(m.Output())))

	m = begin(t, branches(``), `{"n":1}`)
	m.Effects()
	require.True(t, m.fails("y@3.1#0", 500))
	require.Equal(t, faas.FlowFailed, m.Status())
	require.Equal(t, []string{"drop x@2.1#0", "drop z@4.1#0"}, calls(m))
}

func TestForeach(t *testing.T) {
	body := `"states":[{"id":"b","name":"b","type":"Operation","end":true,"actions":[{"function_ref":{"ref_name":"f","arguments":{"v":"$.item","i":"$.index"}}}]}]`
	m := begin(t, definition(`{"id":"a","name":"a","type":"foreach","end":true,"input_collection":"$.list","concurrency":2,"start":"b",`+body+`}`), `{"list":[5,6,7]}`)
	require.Equal(t, []string{`a[0]/b@2.1#0 {"i":0,"v":5}`, `a[1]/b@3.1#0 {"i":1,"v":6}`}, calls(m))
	require.True(t, m.returns("a[1]/b@3.1#0", "60"))
	require.Equal(t, []string{`a[2]/b@4.1#0 {"i":2,"v":7}`}, calls(m))
	require.True(t, m.returns("a[2]/b@4.1#0", "70"))
	require.True(t, m.returns("a[0]/b@2.1#0", "50"))
	require.Equal(t, `{"list":[5,6,7],"result":[50,60,70]}`, string(Encode(m.Output())))

	m = begin(t, definition(`{"id":"a","name":"a","type":"foreach","end":true,"input_collection":"$.list","concurrency":0,"interval":1,"start":"b",`+body+`}`), `{"list":[5,6]}`)
	require.Len(t, calls(m), 1)
	require.True(t, m.returns("a[0]/b@2.1#0", "50"))
	require.Empty(t, calls(m))
	require.True(t, m.Apply(Event{Kind: EventTimer, Task: "a@1.1~interval", At: 2e6}))
	require.Len(t, calls(m), 1)

	inject := `"states":[{"id":"b","name":"b","type":"inject","data":{"z":1},"end":true,"state_data_filter":{"output":"$.item"}}]`
	m = begin(t, definition(`{"id":"a","name":"a","type":"foreach","end":true,"input_collection":"$","start":"b",`+inject+`}`), `[1,2,3]`)
	require.Equal(t, `{"result":[1,2,3]}`, string(Encode(m.Output())), "items that end at once")
	m = begin(t, definition(`{"id":"a","name":"a","type":"foreach","end":true,"input_collection":"$","start":"b",`+inject+`}`), `[]`)
	require.Equal(t, `{"result":[]}`, string(Encode(m.Output())))
	m = begin(t, definition(`{"id":"a","name":"a","type":"foreach","end":true,"input_collection":"$.x","start":"b",`+inject+`}`), `[]`)
	require.Equal(t, faas.FlowFailed, m.Status())
}

func TestCallback(t *testing.T) {
	state := `{"id":"a","name":"a","type":"callback","end":true,"timeout":60,"actions":[{"function_ref":{"ref_name":"f"}}]}`
	for _, early := range []bool{true, false} {
		m := begin(t, definition(state), `{"n":1}`)
		require.True(t, m.Waits("a"))
		hear := func() { require.True(t, m.Apply(Event{Kind: EventCallback, Task: "a", Output: []byte(`{"ok":true}`)})) }
		if early {
			hear()
		}
		require.True(t, m.returns("a@1.1#0", "1"))
		if !early {
			hear()
		}
		require.Equal(t, `{"ok":true}`, string(Encode(m.Output())))
		require.False(t, m.Apply(Event{Kind: EventCallback, Task: "a", Output: []byte(`1`)}))
	}
	m := begin(t, definition(state), `{"n":1}`)
	require.True(t, m.Apply(Event{Kind: EventTimer, Task: "a@1.1~timeout", At: 61e6}))
	require.Equal(t, faas.FlowFailed, m.Status())
	require.Equal(t, 504, m.Fault().Code)
	require.Equal(t, []string{`a@1.1#0 {"n":1}`, "drop a@1.1#0"}, calls(m))
}

func TestSubflowAndTimeLimit(t *testing.T) {
	m := begin(t, definition(`{"id":"a","name":"a","type":"subflow","end":true,"sub_flow_ref":{"workflow_id":"other","arguments":{"x":"$.n"}}}`, `"timeout":10`), `{"n":1}`)
	require.Equal(t, []string{`a@1.1~child other {"x":1}`}, calls(m))
	require.False(t, m.returns("a@1.1~child", "1"), "an answer of another kind")
	require.True(t, m.Apply(Event{Kind: EventTimer, Task: runTimer, At: 10e6 + 1000}))
	require.Equal(t, faas.FlowTimedOut, m.Status())
	require.Equal(t, []string{"drop a@1.1~child"}, calls(m))
}
