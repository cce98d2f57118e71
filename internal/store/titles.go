package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// setTitle keeps the titles of functions in step with a function, whose title was old. Error: CodeExists, field "title".
func setTitle(ctx context.Context, tx *sql.Tx, f *faas.Function, old string) error {
	if f.Version != faas.Latest || f.Title == old {
		return nil
	}
	if !storable(f.Title) {
		return faas.Errorf(faas.CodeInvalid, "name", "the function's name holds bytes that are not text")
	}
	if old != "" {
		if _, err := tx.ExecContext(ctx, `delete from function_titles where project = $1 and package = $2 and name = $3`,
			f.Project, f.Package, f.Name); err != nil {
			return err
		}
	}
	if f.Title == "" {
		return nil
	}
	added, err := insert(ctx, tx, `insert into function_titles (project, package, title, name) values ($1, $2, $3, $4)
		on conflict do nothing`, f.Project, f.Package, f.Title, f.Name)
	if err == nil && !added {
		err = faas.Errorf(faas.CodeExists, "title", "a function is called %q already", f.Title)
	}
	return err
}

// NameOfTitle gives the name of the function with a title. Error: CodeNotFound, field "function".
func (db *DB) NameOfTitle(ctx context.Context, project, pkg, title string) (name string, err error) {
	if !storable(project, pkg, title) {
		return "", faas.NotFound("function", title)
	}
	err = db.read.QueryRowContext(ctx, `select name from function_titles where project = $1 and package = $2 and title = $3`,
		project, pkg, title).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", faas.NotFound("function", title)
	}
	return name, db.failed("look up title", err)
}
