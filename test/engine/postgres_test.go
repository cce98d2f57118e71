//go:build linux

package engine

import (
	"testing"

	"github.com/hanshu-faas/hanshu/test/need/postgres"
)

// TestPostgres kills a server whose database is PostgreSQL under load: what it acknowledged is there after the restart.
func TestPostgres(t *testing.T) {
	t.Parallel()
	killUnderLoad(t, newPlace(t, 0, "--db", postgres.Schema(t)), 1)
}
