package store

import (
	"context"
	"database/sql"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// SetTags gives a function tags: those of a key that it has already get the new value. most bounds the tags of a function.
// Errors: CodeNotFound, field "function"; CodeQuota, field "tags".
func (db *DB) SetTags(ctx context.Context, f faas.FunctionKey, tags []faas.Tag, most int) error {
	return db.changeTags(ctx, f, func(tx *sql.Tx) error {
		for _, t := range tags {
			if _, err := tx.ExecContext(ctx, `insert into function_tags (project, package, name, tag_key, tag_value) values ($1, $2, $3, $4, $5)
				on conflict (project, package, name, tag_key) do update set tag_value = excluded.tag_value`,
				f.Project, f.Package, f.Name, t.Key, t.Value); err != nil {
				return err
			}
		}
		var held int
		if err := tx.QueryRowContext(ctx, `select count(*) from function_tags where project = $1 and package = $2 and name = $3`,
			f.Project, f.Package, f.Name).Scan(&held); err != nil {
			return err
		}
		if held > most {
			return faas.Errorf(faas.CodeQuota, "tags", "a function may have %d tags, and this would make it %d", most, held)
		}
		return nil
	})
}

// DeleteTags takes the tags with these keys away; one that is not there is passed over. Error: CodeNotFound, field "function".
func (db *DB) DeleteTags(ctx context.Context, f faas.FunctionKey, keys []string) error {
	return db.changeTags(ctx, f, func(tx *sql.Tx) error {
		for _, key := range keys {
			if _, err := tx.ExecContext(ctx, `delete from function_tags where project = $1 and package = $2 and name = $3 and tag_key = $4`,
				f.Project, f.Package, f.Name, cleaned(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (db *DB) changeTags(ctx context.Context, f faas.FunctionKey, change func(*sql.Tx) error) error {
	f.Version = faas.Latest
	return db.change(ctx, "change tags", func(tx *sql.Tx) error {
		if _, err := lockFunction(ctx, tx, f); err != nil {
			return err
		}
		return change(tx)
	})
}

// Tags gives the tags of a project's functions, or of one function where f names one, by function and key.
func (db *DB) Tags(ctx context.Context, f faas.FunctionKey) ([]faas.FunctionTag, error) {
	if !storable(f.Project, f.Package, f.Name) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select package, name, tag_key, tag_value from function_tags
		where project = $1 and ($2 = '' or package = $2 and name = $3) order by package, name, tag_key`, f.Project, f.Package, f.Name)
	if err != nil {
		return nil, db.failed("list tags", err)
	}
	defer rows.Close()
	var found []faas.FunctionTag
	for rows.Next() {
		t := faas.FunctionTag{Function: faas.FunctionKey{Project: f.Project}}
		if err := rows.Scan(&t.Function.Package, &t.Function.Name, &t.Tag.Key, &t.Tag.Value); err != nil {
			return nil, db.failed("list tags", err)
		}
		found = append(found, t)
	}
	return found, db.failed("list tags", rows.Err())
}
