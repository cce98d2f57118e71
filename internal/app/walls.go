package app

import (
	"context"
	"net/netip"

	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/egress"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var (
	_ control.WallStore = (*store.DB)(nil)
	_ pool.Walls        = (*control.Walls)(nil)
	_ pool.Network      = (*egress.Network)(nil)
)

// newWalls makes what keeps functions apart. The pool hears of changes; it is made later.
func (s *Server) newWalls(db *store.DB, instances **pool.Pool) *control.Walls {
	return control.NewWalls(control.WallsConfig{
		Store: db, Server: serverWalls(s.cfg),
		Changed: func(project string) { (*instances).ProjectChanged(project) },
		Check:   func(w faas.Walls) error { return (*instances).CheckWalls(w) },
	})
}

// serverWalls are those of functions and projects that have set nothing.
func serverWalls(cfg config.Config) faas.ProjectWalls {
	return faas.ProjectWalls{Egress: cfg.Egress, EgressFixed: cfg.EgressFixed}
}

// openNetwork makes the way out of functions, which ends with the server.
func (s *Server) openNetwork(counters *metrics.Set) *egress.Network {
	network := egress.New(egress.Config{DNS: []netip.Addr(sandbox.Resolvers()), Private: s.cfg.EgressPrefixes(), Metrics: counters})
	s.closers = append(s.closers, network.Close)
	return network
}

// openLevels makes the levels of isolation beside the server's own, that functions and projects can choose.
func (s *Server) openLevels(ctx context.Context) (map[string]sandbox.Driver, error) {
	levels := map[string]sandbox.Driver{}
	if s.cfg.OCIRuntime == "" || s.cfg.Sandbox == config.SandboxOCI {
		return levels, nil
	}
	cfg := s.cfg
	cfg.Sandbox = config.SandboxOCI
	d, err := newDriver(ctx, cfg, "")
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, d.Close)
	levels[faas.IsolationOCI] = d
	return levels, nil
}

// wallsFirst refuses what a function may not choose before it is made ready.
type wallsFirst struct {
	walls *control.Walls
	to    control.Preparer
}

func (w wallsFirst) Prepare(ctx context.Context, f *faas.Function) error {
	if err := w.walls.May(ctx, f); err != nil {
		return err
	}
	return w.to.Prepare(ctx, f)
}
