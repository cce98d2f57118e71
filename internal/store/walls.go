package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ProjectWalls gives what a project has set; the zero value for a project that has set nothing.
func (db *DB) ProjectWalls(ctx context.Context, project string) (faas.ProjectWalls, error) {
	var w faas.ProjectWalls
	var egressFixed, isolationFixed int
	if !storable(project) {
		return w, nil
	}
	err := db.read.QueryRowContext(ctx, `select egress, egress_fixed, isolation, isolation_fixed from project_walls where project = $1`, project).
		Scan(&w.Egress, &egressFixed, &w.Isolation, &isolationFixed)
	if errors.Is(err, sql.ErrNoRows) {
		return w, nil
	}
	w.EgressFixed, w.IsolationFixed = egressFixed != 0, isolationFixed != 0
	return w, db.failed("read walls", err)
}

// SetProjectWalls keeps what a project has set, in place of what it had. It is one of the project's changes.
func (db *DB) SetProjectWalls(ctx context.Context, project string, w faas.ProjectWalls) error {
	if !storable(project, w.Egress, w.Isolation) {
		return faas.Errorf(faas.CodeInvalid, "egress", "the settings hold bytes that are not text")
	}
	return db.change(ctx, "set walls", func(tx *sql.Tx) error {
		if _, _, err := take(ctx, tx, project, faas.Usage{}); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `insert into project_walls (project, egress, egress_fixed, isolation, isolation_fixed) values ($1, $2, $3, $4, $5)
			on conflict (project) do update set egress = excluded.egress, egress_fixed = excluded.egress_fixed,
				isolation = excluded.isolation, isolation_fixed = excluded.isolation_fixed`,
			project, w.Egress, bit(w.EgressFixed), w.Isolation, bit(w.IsolationFixed))
		return err
	})
}
