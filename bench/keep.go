package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// keeper is the floor of durable acceptance: one table, one row for each event, synced before it is told, callers sharing a
// transaction.
type keeper struct {
	db   *sql.DB
	rows chan kept
}

type kept struct {
	body []byte
	done chan error
}

func newKeeper(ctx context.Context, dir string) (*keeper, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "floor.db")+"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `create table kept (id integer primary key, state integer not null, event blob not null)`); err != nil {
		return nil, err
	}
	k := &keeper{db: db, rows: make(chan kept, 1024)}
	insert, err := db.PrepareContext(ctx, `insert into kept (state, event) values (0, ?)`)
	if err != nil {
		return nil, err
	}
	go k.commit(ctx, insert)
	return k, nil
}

// commit puts what has gathered into one transaction, again and again until ctx ends.
func (k *keeper) commit(ctx context.Context, insert *sql.Stmt) {
	for {
		var batch []kept
		select {
		case first := <-k.rows:
			batch = append(batch, first)
		case <-ctx.Done():
			return
		}
		for len(k.rows) > 0 && len(batch) < 512 {
			batch = append(batch, <-k.rows)
		}
		err := k.write(ctx, insert, batch)
		for _, row := range batch {
			row.done <- err
		}
	}
}

func (k *keeper) write(ctx context.Context, insert *sql.Stmt, batch []kept) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	bound := tx.StmtContext(ctx, insert)
	for _, row := range batch {
		if _, err := bound.ExecContext(ctx, row.body); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// keep returns when a body is on disk.
func (k *keeper) keep(body []byte, done chan error) error {
	k.rows <- kept{body, done}
	return <-done
}

// runKeep is the floor behind net/http.
func runKeep(ctx context.Context, in *bufio.Reader, out io.Writer) error {
	go endWithParent(in)
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	k, err := newKeeper(ctx, dir)
	if err != nil {
		return err
	}
	// The answer is what was sent, as the load generator wants it.
	return serveFloor(ctx, out, func(body []byte) ([]byte, error) { return body, k.keep(body, make(chan error, 1)) })
}

// keepRate measures the bare floor: callers in this process, no HTTP.
func keepRate(ctx context.Context, clients int, run time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k, err := newKeeper(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer k.db.Close()
	var mu sync.Mutex
	var work sync.WaitGroup
	total := 0
	begun := time.Now()
	for range clients {
		work.Go(func() {
			done, body, n := make(chan error, 1), payload(), 0
			for time.Since(begun) < run {
				if cause := k.keep(body, done); cause != nil {
					mu.Lock()
					err = cause
					mu.Unlock()
					return
				}
				n++
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	work.Wait()
	if err != nil {
		return 0, fmt.Errorf("bare floor: %w", err)
	}
	return float64(total) / time.Since(begun).Seconds(), nil
}
