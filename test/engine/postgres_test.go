//go:build linux

package engine

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// TestPostgres kills a server whose database is PostgreSQL under load: what it acknowledged is there after the restart.
func TestPostgres(t *testing.T) {
	base := need.Env(t, "HANSHU_TEST_POSTGRES", "the URL of a PostgreSQL server, for example of test/postgres.sh start")
	t.Parallel()
	killUnderLoad(t, newPlace(t, 0, "--db", newSchema(t, base)), 1)
}

// newSchema makes a schema for one test and gives a URL that leads there.
func newSchema(t *testing.T, base string) string {
	t.Helper()
	admin, err := sql.Open("pgx", base)
	require.NoError(t, err)
	schema := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = admin.Exec("create schema " + schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("drop schema " + schema + " cascade")
		require.NoError(t, err)
		require.NoError(t, admin.Close())
	})
	joint := "?"
	if strings.Contains(base, "?") {
		joint = "&"
	}
	return base + joint + "search_path=" + schema
}
