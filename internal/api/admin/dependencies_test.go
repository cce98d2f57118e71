package admin_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// shelf has a dependency of project p, which others see while it is public.
type shelf struct {
	bench
	public bool
}

func (s *shelf) Can(_ context.Context, p faas.Principal, _ auth.Action, r auth.Resource) error {
	if p.ProjectID != r.ProjectID {
		return faas.Errorf(faas.CodeForbidden, "project", "not yours")
	}
	return nil
}

func (s *shelf) Version(_ context.Context, project, id string, _ int64) (*faas.DependencyVersion, error) {
	if id != "d" || project != "p" && !s.public {
		return nil, faas.NotFound("dependency", id)
	}
	return &faas.DependencyVersion{Dependency: faas.Dependency{ID: "d", Project: "p", Name: "lib"}}, nil
}

func (s *shelf) SetPublic(_ context.Context, _ string, public bool) error {
	s.public = public
	return nil
}

// TestSetDependencyPublic: only the project that a dependency belongs to says who may use it.
func TestSetDependencyPublic(t *testing.T) {
	s := &shelf{}
	mux, err := httpkit.NewMux(httpkit.MuxConfig{Authenticator: s, Log: slog.New(slog.DiscardHandler)}, admin.New(admin.Config{Permissions: s, Dependencies: s}))
	require.NoError(t, err)
	put := func(caller, project, id, body string) int {
		r := httptest.NewRequest("PUT", "/admin/v1/projects/"+project+"/dependencies/"+id+"/public", strings.NewReader(body))
		r.Header.Set("X-Test-Project", caller)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 404, put("q", "q", "d", `{"public":true}`), "not seen")
	require.Equal(t, 403, put("q", "p", "d", `{"public":true}`))
	require.Equal(t, 401, put("", "p", "d", `{"public":true}`))
	require.Equal(t, 400, put("p", "p", "d", `{}`))
	require.Equal(t, 404, put("p", "p", "none", `{"public":true}`))
	require.False(t, s.public)
	require.Equal(t, 200, put("p", "p", "d", `{"public":true}`))
	require.True(t, s.public)
	require.Equal(t, 404, put("q", "q", "d", `{"public":false}`), "seen, and another's")
	require.True(t, s.public)
	require.Equal(t, 200, put("p", "p", "d", `{"public":false}`))
	require.False(t, s.public)
}
