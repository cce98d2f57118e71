package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func toFlowRow(s faas.FlowStatus) (int, error) {
	for i, status := range faas.FlowStatuses {
		if s == status {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no run has the status %q", s)
}

// flowRowBytes is what a run costs beside its texts: row and indexes, roughly.
const flowRowBytes = 512

// write has the members of a transaction write what they want beside jobs, and the sums of it.
func (w *writer) write(ctx context.Context, batch []*member) error {
	for _, m := range batch {
		if m.more != nil {
			if err := m.more(ctx, w); err != nil {
				return err
			}
		}
	}
	return w.sums.store(ctx, w)
}

// exec runs a statement that comes again and again, and gives how many rows it has changed.
func (w *writer) exec(ctx context.Context, text string, args ...any) (int64, error) {
	run := w.tx.ExecContext
	if s := w.group.prepared[text]; s != nil {
		stmt := w.tx.StmtContext(ctx, s)
		run = func(ctx context.Context, _ string, args ...any) (sql.Result, error) {
			return stmt.ExecContext(ctx, args...)
		}
	} else if w.group.prepared != nil {
		w.unprepared = append(w.unprepared, text)
	}
	result, err := run(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// flowSums is what a transaction adds to the sums of workflows.
type flowSums map[flowMinute]faas.FlowSum

type flowMinute struct {
	flow   string
	minute int64
}

func (s *flowSums) add(flow string, at time.Time, more faas.FlowSum) {
	if *s == nil {
		*s = flowSums{}
	}
	key := flowMinute{flow, at.Unix() / 60}
	sum := (*s)[key]
	sum.Started += more.Started
	sum.Ended += more.Ended
	sum.Failed += more.Failed
	sum.Duration += more.Duration
	(*s)[key] = sum
}

func (s flowSums) store(ctx context.Context, w *writer) error {
	for key, sum := range s {
		_, err := w.exec(ctx, `insert into flow_sums (flow, minute, started, ended, failed, duration_us) values ($1, $2, $3, $4, $5, $6)
			on conflict (flow, minute) do update set started = flow_sums.started + excluded.started, ended = flow_sums.ended + excluded.ended,
				failed = flow_sums.failed + excluded.failed, duration_us = flow_sums.duration_us + excluded.duration_us`,
			key.flow, key.minute, sum.Started, sum.Ended, sum.Failed, sum.Duration.Microseconds())
		if err != nil {
			return err
		}
	}
	return nil
}

// StartFlowRuns stores runs that begin, and returns when they are on disk; callers at the same time share the wait. A run that is
// Asleep is held by no server, any other by this one. It tells of each whether it is new: one whose id its workflow has
// already changes nothing. Runs may have ended already.
//
// Errors: CodeNotFound, field "workflow", when one went meanwhile.
func (db *DB) StartFlowRuns(ctx context.Context, runs []faas.FlowRun) (fresh []bool, err error) {
	m := &member{now: time.Now(), more: func(ctx context.Context, w *writer) error {
		fresh = fresh[:0]
		for i := range runs {
			added, err := w.startFlow(ctx, &runs[i])
			if err != nil {
				return err
			}
			fresh = append(fresh, added)
		}
		return nil
	}}
	for i := range runs {
		m.bytes += len(runs[i].Input)
	}
	if err := db.group.join(ctx, m); err != nil {
		return nil, err
	}
	return fresh, nil
}

func (w *writer) startFlow(ctx context.Context, r *faas.FlowRun) (bool, error) {
	status, err := toFlowRow(r.Status)
	if err != nil {
		return false, err
	}
	node, wake := w.group.node, any(nil)
	if r.Asleep || r.Status.Ended() {
		node = ""
	}
	if r.Asleep && !r.WakeAt.IsZero() {
		wake = r.WakeAt.UnixMicro()
	}
	n, err := w.exec(ctx, `insert into flow_runs (seq, flow, id, project, revision, express, status, source, merge, depth, events, node, wake_us,
			began_us, ended_us, updated_us, parent, parent_task, created_by, bytes, input, headers, output, fault)
		select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, cast($12 as bigint), $13, $14, $13, $15, $16, $17, $18, $19, $20, $21, $22
		where exists (select 1 from flows where id = $2) on conflict do nothing`,
		r.Seq, r.Flow, r.ID, r.Project, r.Revision, bit(r.Mode == faas.FlowExpress), status, r.Source, bit(r.Merge), r.Depth, node, wake,
		micros(r.BeganAt), micros(r.EndedAt), r.Parent, r.ParentTask, r.CreatedBy,
		flowRowBytes+len(r.Input)+len(r.Headers)+len(r.Output)+len(r.Fault), r.Input, r.Headers, r.Output, r.Fault)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, w.flowThere(ctx, r)
	}
	w.sums.add(r.Flow, r.BeganAt, faas.FlowSum{Started: 1})
	if r.Status.Ended() {
		w.sums.ended(r.Flow, r.Status, r.BeganAt, r.EndedAt)
	}
	return true, nil
}

func (s *flowSums) ended(flow string, status faas.FlowStatus, began, at time.Time) {
	sum := faas.FlowSum{Ended: 1, Duration: at.Sub(began)}
	if status != faas.FlowDone {
		sum.Failed = 1
	}
	s.add(flow, at, sum)
}

// flowThere says why a run was not inserted: nil when its workflow has one of its id.
func (w *writer) flowThere(ctx context.Context, r *faas.FlowRun) error {
	var there bool
	if err := w.tx.QueryRowContext(ctx, `select exists (select 1 from flow_runs where flow = $1 and id = $2)`, r.Flow, r.ID).Scan(&there); err != nil {
		return err
	}
	if there {
		return nil
	}
	if err := w.tx.QueryRowContext(ctx, `select exists (select 1 from flows where id = $1)`, r.Flow).Scan(&there); err != nil {
		return err
	}
	if !there {
		return faas.NotFound("workflow", r.Flow)
	}
	return fmt.Errorf("the number %d of a run is taken", r.Seq)
}

// WriteFlowRun adds to a run what happened in it, and returns when that is on disk; callers at the same time share the wait. It tells
// whether the run is due at once, though it was let go of: somebody has left it a note meanwhile.
//
// Errors: CodeConflict, field "execution", when this server does not hold the run, or it has gone another way: nothing is written then.
func (db *DB) WriteFlowRun(ctx context.Context, f faas.FlowWrite) (due bool, err error) {
	held := false
	m := &member{now: time.Now(), more: func(ctx context.Context, w *writer) (err error) {
		held, due, err = w.writeFlow(ctx, &f)
		return err
	}}
	for _, e := range f.Events {
		m.bytes += len(e)
	}
	if err := db.group.join(ctx, m); err != nil {
		return false, err
	}
	if !held {
		return false, faas.Errorf(faas.CodeConflict, "execution", "this server does not hold the run any more")
	}
	return due, nil
}

func (w *writer) writeFlow(ctx context.Context, f *faas.FlowWrite) (held, due bool, err error) {
	if held, err = w.advanceFlow(ctx, f); err != nil || !held {
		return held, false, err
	}
	for i, doc := range f.Events {
		if _, err := w.exec(ctx, `insert into flow_events (run, n, doc) values ($1, $2, $3)`, f.Run, f.From+i, doc); err != nil {
			return true, false, err
		}
	}
	for _, id := range f.Taken {
		if _, err := w.exec(ctx, `delete from flow_notes where id = $1`, id); err != nil {
			return true, false, err
		}
	}
	for i := range f.Children {
		if _, err := w.startFlow(ctx, &f.Children[i]); err != nil {
			return true, false, err
		}
	}
	for _, n := range f.Notes {
		if err := w.noteFlow(ctx, n); err != nil {
			return true, false, err
		}
	}
	if !f.Release || f.Status.Ended() {
		return true, false, nil
	}
	// A statement of its own, behind the one that holds the row: on PostgreSQL it sees what others have written while that one waited.
	n, err := w.exec(ctx, `update flow_runs set wake_us = 0 where seq = $1 and exists (select 1 from flow_notes where run = $1)`, f.Run)
	return true, n > 0, err
}

// advanceFlow changes the row of a run, if it is as the write wants it.
func (w *writer) advanceFlow(ctx context.Context, f *faas.FlowWrite) (bool, error) {
	status, err := toFlowRow(f.Status)
	if err != nil {
		return false, err
	}
	var wake any
	if !f.WakeAt.IsZero() && !f.Status.Ended() {
		wake = f.WakeAt.UnixMicro()
	}
	release := f.Release || f.Status.Ended()
	bytes := len(f.Output) + len(f.Fault)
	for _, e := range f.Events {
		bytes += len(e)
	}
	rows, err := w.query(ctx, `update flow_runs set events = events + $1, status = $2, updated_us = $3, ended_us = $4, output = $5, fault = $6,
			bytes = bytes + $7, node = case when $8 = 1 then '' else node end,
			wake_us = cast($9 as bigint)
		where seq = $10 and node = $11 and events = $12 returning flow, began_us`,
		len(f.Events), status, micros(f.At), micros(f.EndedAt), f.Output, f.Fault, bytes, bit(release), wake, f.Run, w.group.node, f.From)
	if err != nil {
		return false, err
	}
	held, flow, began := false, "", int64(0)
	err = each(rows, func() error {
		held = true
		return rows.Scan(&flow, &began)
	})
	if held && err == nil && f.Status.Ended() {
		w.sums.ended(flow, f.Status, fromMicros(began), f.EndedAt)
	}
	return held, err
}

// noteFlow leaves a note for a run that is not over, and wakes it if no server holds it.
func (w *writer) noteFlow(ctx context.Context, n faas.FlowNote) error {
	run := n.Run
	if run == 0 {
		err := w.tx.QueryRowContext(ctx, `select seq from flow_runs where parent = $1 and parent_task = $2 and status = 0`, n.Parent, n.Task).Scan(&run)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return addFlowNote(ctx, w.tx, w.group.db.noteIDs.next(), run, n.Doc)
}

// noteIDs gives notes numbers that grow with the time and never come again: whoever has taken a note in knows it by its number. Two servers
// give the same one by a chance in a thousand of the same microsecond, which the table refuses.
type noteIDs struct{ last atomic.Int64 }

func (n *noteIDs) next() int64 {
	for {
		last := n.last.Load()
		id := max(last+1, time.Now().UnixMicro()<<10|int64(rand.IntN(1<<10)))
		if n.last.CompareAndSwap(last, id) {
			return id
		}
	}
}

func addFlowNote(ctx context.Context, tx *sql.Tx, id, run int64, doc []byte) error {
	result, err := tx.ExecContext(ctx, `update flow_runs set wake_us = 0 where seq = $1 and status = 0`, run)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // it has ended, or went
	}
	_, err = tx.ExecContext(ctx, `insert into flow_notes (id, run, doc) values ($1, $2, $3)`, id, run, doc)
	return err
}

// NoteFlowRun leaves a note for a run, and returns when it is on disk. A run that has ended takes none.
func (db *DB) NoteFlowRun(ctx context.Context, n faas.FlowNote) error {
	return db.group.join(ctx, &member{now: time.Now(), more: func(ctx context.Context, w *writer) error { return w.noteFlow(ctx, n) }})
}

// ClaimFlowRuns takes runs that are due and that no server holds, the first due first, and tells when the next one is due; the zero
// time when none will be by itself.
func (db *DB) ClaimFlowRuns(ctx context.Context, most int) (runs []int64, next time.Time, err error) {
	now := time.Now()
	claim := `with picked as materialized (select seq from flow_runs where node = '' and wake_us is not null and wake_us <= $1 order by wake_us limit $2 ` +
		db.dialect.skip + `) update flow_runs set node = $3 where seq in (select seq from picked) returning seq`
	err = db.group.join(ctx, &member{now: now, more: func(ctx context.Context, w *writer) error {
		runs, next = nil, time.Time{}
		rows, err := w.query(ctx, claim, now.UnixMicro(), most, w.group.node)
		if err != nil {
			return err
		}
		err = each(rows, func() error {
			var seq int64
			err := rows.Scan(&seq)
			runs = append(runs, seq)
			return err
		})
		if err != nil {
			return err
		}
		rows, err = w.query(ctx, `select wake_us from flow_runs where node = '' and wake_us is not null order by wake_us limit 1`)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var due int64
			err := rows.Scan(&due)
			next = time.UnixMicro(due).UTC()
			return err
		})
	}})
	return runs, next, err
}

// HoldFlowRun takes a run that is not over, whether it is due or not. It tells whether this server holds it now: another one may.
// With ended it takes a run that is over, and is not one of FlowExpress.
func (db *DB) HoldFlowRun(ctx context.Context, seq int64, ended bool) (held bool, err error) {
	condition := `status = 0`
	if ended {
		condition = `status > 0 and express = 0`
	}
	err = db.group.join(ctx, &member{now: time.Now(), more: func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, `update flow_runs set node = $1 where seq = $2 and node = '' and `+condition, w.group.node, seq)
		held = n == 1
		return err
	}})
	return held, err
}

// LeaveFlowRun lets go of a run that is over, and that this server holds.
func (db *DB) LeaveFlowRun(ctx context.Context, seq int64) error {
	return db.group.join(ctx, &member{now: time.Now(), more: func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, `update flow_runs set node = '' where seq = $1 and node = $2 and status > 0`, seq, w.group.node)
		return err
	}})
}

// FreeFlowRuns lets go of all runs that this server holds, and of those of servers that are gone: they are due at once.
func (db *DB) FreeFlowRuns(ctx context.Context, own bool) (n int64, err error) {
	err = db.change(ctx, "free runs", func(tx *sql.Tx) error {
		gone := `node <> '' and node <> $1 and not exists (select 1 from job_nodes where job_nodes.node = flow_runs.node)`
		if own {
			gone = `node = $1`
		}
		result, err := tx.ExecContext(ctx, `update flow_runs set node = '', wake_us = case when status = 0 then cast(0 as bigint) else null end where `+gone, db.group.node)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	return n, err
}

// NotedFlowRuns lists the runs that this server holds and that have notes.
func (db *DB) NotedFlowRuns(ctx context.Context) (runs []int64, err error) {
	rows, err := db.read.QueryContext(ctx, `select distinct n.run from flow_notes n join flow_runs r on r.seq = n.run where r.node = $1`, db.group.node)
	if err != nil {
		return nil, db.failed("list notes of runs", err)
	}
	err = each(rows, func() error {
		var seq int64
		err := rows.Scan(&seq)
		runs = append(runs, seq)
		return err
	})
	return runs, db.failed("list notes of runs", err)
}
