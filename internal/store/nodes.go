package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Shared tells whether other servers may work on the same database.
func (db *DB) Shared() bool { return db.dialect.shared }

// BeatJobs shows that this node lives, and gives the beats of all others that have jobs or books.
func (db *DB) BeatJobs(ctx context.Context) (others map[string]int64, err error) {
	err = db.change(ctx, "beat", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into job_nodes (node, beat) values ($1, 1)
			on conflict (node) do update set beat = job_nodes.beat + 1`, db.group.node)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `select node, beat from job_nodes where node <> $1`, db.group.node)
		if err != nil {
			return err
		}
		others = map[string]int64{}
		return each(rows, func() error {
			var node string
			var beat int64
			err := rows.Scan(&node, &beat)
			others[node] = beat
			return err
		})
	})
	return others, err
}

// TakeOverJobs lets the jobs that a node was running wait again, and takes over its books. "" is this node itself: what it
// was running when it ended the last time. An attempt that is cut off so counts, and is told apart as interrupted.
func (db *DB) TakeOverJobs(ctx context.Context, node string) (taken int64, err error) {
	if node == "" {
		node = db.group.node
	}
	err = db.change(ctx, "take over jobs", func(tx *sql.Tx) error {
		var books faas.JobBooks
		if node != db.group.node { // before its jobs are looked for: it waits for a claim of that node, and no other begins
			if _, err := tx.ExecContext(ctx, `delete from job_nodes where node = $1`, node); err != nil {
				return err
			}
		}
		if err := giveUp(ctx, tx, &books, "", node); err != nil {
			return err
		}
		taken = -books.Running
		if node != db.group.node {
			if err := inherit(ctx, tx, node, &books); err != nil {
				return err
			}
		}
		return countJobs(ctx, tx, db.group.node, books)
	})
	return taken, err
}

// beSeen has the others know this node before it claims jobs. Where they took it for gone, because it was silent for long, and it ended
// before its next beat, nobody would ever let those jobs wait again.
func (w *writer) beSeen(ctx context.Context, batch []*member) error {
	if !w.group.db.dialect.shared || !slices.ContainsFunc(batch, func(m *member) bool { return len(m.claims) > 0 }) {
		return nil
	}
	rows, err := w.query(ctx, `select 1 from job_nodes where node = $1 for key share`, w.group.node)
	if err != nil {
		return err
	}
	known := false
	if err := each(rows, func() error { known = true; return nil }); err != nil || known {
		return err
	}
	_, err = w.exec(ctx, `insert into job_nodes (node, beat) values ($1, 0) on conflict do nothing`, w.group.node)
	return err
}

// ReleaseJobs lets the jobs wait again that count as running on this node and are not held: by their seq, the number of the
// attempt that is under way. An attempt that is given up so counts as interrupted.
func (db *DB) ReleaseJobs(ctx context.Context, held map[int64]int) (released int64, err error) {
	err = db.change(ctx, "release jobs", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `select seq, attempts from jobs where node = $1 and state = 1`, db.group.node)
		if err != nil {
			return err
		}
		var lost []int64
		err = each(rows, func() error {
			var seq int64
			var number int
			err := rows.Scan(&seq, &number)
			if held[seq] < number {
				lost = append(lost, seq)
			}
			return err
		})
		if err != nil {
			return err
		}
		var books faas.JobBooks
		for _, seq := range lost {
			if err := giveUp(ctx, tx, &books, ` and seq = $3`, db.group.node, seq); err != nil {
				return err
			}
		}
		released = -books.Running
		return countJobs(ctx, tx, db.group.node, books)
	})
	return released, err
}

// giveUp ends attempts of a node without an outcome, and books that. The condition adds to those that run there; its
// parameters come behind the node.
func giveUp(ctx context.Context, tx *sql.Tx, books *faas.JobBooks, condition, node string, more ...any) error {
	rows, err := tx.QueryContext(ctx, `update jobs set state = case when cancel > 0 then 5 else 0 end, node = '', interrupted = interrupted + 1,
			ended_us = case when cancel > 0 then cast($2 as bigint) else 0 end, code = case when cancel > 0 then 'cancelled' else code end
		where node = $1 and state = 1`+condition+` returning state, bytes`, append([]any{node, time.Now().UnixMicro()}, more...)...)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		var state int
		var bytes int64
		err := rows.Scan(&state, &bytes)
		books.Running--
		note(books, state, bytes)
		return err
	})
}

// inherit adds the books of a node that is gone to those given, and forgets them.
func inherit(ctx context.Context, tx *sql.Tx, node string, b *faas.JobBooks) error {
	rows, err := tx.QueryContext(ctx, `delete from job_books where node = $1
		returning accepted, done, dead, cancelled, waiting, running, kept`, node)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		var o faas.JobBooks
		err := rows.Scan(&o.Accepted, &o.Done, &o.Dead, &o.Cancelled, &o.Waiting, &o.Running, &o.Kept)
		b.Accepted += o.Accepted
		b.Done += o.Done
		b.Dead += o.Dead
		b.Cancelled += o.Cancelled
		b.Waiting += o.Waiting
		b.Running += o.Running
		b.Kept += o.Kept
		return err
	})
}

// CalledOffJobs lists the jobs of this node that run and were called off, wherever that was asked.
func (db *DB) CalledOffJobs(ctx context.Context) (jobs []faas.JobStatus, err error) {
	rows, err := db.read.QueryContext(ctx, `select `+jobColumns+` from jobs where node = $1 and state = 1 and cancel > 0`, db.group.node)
	if err != nil {
		return nil, db.failed("list cancelled jobs", err)
	}
	err = each(rows, func() error {
		j, err := scanJob(rows)
		jobs = append(jobs, j)
		return err
	})
	return jobs, db.failed("list cancelled jobs", err)
}
