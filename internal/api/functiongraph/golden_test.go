package functiongraph_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/templates"
	"github.com/hanshu-faas/hanshu/internal/trigger/all"
	"github.com/hanshu-faas/hanshu/internal/trigger/timer"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

var update = flag.Bool("update", false, "write the answers of golden files anew")

const project = "7aad83af3e8d42e99ac194e8419e2c9b"

// bench is the face over control.
type bench struct {
	mux     http.Handler
	invoker *scripted
	jobs    *keptJobs
	pkgs    *controltest.Packages // nil on disk
	made    []string              // ids of triggers, events and applications, {t1} and so on in golden files
}

// zipped is a zip with one file, index.py.
const zipped = "UEsDBBQAAAAAAACAw1C0CHBpLgAAAC4AAAAIAAAAaW5kZXgucHlkZWYgaGFuZGxlcihldmVudCwgY29udGV4dCk6CiAgICByZXR1cm4gZXZlbnQKUEsBAhQDFAAAAAAAAIDDULQIcGkuAAAALgAAAAgAAAAAAAAAAAAAAKQBAAAAAGluZGV4LnB5UEsFBgAAAAABAAEANgAAAFQAAAAAAA=="

// newBench keeps everything in memory.
func newBench(t testing.TB, quota faas.Quota) *bench {
	pkgs := controltest.NewPackages()
	b := benchOver(t, quota, controltest.NewStore(), pkgs)
	b.pkgs = pkgs
	return b
}

// newDiskBench keeps functions in a database and packages on disk, as the server does.
func newDiskBench(t testing.TB, quota faas.Quota) *bench {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "test.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	pkgs, err := blob.OpenDisk(filepath.Join(dir, "packages"))
	require.NoError(t, err)
	return benchOver(t, quota, db, pkgs)
}

func benchOver(t testing.TB, quota faas.Quota, functionStore control.FunctionStore, pkgs control.PackageStore) *bench {
	t.Helper()
	b := &bench{}
	asyncStore, ok := functionStore.(control.AsyncStore)
	if !ok {
		asyncStore = noAsync{}
	}
	remote, err := base64.StdEncoding.DecodeString(zipped)
	require.NoError(t, err)
	beside, _ := functionStore.(besideStore)
	functions := control.NewFunctions(control.FunctionsConfig{
		Tags: beside, MaxReserved: 90,
		Store: functionStore, Packages: pkgs, Sealer: controltest.Sealer{}, Changes: &controltest.Changes{},
		Fetcher:  controltest.Fetcher{"https://test.obs.xxx.xxx.com/fss_examples_python2.7.zip": remote},
		Runtimes: controltest.Runtimes{}, Quota: quota, Region: "local", Dependencies: finderOf(functionStore),
		Now: func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
	})
	b.invoker = &scripted{functions: functions}
	dependencies := dependenciesOver(functionStore, pkgs, remote)
	b.jobs = &keptJobs{}
	triggers := triggersOver(t, functionStore)
	versions, _ := functionStore.(control.VersionStore)
	made, err := templates.All()
	require.NoError(t, err)
	now := func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) }
	face := functiongraph.New(functiongraph.Config{
		Events: control.NewTestEvents(beside, functions, now), Tags: control.NewTags(beside, functions),
		Applications: control.NewApplications(control.ApplicationsConfig{Store: beside, Functions: functions, Triggers: triggers, Templates: made, Now: now}),
		Agencies:     agencies{},
		RuntimeTypes: func() []functiongraph.RuntimeType {
			return []functiongraph.RuntimeType{{Type: "Python3.9", DisplayName: "Python 3.9"}}
		},
		Functions: functions, Versions: control.NewVersions(versions, functions), Triggers: triggers, Invoker: b.invoker, Access: access{}, IdleTimeout: time.Minute,
		Jobs: b.jobs, JobList: b.jobs, Dependencies: dependencies,
		Tallies: &tallied{}, Instances: &tallied{}, Now: func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
		Async: control.NewAsyncConfigs(control.AsyncConfigsConfig{
			Store: asyncStore, Functions: functions, Buckets: buckets{}, Sealer: controltest.Sealer{},
			Now: func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
		}),
	})
	mux, err := httpkit.NewMux(httpkit.MuxConfig{
		Authenticator: access{}, Log: slog.New(slog.DiscardHandler), NotFound: functiongraph.NotFound,
	}, face)
	require.NoError(t, err)
	b.mux = mux
	return b
}

// besideStore keeps what stands beside functions; nil where everything is in memory.
type besideStore interface {
	control.TagStore
	control.TestEventStore
	control.ApplicationStore
}

// triggersOver makes the use cases on triggers, where the store keeps triggers.
func triggersOver(t testing.TB, functionStore control.FunctionStore) *control.Triggers {
	triggers, ok := functionStore.(control.TriggerStore)
	if !ok {
		return nil
	}
	at, err := url.Parse("http://127.0.0.1:8080/gateway")
	require.NoError(t, err)
	kinds := all.New(all.Config{
		Sink: triggertest.NewSink(), Region: "local", Gateway: at, Zone: time.UTC, Missed: timer.MissedOnce,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	return control.NewTriggers(control.TriggersConfig{
		Store: triggers, Functions: functionStore, Kinds: kinds.Catalogue, Sealer: controltest.Sealer{}, Changes: unheard{},
		Now: func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
	})
}

// unheard is a control.TriggerChanges without triggers that act.
type unheard struct{}

func (unheard) TriggersChanged(context.Context) {}

// access knows one token for the project, one for the whole domain, and nobody else.
// agencies is one agency.
type agencies struct{}

func (agencies) Agencies(context.Context, faas.Principal, string) ([]faas.Agency, error) {
	return []faas.Agency{{Name: "worker"}}, nil
}

type access struct{}

func (access) Authenticate(r *http.Request, _ func() ([]byte, error)) (faas.Principal, error) {
	p := faas.Principal{UserName: "ada", DomainID: "0503ef5da9600f1d0f9cc0085f6e3e00", Domain: "acme"}
	switch r.Header.Get("X-Auth-Token") {
	case "":
		return faas.Principal{}, faas.Errorf(faas.CodeUnauthenticated, "", "x-auth-token not found")
	case "scoped":
		p.ProjectID, p.Project = project, "local"
	}
	return p, nil
}

func (access) Can(_ context.Context, p faas.Principal, action auth.Action, r auth.Resource) error {
	if r.ProjectID != project {
		return faas.Errorf(faas.CodeForbidden, "project", "you have no right to %s in project %q", action, r.ProjectID)
	}
	return nil
}

func (access) Projects(context.Context, faas.Principal, string) ([]faas.Project, error) {
	return []faas.Project{{ID: "other", Name: "x"}, {ID: project, Name: "local"}}, nil
}

// scripted runs functions that do not exist by their name, and finds the others as they stand.
type scripted struct {
	functions *control.Functions
	heard     invoke.Request
}

func (s *scripted) Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error) {
	s.heard = r
	at := time.Date(2020, 6, 3, 16, 22, 20, 123e6, time.UTC)
	result := &faas.Result{
		Output: []byte(`"Hello message: {}"`), Version: "latest", Digest: "d1", Run: 65828 * time.Microsecond, MemoryPeak: 22516064,
		MemoryMB: 128, Cold: true, Init: 12 * time.Millisecond, Queued: 20 * time.Millisecond,
		Logs: []faas.LogLine{{Time: at, Level: faas.LevelInfo, Text: "hello <b>"}},
	}
	failures := map[string]faas.Code{
		"throws": faas.CodeException, "unloadable": faas.CodeLoad, "noinit": faas.CodeInit, "slowinit": faas.CodeInitTimeout,
		"slow": faas.CodeTimeout, "hungry": faas.CodeMemory, "exits": faas.CodeExit, "strange": faas.CodeResult, "huge": faas.CodeResultTooLarge,
	}
	errs := map[string]error{
		"busy":    faas.Errorf(faas.CodeOverload, "", "128 calls are waiting already"),
		"off":     faas.Errorf(faas.CodeDisabled, "", "the function is switched off"),
		"waited":  faas.Errorf(faas.CodeQueueTimeout, "", "no instance became free in 3 s"),
		"nostart": faas.Errorf(faas.CodeStart, "", "no instance could be started"),
		"away":    faas.Errorf(faas.CodeUnavailable, "", "the database is away"),
		"gone":    faas.Errorf(faas.CodeCancelled, "", "the caller went away"),
		"broken":  errors.New("secret of ours"),
	}
	if code, ok := failures[r.Key.Name]; ok {
		result.Output = nil
		result.Failure = &faas.Failure{Code: code, Message: "what <went> wrong"}
		if code == faas.CodeException {
			result.Failure.Type, result.Failure.Stack = "ZeroDivisionError", []string{`  File "index.py", line 3, in handler`}
		}
		return result, nil
	}
	if err, ok := errs[r.Key.Name]; ok {
		return nil, err
	}
	f, err := s.functions.Get(ctx, r.Key.Project, faas.URN{Package: r.Key.Package, Name: r.Key.Name, Version: r.Key.Version, Alias: r.Alias})
	if err != nil {
		return nil, err
	}
	result.Version = f.Version
	return result, nil
}

// madeID is in the answer of what made a trigger, an event or an application.
var madeID = regexp.MustCompile(`^\{"(?:trigger_id|application_id|id)":"([^"]+)"(?:}|,"trigger_type_code"|,"name":"[^"]*"})`)

// dependencyID finds the id of a version and, behind it, that of its dependency.
var dependencyID = regexp.MustCompile(`"(?:id|dep_id)":"([^"]+)"`)

var unsteady = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`"(api_id)": "[0-9a-f]{32}"`), `"$1": "<id>"`},
	{regexp.MustCompile(`_hooks/<uuid>/[A-Z2-7]{26}`), "_hooks/<uuid>/<key>"},
	{regexp.MustCompile(`"app_code": "[A-Z2-7]{52}"`), `"app_code": "<made>"`},
	{regexp.MustCompile(`-200603162219@[a-z2-7]{5}`), "-200603162219@<random>"},
}

// TestGolden sends the requests of each file in order and compares the answers. A file is a list of exchanges, parted by
// "====": the request, "----", the answer. {p} in a path stands for /v2/<project>/fgs; the credentials of the project are
// added to a request that has none. "go test -update" writes the answers anew.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			b := newDiskBench(t, faas.Quota{Functions: 4, CodeBytes: 1 << 20})
			var fresh []string
			for exchange := range strings.SplitSeq(string(text), "\n====\n") {
				request, answer, _ := strings.Cut(exchange, "\n----\n")
				got := b.exchange(t, request, filepath.Base(filepath.Dir(file)) == "InvokeFunction")
				fresh = append(fresh, request+"\n----\n"+got)
				if !*update {
					require.Equal(t, strings.TrimSuffix(answer, "\n"), strings.TrimSuffix(got, "\n"), request)
				}
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(fresh, "\n====\n")), 0o644))
			}
		})
	}
}

// exchange sends a request and writes down its answer; JSON is laid out for reading unless it is to be seen raw.
func (b *bench) exchange(t *testing.T, text string, raw bool) string {
	t.Helper()
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := bufio.NewScanner(strings.NewReader(head))
	require.True(t, lines.Scan())
	line := strings.ReplaceAll(lines.Text(), "{p}", "/v2/"+project+"/fgs")
	for i, id := range b.made {
		line = strings.ReplaceAll(line, fmt.Sprintf("{t%d}", i+1), id)
		body = strings.ReplaceAll(body, fmt.Sprintf("{t%d}", i+1), id)
	}
	method, target, ok := strings.Cut(line, " ")
	require.True(t, ok, text)
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", "scoped")
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		require.True(t, ok, lines.Text())
		if r.Header.Set(name, value); value == "none" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	if id := madeID.FindStringSubmatch(w.Body.String()); id != nil && method == http.MethodPost {
		b.made = append(b.made, id[1])
	}
	if strings.Contains(target, "/dependencies") && method == http.MethodPost && w.Code == http.StatusOK {
		for _, id := range dependencyID.FindAllStringSubmatch(w.Body.String(), -1) {
			b.made = append(b.made, id[1])
		}
	}
	return describe(t, w, raw)
}

func describe(t *testing.T, w *httptest.ResponseRecorder, raw bool) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d\n", w.Code)
	var names []string
	for name := range w.Header() {
		if name != "Content-Length" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		value := w.Header().Get(name)
		if name == "X-Cff-Function-Log" {
			log, err := base64.StdEncoding.DecodeString(value)
			require.NoError(t, err)
			value = fmt.Sprintf("(base64) %q", log)
		}
		fmt.Fprintf(&out, "%s: %s\n", name, value)
	}
	out.WriteByte('\n')
	if raw || json.Indent(&out, w.Body.Bytes(), "", "  ") != nil {
		out.Write(w.Body.Bytes())
	}
	text := out.String()
	for _, u := range unsteady {
		text = u.pattern.ReplaceAllString(text, u.instead)
	}
	return text
}

// Find is for asynchronous calls.
func (s *scripted) Find(ctx context.Context, r invoke.Request) (*faas.Function, error) {
	return s.functions.Get(ctx, r.Key.Project, faas.URN{Package: r.Key.Package, Name: r.Key.Name, Version: r.Key.Version, Alias: r.Alias})
}

// Bound chooses no version.
func (s *scripted) Bound(context.Context, invoke.Request) (string, error) { return "", nil }

// noAsync is for tests that keep everything in memory and make no asynchronous calls.
type noAsync struct{ control.AsyncStore }

// buckets knows one.
type buckets struct{}

func (buckets) CheckBucket(name string) error {
	if name != "records" {
		return faas.Errorf(faas.CodeInvalid, "destination_config", "bucket %q is not one that functions may use", name)
	}
	return nil
}

// keptJobs keeps what was enqueued, and shows jobs in every state.
type keptJobs struct {
	heard  []faas.Job
	filter faas.JobFilter
}

func (k *keptJobs) Enqueue(_ context.Context, job faas.Job) error {
	k.heard = append(k.heard, job)
	if string(job.Event) == `{"disk":"full"}` {
		return faas.Errorf(faas.CodeUnavailable, "disk", "the disk of the database is full, so nothing was accepted; make room and try again")
	}
	return nil
}

func (k *keptJobs) Cancel(_ context.Context, _ faas.FunctionKey, id string, mode faas.CancelMode, children bool) error {
	switch id {
	case "waiting":
		return nil
	case "ended":
		return faas.Errorf(faas.CodeConflict, "job", "job %q has ended already", id)
	}
	return faas.NotFound("job", id)
}

func (k *keptJobs) Jobs(_ context.Context, f faas.JobFilter) ([]faas.JobStatus, error) {
	k.filter = f
	var list []faas.JobStatus
	at := time.Date(2020, 6, 3, 16, 22, 20, 0, time.UTC)
	for i, state := range faas.JobStates {
		if !slices.Contains(f.States, state) {
			continue
		}
		j := faas.JobStatus{Seq: at.UnixMicro() - int64(i), State: state}
		j.ID = "request-" + string(state)
		if state != faas.JobWaiting {
			j.Began = at.Add(time.Second)
		}
		if state.Ended() {
			j.Ended = at.Add(2 * time.Second)
		}
		switch state {
		case faas.JobDead:
			j.Code, j.Message = faas.CodeException, "what <went> wrong"
		case faas.JobExpired:
			j.Code, j.Message = faas.CodeQueueTimeout, "too old"
		case faas.JobCancelled:
			j.Code, j.Message = faas.CodeCancelled, "cancelled while it ran"
		}
		list = append(list, j)
	}
	return list[:min(len(list), f.Limit)], nil
}

// tallied knows what the calls of two functions did in the minutes before the time of the tests.
type tallied struct{}

func (*tallied) Tally(_ context.Context, f faas.TallyFilter) ([]faas.TallyPoint, error) {
	at := time.Date(2020, 6, 3, 16, 21, 0, 0, time.UTC)
	if f.Hours {
		at = at.Truncate(time.Hour)
	}
	if f.Version != "" && f.Version != faas.Latest || at.Before(f.From) || !at.Before(f.To) {
		return nil, nil
	}
	t := faas.Tally{
		Count: 8, FunctionErrors: 2, SystemErrors: 1, Rejects: 1, Run: 100 * time.Millisecond, MaxRun: 40 * time.Millisecond,
		MinRun: 1500 * time.Microsecond, Took: 30 * time.Second, MBMillis: 128 * 1000 * 64,
	}
	return []faas.TallyPoint{{At: at, Tally: t}}, nil
}

func (*tallied) TallyByFunction(_ context.Context, f faas.TallyFilter) (map[faas.FunctionKey]faas.Tally, error) {
	sums := map[faas.FunctionKey]faas.Tally{}
	for i, name := range []string{"quiet", "failing", "worse"} {
		sums[faas.FunctionKey{Project: project, Package: "default", Name: name}] = faas.Tally{Count: 10, FunctionErrors: int64(2 * i)}
	}
	return sums, nil
}

func (*tallied) Instances(faas.FunctionKey) (all, reserved int) { return 3, 1 }
