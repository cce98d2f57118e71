package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/record"
)

// bench is the face behind a real mux, with a real record of runs and an invoker to fill it.
type bench struct {
	*httpkit.Mux
	invoker *invoke.Invoker
	healthy error
	answer  func() (*faas.Result, error) // of the next calls
	events  []string                     // of the calls so far
}

func (b *bench) Function(_ context.Context, key faas.FunctionKey) (*faas.Function, error) {
	return &faas.Function{Project: key.Project, Package: key.Package, Name: key.Name, Version: key.Version}, nil
}

func (b *bench) Run(_ context.Context, _ *faas.Function, call faas.Invocation) (*faas.Result, error) {
	b.events = append(b.events, string(call.Event))
	return b.answer()
}

func (b *bench) Exchange(context.Context, *faas.Function, faas.Invocation, func(faas.Backend) error) (*faas.Result, error) {
	return b.answer()
}

// Authenticate knows a caller by a header that names the project.
func (b *bench) Authenticate(r *http.Request, _ func() ([]byte, error)) (faas.Principal, error) {
	project := r.Header.Get("X-Test-Project")
	if project == "" {
		return faas.Principal{}, faas.Errorf(faas.CodeUnauthenticated, "", "who are you?")
	}
	return faas.Principal{ProjectID: project}, nil
}

func (b *bench) Can(_ context.Context, p faas.Principal, action auth.Action, r auth.Resource) error {
	if p.ProjectID != r.ProjectID || action == auth.ActionWrite {
		return faas.Errorf(faas.CodeForbidden, "project", "not yours")
	}
	return nil
}

func (b *bench) Alias(_ context.Context, _ faas.FunctionKey, name string) (*faas.Alias, error) {
	return nil, faas.NotFound("alias", name)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{answer: func() (*faas.Result, error) { return &faas.Result{}, nil }}
	counters := metrics.NewSet()
	records, err := record.Open(record.Config{Dir: t.TempDir(), MaxEvent: 100, Log: slog.New(slog.DiscardHandler), Metrics: counters})
	require.NoError(t, err)
	require.NoError(t, records.Start(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, records.Stop(context.Background()))
		require.NoError(t, records.Close())
	})
	b.invoker = invoke.New(invoke.Config{Functions: b, Runner: b, Records: records, Metrics: counters})
	mux, err := httpkit.NewMux(httpkit.MuxConfig{Authenticator: b, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, admin.New(admin.Config{
		Permissions: b, Runs: records, Invoker: b.invoker, WriteMetrics: counters.Write,
		Status:   func() admin.Status { return admin.Status{Version: "v1", Database: "sqlite"} },
		Runtimes: func() []admin.Runtime { return []admin.Runtime{{Name: "Python3.9", Status: "exact"}} },
		Healthy:  func(context.Context) error { return b.healthy },
	}))
	require.NoError(t, err)
	b.Mux = mux
	return b
}

// call runs a call of function f of project p.
func (b *bench) call(t *testing.T, id string) {
	t.Helper()
	_, err := b.invoker.Invoke(t.Context(), invoke.Request{
		Key:  faas.FunctionKey{Project: "p", Package: "default", Name: "f"},
		Call: faas.Invocation{ID: id, Source: faas.SourceAPI, Event: []byte(`{"of":"` + id + `"}`)},
	})
	if err != nil {
		require.NotEqual(t, "internal", string(faas.CodeOf(err)))
	}
}

// get asks as the owner of project p, from this machine.
func (b *bench) get(ctx context.Context, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.RemoteAddr = "127.0.0.1:5000"
	r.Header.Set("X-Test-Project", "p")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

const runsPath = "/admin/v1/projects/p/functions/default/f/runs"

type runs struct {
	Next int64
	Runs []struct {
		Seq     int64
		ID      string
		Source  string
		Parent  string
		Event   *string
		Status  string
		Message string
		TookMS  float64 `json:"took_ms"`
		Dropped int64
		Logs    []struct{ Level, Text string }
	}
}

func readRuns(t *testing.T, w *httptest.ResponseRecorder) runs {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var got runs
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	return got
}

func TestRuns(t *testing.T) {
	b := newBench(t)
	require.JSONEq(t, `{"runs":[],"next":0}`, b.get(t.Context(), runsPath).Body.String(), "none is an empty list")
	b.answer = func() (*faas.Result, error) {
		return &faas.Result{Output: []byte("secret"), Dropped: 7, Logs: []faas.LogLine{{Level: faas.LevelWarn, Text: "careful"}}}, nil
	}
	b.call(t, "first")
	b.answer = func() (*faas.Result, error) {
		return &faas.Result{Failure: &faas.Failure{Code: faas.CodeTimeout, Message: "too slow"}}, nil
	}
	b.call(t, "second")
	b.answer = func() (*faas.Result, error) {
		return nil, &faas.Error{Code: faas.CodeStart, Message: "no instance", Err: errors.New("inner secret")}
	}
	b.call(t, "third")

	w := b.get(t.Context(), runsPath)
	require.NotContains(t, w.Body.String(), "secret", "neither results nor causes are shown")
	all := readRuns(t, w).Runs
	require.Len(t, all, 3)
	require.Equal(t, [3]string{"first", "second", "third"}, [3]string{all[0].ID, all[1].ID, all[2].ID})
	require.Equal(t, [3]string{"ok", "timeout", "start"}, [3]string{all[0].Status, all[1].Status, all[2].Status})
	require.Equal(t, [3]string{"", "too slow", "no instance"}, [3]string{all[0].Message, all[1].Message, all[2].Message})
	require.EqualValues(t, 7, all[0].Dropped)
	require.Equal(t, "careful", all[0].Logs[0].Text)
	require.NotNil(t, all[2].Logs)

	require.Len(t, readRuns(t, b.get(t.Context(), fmt.Sprint(runsPath, "?after=", all[0].Seq))).Runs, 2)
	newest := readRuns(t, b.get(t.Context(), runsPath+"?limit=1"))
	require.Equal(t, "third", newest.Runs[0].ID, "the newest")
	before := readRuns(t, b.get(t.Context(), fmt.Sprint(runsPath, "?limit=1&before=", newest.Next)))
	require.Equal(t, "second", before.Runs[0].ID)
	require.Empty(t, readRuns(t, b.get(t.Context(), "/admin/v1/projects/p/functions/default/other/runs")).Runs)
}

// A call that waits is answered the moment there is a run of its function, and not by those of others.
func TestRunsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.call(t, "first")
		begun := time.Now()
		first := readRuns(t, b.get(t.Context(), runsPath+"?wait=30")).Runs
		require.Len(t, first, 1, "what is there is given at once")
		require.Zero(t, time.Since(begun))

		var work sync.WaitGroup
		work.Go(func() {
			time.Sleep(5 * time.Second) // of the bubble's own clock
			_, err := b.invoker.Invoke(t.Context(), invoke.Request{Key: faas.FunctionKey{Project: "p", Package: "default", Name: "other"}})
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			b.call(t, "second")
		})
		got := readRuns(t, b.get(t.Context(), fmt.Sprint(runsPath, "?after=", first[0].Seq, "&wait=30")))
		require.InDelta(t, 10, time.Since(begun).Seconds(), 0.1)
		require.Equal(t, "second", got.Runs[0].ID)
		work.Wait()

		begun = time.Now()
		require.Empty(t, readRuns(t, b.get(t.Context(), fmt.Sprint(runsPath, "?after=", int64(1)<<61, "&wait=20"))).Runs)
		require.Equal(t, 20*time.Second, time.Since(begun), "the wait ends without a run")

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun = time.Now()
		require.Equal(t, http.StatusBadRequest, b.get(ctx, fmt.Sprint(runsPath, "?after=", int64(1)<<61, "&wait=30")).Code)
		require.Equal(t, 3*time.Second, time.Since(begun), "nobody waits for a caller that went away")
	})
}

// Runs of a project come without logs; one by its id comes whole, and can run again.
func TestRunsOfAProject(t *testing.T) {
	const path = "/admin/v1/projects/p/runs"
	b := newBench(t)
	for i := range 5 {
		b.answer = func() (*faas.Result, error) {
			return &faas.Result{Logs: []faas.LogLine{{Text: "hello"}}, Output: []byte("7")}, nil
		}
		if i == 2 {
			b.answer = func() (*faas.Result, error) {
				return &faas.Result{Failure: &faas.Failure{Code: faas.CodeException, Type: "ValueError", Message: "bad"}}, nil
			}
		}
		b.call(t, fmt.Sprint("call-", i))
	}
	first := readRuns(t, b.get(t.Context(), path+"?limit=3"))
	require.Equal(t, "call-4", first.Runs[0].ID)
	require.Empty(t, first.Runs[0].Logs)
	rest := readRuns(t, b.get(t.Context(), fmt.Sprint(path, "?limit=3&before=", first.Next)))
	require.Equal(t, "call-1", rest.Runs[0].ID)
	require.Zero(t, rest.Next)
	for query, n := range map[string]int{
		"?status=failed": 1, "?status=exception": 1, "?status=timeout": 0, "?function=f": 5, "?function=g": 0, "?source=api&version=latest": 5,
		"?source=timer": 0, "?version=v9": 0, "?from=2020-01-01T00:00:00Z": 5, "?to=2020-01-01T00:00:00Z": 0,
	} {
		require.Len(t, readRuns(t, b.get(t.Context(), path+query)).Runs, n, query)
	}
	for _, query := range []string{"?status=odd", "?from=yesterday", "?before=-1", "?limit=1000"} {
		require.Equal(t, http.StatusBadRequest, b.get(t.Context(), path+query).Code, query)
	}

	one := readRuns(t, b.get(t.Context(), path+"/call-2")).Runs
	require.Len(t, one, 1)
	require.JSONEq(t, `{"of":"call-2"}`, *one[0].Event)
	require.Equal(t, http.StatusNotFound, b.get(t.Context(), path+"/call-9").Code)

	b.answer = func() (*faas.Result, error) { return &faas.Result{Output: []byte(`"now"`)}, nil }
	w := b.get(t.Context(), path+"/call-2/replay", func(r *http.Request) { r.Method = http.MethodPost })
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var again struct{ ID, Of, Status, Output string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &again))
	require.Equal(t, [3]string{"call-2", "ok", `"now"`}, [3]string{again.Of, again.Status, again.Output})
	require.Equal(t, `{"of":"call-2"}`, b.events[len(b.events)-1])
	made := readRuns(t, b.get(t.Context(), path+"?source=replay")).Runs
	require.Len(t, made, 1)
	require.Equal(t, [2]string{again.ID, "call-2"}, [2]string{made[0].ID, made[0].Parent})
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	from := func(address string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = address } }
	as := func(project string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Test-Project", project) }
	}
	for _, c := range []struct {
		name, path string
		change     func(*http.Request)
		status     int
		code       string
	}{
		{"runs of nobody", runsPath, as(""), 401, "unauthenticated"},
		{"runs of another's project", runsPath, as("q"), 403, "forbidden"},
		{"status for nobody", "/admin/v1/status", as(""), 401, "unauthenticated"},
		{"runtimes for nobody", "/admin/v1/runtimes", as(""), 401, "unauthenticated"},
		{"no number", runsPath + "?after=x", nil, 400, "invalid"},
		{"negative", runsPath + "?after=-1", nil, 400, "invalid"},
		{"huge", runsPath + "?after=99999999999999999999", nil, 400, "invalid"},
		{"too many", runsPath + "?limit=501", nil, 400, "invalid"},
		{"too long", runsPath + "?wait=31", nil, 400, "invalid"},
		{"metrics from elsewhere", "/metrics", from("192.0.2.7:5000"), 403, "forbidden"},
		{"metrics from elsewhere, v6", "/metrics", from("[2001:db8::1]:5000"), 403, "forbidden"},
		{"metrics from a private network", "/metrics", from("10.0.0.1:5000"), 403, "forbidden"},
		{"metrics from a strange address", "/metrics", from("@"), 403, "forbidden"},
		{"metrics with a header that claims to be here", "/metrics", func(r *http.Request) {
			r.RemoteAddr = "192.0.2.7:5000"
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
		}, 403, "forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var change []func(*http.Request)
			if c.change != nil {
				change = append(change, c.change)
			}
			w := b.get(t.Context(), c.path, change...)
			require.Equal(t, c.status, w.Code, w.Body.String())
			var body struct {
				Error struct{ Code, Message string }
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.Equal(t, c.code, body.Error.Code)
			require.NotEmpty(t, body.Error.Message)
		})
	}
}

func TestOpenToThisMachine(t *testing.T) {
	b := newBench(t)
	b.call(t, "one")
	nobody := func(r *http.Request) { r.Header.Del("X-Test-Project") }
	for _, address := range []string{"127.0.0.1:5000", "127.9.9.9:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"} {
		w := b.get(t.Context(), "/metrics", nobody, func(r *http.Request) { r.RemoteAddr = address })
		require.Equal(t, http.StatusOK, w.Code, address)
		require.Contains(t, w.Body.String(), `hanshu_calls_total{outcome="ok"} 1`)
		require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	}

	require.JSONEq(t, `{"status":"ok"}`, b.get(t.Context(), "/healthz", nobody).Body.String())
	b.healthy = errors.New("the inner reason")
	w := b.get(t.Context(), "/healthz", nobody)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.JSONEq(t, `{"error":{"code":"unavailable","message":"not ready"}}`, w.Body.String())

	require.Contains(t, b.get(t.Context(), "/admin/v1/status").Body.String(), `"version":"v1"`)
	require.Contains(t, b.get(t.Context(), "/admin/v1/runtimes").Body.String(), `"name":"Python3.9"`)
}

// Whatever goes wrong is answered with a status of its kind; the text of an internal fault stays inside.
func TestErrors(t *testing.T) {
	write := admin.New(admin.Config{}).WriteError
	for _, code := range faas.Codes {
		w := httptest.NewRecorder()
		write(w, httptest.NewRequest(http.MethodGet, "/", nil), faas.Errorf(code, "", "what happened"))
		switch {
		case code == faas.CodeOverload:
			require.Equal(t, http.StatusTooManyRequests, w.Code)
		case code.Fault() == faas.FaultCaller:
			require.Less(t, w.Code, 500, code)
		default:
			require.GreaterOrEqual(t, w.Code, 500, code)
		}
		require.Contains(t, w.Body.String(), string(code))
	}
	w := httptest.NewRecorder()
	write(w, httptest.NewRequest(http.MethodGet, "/", nil), errors.New("inner secret"))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.JSONEq(t, `{"error":{"code":"internal","message":"internal error"}}`, w.Body.String())
}
