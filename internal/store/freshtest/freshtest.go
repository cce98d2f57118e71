// Package freshtest gives tests that need some database a new one quickly: the schema is made once for each test program, and every
// test gets a copy of the file. It must not know what is in the tables.
package freshtest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/store"
)

// empty is the file of a database with the schema of this release and nothing in it. Making one takes 0.4 s of processor time under
// the race detector; opening a copy, 0.02 s.
var empty = sync.OnceValues(func() (data []byte, err error) {
	dir, err := os.MkdirTemp("", "fresh")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "empty.db")
	db, err := store.Open(context.Background(), store.Config{URL: "sqlite:" + path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // all of it is in the one file now
		return nil, err
	}
	return os.ReadFile(path)
})

// SQLite gives the URL of an empty database in a folder of the test's own.
func SQLite(t testing.TB) string {
	t.Helper()
	return In(t, t.TempDir())
}

// In is SQLite in a folder that is there.
func In(t testing.TB, dir string) string {
	t.Helper()
	data, err := empty()
	require.NoError(t, err)
	path := filepath.Join(dir, "hanshu.db")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return "sqlite:" + path
}

// Open opens an empty database that is closed with the test.
func Open(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: SQLite(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
