package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// followEvery is how long a change that another server has made may stay unseen here.
const followEvery = time.Second

// follower sees what other servers on the same database change of functions, versions and aliases, and of the walls of projects.
type follower struct {
	store     projectChanges
	kept      forgetter
	walls     looker
	instances interface{ FunctionChanged(key faas.FunctionKey) }
	log       *slog.Logger

	seen map[string]int64
	ticking
}

// projectChanges gives a number for each project that grows with every change.
type projectChanges interface {
	ProjectChanges(ctx context.Context) (map[string]int64, error)
}

// forgetter forgets what it keeps of a project, and tells which versions these were.
type forgetter interface {
	ForgetProject(project string) []faas.FunctionKey
}

// looker reads again what it keeps of a project.
type looker interface {
	Look(ctx context.Context, project string) error
}

func newFollower(store projectChanges, kept forgetter, walls looker, instances interface{ FunctionChanged(faas.FunctionKey) }, log *slog.Logger) *follower {
	return &follower{store: store, kept: kept, walls: walls, instances: instances, log: log}
}

// Start implements lifecycle.Service.
func (f *follower) Start(ctx context.Context) error {
	var err error
	if f.seen, err = f.store.ProjectChanges(ctx); err != nil {
		return err
	}
	f.begin(ctx, followEvery, f.look)
	return nil
}

// look compares the numbers with those seen last. Changes of this server are among them, and cost a look into the store.
func (f *follower) look(ctx context.Context) {
	now, err := f.store.ProjectChanges(ctx)
	if err != nil {
		if ctx.Err() == nil {
			f.log.Warn("changes that other servers have made of functions cannot be seen", "error", err)
		}
		return
	}
	for project, number := range now {
		if f.seen[project] == number {
			continue
		}
		for _, key := range f.kept.ForgetProject(project) {
			f.instances.FunctionChanged(key) // which ends those of another revision
		}
		if err := f.walls.Look(ctx, project); err != nil {
			now[project] = f.seen[project] // it is looked at again
			f.log.Warn("what other servers have set for a project cannot be seen", "project", project, "error", err)
		}
	}
	f.seen = now
}
