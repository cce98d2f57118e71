package control_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// wallStore is a control.WallStore.
type wallStore map[string]faas.ProjectWalls

func (s wallStore) ProjectWalls(_ context.Context, project string) (faas.ProjectWalls, error) {
	return s[project], nil
}

func (s wallStore) SetProjectWalls(_ context.Context, project string, w faas.ProjectWalls) error {
	s[project] = w
	return nil
}

func TestProjectWalls(t *testing.T) {
	t.Parallel()
	var changed []string
	w := control.NewWalls(control.WallsConfig{
		Store: wallStore{}, Server: faas.ProjectWalls{Egress: "none"}, Changed: func(p string) { changed = append(changed, p) },
		Check: func(w faas.Walls) error {
			if w.Isolation == faas.IsolationOCI {
				return faas.Errorf(faas.CodeUnsupported, "isolation", "not here")
			}
			return nil
		},
	})
	f := &faas.Function{Project: "p", Spec: faas.Spec{Egress: "open"}}
	require.NoError(t, w.May(t.Context(), f))
	got, err := w.Walls(t.Context(), f)
	require.NoError(t, err)
	require.True(t, got.Egress.Open)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(w.SetProject(t.Context(), "p", faas.ProjectWalls{Egress: "a b"})))
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(w.SetProject(t.Context(), "p", faas.ProjectWalls{Isolation: "oci"})))
	require.Empty(t, changed)
	require.NoError(t, w.SetProject(t.Context(), "p", faas.ProjectWalls{Egress: "api.example.com", EgressFixed: true}))
	require.Equal(t, []string{"p"}, changed)
	require.Equal(t, faas.CodeForbidden, faas.CodeOf(w.May(t.Context(), f)))
	got, err = w.Walls(t.Context(), f)
	require.NoError(t, err)
	require.False(t, got.Egress.Open)
	require.Len(t, got.Egress.Rules, 1)
	set, holds, err := w.Project(t.Context(), "q")
	require.NoError(t, err)
	require.Zero(t, set)
	require.Equal(t, "none", holds.Egress)
}
