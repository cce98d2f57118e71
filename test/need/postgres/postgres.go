// Package postgres gives a test a place of its own on the PostgreSQL server that HANSHU_TEST_POSTGRES names. It must not know what the
// test keeps there.
package postgres

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// Server gives the URL of the server, and skips the test where there is none.
func Server(t testing.TB) string {
	t.Helper()
	return need.Env(t, "HANSHU_TEST_POSTGRES", "the URL of a PostgreSQL server, for example of test/postgres.sh start")
}

// Schema makes an empty schema that goes with the test, and gives a URL that leads there.
func Schema(t testing.TB) string {
	t.Helper()
	at, name := create(t, "schema", "")
	query := at.Query()
	query.Set("search_path", name)
	at.RawQuery = query.Encode()
	return at.String()
}

// Database makes a database as a copy of another, "template0" for an empty one, which goes with the test. It gives its name, and a URL that
// leads there.
func Database(t testing.TB, template string) (name, at string) {
	t.Helper()
	server, name := create(t, "database", " template "+template)
	server.Path = "/" + name
	return name, server.String()
}

// create makes something of a kind, with a name of its own, and gives the server's URL.
func create(t testing.TB, kind, of string) (server *url.URL, name string) {
	t.Helper()
	base := Server(t)
	server, err := url.Parse(base)
	require.NoError(t, err)
	admin, err := sql.Open("pgx", base)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	name = "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = admin.Exec("create " + kind + " " + name + of)
	require.NoError(t, err)
	end := map[string]string{"schema": " cascade", "database": " with (force)"}[kind]
	t.Cleanup(func() {
		_, err := admin.Exec("drop " + kind + " " + name + end)
		require.NoError(t, err)
	})
	return server, name
}
