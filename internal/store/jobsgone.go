package store

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// dropJobs removes all jobs of a function, and deliveries of its results. Those that had not ended count as cancelled; the end of an
// attempt that is under way counts for nothing then. The lanes stay: every server keeps their numbers at hand, and a function of the
// same name gets them again.
func (db *DB) dropJobs(ctx context.Context, tx *sql.Tx, key faas.FunctionKey) error {
	lanes, err := lanesOf(ctx, tx, faas.JobFilter{Project: key.Project, Package: key.Package, Name: key.Name, Deliveries: true})
	if err != nil {
		return err
	}
	var books faas.JobBooks
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		rows, err := tx.QueryContext(ctx, `delete from jobs where lane = $1 returning state, bytes`, lane)
		if err != nil {
			return err
		}
		err = each(rows, func() error {
			var state int
			var bytes int64
			err := rows.Scan(&state, &bytes)
			switch state {
			case rowWaiting:
				books.Waiting--
				books.Cancelled++
			case rowRunning:
				books.Running--
				books.Cancelled++
			default:
				books.Kept -= bytes
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if books == (faas.JobBooks{}) {
		return nil
	}
	return countJobs(ctx, tx, db.group.node, books)
}

// cancelJobsOf calls off the jobs that wait for a version or alias of a function. One that runs goes to its end, and is not tried
// again. A job that the rules of an alias have bound to a version goes with its alias, which finds it another version.
func (db *DB) cancelJobsOf(ctx context.Context, tx *sql.Tx, key faas.FunctionKey, qualifier string) error {
	lanes, err := lanesOf(ctx, tx, faas.JobFilter{Project: key.Project, Package: key.Package, Name: key.Name})
	if err != nil {
		return err
	}
	called := `alias = '' and version = $2`
	if qualifier[0] == '!' {
		called, qualifier = `alias = $2`, qualifier[1:]
	}
	var books faas.JobBooks
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		if _, err := tx.ExecContext(ctx, `update jobs set cancel = 1 where lane = $1 and state = 1 and cancel = 0 and `+called, lane, qualifier); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `update jobs set state = 5, cancel = 1, ended_us = cast($3 as bigint), code = 'cancelled',
			message = 'cancelled, as the version or alias that it waited for was deleted'
			where lane = $1 and state = 0 and `+called+` returning bytes`, lane, qualifier, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		err = each(rows, func() error {
			var bytes int64
			err := rows.Scan(&bytes)
			books.Waiting--
			note(&books, rowCancelled, bytes)
			return err
		})
		if err != nil {
			return err
		}
	}
	if books == (faas.JobBooks{}) {
		return nil
	}
	return countJobs(ctx, tx, db.group.node, books)
}
