package httpkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

type authFunc func(r *http.Request, body []byte) (faas.Principal, error)

func (f authFunc) Authenticate(r *http.Request, read func() ([]byte, error)) (faas.Principal, error) {
	if r.Header.Get("X-Test-Unread") != "" { // a proof that does not cover the body
		return f(r, nil)
	}
	body, err := read()
	if err != nil {
		return faas.Principal{}, err
	}
	return f(r, body)
}

// byHeader takes whoever names himself.
var byHeader = authFunc(func(r *http.Request, _ []byte) (faas.Principal, error) {
	if name := r.Header.Get("X-Test-User"); name != "" {
		return faas.Principal{UserName: name}, nil
	}
	return faas.Principal{}, faas.Errorf(faas.CodeUnauthenticated, "", "who are you?")
})

func plainError(w http.ResponseWriter, r *http.Request, err error) {
	status := map[faas.Code]int{
		faas.CodeInvalid: 400, faas.CodeUnauthenticated: 401, faas.CodeTooLarge: 413, faas.CodeOverload: 429, faas.CodeInternal: 500,
	}[faas.CodeOf(err)]
	text := "internal"
	if e := new(faas.Error); errors.As(err, &e) {
		text = e.Message
	}
	WriteBytes(w, status, "text/plain", []byte(text))
}

func testMux(t testing.TB, cfg MuxConfig, routes ...Route) *Mux {
	t.Helper()
	if cfg.Authenticator == nil {
		cfg.Authenticator = byHeader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := NewMux(cfg, Face{Name: "test", Routes: routes, WriteError: plainError})
	require.NoError(t, err)
	return m
}

// echo tells what the route was given.
func echo(w http.ResponseWriter, r *http.Request) error {
	return WriteJSON(w, http.StatusOK, map[string]string{
		"user": PrincipalOf(r.Context()).UserName, "id": RequestIDOf(r.Context()),
		"body": string(BodyOf(r.Context())), "value": r.PathValue("value"),
	})
}

func ask(m http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Test-User", "ada")
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

func TestMuxServesARoute(t *testing.T) {
	var seen []string
	m := testMux(t, MuxConfig{Observe: func(face, op string, status int, took time.Duration) {
		seen = append(seen, fmt.Sprint(face, " ", op, " ", status, " ", took > 0))
	}}, Route{Method: "POST", Path: "/v2/{value}/x", Operation: "Echo", Handle: echo})
	w := ask(m, "POST", "/v2/urn%3Afss%3Aa%2Fb/x", `{"a":"<b>"}`)
	require.Equal(t, 200, w.Code)
	var got map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Equal(t, "ada", got["user"])
	require.Equal(t, `{"a":"<b>"}`, got["body"])
	require.Equal(t, "urn:fss:a/b", got["value"])
	require.Len(t, got["id"], 36)
	require.Equal(t, got["id"], w.Header().Get("X-Request-Id"))
	require.Contains(t, w.Body.String(), "<b>", "no HTML escapes")
	require.Equal(t, []string{"test Echo 200 true"}, seen)
	require.Zero(t, m.held.Load())
}

func TestMuxAsksWhoItIs(t *testing.T) {
	m := testMux(t, MuxConfig{},
		Route{Method: "GET", Path: "/open", Open: true, Handle: echo},
		Route{Method: "GET", Path: "/shut", Handle: echo})
	for path, status := range map[string]int{"/open": 200, "/shut": 401} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, status, w.Code, path)
		require.NotEmpty(t, w.Header().Get("X-Request-Id"), path)
	}
	require.Len(t, m.Routes(), 2)
	require.Equal(t, "test", m.Routes()[1].Face)
	require.Equal(t, int64(DefaultMaxBody), m.Routes()[1].MaxBody)
}

func TestMuxUnknown(t *testing.T) {
	m := testMux(t, MuxConfig{},
		Route{Method: "GET", Path: "/a/{value}", Handle: echo}, Route{Method: "PUT", Path: "/a/{value}", Handle: echo},
		Route{Method: "GET", Path: "/tree/", Handle: echo})
	for _, c := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", "/", 404, ""}, {"GET", "/a", 404, ""}, {"GET", "/a/b/c", 404, ""}, {"GET", "/a/b", 200, ""},
		{"POST", "/a/b", 405, "GET, HEAD, PUT"}, {"GET", "//a/b", 404, ""}, {"GET", "/a/../a/b", 404, ""}, {"GET", "/a/./b", 404, ""},
		{"GET", "/a/.b", 200, ""}, {"GET", "/tree", 404, ""}, {"GET", "/tree/", 200, ""}, {"GET", "/tree/x", 404, ""},
		{"BREW", "/a/b", 405, "GET, HEAD, PUT"},
	} {
		w := ask(m, c.method, c.target, "")
		require.Equal(t, c.status, w.Code, c.target)
		require.Equal(t, c.allow, w.Header().Get("Allow"), c.target)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"), c.target)
		require.True(t, json.Valid(w.Body.Bytes()), c.target)
	}
	own := testMux(t, MuxConfig{NotFound: func(w http.ResponseWriter, r *http.Request, status int) {
		WriteBytes(w, status, "text/plain", []byte(RequestIDOf(r.Context())))
	}})
	w := ask(own, "GET", "/nowhere", "")
	require.Equal(t, 404, w.Code)
	require.Equal(t, w.Header().Get("X-Request-Id"), w.Body.String())
}

func TestMuxRefusesBadTables(t *testing.T) {
	base := MuxConfig{Authenticator: byHeader, Log: slog.New(slog.DiscardHandler)}
	ok := Route{Method: "GET", Path: "/a/{x}", Handle: echo}
	for name, routes := range map[string][]Route{
		"twice":      {ok, ok},
		"same shape": {ok, {Method: "GET", Path: "/a/{y}", Handle: echo}},
		"no handler": {{Method: "GET", Path: "/a"}},
		"no method":  {{Path: "/a", Handle: echo}},
		"no slash":   {{Method: "GET", Path: "a", Handle: echo}},
		"bad braces": {{Method: "GET", Path: "/{", Handle: echo}},
	} {
		_, err := NewMux(base, Face{Name: "f", Routes: routes, WriteError: plainError})
		require.Error(t, err, name)
	}
	_, err := NewMux(base, Face{Name: "f", Routes: []Route{ok}})
	require.ErrorContains(t, err, "cannot write errors")
	_, err = NewMux(MuxConfig{})
	require.Error(t, err)
}

func TestMuxCatchesFaults(t *testing.T) {
	var log bytes.Buffer
	m := testMux(t, MuxConfig{Log: slog.New(slog.NewTextHandler(&log, nil))},
		Route{Method: "GET", Path: "/panic", Handle: func(http.ResponseWriter, *http.Request) error { panic("hidden text") }},
		Route{Method: "GET", Path: "/fault", Handle: func(http.ResponseWriter, *http.Request) error { return errors.New("hidden text") }},
		Route{Method: "GET", Path: "/known", Handle: func(http.ResponseWriter, *http.Request) error {
			return faas.Errorf(faas.CodeInvalid, "x", "shown text")
		}},
		Route{Method: "GET", Path: "/late", Handle: func(w http.ResponseWriter, _ *http.Request) error {
			WriteBytes(w, 200, "text/plain", []byte("half"))
			panic("late")
		}})
	for _, path := range []string{"/panic", "/fault"} {
		log.Reset()
		w := ask(m, "GET", path, "")
		require.Equal(t, 500, w.Code)
		require.NotContains(t, w.Body.String(), "hidden")
		require.Contains(t, log.String(), "hidden text")
		require.Contains(t, log.String(), w.Header().Get("X-Request-Id"))
	}
	log.Reset()
	require.Equal(t, "shown text", ask(m, "GET", "/known", "").Body.String())
	require.Empty(t, log.String(), "expected failures are not logged at info")
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { ask(m, "GET", "/late", "") })
	require.Contains(t, log.String(), "late")
}

func TestMuxForgetsCancelledRequests(t *testing.T) {
	var log bytes.Buffer
	m := testMux(t, MuxConfig{Log: slog.New(slog.NewTextHandler(&log, nil))},
		Route{Method: "GET", Path: "/", Handle: func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("X-Test-User", "ada")
	m.ServeHTTP(httptest.NewRecorder(), r)
	require.Empty(t, log.String())
}

func BenchmarkMux(b *testing.B) {
	m := testMux(b, MuxConfig{}, Route{Method: "POST", Path: "/v2/{project_id}/fgs/functions/{urn}/invocations", Handle: func(w http.ResponseWriter, r *http.Request) error {
		WriteBytes(w, 200, "application/json", BodyOf(r.Context()))
		return nil
	}})
	b.ReportAllocs()
	body := strings.Repeat("x", 100)
	r := httptest.NewRequest("POST", "/v2/0123/fgs/functions/urn:fss:a/invocations", nil)
	r.Header.Set("X-Test-User", "ada")
	for b.Loop() {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		m.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// TestStrangersAreNotRead: who proves nothing is refused before a byte of the body is read.
func TestStrangersAreNotRead(t *testing.T) {
	m, err := NewMux(MuxConfig{Authenticator: byHeader, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, Face{
		Name: "f", WriteError: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		},
		Routes: []Route{{Method: "POST", Path: "/x", Operation: "X", Handle: func(w http.ResponseWriter, r *http.Request) error {
			WriteBytes(w, 200, "text/plain", BodyOf(r.Context()))
			return nil
		}}},
	})
	require.NoError(t, err)
	for user, status := range map[string]int{"": 401, "me": 200} {
		body := &countingReader{r: strings.NewReader("hello")}
		r := httptest.NewRequest("POST", "/x", body)
		r.ContentLength = 5
		r.Header.Set("X-Test-Unread", "yes")
		r.Header.Set("X-Test-User", user)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		require.Equal(t, status, w.Code)
		if user == "" {
			require.Zero(t, body.n)
		} else {
			require.Equal(t, "hello", w.Body.String())
		}
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
