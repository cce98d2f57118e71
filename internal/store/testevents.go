package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const testEventColumns = "id, project, package, name, title, content, created_us, changed_us"

// CreateTestEvent stores a new event of a function; most bounds those that a function has. Errors: CodeNotFound, field "function";
// CodeExists, field "event", when the name is taken; CodeQuota, field "events".
func (db *DB) CreateTestEvent(ctx context.Context, e *faas.TestEvent, most int) error {
	return db.change(ctx, "create test event", func(tx *sql.Tx) error {
		key := e.Function
		key.Version = faas.Latest
		if _, err := lockFunction(ctx, tx, key); err != nil {
			return err
		}
		var held int
		err := tx.QueryRowContext(ctx, `select count(*) from test_events where project = $1 and package = $2 and name = $3`,
			key.Project, key.Package, key.Name).Scan(&held)
		switch {
		case err != nil:
			return err
		case held >= most:
			return faas.Errorf(faas.CodeQuota, "events", "the function has %d test events already, which is the limit", held)
		}
		added, err := insert(ctx, tx, `insert into test_events (`+testEventColumns+`) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
			e.ID, key.Project, key.Package, key.Name, e.Name, e.Content, orZero(e.CreatedAt), orZero(e.ChangedAt))
		if err == nil && !added {
			return faas.Errorf(faas.CodeExists, "event", "the function has a test event %q already", e.Name)
		}
		return err
	})
}

// TestEvents gives the events of a function, the oldest first.
func (db *DB) TestEvents(ctx context.Context, f faas.FunctionKey) ([]*faas.TestEvent, error) {
	if !storable(f.Project, f.Package, f.Name) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select `+testEventColumns+` from test_events
		where project = $1 and package = $2 and name = $3 order by created_us, title`, f.Project, f.Package, f.Name)
	if err != nil {
		return nil, db.failed("list test events", err)
	}
	defer rows.Close()
	var found []*faas.TestEvent
	for rows.Next() {
		e, err := scanTestEvent(rows)
		if err != nil {
			return nil, db.failed("list test events", err)
		}
		found = append(found, e)
	}
	return found, db.failed("list test events", rows.Err())
}

func scanTestEvent(row interface{ Scan(...any) error }) (*faas.TestEvent, error) {
	var e faas.TestEvent
	var created, changed int64
	err := row.Scan(&e.ID, &e.Function.Project, &e.Function.Package, &e.Function.Name, &e.Name, &e.Content, &created, &changed)
	e.CreatedAt, e.ChangedAt = zeroOr(created), zeroOr(changed)
	return &e, err
}

// UpdateTestEvent lets change alter the content of an event of a function. Error: CodeNotFound, field "event".
func (db *DB) UpdateTestEvent(ctx context.Context, f faas.FunctionKey, id string, change func(*faas.TestEvent) error) (e *faas.TestEvent, err error) {
	err = db.change(ctx, "update test event", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, f.Project); err != nil {
			return err
		}
		e, err = scanTestEvent(tx.QueryRowContext(ctx, `select `+testEventColumns+` from test_events
			where id = $1 and project = $2 and package = $3 and name = $4`, cleaned(id), f.Project, f.Package, f.Name))
		if errors.Is(err, sql.ErrNoRows) {
			return faas.NotFound("event", id)
		}
		if err != nil {
			return err
		}
		if err := change(e); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `update test_events set content = $1, changed_us = $2 where id = $3`, e.Content, orZero(e.ChangedAt), e.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// DeleteTestEvent removes an event of a function. Error: CodeNotFound, field "event".
func (db *DB) DeleteTestEvent(ctx context.Context, f faas.FunctionKey, id string) error {
	return db.change(ctx, "delete test event", func(tx *sql.Tx) error {
		gone, err := insert(ctx, tx, `delete from test_events where id = $1 and project = $2 and package = $3 and name = $4`,
			cleaned(id), f.Project, f.Package, f.Name)
		if err == nil && !gone {
			return faas.NotFound("event", id)
		}
		return err
	})
}

// cleaned gives a text that both databases take, for a look-up: one that cannot be stored is nobody's.
func cleaned(text string) string {
	if !storable(text) {
		return ""
	}
	return text
}

// deleteBeside removes what belongs to all versions of a function.
func deleteBeside(ctx context.Context, tx *sql.Tx, key faas.FunctionKey) error {
	for _, table := range []string{"test_events", "function_tags"} {
		if _, err := tx.ExecContext(ctx, `delete from `+table+` where project = $1 and package = $2 and name = $3`,
			key.Project, key.Package, key.Name); err != nil {
			return err
		}
	}
	return nil
}
