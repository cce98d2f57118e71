//go:build linux

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The whole of TestFlowsSurviveKill is -flows=1000 -flow-kills=10; what runs by itself is smaller.
var (
	flowRuns  = flag.Int("flows", 100, "runs of workflows in flight while the server is killed")
	flowKills = flag.Int("flow-kills", 3, "how often it is killed")
)

// flowStep writes which step of which run has called it, and gives back one more than it got, with a number that no other call gives.
// An event that says fail fails on its first attempt, one that says always on every one.
const flowStep = `import os, uuid

def handler(event, context):
    nonce = uuid.uuid4().hex
    f = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(f, ('%s %s %d #%s\n' % (context.getWorkflowRunID(), context.getWorkflowStateID(), context.getWorkflowAttempt(), nonce)).encode())
    os.close(f)
    if event.get('always') or event.get('fail') and context.getWorkflowAttempt() == 1:
        raise ValueError('told to')
    return {'n': event.get('n', 0) + 1, 'nonce': nonce}
`

// step is a state that calls flowStep.
func step(id, next, more string) string {
	to := `"end":true`
	if next != "" {
		to = `"transition":"` + next + `"`
	}
	return `{"id":"` + id + `","name":"` + id + `","type":"Operation","actions":[{"function_ref":{"ref_name":"step"}}],` + to + more + `}`
}

// flowKinds are ten workflows that have every type of state between them.
func flowKinds() map[string]string {
	pause := `{"id":"p","name":"p","type":"Sleep","duration":0.7,"transition":"z"}`
	branch := func(name string) string {
		return `{"name":"` + name + `","start":"` + name + `1","states":[` + step(name+"1", name+"2", "") + `,{"id":"` + name + `2","name":"s","type":"Sleep","duration":0.4,"transition":"` +
			name + `3"},` + step(name+"3", "", "") + `]}`
	}
	return map[string]string{
		"sequence": step("a", "b", "") + "," + step("b", "c", "") + `,{"id":"c","name":"c","type":"End","end":true}`,
		"together": `{"id":"a","name":"a","type":"Operation","action_mode":"parallel","actions":[{"function_ref":{"ref_name":"step"}},{"function_ref":{"ref_name":"step","arguments":{"n":"$.n"}}}],
			"state_data_filter":{"output":"$[1]"},"transition":"p"},` + pause + "," + step("z", "", ""),
		"sleep":  step("a", "p", "") + "," + pause + "," + step("z", "", ""),
		"switch": step("a", "s", "") + `,{"id":"s","name":"s","type":"switch","data_conditions":[{"condition":"$.n > 100","end":true}],"default_condition":{"transition":"p"}},` + pause + "," + step("z", "", ""),
		"fork":   `{"id":"a","name":"a","type":"parallel","branches":[` + branch("x") + "," + branch("y") + `],"transition":"z"},` + step("z", "", ""),
		"any": `{"id":"a","name":"a","type":"parallel","completion_type":"any_of","branches":[` + branch("x") + "," + branch("y") + `],"state_data_filter":{"output":"$.result.*"},"transition":"q"},
			{"id":"q","name":"q","type":"Sleep","duration":0.5,"end":true}`,
		"foreach": `{"id":"i","name":"i","type":"inject","data":{"list":[{"n":1},{"n":2},{"n":3}]},"transition":"a"},{"id":"a","name":"a","type":"foreach","input_collection":"$.list","concurrency":2,
			"start":"b","states":[{"id":"b","name":"b","type":"Operation","actions":[{"function_ref":{"ref_name":"step","arguments":{"n":"$.item.n"}}}],"transition":"w"},
			{"id":"w","name":"w","type":"Sleep","duration":0.3,"end":true}],"end":true}`,
		"retry": `{"id":"i","name":"i","type":"inject","data":{"fail":true},"transition":"a"},` + step("a", "v", `,"on_errors":[{"error":"$.errorType == 'ValueError'","retry_ref":"once"}]`) +
			`,{"id":"v","name":"v","type":"inject","data":{"always":true},"transition":"b"},` + step("b", "z", `,"on_errors":[{"transition":"z"}]`) + `,{"id":"z","name":"z","type":"End","end":true}`,
		"subflow":  step("a", "s", "") + `,{"id":"s","name":"s","type":"subflow","sub_flow_ref":{"workflow_id":"sleep"},"transition":"z"},` + step("z", "", ""),
		"callback": step("a", "c", "") + `,{"id":"c","name":"c","type":"callback","transition":"z"},` + step("z", "", ""),
	}
}

func (h *host) flows() string { return "/v2/" + h.ProjectID + "/fgs/workflows" }

// shownRun is a run as the API shows it.
type shownRun struct {
	Status string          `json:"status"`
	Output json.RawMessage `json:"output"`
	Nodes  []struct {
		ID         string `json:"node_id"`
		Executions []struct {
			Status string
			Output json.RawMessage
		}
	} `json:"node_execution_details"`
}

func (h *host) showRun(ctx context.Context, flow, run string) (shownRun, error) {
	a, err := h.do(ctx, http.MethodGet, h.flows()+"/"+flow+"/executions/"+run, nil, "X-Get-Workflow-Full-History-Data", "true")
	var s shownRun
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%d %s", a.status, a.body)
	}
	if err == nil {
		err = json.Unmarshal(a.body, &s)
	}
	return s, err
}

// flowWatch starts runs, answers their callbacks and notes what is shown of them, while the server comes and goes.
type flowWatch struct {
	t  *testing.T
	mu sync.Mutex
	h  *host
	// seen are results that were shown once: by run, state and attempt.
	seen map[string]string
	done map[string]shownRun
}

func (w *flowWatch) host() *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.h
}

// one takes a run to its end. Whatever fails while the server is away is tried again.
func (w *flowWatch) one(ctx context.Context, flow, id string, n int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started := false
	for {
		h := w.host()
		if !started {
			a, err := h.do(ctx, http.MethodPost, h.flows()+"/"+flow+"/executions", fmt.Appendf(nil, `{"input":{"n":%d}}`, n), "X-WorkflowRun-ID", id)
			started = err == nil && a.status == http.StatusOK
		} else if s, err := h.showRun(ctx, flow, id); err == nil {
			w.note(flow+"/"+id, s)
			if s.Status != "running" {
				w.mu.Lock()
				w.done[flow+"/"+id] = s
				w.mu.Unlock()
				return
			}
			if flow == "callback" {
				_, _ = h.do(ctx, http.MethodPost, h.flows()+"/callback/callback", []byte(`{"result":"success","output":{"n":40}}`),
					"X-Workflow-Run-Id", id, "X-Workflow-State-Id", "c") // too early and twice are refused
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *flowWatch) note(run string, s shownRun) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, node := range s.Nodes {
		for i, e := range node.Executions {
			key := fmt.Sprintf("%s %s %d", run, node.ID, i)
			if was, known := w.seen[key]; known && was != string(e.Output) {
				w.t.Errorf("%s gave %s, and is shown as %s now", key, was, e.Output)
			}
			if e.Status == "success" {
				w.seen[key] = string(e.Output)
			}
		}
	}
}

// withoutNonces gives an output without what differs from call to call.
func withoutNonces(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(text, &v), "%s", text)
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "nonce")
			delete(v, "errorMessage") // names the line of the source
			for _, field := range v {
				strip(field)
			}
		case []any:
			for _, item := range v {
				strip(item)
			}
		}
	}
	strip(v)
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}

// TestFlowsSurviveKill has runs of ten workflows in flight, which have every type of state between them, and kills the server at
// random: all end as they do without that, no result that was shown is lost, and nothing is called again whose result is recorded.
func TestFlowsSurviveKill(t *testing.T) {
	t.Parallel()
	runs, kills := *flowRuns, *flowKills
	if testing.Short() {
		runs, kills = 40, 1
	}
	p := newPlace(t, 0, "--sandbox", "none")
	h := p.start(t)
	file := filepath.Join(filepath.Dir(p.DataDir), "steps")
	h.create(t, function{name: "step", runtime: python, source: strings.Replace(flowStep, "FILE", fmt.Sprintf("%q", file), 1), timeout: 30})
	kinds := flowKinds()
	for name, states := range kinds {
		start := "a"
		if strings.HasPrefix(states, `{"id":"i"`) {
			start = "i"
		}
		a, err := h.do(t.Context(), http.MethodPost, h.flows(), fmt.Appendf(nil, `{"name":%q,"start":%q,"functions":[{"name":"step","operation":"step"}],"constants":{},
			"retries":[{"name":"once","delay":1,"max_attempts":1}],"states":[%s]}`, name, start, states))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
	}
	w := &flowWatch{t: t, h: h, seen: map[string]string{}, done: map[string]shownRun{}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var work sync.WaitGroup
	for name := range kinds {
		work.Go(func() { w.one(ctx, name, name+"-before", 1) })
	}
	work.Wait()
	want := map[string]string{}
	for name := range kinds {
		s := w.done[name+"/"+name+"-before"]
		require.Equal(t, "success", s.Status, "%s: %s", name, s.Output)
		want[name] = withoutNonces(t, s.Output)
	}

	for i := range runs / len(kinds) {
		for name := range kinds {
			work.Go(func() { w.one(ctx, name, fmt.Sprintf("%s-r%d", name, i), 1) })
		}
	}
	for range kills {
		after := time.NewTimer(time.Duration(100+rand.IntN(1200)) * time.Millisecond)
		<-after.C
		w.host().Kill()
		h := p.start(t)
		w.mu.Lock()
		w.h = h
		w.mu.Unlock()
	}
	work.Wait()
	require.Len(t, w.done, runs/len(kinds)*len(kinds)+len(kinds), "all have ended")
	for run, s := range w.done {
		name, _, _ := strings.Cut(run, "/")
		require.Equal(t, "success", s.Status, "%s: %s", run, s.Output)
		require.Equal(t, want[name], withoutNonces(t, s.Output), run)
	}
	checkSteps(t, w, file)
	t.Logf("%d runs ended as without %d kills; %d results were shown and stayed", len(w.done), kills, len(w.seen))
}

// checkSteps holds what is recorded to what the function did: the result of an attempt is that of its last call.
func checkSteps(t *testing.T, w *flowWatch, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	last := map[string]string{}
	for line := range bytes.Lines(text) {
		key, nonce, ok := strings.Cut(strings.TrimSpace(string(line)), " #")
		require.True(t, ok, "%s", line)
		last[key] = nonce
	}
	checked := 0
	for run, s := range w.done {
		_, id, _ := strings.Cut(run, "/")
		for _, node := range s.Nodes {
			for i, e := range node.Executions {
				var out struct{ Nonce string }
				nonce, called := last[fmt.Sprintf("%s %s %d", id, node.ID, i+1)]
				if e.Status != "success" || !called || json.Unmarshal(e.Output, &out) != nil || strings.HasPrefix(id, "together") && node.ID == "a" {
					continue // the attempt failed, or makes two calls
				}
				require.Equal(t, nonce, out.Nonce, "%s %s was called again after its result was recorded", run, node.ID)
				checked++
			}
		}
	}
	require.Positive(t, checked)
}
