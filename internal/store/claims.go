package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ClaimJobs takes the first jobs of lanes that are due: they are running then, on this node, and their attempts count. The
// cost does not depend on how many wait. It gives an answer for every lane asked for.
func (db *DB) ClaimJobs(ctx context.Context, claims []faas.LaneClaim) ([]faas.LaneClaimed, error) {
	m := &member{claims: claims, now: time.Now()}
	if err := db.group.join(ctx, m); err != nil {
		return nil, err
	}
	return m.claimed, nil
}

// EndJobs stores how attempts ended, and accepts in the same transaction the jobs that follow from it. An end counts
// only while this node still has that attempt.
func (db *DB) EndJobs(ctx context.Context, ends []faas.JobEnd) ([]faas.JobEnded, error) {
	m := &member{ends: ends, now: time.Now()}
	for i := range ends {
		if !storable(ends[i].Message) {
			ends[i].Message = "the message holds bytes that are not text"
		}
		for k := range ends[i].Next {
			m.bytes += len(ends[i].Next[k].Event)
		}
	}
	if err := db.group.join(ctx, m); err != nil {
		return nil, err
	}
	return m.ended, nil
}

// claimOf is the statement that claims jobs of one lane.
func (d *dialect) claimOf() string {
	return `with picked as materialized (
			select seq from jobs where lane = $1 and state = 0 and due_us <= $2 order by due_us, seq limit $3 ` + d.skip + `)
		update jobs set state = 1, attempts = attempts + 1, node = $4, began_us = $2
		where seq in (select seq from picked) returning ` + jobColumns
}

const nextOf = `select due_us from jobs where lane = $1 and state = 0 order by due_us limit 1`

func (w *writer) claim(ctx context.Context, batch []*member) error {
	statement := w.group.db.dialect.claimOf()
	for _, m := range batch {
		m.claimed = nil
		for _, c := range m.claims {
			rows, err := w.query(ctx, statement, c.Lane, m.now.UnixMicro(), c.Most, w.group.node)
			if err != nil {
				return err
			}
			got := faas.LaneClaimed{Lane: c.Lane}
			err = each(rows, func() error {
				j, err := scanJob(rows)
				got.Jobs = append(got.Jobs, j)
				return err
			})
			if err != nil {
				return err
			}
			slices.SortFunc(got.Jobs, func(a, b faas.JobStatus) int {
				return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Seq, b.Seq))
			})
			w.books.Waiting -= int64(len(got.Jobs))
			w.books.Running += int64(len(got.Jobs))
			if rows, err = w.query(ctx, nextOf, c.Lane); err != nil {
				return err
			}
			var due int64
			if err := each(rows, func() error { return rows.Scan(&due) }); err != nil {
				return err
			}
			got.Next = fromMicros(due)
			m.claimed = append(m.claimed, got)
		}
	}
	return nil
}

// endTypes are those of the parameters of one end: seq, attempt, state, due, code, message, interrupted, postponed, drop.
func endTypes() []string {
	return []string{"bigint", "integer", "integer", "bigint", "text", "text", "integer", "integer", "integer"}
}

// endOf is the statement that ends n attempts. A job that was called off meanwhile is not tried again, and one that failed
// then counts as cancelled.
func endOf(n int) string {
	const state = `case when jobs.cancel > 0 and v.column3 in (0, 3, 4) then 5 else v.column3 end`
	return `update jobs set state = ` + state + `, due_us = v.column4, code = v.column5, message = v.column6,
			interrupted = jobs.interrupted + v.column7, postponed = jobs.postponed + v.column8, node = '',
			ended_us = case when v.column3 = 0 and jobs.cancel = 0 then 0 else cast($2 as bigint) end,
			bytes = case when v.column9 = 1 then cast(512 as bigint) else jobs.bytes end,
			event = case when v.column9 = 1 then null else jobs.event end
		from (values ` + rowsOf(n, 2, endTypes(), "") + `) as v
		where jobs.seq = v.column1 and jobs.state = 1 and jobs.node = $1 and jobs.attempts = v.column2
		returning seq, state, bytes`
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *writer) end(ctx context.Context, batch []*member) error {
	type place struct {
		end   *faas.JobEnd
		ended *faas.JobEnded
	}
	var all []place
	at := map[int64]*faas.JobEnded{}
	for _, m := range batch {
		m.ended = make([]faas.JobEnded, len(m.ends))
		for i := range m.ends {
			m.ended[i].Due = m.ends[i].Due
			all = append(all, place{&m.ends[i], &m.ended[i]})
			at[m.ends[i].Seq] = &m.ended[i]
		}
	}
	now := time.Now().UnixMicro()
	return inChunks(len(all), func(from, to int) error {
		args := []any{w.group.node, now}
		for _, p := range all[from:to] {
			state, err := toRow(p.end.State)
			if err != nil {
				return err
			}
			args = append(args, p.end.Seq, p.end.Attempt, state, micros(p.end.Due), string(p.end.Code), p.end.Message,
				bit(p.end.Interrupted), bit(p.end.Postponed), bit(p.end.Drop))
		}
		rows, err := w.query(ctx, endOf(to-from), args...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var seq, bytes int64
			var state int
			if err := rows.Scan(&seq, &state, &bytes); err != nil {
				return err
			}
			at[seq].State = faas.JobStates[state]
			w.books.Running--
			note(&w.books, state, bytes)
			return nil
		})
	})
}

// note books a job that has come to a state other than running.
func note(b *faas.JobBooks, state int, bytes int64) {
	switch state {
	case rowWaiting:
		b.Waiting++
		return
	case rowDone:
		b.Done++
	case rowDead, rowExpired:
		b.Dead++
	case rowCancelled:
		b.Cancelled++
	}
	b.Kept += bytes
}

// unnote takes a job out of the books of a state.
func unnote(b *faas.JobBooks, state int, bytes int64) {
	var n faas.JobBooks
	note(&n, state, bytes)
	b.Waiting -= n.Waiting
	b.Done -= n.Done
	b.Dead -= n.Dead
	b.Cancelled -= n.Cancelled
	b.Kept -= n.Kept
}

// micros is a time as it stands in the tables; 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// jobColumns are those of a job but for the names of its function, which its lane has.
const jobColumns = `seq, id, lane, state, due_us, since_us, began_us, ended_us, attempts, interrupted, postponed, cancel,
	version, alias, source, memory_mb, parent, coalesce(dedup, ''), target, code, message, event`

// scanJob reads a row of jobColumns.
func scanJob(rows *sql.Rows) (j faas.JobStatus, err error) {
	var state int
	var due, since, began, ended int64
	var target string
	err = rows.Scan(&j.Seq, &j.ID, &j.Lane, &state, &due, &since, &began, &ended, &j.Attempts, &j.Interrupted, &j.Postponed, &j.Cancel,
		&j.Key.Version, &j.Alias, &j.Source, &j.MemoryMB, &j.Parent, &j.Dedup, &target, &j.Code, &j.Message, &j.Event)
	if err != nil {
		return j, err
	}
	j.State = faas.JobStates[state]
	j.Due, j.Since, j.Began, j.Ended = fromMicros(due), fromMicros(since), fromMicros(began), fromMicros(ended)
	j.Target, err = decodeDestination(target)
	return j, err
}

// JobHeads lists every lane in which a job waits, with the time at which its first one is due. Its cost grows with the lanes
// and not with the jobs.
func (db *DB) JobHeads(ctx context.Context) ([]faas.LaneHead, error) {
	rows, err := db.read.QueryContext(ctx, headsOf)
	if err != nil {
		return nil, db.failed("read the heads of lanes", err)
	}
	var heads []faas.LaneHead
	err = each(rows, func() error {
		var h faas.LaneHead
		var due sql.NullInt64
		var delivery int
		err := rows.Scan(&h.Lane, &h.Function.Project, &h.Function.Package, &h.Function.Name, &delivery, &due)
		if err == nil && due.Valid {
			h.Delivery, h.Due = delivery == 1, fromMicros(due.Int64)
			heads = append(heads, h)
		}
		return err
	})
	return heads, db.failed("read the heads of lanes", err)
}

// headsOf steps from lane to lane in the index.
const headsOf = `with recursive heads (lane) as (
		select min(lane) from jobs where state = 0
		union all
		select (select min(j.lane) from jobs j where j.state = 0 and j.lane > heads.lane) from heads where heads.lane is not null)
	select l.id, l.project, l.package, l.name, l.delivery, (select min(j.due_us) from jobs j where j.lane = l.id and j.state = 0)
	from heads join lanes l on l.id = heads.lane`
