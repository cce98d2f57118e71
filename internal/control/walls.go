package control

import (
	"context"

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

// Walls are the use cases on how functions are kept apart: what a project has set, and what comes of it for a function.
type Walls struct{ cfg WallsConfig }

// NewWalls makes the use cases.
func NewWalls(cfg WallsConfig) *Walls { return &Walls{cfg} }

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
	w.cfg.Changed(project)
	return nil
}

// Walls gives those of a function.
func (w *Walls) Walls(ctx context.Context, f *faas.Function) (faas.Walls, error) {
	_, holds, err := w.Project(ctx, f.Project)
	if err != nil {
		return faas.Walls{}, err
	}
	return holds.Of(&f.Spec)
}

// May refuses what a function chooses where its project is fixed. Error: CodeForbidden, field "egress" or "isolation".
func (w *Walls) May(ctx context.Context, f *faas.Function) error {
	_, holds, err := w.Project(ctx, f.Project)
	if err != nil {
		return err
	}
	return holds.May(&f.Spec)
}
