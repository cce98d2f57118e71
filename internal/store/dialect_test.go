package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// What makes "acknowledged is on disk" true on SQLite.
func TestSQLiteIsDurable(t *testing.T) {
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "wal_autocheckpoint": "4000"} {
		var got string
		require.NoError(t, db.write.QueryRow("pragma "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
	_, err = db.write.Exec(`insert into users (id, domain_id, name, password_hash) values ('u', 'no such domain', 'n', '')`)
	require.ErrorContains(t, err, "FOREIGN KEY")
	_, err = db.read.Exec(`delete from users`)
	require.ErrorContains(t, err, "readonly")
}

func TestAwayPostgres(t *testing.T) {
	for code, away := range map[string]bool{
		"08006": true, "53300": true, "57P01": true, "57P03": true, "57014": false, "23505": false, "42P01": false, "": false,
	} {
		require.Equal(t, away, awayPostgres(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})), code)
	}
	require.False(t, awayPostgres(errors.New("other")))

	pool, err := openPostgres("postgres://user:secret@127.0.0.1:1/db")
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Usage(t.Context(), "p")
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(err))
	require.ErrorContains(t, err, "the database cannot be reached")
}
