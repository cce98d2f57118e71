package httpkit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// trail is an audit log in memory.
type trail struct {
	entries  []faas.AuditEntry
	answered func() bool // whether something had been answered when the entry came
	early    bool
}

func (l *trail) add(_ context.Context, e faas.AuditEntry) {
	l.early = l.early || l.answered()
	l.entries = append(l.entries, e)
}

// TestAudit: changes and refusals are told before they are answered, and nothing else is.
func TestAudit(t *testing.T) {
	named := func(w http.ResponseWriter, r *http.Request) error {
		Concerns(r.Context(), "thing 7")
		require.NoError(t, http.NewResponseController(w).Flush())
		return WriteJSON(w, http.StatusCreated, map[string]string{"secret": "s3cret"})
	}
	refuse := func(http.ResponseWriter, *http.Request) error { return faas.Errorf(faas.CodeUnauthenticated, "", "no") }
	l := &trail{}
	m := testMux(t, MuxConfig{
		Audit: l.add,
		Authenticator: authFunc(func(r *http.Request, _ []byte) (faas.Principal, error) {
			p, err := byHeader(r, nil)
			if err == nil {
				p.DomainID = "d"
			}
			return p, err
		}),
		Permit: func(_ context.Context, p faas.Principal, a faas.Action, project string) error {
			if p.UserName == "viewer" && a != faas.ActionRead {
				return faas.Errorf(faas.CodeUnauthenticated, "project", "no right to %s in %s", a, project)
			}
			return nil
		},
	},
		Route{Method: "GET", Path: "/p/{project_id}/things", Operation: "List", Handle: echo},
		Route{Method: "POST", Path: "/p/{project_id}/things", Operation: "Create", Handle: named},
		Route{Method: "POST", Path: "/p/{project_id}/invoke", Operation: "Invoke", Action: faas.ActionInvoke, Handle: echo},
		Route{Method: "GET", Path: "/p/{project_id}/closed", Operation: "Closed", Handle: refuse},
		Route{Method: "GET", Path: "/me", Operation: "Me", Action: faas.ActionSelf, Handle: echo},
		Route{Method: "PUT", Path: "/me", Operation: "SetMe", Action: faas.ActionSelf, Handle: echo},
		Route{Method: "POST", Path: "/login/{text}", Operation: "Login", Open: true, Handle: refuse},
	)
	for _, c := range []struct {
		user, method, path string
		status             int
		want               string // "operation action resource status code project"; "" for no entry
	}{
		{"ada", "GET", "/p/1/things", 200, ""},
		{"ada", "POST", "/p/1/things", 201, "Create write /p/1/things thing 7 201  1"},
		{"ada", "POST", "/p/1/invoke", 200, ""},
		{"viewer", "POST", "/p/1/invoke", 401, "Invoke invoke /p/1/invoke 401 unauthenticated 1"},
		{"viewer", "POST", "/p/1/things", 401, "Create write /p/1/things 401 unauthenticated 1"},
		{"ada", "GET", "/p/1/closed", 401, "Closed read /p/1/closed 401 unauthenticated 1"},
		{"ada", "GET", "/me", 200, ""},
		{"ada", "PUT", "/me", 200, "SetMe self /me 200  "},
		{"", "POST", "/login/s3cret", 401, "Login   401 unauthenticated "},
		{"", "GET", "/p/1/things", 401, "List read /p/1/things 401 unauthenticated "},
	} {
		l.entries = nil
		r := httptest.NewRequest(c.method, c.path+"?password=s3cret", strings.NewReader(`{"password":"s3cret"}`))
		r.RemoteAddr = "10.0.0.9:1"
		if c.user != "" {
			r.Header.Set("X-Test-User", c.user)
		}
		w := &counting{ResponseRecorder: httptest.NewRecorder()}
		l.answered = func() bool { return w.n > 0 }
		m.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, c.path)
		require.NotZero(t, w.Body.Len(), "the answer came out")
		got := ""
		for _, e := range l.entries {
			require.Equal(t, "10.0.0.9", e.Source)
			require.Equal(t, w.Header().Get("X-Request-Id"), e.RequestID)
			require.NotContains(t, e.Resource, "s3cret")
			got += strings.Join([]string{e.Operation, string(e.Action), e.Resource, strconv.Itoa(e.Status), string(e.Code), e.ProjectID}, " ")
		}
		require.Equal(t, c.want, got, "%s %s %s", c.user, c.method, c.path)
		if strings.HasPrefix(c.want, "Create") {
			require.False(t, l.early, "the entry is there before the answer")
		}
		l.early = false
	}
}

// counting counts what is written of an answer.
type counting struct {
	*httptest.ResponseRecorder
	n int
}

func (w *counting) WriteHeader(status int) { w.n++; w.ResponseRecorder.WriteHeader(status) }
func (w *counting) Flush()                 { w.n++; w.ResponseRecorder.Flush() }
func (w *counting) Write(p []byte) (int, error) {
	w.n++
	return w.ResponseRecorder.Write(p)
}
