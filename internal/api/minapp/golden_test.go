package minapp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/minapp"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

var update = flag.Bool("update", false, "write the answers of golden files anew")

// bench is the face over the real stores and identities, with calls that are played.
type bench struct {
	mux     http.Handler
	api     *minapp.API
	db      *store.DB
	project string
	words   map[string]string // what stands in {braces} in a request
	clock   time.Time
	heard   invoke.Request
	job     faas.Job
	noted   []faas.CallRecord
}

func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	db := freshtest.Open(t)
	packages, err := blob.OpenDisk(filepath.Join(dir, "packages"))
	require.NoError(t, err)
	sealer, err := auth.NewSealer(filepath.Join(dir, "key"), true)
	require.NoError(t, err)
	owner, err := auth.EnsureOwner(t.Context(), db, sealer, "local")
	require.NoError(t, err)
	id, secret, err := auth.EnsureClient(t.Context(), db, db, owner.ProjectID)
	require.NoError(t, err)
	b := &bench{db: db, project: owner.ProjectID, clock: time.Date(2018, 9, 26, 1, 21, 26, 0, time.UTC)}
	now := func() time.Time { return b.clock }
	identities, err := auth.New(auth.Config{Store: db, Clients: db, Sealer: sealer, Now: now})
	require.NoError(t, err)
	functions := control.NewFunctions(control.FunctionsConfig{
		Store: db, Packages: packages, Sealer: sealer, Changes: &controltest.Changes{}, Fetcher: controltest.Fetcher{}, Runtimes: controltest.Runtimes{},
		Quota: faas.Quota{Functions: 5, CodeBytes: 1 << 30}, Region: "local", Now: now,
	})
	b.api = minapp.New(minapp.Config{
		Functions: functions, Invoker: b, Access: identities, Logins: identities, Jobs: b, JobList: b, Records: db, Ledger: b, Sealer: sealer,
		Runtime: func() string { return "Node.js20.15" }, Now: now,
	})
	b.mux, err = httpkit.NewMux(httpkit.MuxConfig{Authenticator: identities, Log: slog.New(slog.DiscardHandler), NotFound: minapp.NotFound}, b.api.Face())
	require.NoError(t, err)
	code, _, err := identities.ClientCode(t.Context(), id, secret)
	require.NoError(t, err)
	pair, err := identities.Exchange(t.Context(), id, secret, faas.GrantCode, code)
	require.NoError(t, err)
	user, err := identities.LoginToClient(t.Context(), id, owner.User, owner.Password, "here")
	require.NoError(t, err)
	b.words = map[string]string{
		"{client_id}": id, "{client_secret}": secret, "{token}": pair.Access, "{refresh}": pair.Refresh, "{user_token}": user.Text,
		"{password}": owner.Password, "{project}": owner.ProjectID,
	}
	return b
}

// Invoke plays functions by their names.
func (b *bench) Invoke(_ context.Context, r invoke.Request) (*faas.Result, error) {
	b.heard = r
	failures := map[string]*faas.Failure{
		"throws": {Code: faas.CodeException, Type: "TypeError", Message: "no <way>", Stack: []string{"TypeError: no <way>", "    at index.js:1"}},
		"slow":   {Code: faas.CodeTimeout, Type: "FunctionTimeout", Message: "the function did not finish within 5 seconds and was ended"},
	}
	errs := map[string]error{
		"busy":   faas.Errorf(faas.CodeQueueTimeout, "plan", "100 calls run already"),
		"full":   faas.Errorf(faas.CodeOverload, "function", "10000 calls are waiting for this function already"),
		"broken": errors.New("secret of ours"),
	}
	if err := errs[r.Key.Name]; err != nil {
		return nil, err
	}
	return &faas.Result{
		Output: []byte(`"hello world"`), Failure: failures[r.Key.Name], Run: 12345 * time.Microsecond, MemoryPeak: 36864000,
		Logs: []faas.LogLine{{Time: b.clock, Level: faas.LevelLog, Text: "event.data:  {}"}},
	}, nil
}

func (b *bench) Enqueue(_ context.Context, job faas.Job) error {
	b.job = job
	return nil
}

func (b *bench) Jobs(context.Context, faas.JobFilter) ([]faas.JobStatus, error) { return nil, nil }

func (b *bench) Add(r faas.CallRecord) { b.noted = append(b.noted, r) }

// sample is the job of the published example.
func (b *bench) sample() faas.CallRecord {
	at := func(us int64) time.Time { return time.UnixMicro(us).UTC() }
	return faas.CallRecord{
		ID: "779734", Number: 779734, Function: faas.FunctionKey{Project: b.project, Package: "default", Name: "test"}, Source: "flex_schema",
		Async: true, State: faas.CallDone, CreatedAt: at(1537505171419368), StartedAt: at(1537505171580700), EndedAt: at(1537505171605735),
		MemoryPeak: 78336000, Log: "2018-09-21T04:46:11.580Z LOG event.data:  {}\n",
	}
}

// unsteady is what differs from run to run.
func unsteady() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"<hex40>": regexp.MustCompile(`\b[0-9a-f]{40}\b`), "<hex32>": regexp.MustCompile(`\b[0-9a-f]{32}\b`),
		"Signature=<sealed>": regexp.MustCompile(`Signature=[\w-]+`), `"user_id": <number>`: regexp.MustCompile(`"user_id": \d+`),
		`"id": <user>`: regexp.MustCompile(`"id": \d{12,}`),
	}
}

// send sends a request written as text: method and path, headers, an empty line, the body. The token of the client is added
// where there is no Authorization; "Authorization: none" is none.
func (b *bench) send(t testing.TB, text string) *httptest.ResponseRecorder {
	t.Helper()
	for word, value := range b.words {
		text = strings.ReplaceAll(text, word, value)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := bufio.NewScanner(strings.NewReader(head))
	require.True(t, lines.Scan())
	method, target, ok := strings.Cut(lines.Text(), " ")
	require.True(t, ok, text)
	r := httptest.NewRequest(method, target, strings.NewReader(strings.TrimSpace(body)))
	r.Header.Set("Authorization", "Bearer "+b.words["{token}"])
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		require.True(t, ok, lines.Text())
		r.Header.Set(name, value)
	}
	if r.Header.Get("Authorization") == "none" {
		r.Header.Del("Authorization")
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	return w
}

func pretty(w *httptest.ResponseRecorder) string {
	out := fmt.Sprintf("%d\n", w.Code)
	if w.Body.Len() > 0 {
		var indented bytes.Buffer
		if json.Indent(&indented, w.Body.Bytes(), "", "  ") != nil {
			indented = *w.Body
		}
		out += w.Header().Get("Content-Type") + "\n\n" + indented.String() + "\n"
	}
	for word, pattern := range unsteady() {
		out = pattern.ReplaceAllString(out, word)
	}
	return out
}

// TestGolden sends the requests of each file in order and compares the answers. A file is a list of exchanges, parted by "====":
// the request, "----", the answer. Each exchange is a second after the one before. "go test -update" writes the answers anew.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			b := newBench(t)
			require.NoError(t, b.db.SaveCalls(t.Context(), []faas.CallRecord{b.sample()}))
			var fresh []string
			for exchange := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n====\n") {
				request, answer, _ := strings.Cut(exchange, "\n----\n")
				request = strings.TrimSuffix(request, "\n")
				got := strings.TrimSuffix(pretty(b.send(t, request)), "\n")
				fresh = append(fresh, request+"\n----\n"+got)
				if !*update {
					require.Equal(t, answer, got, request)
				}
				b.clock = b.clock.Add(time.Second)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(fresh, "\n====\n")+"\n"), 0o644))
			}
		})
	}
}

// TestSamples holds answers to the names and kinds of the published samples.
func TestSamples(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.db.SaveCalls(t.Context(), []faas.CallRecord{b.sample()}))
	w := b.send(t, "POST /userve/v1.3/cloud-function/\n\n"+`{"name":"test","function_code":"exports.main = function functionName(event, callback) {\n  callback(null, \"hello world\")\n}"}`)
	require.Equal(t, 201, w.Code, w.Body)
	const function = `{"audit_status":"","created_at":0,"created_by":"","function_code":"","id":0,"name":"","plan_circle":"","remark":"","updated_at":0,"updated_by":""}`
	requireShape(t, function, w.Body.String())
	requireShape(t, `{"meta":{"limit":0,"next":null,"offset":0,"previous":null,"total_count":0},"objects":[`+function+`]}`,
		b.send(t, "GET /userve/v1.3/cloud-function/").Body.String())
	jobs := b.send(t, "GET /userve/v1.3/cloud-function/test/job/").Body.String()
	requireShape(t, `{"meta":{"limit":0,"next":null,"offset":0,"previous":null,"total_count":0},"objects":[{"created_at":0,"finished_at":0,"id":0,
		"mem_usage":0,"service_type":"","source":"","started_at":0,"status":"","user_log_url":""}]}`, jobs)
	for _, text := range []string{"1537505171.419368", "1537505171.605735", "1537505171.5807", `"id":779734`, `"mem_usage":78336000`, `"fulfilled"`, `"batch"`, `"flex_schema"`} {
		require.Contains(t, jobs, text)
	}
}

// requireShape wants the same names with values of the same kinds.
func requireShape(t *testing.T, sample, got string) {
	t.Helper()
	var a, b any
	require.NoError(t, json.Unmarshal([]byte(sample), &a))
	require.NoError(t, json.Unmarshal([]byte(got), &b), got)
	require.Equal(t, shape(a), shape(b), got)
}

func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = shape(e)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, shape(e))
		}
		return out
	}
	return fmt.Sprintf("%T", v)
}

// TestWhatAFunctionHears looks at calls behind the face.
func TestWhatAFunctionHears(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"测试", "other"} {
		w := b.send(t, "POST /oserve/v1.3/cloud-function/\n\n"+`{"name":"`+name+`","function_code":"x"}`)
		require.Equal(t, 201, w.Code, w.Body)
	}
	path := url.PathEscape("测试")
	require.Equal(t, 200, b.send(t, "POST /userve/v1.3/cloud-function/"+path+"/job/\nUser-Agent: me\n\n"+`{"data":{"a":[1]}}`).Code)
	call := b.heard.Call
	require.Equal(t, []any{`{"a":[1]}`, faas.SourceDashboard, minapp.SyncLimit, minapp.SyncPatience}, []any{string(call.Event), call.Source, call.Timeout, call.QueueWait})
	require.JSONEq(t, `{"eventType":"user_dash","request":{"meta":{"ip_address":"192.0.2.1","user_agent":"me"},"user":null}}`, call.Origin)
	require.Regexp(t, `^fn-[0-9a-f]{12}$`, b.heard.Key.Name, "a name that a URN can carry")

	require.Equal(t, 200, b.send(t, "POST /userve/v1.3/cloud-function/other/job/?sync=false\n\n"+`{}`).Code)
	require.Equal(t, []any{"other", "{}", faas.SourceDashboard}, []any{b.job.Key.Name, string(b.job.Event), b.job.Source})
	require.Len(t, b.noted, 1)
	require.Equal(t, []any{b.job.ID, faas.CallWaiting, true}, []any{b.noted[0].ID, b.noted[0].State, b.noted[0].Async})

	require.Equal(t, 200, b.send(t, "POST /hserve/v1/cloud-function/job/\nAuthorization: Hydrogen-r1 {user_token}\nX-Hydrogen-Client-ID: {client_id}\n\n"+`{"function_name":"other"}`).Code)
	require.Contains(t, b.heard.Call.Origin, `"nickname":"admin"`)

	asker := &faas.Function{Project: b.project, Package: "default"}
	text, status, _ := b.api.Call(t.Context(), asker, faas.Invocation{Depth: faas.MaxCallDepth - 1}, "other", nil, true)
	require.Equal(t, []any{`{"code":0,"data":"hello world","error":{}}`, 0}, []any{string(text), status})
	require.Equal(t, []any{faas.MaxCallDepth, faas.SourceFunction}, []any{b.heard.Call.Depth, b.heard.Call.Source})
	_, status, reason := b.api.Call(t.Context(), asker, faas.Invocation{Depth: faas.MaxCallDepth}, "other", nil, true)
	require.Equal(t, 400, status, reason)
	_, status, _ = b.api.Call(t.Context(), &faas.Function{Project: b.project, Package: "staging"}, faas.Invocation{}, "other", nil, true)
	require.Equal(t, 404, status, "of another environment")
	_, status, _ = b.api.Call(t.Context(), asker, faas.Invocation{}, "other", json.RawMessage(`1`), false)
	require.Zero(t, status)
	require.Equal(t, 1, minapp.DepthOf(b.job.Origin))
}

// TestLogAddress holds the address of a log to its time, its job and its seal.
func TestLogAddress(t *testing.T) {
	b := newBench(t)
	require.Equal(t, 201, b.send(t, "POST /userve/v1.3/cloud-function/\n\n"+`{"name":"test","function_code":"x"}`).Code)
	require.NoError(t, b.db.SaveCalls(t.Context(), []faas.CallRecord{b.sample()}))
	var list struct {
		Objects []struct {
			URL string `json:"user_log_url"`
		}
	}
	require.NoError(t, json.Unmarshal(b.send(t, "GET /userve/v1.3/cloud-function/test/job/").Body.Bytes(), &list))
	address, err := url.Parse(list.Objects[0].URL)
	require.NoError(t, err)
	get := func(path string) int { return b.send(t, "GET "+path+"\nAuthorization: none").Code }
	require.Equal(t, 200, get(address.RequestURI()))
	require.Equal(t, 403, get(strings.Replace(address.RequestURI(), "ticket_779734", "ticket_779735", 1)))
	require.Equal(t, 403, get(address.Path))
	b.clock = b.clock.Add(24*time.Hour + time.Second)
	require.Equal(t, 403, get(address.RequestURI()))
}

// TestErrorsAreWhole has a status for every expected failure.
func TestErrorsAreWhole(t *testing.T) {
	for _, code := range faas.Codes {
		require.Contains(t, minapp.Statuses(), code)
	}
}

func FuzzCreate(f *testing.F) {
	f.Add(`{"name":"a","function_code":"x","plan_circle":"P_FREE","remark":"r"}`)
	f.Add(`{"name":"测试/","function_code":"\u0000"}`)
	f.Fuzz(func(t *testing.T, body string) {
		b := newBench(t)
		w := b.send(t, "POST /oserve/v1.3/cloud-function/\n\n"+body)
		require.True(t, json.Valid(w.Body.Bytes()), "%q", w.Body)
		require.Contains(t, []int{201, 400, 413}, w.Code, "%q", w.Body)
	})
}
