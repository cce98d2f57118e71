package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
	"github.com/hanshu-faas/hanshu/internal/store/storetest"
	"github.com/hanshu-faas/hanshu/test/need/postgres"
)

var (
	_ control.FunctionStore = (*store.DB)(nil)
	_ control.VersionStore  = (*store.DB)(nil)
	_ auth.Store            = (*store.DB)(nil)
)

// oddFolder is one whose name would mean something in a URL.
func oddFolder(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "100%25 ?mode=ro#x")
	require.NoError(t, os.Mkdir(dir, 0o700))
	return dir
}

func sqliteURL(t *testing.T) string { return "sqlite:" + filepath.Join(oddFolder(t), "hanshu.db") }

func postgresURL(t *testing.T) string { return postgres.Schema(t) }

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) string { return freshtest.In(t, oddFolder(t)) }, sqliteURL)
}

func TestPostgres(t *testing.T) {
	template, made := postgres.Database(t, "template0")
	require.NoError(t, storetest.Open(t, made).Close())
	storetest.Run(t, func(t *testing.T) string {
		_, url := postgres.Database(t, template)
		return url
	}, postgresURL)
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text.db")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("not a database\n", 100)), 0o600))
	for _, c := range []struct{ name, url, says string }{
		{"no scheme", "hanshu.db", "must begin with"},
		{"other scheme", "mysql://user:secret@host/db", "must begin with"},
		{"no file", "sqlite:", "no file"},
		{"no folder", "sqlite:" + filepath.Join(t.TempDir(), "a", "b.db"), "no such file"},
		{"not a database", "sqlite:" + file, "not a database"},
		{"no such host", "postgres://user:secret@127.0.0.1:1/db", "127.0.0.1"},
		{"not durable", "postgres://user:secret@127.0.0.1:1/db?synchronous_commit=off", "synchronous_commit"},
		{"bad option", "postgres://user:secret@127.0.0.1:1/db?sslmode=never", "sslmode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := store.Open(t.Context(), store.Config{URL: c.url})
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// A database that a newer release has changed is refused, and left as it is.
func TestOpenRefusesNewerSchema(t *testing.T) {
	for name, fresh := range map[string]storetest.Fresh{"sqlite": sqliteURL, "postgres": postgresURL} {
		t.Run(name, func(t *testing.T) {
			url := fresh(t)
			db, err := store.Open(t.Context(), store.Config{URL: url})
			require.NoError(t, err)
			require.NoError(t, db.Close())
			driver, source := "pgx", url
			if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
				driver, source = "sqlite", strings.ReplaceAll(strings.ReplaceAll("file:"+path, "%", "%25"), "?", "%3f")
				source = strings.ReplaceAll(source, "#", "%23")
			}
			raw, err := sql.Open(driver, source)
			require.NoError(t, err)
			defer raw.Close()
			_, err = raw.Exec("insert into goose_db_version (version_id, is_applied) values (99999, true)")
			require.NoError(t, err)
			_, err = store.Open(t.Context(), store.Config{URL: url})
			require.ErrorContains(t, err, "newer release")
		})
	}
}

func TestSQLiteFileIsPrivate(t *testing.T) {
	url := sqliteURL(t)
	db := storetest.Open(t, url)
	require.NoError(t, db.CreateOwner(t.Context(), faas.Domain{ID: "d", Name: "d"}, faas.Project{ID: "p", DomainID: "d"},
		faas.User{ID: "u", DomainID: "d"}, faas.AccessKey{ID: "k", UserID: "u"}))
	files, err := os.ReadDir(filepath.Dir(strings.TrimPrefix(url, "sqlite:")))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
}
