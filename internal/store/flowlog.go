package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const flowRunColumns = `seq, flow, id, project, revision, express, status, source, merge, depth, events, node, coalesce(wake_us, -1),
	began_us, ended_us, updated_us, parent, parent_task, created_by, input, headers, output, fault`

func scanFlowRun(row interface{ Scan(...any) error }) (r faas.FlowRun, err error) {
	var express, status, merge int
	var node string
	var wake, began, ended, updated int64
	err = row.Scan(&r.Seq, &r.Flow, &r.ID, &r.Project, &r.Revision, &express, &status, &r.Source, &merge, &r.Depth, &r.Events, &node, &wake,
		&began, &ended, &updated, &r.Parent, &r.ParentTask, &r.CreatedBy, &r.Input, &r.Headers, &r.Output, &r.Fault)
	if err != nil {
		return r, err
	}
	r.Mode, r.Merge, r.Status, r.Asleep = faas.FlowNormal, merge == 1, faas.FlowStatuses[status], node == ""
	if express == 1 {
		r.Mode = faas.FlowExpress
	}
	if wake >= 0 {
		r.WakeAt = time.UnixMicro(wake).UTC()
	}
	r.BeganAt, r.EndedAt, r.UpdatedAt = fromMicros(began), fromMicros(ended), fromMicros(updated)
	return r, nil
}

// FlowRun gives a run of a workflow by its id. Error: CodeNotFound, field "execution".
func (db *DB) FlowRun(ctx context.Context, flow, id string) (faas.FlowRun, error) {
	if !storable(flow, id) {
		return faas.FlowRun{}, faas.NotFound("execution", id)
	}
	r, err := scanFlowRun(db.read.QueryRowContext(ctx, `select `+flowRunColumns+` from flow_runs where flow = $1 and id = $2`, flow, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, faas.NotFound("execution", id)
	}
	return r, db.failed("read run", err)
}

// FlowLog gives all that is recorded of a run. Error: CodeNotFound, field "execution".
func (db *DB) FlowLog(ctx context.Context, seq int64) (log faas.FlowLog, err error) {
	err = db.view(ctx, "read run", func(tx *sql.Tx) error {
		log = faas.FlowLog{}
		var err error
		log.Run, err = scanFlowRun(tx.QueryRowContext(ctx, `select `+flowRunColumns+` from flow_runs where seq = $1`, seq))
		if errors.Is(err, sql.ErrNoRows) {
			return faas.Errorf(faas.CodeNotFound, "execution", "the run does not exist any more")
		}
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `select doc from flow_definitions where flow = $1 and revision = $2`, log.Run.Flow, log.Run.Revision).Scan(&log.Definition)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `select doc from flow_events where run = $1 order by n`, seq)
		if err != nil {
			return err
		}
		err = each(rows, func() error {
			var doc []byte
			err := rows.Scan(&doc)
			log.Events = append(log.Events, doc)
			return err
		})
		if err != nil {
			return err
		}
		log.Notes, err = flowNotes(ctx, tx, seq)
		return err
	})
	return log, err
}

func flowNotes(ctx context.Context, q queries, run int64) (notes []faas.FlowNote, err error) {
	rows, err := q.QueryContext(ctx, `select id, doc from flow_notes where run = $1 order by id`, run)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		n := faas.FlowNote{Run: run}
		err := rows.Scan(&n.ID, &n.Doc)
		notes = append(notes, n)
		return err
	})
	return notes, err
}

// FlowNotes gives the notes for a run, in order.
func (db *DB) FlowNotes(ctx context.Context, run int64) ([]faas.FlowNote, error) {
	notes, err := flowNotes(ctx, db.read, run)
	return notes, db.failed("read notes of a run", err)
}

// FlowRuns gives a page of the runs that match, the youngest first and without their texts, and how many match.
func (db *DB) FlowRuns(ctx context.Context, f faas.FlowRunFilter) (runs []faas.FlowRun, total int64, err error) {
	status := -1
	if f.Status != "" {
		if status, err = toFlowRow(f.Status); err != nil {
			return nil, 0, err
		}
	}
	to := int64(1 << 62)
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	err = db.view(ctx, "list runs", func(tx *sql.Tx) error {
		const where = ` where flow = $1 and began_us >= $2 and began_us <= $3 and ($4 < 0 or status = $4)`
		args := []any{f.Flow, micros(f.From), to, status}
		if err := tx.QueryRowContext(ctx, `select count(*) from flow_runs`+where, args...).Scan(&total); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `select seq, flow, id, project, revision, express, status, source, merge, depth, events, node, coalesce(wake_us, -1),
			began_us, ended_us, updated_us, parent, parent_task, created_by, null, null, null, null from flow_runs`+where+` order by seq desc limit $5 offset $6`,
			append(args, f.Limit, f.Offset)...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			r, err := scanFlowRun(rows)
			runs = append(runs, r)
			return err
		})
	})
	return runs, total, err
}

// ForgetFlowRuns drops runs that have ended: those that did so before a time, and the oldest as long as all together are over
// maxBytes, at most some of them. It tells whether there are more to drop. Sums and definitions that nobody needs go with them.
func (db *DB) ForgetFlowRuns(ctx context.Context, before time.Time, maxBytes int64, most int) (more bool, err error) {
	err = db.change(ctx, "forget runs", func(tx *sql.Tx) error {
		seqs, err := oldFlowRuns(ctx, tx, before, maxBytes, most)
		if err != nil {
			return err
		}
		more = len(seqs) == most
		for _, seq := range seqs {
			for _, statement := range []string{
				`delete from flow_events where run = $1`, `delete from flow_notes where run = $1`, `delete from flow_runs where seq = $1`,
			} {
				if _, err := tx.ExecContext(ctx, statement, seq); err != nil {
					return err
				}
			}
		}
		if more {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `delete from flow_sums where minute < $1`, before.Unix()/60); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `delete from flow_definitions where revision <> (select f.revision from flows f where f.id = flow_definitions.flow)
			and not exists (select 1 from flow_runs r where r.flow = flow_definitions.flow and r.revision = flow_definitions.revision)`)
		return err
	})
	return more, err
}

func oldFlowRuns(ctx context.Context, tx *sql.Tx, before time.Time, maxBytes int64, most int) (seqs []int64, err error) {
	var held int64
	if err := tx.QueryRowContext(ctx, `select coalesce(cast(sum(bytes) as bigint), 0) from flow_runs where ended_us > 0`).Scan(&held); err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, `select seq, ended_us, bytes from flow_runs where ended_us > 0 and node = '' order by ended_us limit $1`, most)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var seq, ended, bytes int64
		if err := rows.Scan(&seq, &ended, &bytes); err != nil {
			return err
		}
		if ended < before.UnixMicro() || held > maxBytes {
			seqs = append(seqs, seq)
			held -= bytes
		}
		return nil
	})
	return seqs, err
}
