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

// TestWallsStayAtHand counts reads, and has a change come between a read and its end.
func TestWallsStayAtHand(t *testing.T) {
	t.Parallel()
	s := &slowStore{wallStore: wallStore{"p": {Egress: "open"}}}
	w := control.NewWalls(control.WallsConfig{Store: s, Changed: func(string) {}, Check: func(faas.Walls) error { return nil }})
	open := func() bool {
		got, err := w.Walls(t.Context(), &faas.Function{Project: "p"})
		require.NoError(t, err)
		return got.Egress.Open
	}
	s.reading = func() {
		s.reading = nil
		require.NoError(t, w.SetProject(t.Context(), "p", faas.ProjectWalls{Egress: "none"}))
	}
	require.True(t, open(), "it began before the change")
	require.False(t, open())
	require.False(t, open())
	require.Equal(t, 2, s.reads, "what was read before the change was not kept, what was read after it was")
	s.wallStore["p"] = faas.ProjectWalls{Egress: "open"} // by another server
	require.False(t, open())
	require.NoError(t, w.Look(t.Context(), "p"))
	require.True(t, open())
}

// slowStore has something happen in a read.
type slowStore struct {
	wallStore
	reads   int
	reading func()
}

func (s *slowStore) ProjectWalls(ctx context.Context, project string) (faas.ProjectWalls, error) {
	s.reads++
	w, err := s.wallStore.ProjectWalls(ctx, project)
	if s.reading != nil {
		s.reading()
	}
	return w, err
}
