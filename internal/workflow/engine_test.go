package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
	"github.com/hanshu-faas/hanshu/internal/workflow"
)

// bench is an engine over a database, with functions that are Go.
type bench struct {
	*workflow.Engine
	t         testing.TB
	db        *store.DB
	functions map[string]func(ctx context.Context, c workflow.Invocation) (*faas.Result, error)

	mu       sync.Mutex
	called   map[string]int // by run, state and attempt
	enqueued []workflow.Invocation
}

func openDB(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newBench(t testing.TB, url string, set func(*workflow.Config)) *bench {
	t.Helper()
	b := &bench{t: t, db: openDB(t, url), called: map[string]int{}, functions: map[string]func(context.Context, workflow.Invocation) (*faas.Result, error){}}
	cfg := workflow.Config{Store: b.db, Invoker: b, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(), Poll: 20 * time.Millisecond}
	if set != nil {
		set(&cfg)
	}
	b.Engine = workflow.New(cfg)
	return b
}

func sqlite(t testing.TB) string { return freshtest.SQLite(t) }

func (b *bench) start() *bench {
	b.t.Helper()
	require.NoError(b.t, b.Start(context.Background()))
	b.t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(b.t, b.Stop(ctx))
}

// Invoke calls the Go function of the name; "echo" gives its event back.
func (b *bench) Invoke(ctx context.Context, c workflow.Invocation) (*faas.Result, error) {
	b.mu.Lock()
	b.called[fmt.Sprintf("%s %s %d", c.Origin.Run, c.Origin.State, c.Origin.Attempt)]++
	f := b.functions[c.URN.Name]
	b.mu.Unlock()
	if f == nil {
		return &faas.Result{Output: c.Event}, nil
	}
	return f(ctx, c)
}

func (b *bench) Enqueue(_ context.Context, c workflow.Invocation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enqueued = append(b.enqueued, c)
	return nil
}

func (b *bench) set(name string, f func(ctx context.Context, c workflow.Invocation) (*faas.Result, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.functions[name] = f
}

// flow stores a workflow of states.
func (b *bench) flow(name, states string, more ...string) *faas.Flow {
	b.t.Helper()
	extra := ""
	for _, m := range more {
		extra += "," + m
	}
	text := fmt.Sprintf(`{"name":%q,"start":"a","functions":[{"name":"echo","operation":"echo"},{"name":"f","operation":"f"}],"constants":{},
		"retries":[{"name":"once","delay":1,"max_attempts":1}],"states":[%s]%s}`, name, states, extra)
	p, err := workflow.Parse([]byte(text))
	require.NoError(b.t, err)
	f := &faas.Flow{ID: "id-" + name, Project: "p", Name: name, Mode: p.Mode, Definition: text, CreatedAt: time.Now(), ModifiedAt: time.Now()}
	require.NoError(b.t, b.db.CreateFlow(b.t.Context(), f, nil, 10))
	return f
}

func (b *bench) begin(f *faas.Flow, id, input string) faas.FlowRun {
	b.t.Helper()
	r, err := b.StartRun(b.t.Context(), f, faas.FlowStart{ID: id, Input: []byte(input)})
	require.NoError(b.t, err)
	return r
}

// await waits until a run has a status.
func (b *bench) await(f *faas.Flow, id string, status faas.FlowStatus) faas.FlowRun {
	b.t.Helper()
	var r faas.FlowRun
	require.Eventually(b.t, func() bool {
		var err error
		r, err = b.db.FlowRun(b.t.Context(), f.ID, id)
		require.NoError(b.t, err)
		return r.Status == status
	}, time.Minute, 5*time.Millisecond, "%s never became %s", id, status)
	return r
}

const (
	callEcho = `"type":"Operation","actions":[{"function_ref":{"ref_name":"echo"}}]`
	callF    = `"type":"Operation","actions":[{"function_ref":{"ref_name":"f"}}]`
)

func TestRunToTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	f := b.flow("flow", `{"id":"a","name":"a",`+callEcho+`,"transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`)
	r := b.begin(f, "one", `{"n":1}`)
	require.Equal(t, "one", r.ID)
	done := b.await(f, "one", faas.FlowDone)
	require.JSONEq(t, `{"n":1}`, string(done.Output))
	require.Equal(t, 2, done.Events)
	again := b.begin(f, "one", `{"n":2}`)
	require.Equal(t, r.Seq, again.Seq, "the same id is the same run")
	require.Equal(t, map[string]int{"one a 1": 1, "one b 1": 1}, b.called)

	view, err := b.Show(t.Context(), f.ID, "one")
	require.NoError(t, err)
	require.Len(t, view.Attempts, 2)
	require.NotEmpty(t, view.Attempts[0].Calls[0].RequestID)
	require.Empty(t, view.Waits)
	sums, err := b.db.FlowSums(t.Context(), "p", "", 0, 1<<40)
	require.NoError(t, err)
	require.EqualValues(t, 1, sums[0].Started)
	require.EqualValues(t, 1, sums[0].Ended)
}

func TestFailureAndRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	f := b.flow("flow", `{"id":"a","name":"a",`+callEcho+`,"transition":"b"},{"id":"b","name":"b",`+callF+`,"end":true}`)
	b.set("f", func(context.Context, workflow.Invocation) (*faas.Result, error) {
		return &faas.Result{Failure: &faas.Failure{Code: faas.CodeException, Type: "ValueError", Message: "no"}}, nil
	})
	b.begin(f, "one", `1`)
	r := b.await(f, "one", faas.FlowFailed)
	require.JSONEq(t, `{"errorCode":500,"errorType":"ValueError","errorMessage":"no","state":"b"}`, string(r.Fault))
	require.Equal(t, faas.CodeConflict, faas.CodeOf(b.StopRun(t.Context(), f.ID, "one")))
	b.set("f", nil)
	require.NoError(t, b.RetryRun(t.Context(), f.ID, "one"))
	b.await(f, "one", faas.FlowDone)
	require.Equal(t, map[string]int{"one a 1": 1, "one b 1": 1, "one b 2": 1}, b.called)
	require.Equal(t, faas.CodeConflict, faas.CodeOf(b.RetryRun(t.Context(), f.ID, "one")))
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(b.RetryRun(t.Context(), f.ID, "two")))
}

// TestEndedAtItsBeginning retries a run that ended before anything was recorded of it.
func TestEndedAtItsBeginning(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	f := b.flow("flow", `{"id":"a","name":"a","type":"switch","data_conditions":[{"condition":"$.never","end":true}]}`)
	require.Equal(t, faas.FlowFailed, b.begin(f, "one", `{}`).Status)
	require.NoError(t, b.RetryRun(t.Context(), f.ID, "one"))
	require.Equal(t, 1, b.await(f, "one", faas.FlowFailed).Events)
}

// TestSleepersAreRows lets runs wait: none is held by the engine meanwhile, and each goes on in time, on the next engine too.
func TestSleepersAreRows(t *testing.T) {
	t.Parallel()
	url := sqlite(t)
	b := newBench(t, url, func(c *workflow.Config) { c.Doze = 10 * time.Millisecond }).start()
	f := b.flow("flow", `{"id":"a","name":"a","type":"Sleep","duration":0.3,"transition":"b"},{"id":"b","name":"b",`+callEcho+`,"transition":"c"},
		{"id":"c","name":"c","type":"Sleep","duration":0.3,"transition":"d"},{"id":"d","name":"d",`+callEcho+`,"end":true}`)
	for i := range 50 {
		r := b.begin(f, fmt.Sprint(i), `{}`)
		require.True(t, r.Asleep)
	}
	for i := range 25 {
		b.await(f, fmt.Sprint(i), faas.FlowDone)
	}
	b.stop()
	again := newBench(t, url, nil).start()
	for i := range 50 {
		r := again.await(f, fmt.Sprint(i), faas.FlowDone)
		require.GreaterOrEqual(t, r.EndedAt.Sub(r.BeganAt), 600*time.Millisecond)
	}
}

func TestCallbackSurvivesTheServer(t *testing.T) {
	t.Parallel()
	url := sqlite(t)
	b := newBench(t, url, nil).start()
	f := b.flow("flow", `{"id":"a","name":"a","type":"callback","transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`)
	b.begin(f, "one", `{}`)
	require.Equal(t, faas.CodeConflict, faas.CodeOf(b.Answer(t.Context(), f.ID, "one", "b", nil, "", false)))
	view, err := b.Show(t.Context(), f.ID, "one")
	require.NoError(t, err)
	require.Equal(t, "callback", view.Waits[0].What)
	b.stop()
	b = newBench(t, url, nil).start()
	require.NoError(t, b.Answer(t.Context(), f.ID, "one", "a", []byte(`{"yes":true}`), "", false))
	require.JSONEq(t, `{"yes":true}`, string(b.await(f, "one", faas.FlowDone).Output))
	require.Equal(t, faas.CodeConflict, faas.CodeOf(b.Answer(t.Context(), f.ID, "one", "a", nil, "", false)))
}

func TestCancelEndsCallsAndSubflows(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	begun, over := make(chan struct{}), make(chan struct{})
	b.set("f", func(ctx context.Context, _ workflow.Invocation) (*faas.Result, error) {
		close(begun)
		<-ctx.Done()
		close(over)
		return nil, faas.Errorf(faas.CodeCancelled, "", "cut off")
	})
	inner := b.flow("inner", `{"id":"a","name":"a",`+callF+`,"end":true}`)
	outer := b.flow("outer", `{"id":"a","name":"a","type":"subflow","sub_flow_ref":{"workflow_id":"inner"},"end":true}`)
	b.begin(outer, "one", `{}`)
	<-begun
	require.NoError(t, b.StopRun(t.Context(), outer.ID, "one"))
	b.await(outer, "one", faas.FlowCancelled)
	<-over
	runs, total, err := b.db.FlowRuns(t.Context(), faas.FlowRunFilter{Flow: inner.ID, Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
	b.await(inner, runs[0].ID, faas.FlowCancelled)
}

func TestSubflows(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	b.flow("inner", `{"id":"a","name":"a",`+callEcho+`,"end":true}`)
	outer := b.flow("outer", `{"id":"a","name":"a","type":"foreach","input_collection":"$.list","concurrency":0,"end":true,"start":"s",
		"states":[{"id":"s","name":"s","type":"subflow","sub_flow_ref":{"workflow_id":"urn:fss:r:p:workflow:default:inner:latest","arguments":{"v":"$.item"}},"end":true}]}`)
	self := b.flow("self", `{"id":"a","name":"a","type":"subflow","sub_flow_ref":{"workflow_id":"self"},"end":true}`)
	lost := b.flow("lost", `{"id":"a","name":"a","type":"subflow","sub_flow_ref":{"workflow_id":"nobody"},"end":true}`)
	b.begin(outer, "one", `{"list":[1,2,3,4,5,6,7,8]}`)
	b.begin(self, "one", `{}`)
	b.begin(lost, "one", `{}`)
	require.JSONEq(t, `{"list":[1,2,3,4,5,6,7,8],"result":[{"v":1},{"v":2},{"v":3},{"v":4},{"v":5},{"v":6},{"v":7},{"v":8}]}`,
		string(b.await(outer, "one", faas.FlowDone).Output))
	require.Contains(t, string(b.await(self, "one", faas.FlowFailed).Fault), "deep")
	require.Contains(t, string(b.await(lost, "one", faas.FlowFailed).Fault), `"errorCode":404`)
}

// TestSubflowsInTurn has subflows end one after another while a call keeps the run in memory.
func TestSubflowsInTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	release := make(chan struct{})
	b.set("f", func(ctx context.Context, _ workflow.Invocation) (*faas.Result, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return &faas.Result{Output: []byte("1")}, nil
	})
	ended := make(chan struct{}, 5)
	b.set("echo", func(_ context.Context, c workflow.Invocation) (*faas.Result, error) {
		ended <- struct{}{}
		return &faas.Result{Output: c.Event}, nil
	})
	b.flow("inner", `{"id":"a","name":"a",`+callEcho+`,"end":true}`)
	outer := b.flow("outer", `{"id":"a","name":"a","type":"parallel","end":true,"branches":[
		{"name":"held","start":"h","states":[{"id":"h","name":"h",`+callF+`,"end":true}]},
		{"name":"turns","start":"e","states":[{"id":"e","name":"e","type":"foreach","input_collection":"$.list","end":true,"start":"s",
			"states":[{"id":"s","name":"s","type":"subflow","sub_flow_ref":{"workflow_id":"inner"},"end":true}]}]}]}`)
	b.begin(outer, "one", `{"list":[1,2,3,4,5]}`)
	for range 5 {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("the next subflow was never started")
		}
	}
	close(release)
	b.await(outer, "one", faas.FlowDone)
}

func TestDeletedWorkflow(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), nil).start()
	over := make(chan struct{})
	begun := make(chan struct{})
	b.set("f", func(ctx context.Context, _ workflow.Invocation) (*faas.Result, error) {
		close(begun)
		<-ctx.Done()
		close(over)
		return nil, ctx.Err()
	})
	inner := b.flow("inner", `{"id":"a","name":"a",`+callF+`,"end":true}`)
	outer := b.flow("outer", `{"id":"a","name":"a","type":"subflow","sub_flow_ref":{"workflow_id":"inner"},"end":true}`)
	b.begin(outer, "one", `{}`)
	<-begun
	require.NoError(t, b.db.DeleteFlow(t.Context(), "p", inner.ID, workflow.GoneNote()))
	b.Forget(inner.ID)
	<-over
	require.Contains(t, string(b.await(outer, "one", faas.FlowFailed).Fault), "deleted")
}

func TestExpress(t *testing.T) {
	t.Parallel()
	url := sqlite(t)
	b := newBench(t, url, nil).start()
	f := b.flow("flow", `{"id":"a","name":"a",`+callEcho+`,"transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`, `"mode":"EXPRESS"`)
	r, err := b.RunNow(t.Context(), f, faas.FlowStart{Input: []byte(`{"n":1}`)})
	require.NoError(t, err)
	require.Equal(t, faas.FlowDone, r.Status)
	require.JSONEq(t, `{"n":1}`, string(r.Output))
	require.Eventually(t, func() bool { _, err := b.db.FlowRun(t.Context(), f.ID, r.ID); return err == nil }, 5*time.Second, time.Millisecond)

	begun := make(chan struct{}, 2)
	b.set("echo", func(ctx context.Context, c workflow.Invocation) (*faas.Result, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	b.begin(f, "later", `{"n":2}`)
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, b.Stop(ctx), "cut off")
	again := newBench(t, url, nil).start()
	require.JSONEq(t, `{"n":2}`, string(again.await(f, "later", faas.FlowDone).Output))
	_, err = again.RunNow(t.Context(), again.flow("normal", `{"id":"a","name":"a","type":"End"}`), faas.FlowStart{Input: []byte(`{}`)})
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err))
}

// TestManyRunsFewPlaces starts more runs than may be held.
func TestManyRunsFewPlaces(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), func(c *workflow.Config) { c.Runs, c.Slots = 20, 4 }).start()
	f := b.flow("flow", `{"id":"a","name":"a",`+callEcho+`,"transition":"b"},{"id":"b","name":"b",`+callEcho+`,"end":true}`)
	for i := range 120 {
		b.begin(f, fmt.Sprint(i), `{}`)
	}
	for i := range 120 {
		b.await(f, fmt.Sprint(i), faas.FlowDone)
	}
	require.Len(t, b.called, 240)
	for what, n := range b.called {
		require.Equal(t, 1, n, what)
	}
}

func TestDetachedAndLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqlite(t), func(c *workflow.Config) { c.History = 2 << 20 }).start()
	f := b.flow("flow", `{"id":"a","name":"a","type":"Operation","actions":[{"function_ref":{"ref_name":"f","invoke_mode":"asynchronize"}}],"end":true}`)
	b.begin(f, "one", `{"x":1}`)
	var out struct {
		RequestID string `json:"request_id"`
	}
	require.NoError(t, json.Unmarshal(b.await(f, "one", faas.FlowDone).Output, &out))
	require.Len(t, b.enqueued, 1)
	require.Equal(t, b.enqueued[0].ID, out.RequestID)
	require.JSONEq(t, `{"x":1}`, string(b.enqueued[0].Event))

	big := b.flow("big", `{"id":"a","name":"a",`+callF+`,"end":true}`)
	b.set("f", func(context.Context, workflow.Invocation) (*faas.Result, error) {
		return &faas.Result{Output: Big(faas.MaxFlowResult)}, nil
	})
	b.begin(big, "one", `{}`)
	require.Contains(t, string(b.await(big, "one", faas.FlowFailed).Fault), "1048576 is the limit")
	_, err := b.StartRun(t.Context(), big, faas.FlowStart{Input: Big(faas.MaxFlowInput)})
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
	_, err = b.StartRun(t.Context(), big, faas.FlowStart{Input: []byte("{")})
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))

	history := b.flow("history", `{"id":"a","name":"a","type":"foreach","input_collection":"$.list","end":true,"start":"s","states":[{"id":"s","name":"s",`+callF+`,"end":true}]}`)
	b.set("f", func(context.Context, workflow.Invocation) (*faas.Result, error) {
		return &faas.Result{Output: Big(100_000)}, nil
	})
	list := make([]int, 40)
	text, err := json.Marshal(map[string]any{"list": list})
	require.NoError(t, err)
	b.begin(history, "one", string(text))
	require.Contains(t, string(b.await(history, "one", faas.FlowFailed).Fault), `"errorCode":413`)
}

// Big gives a JSON text of n+2 bytes.
func Big(n int) []byte {
	text := make([]byte, n+2)
	for i := range text {
		text[i] = 'x'
	}
	text[0], text[n+1] = '"', '"'
	return text
}
