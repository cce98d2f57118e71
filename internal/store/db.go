// Package store keeps what exists (identities, functions) in SQLite or PostgreSQL. There is one implementation: the same
// schema and the same statements run on both, and dialect.go holds what differs.
//
// Each exported method is one whole transaction, and what it acknowledges is on disk. It must not know HTTP, dialects of
// the API, processes or the rules of a use case; it knows which rows must change together.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

//go:embed migrate/*.sql
var migrations embed.FS

// Config says where the database is.
type Config struct {
	// URL is "sqlite:<path>" for a file, which is made when missing, or "postgres://..." as libpq reads it.
	URL string
}

// DB is an open database. Its methods may be called from many goroutines.
//
// Their errors are *faas.Error as documented with each, CodeUnavailable when the database cannot be reached at the moment, the
// error of the context when that ended first, and otherwise internal.
type DB struct {
	read    *sql.DB
	write   *sql.DB // on SQLite one connection, so that writers wait in line and never meet a busy database
	dialect dialect
	group   *group
	noteIDs noteIDs
}

// Open connects to the database and brings its schema up to date. It refuses a database that a newer release has changed.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	var db *DB
	var err error
	scheme, rest, _ := strings.Cut(cfg.URL, ":")
	switch scheme {
	case "sqlite":
		db, err = openSQLite(rest)
	case "postgres", "postgresql":
		db, err = openPostgres(cfg.URL)
	default:
		return nil, fmt.Errorf("store: database URL must begin with sqlite: or postgres://, not %.20q", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("store: open database: %w", err)
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: bring the schema up to date: %w", err), db.Close())
	}
	db.group = newGroup(db)
	return db, nil
}

// Close waits for what runs and closes the connections.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

func (db *DB) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrate")
	if err != nil {
		return err
	}
	options, err := db.dialect.migration()
	if err != nil {
		return err
	}
	// Out of order: the changes of several parts may be released in another order than that of their numbers.
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	provider, err := goose.NewProvider(db.dialect.goose, db.write, files, options...)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil { // leaves a newer schema alone
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("the database has schema %d and this release knows only %d; use the newer release", current, target)
	}
	return nil
}

// change runs one writing transaction. It is the only way to write. The database may undo it, and run is run again then.
func (db *DB) change(ctx context.Context, what string, run func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := db.transact(ctx, db.write, nil, what, run)
		if try == maxTries || !db.dialect.again(err) {
			return err
		}
	}
}

// maxTries bounds the runs of a transaction that the database undoes for the sake of others.
const maxTries = 5

// queries is what a read needs: a transaction, or a pool where one statement is all there is to read.
type queries interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// view runs several reads on one snapshot.
func (db *DB) view(ctx context.Context, what string, run func(*sql.Tx) error) error {
	return db.transact(ctx, db.read, db.dialect.snapshot, what, run)
}

func (db *DB) transact(ctx context.Context, pool *sql.DB, options *sql.TxOptions, what string, run func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return db.failed(what, err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := run(tx); err != nil {
		return db.failed(what, err)
	}
	return db.failed(what, tx.Commit())
}

// failed names the operation in an unexpected error and passes an expected one on.
func (db *DB) failed(what string, err error) error {
	var expected *faas.Error
	switch {
	case err == nil || errors.As(err, &expected):
		return err
	case db.dialect.full(err):
		return &faas.Error{Code: faas.CodeUnavailable, Field: "disk", Message: "the disk of the database is full, so nothing was accepted; make room and try again", Err: err}
	case db.dialect.away(err):
		return &faas.Error{Code: faas.CodeUnavailable, Field: "database", Message: "the database cannot be reached at the moment", Err: err}
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// storable tells whether both databases can hold the texts. PostgreSQL takes neither NUL nor broken UTF-8, so on no
// database can there be a thing of such a name.
func storable(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return false
		}
	}
	return true
}

// insert adds a row and tells whether it did: false when a row with one of its unique keys is there already.
// The statement ends in "on conflict do nothing".
func insert(ctx context.Context, tx *sql.Tx, statement string, args ...any) (bool, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}
