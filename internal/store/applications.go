package store

import (
	"context"
	"database/sql"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const applicationColumns = "id, project, title, description, template, package, name, function_id, url, created_us"

// CreateApplication stores a new application; most bounds those of a project. Errors: CodeExists, field "application", when the
// name is taken; CodeQuota, field "applications".
func (db *DB) CreateApplication(ctx context.Context, a *faas.Application, most int) error {
	return db.change(ctx, "create application", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, a.Project); err != nil {
			return err
		}
		var held int
		if err := tx.QueryRowContext(ctx, `select count(*) from applications where project = $1`, a.Project).Scan(&held); err != nil {
			return err
		}
		if held >= most {
			return faas.Errorf(faas.CodeQuota, "applications", "the project has %d applications already, which is the limit", held)
		}
		added, err := insert(ctx, tx, `insert into applications (`+applicationColumns+`) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing`,
			a.ID, a.Project, a.Name, a.Description, a.Template, a.Function.Package, a.Function.Name, a.FunctionID, a.URL, orZero(a.CreatedAt))
		if err == nil && !added {
			return faas.Errorf(faas.CodeExists, "application", "application %q exists already", a.Name)
		}
		return err
	})
}

// CompleteApplication notes the function and the address of an application.
func (db *DB) CompleteApplication(ctx context.Context, project, id, function, url string) error {
	return db.change(ctx, "update application", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `update applications set function_id = $1, url = $2 where project = $3 and id = $4`, function, url, project, id)
		return err
	})
}

// Applications gives those of a project, or the one with an id where it is not "", the oldest first.
func (db *DB) Applications(ctx context.Context, project, id string) ([]*faas.Application, error) {
	if !storable(project, id) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select `+applicationColumns+` from applications
		where project = $1 and ($2 = '' or id = $2) order by created_us, title`, project, id)
	if err != nil {
		return nil, db.failed("list applications", err)
	}
	defer rows.Close()
	var found []*faas.Application
	for rows.Next() {
		var a faas.Application
		var created int64
		if err := rows.Scan(&a.ID, &a.Project, &a.Name, &a.Description, &a.Template, &a.Function.Package, &a.Function.Name, &a.FunctionID, &a.URL, &created); err != nil {
			return nil, db.failed("list applications", err)
		}
		a.Function.Project, a.CreatedAt = a.Project, zeroOr(created)
		found = append(found, &a)
	}
	return found, db.failed("list applications", rows.Err())
}

// DeleteApplication forgets an application; its function is its owner's to delete. One that is not there is no error.
func (db *DB) DeleteApplication(ctx context.Context, project, id string) error {
	return db.change(ctx, "delete application", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `delete from applications where project = $1 and id = $2`, project, cleaned(id))
		return err
	})
}
