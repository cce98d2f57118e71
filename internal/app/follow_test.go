package app

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

// site runs every call by telling its version, and hears what a pool would.
type site struct{ heard []faas.FunctionKey }

func (s *site) Run(_ context.Context, f *faas.Function, _ faas.Invocation) (*faas.Result, error) {
	return &faas.Result{Output: []byte(f.Version)}, nil
}

func (s *site) Exchange(context.Context, *faas.Function, faas.Invocation, func(faas.Backend) error) (*faas.Result, error) {
	return nil, faas.Errorf(faas.CodeUnsupported, "runtime", "no exchange here")
}

func (s *site) Add(faas.Record) {}

func (s *site) FunctionChanged(key faas.FunctionKey) { s.heard = append(s.heard, key) }

// TestFollower has another server on the same database lead an alias elsewhere, delete a version, and change a function.
func TestFollower(t *testing.T) {
	db := freshtest.Open(t)
	s := &site{}
	invoker := invoke.New(invoke.Config{Functions: db, Runner: s, Records: s, Metrics: metrics.NewSet()})
	var rebuilt []string
	walls := control.NewWalls(control.WallsConfig{
		Store: db, Server: faas.ProjectWalls{Egress: "open"},
		Changed: func(project string) { rebuilt = append(rebuilt, project) }, Check: func(faas.Walls) error { return nil },
	})
	follow := newFollower(db, invoker, walls, s, slog.New(slog.DiscardHandler))
	f := &faas.Function{ID: "1", Project: "p", Package: "default", Name: "f", Version: faas.Latest, Code: faas.Package{Digest: "d"}}
	require.NoError(t, db.CreateFunction(t.Context(), f, faas.DefaultQuota))
	for _, name := range []string{"v1", "v2"} {
		_, err := db.PublishVersion(t.Context(), f.Key(), faas.DefaultQuota, faas.MaxVersions, func(f *faas.Function) (*faas.Function, error) {
			v := *f
			v.Version = name
			return &v, nil
		})
		require.NoError(t, err)
	}
	a := &faas.Alias{Key: f.Key(), Name: "prod", CreatedAt: time.Now(), ModifiedAt: time.Now()}
	a.Key.Version = "v1"
	require.NoError(t, db.CreateAlias(t.Context(), a, faas.MaxAliases))
	require.NoError(t, follow.Start(t.Context()))
	require.NoError(t, follow.Stop(t.Context()))
	ran := func() string {
		res, err := invoker.Invoke(t.Context(), invoke.Request{Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f"}, Alias: "prod"})
		require.NoError(t, err)
		return res.Version
	}
	require.Equal(t, "v1", ran())
	follow.look(t.Context())
	require.Empty(t, s.heard, "nothing has changed")

	_, err := db.UpdateAlias(t.Context(), f.Key(), "prod", func(a *faas.Alias) error {
		a.Key.Version = "v2"
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, "v1", ran(), "nobody has looked yet")
	follow.look(t.Context())
	require.Equal(t, "v2", ran())
	v1 := f.Key()
	v1.Version = "v1"
	require.Equal(t, []faas.FunctionKey{v1}, s.heard, "what this server had of the project")
	_, err = db.DeleteVersion(t.Context(), v1)
	require.NoError(t, err)
	follow.look(t.Context())
	_, err = invoker.Invoke(t.Context(), invoke.Request{Key: v1})
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))

	open := func() bool {
		w, err := walls.Walls(t.Context(), f)
		require.NoError(t, err)
		return w.Egress.Open
	}
	require.True(t, open())
	require.NoError(t, db.SetProjectWalls(t.Context(), "p", faas.ProjectWalls{Egress: "none"}))
	require.Empty(t, rebuilt)
	follow.look(t.Context())
	require.Equal(t, []string{"p"}, rebuilt, "which ends the instances that have a way out")
	require.False(t, open())
	require.NoError(t, db.SetProjectWalls(t.Context(), "p", faas.ProjectWalls{Egress: "none"}))
	follow.look(t.Context())
	require.Len(t, rebuilt, 1, "nothing is new")
}
