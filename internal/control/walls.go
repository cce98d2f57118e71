package control

import (
	"context"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// WallStore keeps how the functions of projects are kept apart. The store of the server documents each method.
type WallStore interface {
	ProjectWalls(ctx context.Context, project string) (faas.ProjectWalls, error)
	SetProjectWalls(ctx context.Context, project string, w faas.ProjectWalls) error
}

// WallsConfig is what Walls needs. All of it is required.
type WallsConfig struct {
	Store  WallStore
	Server faas.ProjectWalls // what stands where a project has set nothing
	// Changed hears of a project whose settings have changed, before the change is acknowledged.
	Changed func(project string)
	// Check refuses a level that this server does not have. Error: CodeUnsupported.
	Check func(w faas.Walls) error
}

// Walls are the use cases on how functions are kept apart: what a project has set, and what comes of it for a function. What
// projects have set stays at hand, since every start of an instance asks.
type Walls struct {
	cfg WallsConfig

	mu    sync.RWMutex
	kept  map[string]faas.ProjectWalls // what projects have set
	epoch uint64                       // grows with every change, so that a read that began before one is not kept
}

// NewWalls makes the use cases.
func NewWalls(cfg WallsConfig) *Walls {
	return &Walls{cfg: cfg, kept: map[string]faas.ProjectWalls{}}
}

// Project gives what a project has set, and what holds for its functions that have set nothing.
func (w *Walls) Project(ctx context.Context, project string) (set, holds faas.ProjectWalls, err error) {
	set, err = w.cfg.Store.ProjectWalls(ctx, project)
	return set, set.Over(w.cfg.Server), err
}

// SetProject sets what holds for the functions of a project, in place of all that was set. Those that are called from now on have it.
// Errors: CodeInvalid, field "egress" or "isolation"; CodeUnsupported where this server cannot give it.
func (w *Walls) SetProject(ctx context.Context, project string, set faas.ProjectWalls) error {
	if err := set.Check(); err != nil {
		return err
	}
	walls, err := set.Over(w.cfg.Server).Of(&faas.Spec{})
	if err != nil {
		return err
	}
	if err := w.cfg.Check(walls); err != nil {
		return err
	}
	if err := w.cfg.Store.SetProjectWalls(ctx, project, set); err != nil {
		return err
	}
	w.change(project)
	return nil
}

// change forgets what is kept of a project, and tells of it.
func (w *Walls) change(project string) {
	w.mu.Lock()
	w.epoch++
	delete(w.kept, project)
	w.mu.Unlock()
	w.cfg.Changed(project)
}

// Look takes up what another server on the same database has set for a project. Errors: those of the store; then it is to be asked again.
func (w *Walls) Look(ctx context.Context, project string) error {
	w.mu.RLock()
	was, known := w.kept[project]
	w.mu.RUnlock()
	if !known {
		return nil
	}
	set, err := w.cfg.Store.ProjectWalls(ctx, project)
	if err == nil && set != was {
		w.change(project)
	}
	return err
}

// Walls gives those of a function. What another server has set counts here from Look on.
func (w *Walls) Walls(ctx context.Context, f *faas.Function) (faas.Walls, error) {
	set, err := w.set(ctx, f.Project)
	if err != nil {
		return faas.Walls{}, err
	}
	return set.Over(w.cfg.Server).Of(&f.Spec)
}

func (w *Walls) set(ctx context.Context, project string) (faas.ProjectWalls, error) {
	w.mu.RLock()
	set, known := w.kept[project]
	epoch := w.epoch
	w.mu.RUnlock()
	if known {
		return set, nil
	}
	set, err := w.cfg.Store.ProjectWalls(ctx, project)
	if err != nil {
		return set, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch == epoch {
		w.kept[project] = set
	}
	return set, nil
}

// May refuses what a function chooses where its project is fixed. Error: CodeForbidden, field "egress" or "isolation".
func (w *Walls) May(ctx context.Context, f *faas.Function) error {
	_, holds, err := w.Project(ctx, f.Project)
	if err != nil {
		return err
	}
	return holds.May(&f.Spec)
}
