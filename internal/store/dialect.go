package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is what differs between the databases.
type dialect struct {
	goose     goose.Dialect
	migration func() ([]goose.ProviderOption, error)
	position  string         // the function that finds the second text in the first: 0 when it is not there
	snapshot  *sql.TxOptions // of a reading transaction in which all queries see the same state
	away      func(error) bool
	full      func(error) bool // nothing more can be written
	again     func(error) bool // the transaction stood in the way of another one, and was undone: it may go well the next time
	skip      string           // the clause by which nodes that claim at the same time pass over each other's rows
	lock      string           // the clause by which a row that was read stays as it is until the transaction ends; "" where one writes at a time
	mark      string           // stands for a parameter without a number; "" where every one needs its number
	shared    bool             // several servers may use the database at a time
}

// openSQLite opens the file with one connection for writing and several for reading. The file is for its owner only.
// A commit returns after fsync: WAL with synchronous=FULL.
func openSQLite(path string) (*DB, error) {
	if path == "" {
		return nil, errors.New("sqlite: names no file")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	dsn := func(options string) string {
		file := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
		return file.String() + "?_busy_timeout=5000&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_dqs=0" + options
	}
	// What was written is moved into the file after 16 MiB and not after 4: that stops writers for two syncs each time, and pages of
	// indexes are written again and again, of which the file gets only the last.
	write, err := sql.Open("sqlite", dsn("&_txlock=immediate&_pragma=wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn("&_query_only=on"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return &DB{read: read, write: write, dialect: dialect{
		goose:     goose.DialectSQLite3,
		migration: func() ([]goose.ProviderOption, error) { return nil, nil },
		position:  "instr",
		snapshot:  &sql.TxOptions{ReadOnly: true},
		away:      awaySQLite,
		full:      fullSQLite,
		again:     func(error) bool { return false }, // one writes at a time
		mark:      "?",
	}}, nil
}

// makeFile makes an empty database file with mode 0600, which SQLite then gives to its companions too, and makes the
// file's name durable.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// awaySQLite knows the lock that another process (a backup, a shell) holds for longer than the busy timeout.
func awaySQLite(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// fullSQLite knows a disk without room: SQLite tells of most of these itself, and of some as a failed write.
func fullSQLite(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_WRITE)
}

// openPostgres opens a pool. A commit returns after the server's fsync, whatever the server's own default is.
func openPostgres(text string) (*DB, error) {
	cfg, err := pgx.ParseConfig(text) // its errors leave the password out
	if err != nil {
		return nil, err
	}
	switch cfg.RuntimeParams["synchronous_commit"] {
	case "":
		cfg.RuntimeParams["synchronous_commit"] = "on"
	case "off":
		return nil, errors.New("synchronous_commit=off would lose what was acknowledged")
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "hanshu"
	}
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16)
	return &DB{read: pool, write: pool, dialect: dialect{
		goose:     goose.DialectPostgres,
		migration: lockPostgres,
		position:  "strpos",
		snapshot:  &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
		away:      awayPostgres,
		full:      fullPostgres,
		again:     againPostgres,
		skip:      "for update skip locked",
		lock:      "for update",
		shared:    true,
	}}, nil
}

// lockPostgres makes nodes that start together migrate one after the other.
func lockPostgres() ([]goose.ProviderOption, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("lock for migration: %w", err)
	}
	return []goose.ProviderOption{goose.WithSessionLocker(locker)}, nil
}

// awayPostgres knows a server that cannot be reached, is starting or stopping, or cut the connection.
func awayPostgres(err error) bool {
	var connect *pgconn.ConnectError
	var answer *pgconn.PgError
	switch {
	case errors.As(err, &answer):
		class := answer.Code[:min(2, len(answer.Code))]
		return class == "08" || class == "53" || class == "57" && answer.Code != "57014" // 57014: a statement was cancelled
	case errors.As(err, &connect):
		return true
	}
	return pgconn.SafeToRetry(err)
}

// fullPostgres knows a server whose disk has no room.
func fullPostgres(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "53100"
}

// againPostgres knows a deadlock, of which the server ends one side.
func againPostgres(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "40P01"
}
