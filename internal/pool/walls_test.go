package pool_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// changingWalls are what a project has, and change after the first look at them.
type changingWalls struct {
	looks   int
	changed func()
}

func (w *changingWalls) Walls(context.Context, *faas.Function) (faas.Walls, error) {
	w.looks++
	if w.looks == 1 {
		w.changed()
		return faas.Walls{}, nil
	}
	return faas.Walls{Isolation: "another"}, nil
}

// A change of a project's walls holds from the next call on, also where it comes while a call makes its way: what that call has
// read must not stay.
func TestWallsThatChangeMeanwhile(t *testing.T) {
	walls := &changingWalls{}
	s := newStage(t, &actors{play: (*actor).echo}, func(cfg *pool.Config) { cfg.Walls = walls })
	f := s.function()
	walls.changed = func() { s.ProjectChanged(f.Project) }
	_, err := s.try(t.Context(), f, `1`, time.Second)
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err), "%v", err)
	require.Equal(t, 2, walls.looks)
}
