package store

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Reserved lists the versions that have reserved instances, of one project or, for "", of all; oldest first.
func (db *DB) Reserved(ctx context.Context, project string) ([]*faas.Function, error) {
	rows, err := db.read.QueryContext(ctx, `select `+functionColumns+` from functions
		where reserves = 1 and (project = $1 or $1 = '') order by project, seq, version`, project)
	if err != nil {
		return nil, db.failed("list reserved instances", err)
	}
	defer rows.Close()
	var found []*faas.Function
	for rows.Next() {
		f, _, err := scan(rows)
		if err != nil {
			return nil, db.failed("list reserved instances", err)
		}
		if f.Spec.Reserved > 0 {
			found = append(found, f)
		}
	}
	return found, db.failed("list reserved instances", rows.Err())
}
