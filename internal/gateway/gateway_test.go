package gateway_test

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

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/gateway"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/all"
	"github.com/hanshu-faas/hanshu/internal/trigger/timer"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

var update = flag.Bool("update", false, "write the answers of golden files anew")

const appCode = "0123456789abcdef"

// bench is the data plane over real routes and a function that says what its file tells it to.
type bench struct {
	http.Handler
	sink    *triggertest.Sink
	kinds   all.Kinds
	output  string // of the function
	runtime string
	site    *site // that the function is where its runtime is http
	err     error
	failure *faas.Failure
	heard   []invoke.Request
	hooks   map[string]string // address by the trigger's code
}

func (b *bench) Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error) {
	b.heard = append(b.heard, r)
	if b.output == "slow" {
		<-ctx.Done()
		return nil, faas.Errorf(faas.CodeCancelled, "", "the caller went away")
	}
	return &faas.Result{Output: []byte(b.output), Failure: b.failure}, b.err
}

// Choose is of gateway.Invoker.
func (b *bench) Choose(_ context.Context, r invoke.Request) (*faas.Function, error) {
	f := &faas.Function{Version: r.Key.Version}
	f.Spec.Runtime = b.runtime
	return f, nil
}

// Bound is of gateway.Invoker.
func (b *bench) Bound(context.Context, invoke.Request) (string, error) { return "", nil }

// Exchange is of gateway.Invoker.
func (b *bench) Exchange(ctx context.Context, r invoke.Request, talk func(faas.Backend) error) (*faas.Result, error) {
	return b.site.exchange(ctx, r, talk)
}

// access knows one token.
type access struct{}

func (access) Authenticate(r *http.Request, body func() ([]byte, error)) (faas.Principal, error) {
	if r.Header.Get("X-Auth-Token") == "" {
		return faas.Principal{}, faas.Errorf(faas.CodeUnauthenticated, "", "Incorrect IAM authentication information: x-auth-token not found")
	}
	_, err := body()
	return faas.Principal{UserName: r.Header.Get("X-Auth-Token")}, err
}

func (access) Can(_ context.Context, p faas.Principal, action auth.Action, r auth.Resource) error {
	if p.UserName != "good" || action != auth.ActionInvoke || r.ProjectID != "p" {
		return faas.Errorf(faas.CodeForbidden, "project", "you have no right to %s in project %q", action, r.ProjectID)
	}
	return nil
}

func (b *bench) add(t testing.TB, code, data string) *faas.Trigger {
	t.Helper()
	one := &faas.Trigger{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(b.hooks)), Kind: code, Active: true,
		Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f", Version: faas.Latest}}
	checked, err := b.kinds.Catalogue.Check(one, triggertest.Decode(t, data), map[string]string{"app_code": appCode, trigger.HookKey: "KEY"})
	require.NoError(t, err)
	text, err := json.Marshal(checked.Plain)
	require.NoError(t, err)
	one.Data, one.Unique = string(text), checked.Unique
	for _, k := range b.kinds.Kinds() {
		if slices.Contains(k.Codes(), code) {
			require.NoError(t, k.Put(one, checked.Secrets))
		}
	}
	b.hooks[one.ID] = code
	return one
}

func newBench(t testing.TB, prefix string) *bench {
	b := &bench{sink: triggertest.NewSink(), hooks: map[string]string{}, output: `"ok"`}
	at, err := url.Parse("http://127.0.0.1:8080" + prefix)
	require.NoError(t, err)
	b.kinds = all.New(all.Config{Sink: b.sink, Region: "local-1", Gateway: at, Zone: time.UTC, Missed: timer.MissedOnce,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	mux, err := httpkit.NewMux(httpkit.MuxConfig{Authenticator: access{}, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	b.Handler = gateway.New(gateway.Config{
		Routes: b.kinds.Routes, Hooks: b.kinds.Catalogue, Invoker: b, Sink: b.sink, Authenticator: access{}, Permissions: access{},
		Bodies: mux, Log: slog.New(slog.DiscardHandler), Prefix: prefix,
		ServesHTTP: func(runtime string) bool { return runtime == "http" },
	})
	for _, data := range []string{
		`{"name":"open","path":"/open","auth":"NONE","req_method":"ANY"}`,
		`{"name":"user","path":"/users/{id}/pets/{pet}","auth":"NONE","req_method":"GET"}`,
		`{"name":"tree","path":"/tree","auth":"NONE","req_method":"POST","match_mode":"SWA","env_name":"TEST"}`,
		`{"name":"app","path":"/app","auth":"APP"}`,
		`{"name":"iam","path":"/iam","auth":"IAM"}`,
		`{"name":"host","path":"/open","auth":"NONE","sl_domain":"Shop.example","req_method":"ANY"}`,
		`{"name":"later","path":"/later","auth":"NONE","func_info":{"timeout":1000,"invocation_type":"async"}}`,
		`{"name":"hurry","path":"/hurry","auth":"NONE","func_info":{"timeout":1}}`,
	} {
		b.add(t, "APIG", data)
	}
	b.add(t, "OBS", `{"bucket":"pics","events":["s3:ObjectCreated:*","Delete"],"prefix":"in/","suffix":".jpg","name":"thumbs"}`)
	b.add(t, "SMN", `{"topic_urn":"urn:smn:local-1:p:alarms"}`)
	return b
}

var unsteady = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[1-57][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// TestGolden sends the requests of each file in order. A file is a list of exchanges, parted by "====": what the function answers
// ("> " before it, or nothing for "ok"), the request, "----", the answer, and the event of what was called or queued.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			b := newBench(t, "/gateway")
			var fresh []string
			for exchange := range strings.SplitSeq(string(text), "\n====\n") {
				request, answer, _ := strings.Cut(exchange, "\n----\n")
				got := b.exchange(t, strings.TrimSuffix(request, "\n"))
				fresh = append(fresh, strings.TrimSuffix(request, "\n")+"\n----\n"+got)
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

func (b *bench) exchange(t *testing.T, text string) string {
	t.Helper()
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	b.output, b.err, b.failure = `"ok"`, nil, nil
	if rest, ok := strings.CutPrefix(text, "> "); ok {
		b.output, text, _ = strings.Cut(rest, "\n")
	}
	switch {
	case b.output == "fails":
		b.failure = &faas.Failure{Code: faas.CodeException, Message: "secret of the owner"}
	case strings.HasPrefix(b.output, "refused "):
		b.err = faas.Errorf(faas.Code(strings.TrimPrefix(b.output, "refused ")), "", "in words")
	case b.output == "broken":
		b.err = errors.New("secret of ours")
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := bufio.NewScanner(strings.NewReader(head))
	require.True(t, lines.Scan())
	method, target, ok := strings.Cut(lines.Text(), " ")
	require.True(t, ok, text)
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "203.0.113.7:4321"
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		require.True(t, ok, lines.Text())
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
			r.Header.Del(name)
		}
	}
	b.heard = nil
	queued := len(b.sink.Jobs())
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d\n", w.Code)
	for _, name := range slices.Sorted(maps(w.Header())) {
		if name != "Content-Security-Policy" && name != "Content-Length" {
			fmt.Fprintf(&out, "%s: %s\n", name, strings.Join(w.Header()[name], " | "))
		}
	}
	fmt.Fprintf(&out, "\n%s\n", w.Body)
	for _, call := range b.heard {
		fmt.Fprintf(&out, "called %s for %s: %s\n", call.Key.Name, call.Call.Source, call.Call.Event)
	}
	for _, job := range b.sink.Jobs()[queued:] {
		fmt.Fprintf(&out, "queued %s for %s: %s\n", job.Key.Name, job.Source, job.Event)
	}
	return unsteady.ReplaceAllString(out.String(), "<uuid>")
}

func maps(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

func TestBinaryBothWays(t *testing.T) {
	b := newBench(t, "")
	payload := make([]byte, 256)
	for i := range payload {
		payload[i] = byte(i)
	}
	b.output = `{"statusCode":200,"isBase64Encoded":true,"headers":{"Content-Type":"image/png"},"body":"` + base64.StdEncoding.EncodeToString(payload) + `"}`
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("PUT", "/open", bytes.NewReader(payload)))
	require.Equal(t, 200, w.Code)
	require.Equal(t, payload, w.Body.Bytes())
	require.Equal(t, "image/png", w.Header().Get("Content-Type"))
	require.Empty(t, w.Header().Get("Content-Security-Policy"), "a listener of its own is an origin of its own")
	var e struct {
		Body   string `json:"body"`
		Base64 bool   `json:"isBase64Encoded"`
	}
	require.NoError(t, json.Unmarshal(b.heard[0].Call.Event, &e))
	sent, err := base64.StdEncoding.DecodeString(e.Body)
	require.NoError(t, err)
	require.True(t, e.Base64)
	require.Equal(t, payload, sent)
}

// A page that a function answers cannot act as its reader on the API that shares the origin.
func TestPagesAreKeptOut(t *testing.T) {
	b := newBench(t, "/gateway")
	b.output = `{"statusCode":200,"headers":{"content-security-policy":"default-src *","content-type":"text/html"},"body":"<script></script>"}`
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("GET", "/gateway/open", nil))
	policies := w.Header().Values("Content-Security-Policy")
	require.Len(t, policies, 2)
	require.True(t, strings.HasPrefix(policies[0], "sandbox ") && !strings.Contains(policies[0], "allow-same-origin"), "%v", policies)
}

func TestBodyLimit(t *testing.T) {
	b := newBench(t, "")
	for size, want := range map[int]int{4 << 20: 200, 4<<20 + 1: 413} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest("POST", "/open", bytes.NewReader(make([]byte, size))))
		require.Equal(t, want, w.Code)
	}
	require.LessOrEqual(t, len(b.heard[0].Call.Event), faas.MaxEventBytes)
}

// A route that is dropped leads nowhere from then on.
func TestDrop(t *testing.T) {
	b := newBench(t, "")
	status := func() int {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest("GET", "/open", nil))
		return w.Code
	}
	require.Equal(t, 200, status())
	b.kinds.Routes.Drop("00000000-0000-4000-8000-000000000000")
	require.Equal(t, 404, status())
}
