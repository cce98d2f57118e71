package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Jobs lists the jobs of a filter, the youngest first. The cost of a page does not depend on how many jobs there are, but on
// the functions and states asked for.
func (db *DB) Jobs(ctx context.Context, f faas.JobFilter) ([]faas.JobStatus, error) {
	if !storable(f.Project, f.Package, f.Name) || f.Limit < 1 {
		return nil, nil
	}
	var found []faas.JobStatus
	err := db.view(ctx, "list jobs", func(tx *sql.Tx) error {
		lanes, err := lanesOf(ctx, tx, f)
		if err != nil {
			return err
		}
		if f.IDs != nil {
			found, err = jobsByID(ctx, tx, lanes, f)
			return err
		}
		found, err = jobsInLanes(ctx, tx, lanes, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b faas.JobStatus) int { return cmp.Compare(b.Seq, a.Seq) })
	return found, nil
}

// lanesOf gives the functions of the lanes that a filter means.
func lanesOf(ctx context.Context, tx *sql.Tx, f faas.JobFilter) (map[int64]faas.FunctionKey, error) {
	rows, err := tx.QueryContext(ctx, `select id, package, name from lanes where project = $1 and ($2 = '' or package = $2)
		and ($3 = '' or name = $3) and delivery <= $4`, f.Project, f.Package, f.Name, bit(f.Deliveries))
	if err != nil {
		return nil, err
	}
	lanes := map[int64]faas.FunctionKey{}
	err = each(rows, func() error {
		var id int64
		key := faas.FunctionKey{Project: f.Project}
		err := rows.Scan(&id, &key.Package, &key.Name)
		lanes[id] = key
		return err
	})
	return lanes, err
}

// bounds gives the lowest seq and the one above the highest that a filter lets through.
func bounds(f faas.JobFilter) (from, before int64) {
	before = 1<<63 - 1
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		before = f.To.UnixMicro() + 1
	}
	if f.Before > 0 {
		before = min(before, f.Before)
	}
	return from, before
}

// listedOf reads the index alone.
const listedOf = `select seq from jobs where lane = $1 and state = $2 and seq >= $3 and seq < $4 order by seq desc limit $5`

func jobsInLanes(ctx context.Context, tx *sql.Tx, lanes map[int64]faas.FunctionKey, f faas.JobFilter) ([]faas.JobStatus, error) {
	states := f.States
	if states == nil {
		states = faas.JobStates
	}
	from, before := bounds(f)
	var seqs []int64
	for lane := range lanes {
		for _, s := range states {
			state, err := toRow(s)
			if err != nil {
				return nil, err
			}
			rows, err := tx.QueryContext(ctx, listedOf, lane, state, from, before, f.Skip+f.Limit)
			if err != nil {
				return nil, err
			}
			err = each(rows, func() error {
				var seq int64
				err := rows.Scan(&seq)
				seqs = append(seqs, seq)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(seqs, func(a, b int64) int { return cmp.Compare(b, a) })
	seqs = seqs[min(f.Skip, len(seqs)):]
	return jobsBySeq(ctx, tx, lanes, seqs[:min(f.Limit, len(seqs))])
}

func jobsBySeq(ctx context.Context, tx *sql.Tx, lanes map[int64]faas.FunctionKey, seqs []int64) (found []faas.JobStatus, err error) {
	err = inChunks(len(seqs), func(from, to int) error {
		args := make([]any, 0, to-from)
		for _, seq := range seqs[from:to] {
			args = append(args, seq)
		}
		marks := rowsOf(1, 0, make([]string, to-from), "")
		rows, err := tx.QueryContext(ctx, `select `+jobColumns+` from jobs where seq in `+marks, args...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			j, err := scanJob(rows)
			key := lanes[j.Lane]
			j.Key.Project, j.Key.Package, j.Key.Name = key.Project, key.Package, key.Name
			found = append(found, j)
			return err
		})
	})
	return found, err
}

func jobsByID(ctx context.Context, tx *sql.Tx, lanes map[int64]faas.FunctionKey, f faas.JobFilter) ([]faas.JobStatus, error) {
	from, before := bounds(f)
	var found []faas.JobStatus
	for _, id := range f.IDs {
		if !storable(id) {
			continue
		}
		j, err := jobByID(ctx, tx, id, "")
		key, ours := lanes[j.Lane]
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return nil, err
		case !ours || j.Seq < from || j.Seq >= before || f.States != nil && !slices.Contains(f.States, j.State):
			continue
		}
		j.Key.Project, j.Key.Package, j.Key.Name = key.Project, key.Package, key.Name
		found = append(found, j)
	}
	slices.SortFunc(found, func(a, b faas.JobStatus) int { return cmp.Compare(b.Seq, a.Seq) })
	found = found[min(f.Skip, len(found)):]
	return found[:min(f.Limit, len(found))], nil
}

// jobByID gives sql.ErrNoRows for a job that does not exist. lock, which may be "", is added to the statement.
func jobByID(ctx context.Context, q queries, id, lock string) (j faas.JobStatus, err error) {
	rows, err := q.QueryContext(ctx, `select `+jobColumns+` from jobs where id = $1 `+lock, id)
	if err != nil {
		return j, err
	}
	found := false
	err = each(rows, func() error {
		found = true
		j, err = scanJob(rows)
		return err
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return j, err
}

// JobBooks adds up the books of all nodes.
func (db *DB) JobBooks(ctx context.Context) (b faas.JobBooks, err error) {
	err = db.read.QueryRowContext(ctx, `select cast(coalesce(sum(accepted), 0) as bigint), cast(coalesce(sum(done), 0) as bigint),
		cast(coalesce(sum(dead), 0) as bigint), cast(coalesce(sum(cancelled), 0) as bigint), cast(coalesce(sum(waiting), 0) as bigint),
		cast(coalesce(sum(running), 0) as bigint), cast(coalesce(sum(kept), 0) as bigint) from job_books`).
		Scan(&b.Accepted, &b.Done, &b.Dead, &b.Cancelled, &b.Waiting, &b.Running, &b.Kept)
	return b, db.failed("read the books", err)
}

// CancelJob calls off a job of a function (its version is ignored): one that waits at once; one that runs is marked, and the
// node that runs it acts. With children also the jobs that it caused, theirs, and so on, of whatever function in the project.
// It gives the jobs that are marked and still run.
//
// Errors: CodeNotFound, field "job"; CodeConflict, field "job", when it has ended already and no child could be cancelled.
func (db *DB) CancelJob(ctx context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) (running []faas.JobStatus, err error) {
	if !storable(f.Project, f.Package, f.Name, id) {
		return nil, faas.NotFound("job", id)
	}
	err = db.change(ctx, "cancel job", func(tx *sql.Tx) error {
		running = nil
		lanes, err := lanesOf(ctx, tx, faas.JobFilter{Project: f.Project, Package: f.Package, Name: f.Name, Deliveries: true})
		if err != nil {
			return err
		}
		root, err := jobByID(ctx, tx, id, "")
		if _, ours := lanes[root.Lane]; errors.Is(err, sql.ErrNoRows) || err == nil && !ours {
			return faas.NotFound("job", id)
		} else if err != nil {
			return err
		}
		all := []faas.JobStatus{root}
		if children {
			if all, err = family(ctx, tx, root); err != nil {
				return err
			}
		}
		var books faas.JobBooks
		acted := false
		for _, j := range all {
			state, err := cancelOne(ctx, tx, j, mode, &books)
			if err != nil {
				return err
			}
			acted = acted || state != ""
			if state == faas.JobRunning {
				j.Cancel = mode
				running = append(running, j)
			}
		}
		if !acted {
			return faas.Errorf(faas.CodeConflict, "job", "job %q has ended already", id)
		}
		return countJobs(ctx, tx, db.group.node, books)
	})
	return running, err
}

// maxFamily bounds the jobs that one cancellation reaches.
const maxFamily = 10_000

// family gives a job and all that it caused.
func family(ctx context.Context, tx *sql.Tx, root faas.JobStatus) ([]faas.JobStatus, error) {
	all := []faas.JobStatus{root}
	for i := 0; i < len(all) && len(all) < maxFamily; i++ {
		rows, err := tx.QueryContext(ctx, `select `+jobColumns+` from jobs where parent = $1 and parent <> ''`, all[i].ID)
		if err != nil {
			return nil, err
		}
		err = each(rows, func() error {
			j, err := scanJob(rows)
			all = append(all, j)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// cancelOne gives the state of a job that it could call off: cancelled, or running and marked; "" for one that had ended.
func cancelOne(ctx context.Context, tx *sql.Tx, j faas.JobStatus, mode faas.CancelMode, books *faas.JobBooks) (faas.JobState, error) {
	var state int
	var bytes int64
	err := tx.QueryRowContext(ctx, `update jobs set
			state = case when state = 0 then 5 else 1 end, cancel = $1,
			ended_us = case when state = 0 then cast($2 as bigint) else 0 end,
			code = case when state = 0 then 'cancelled' else code end,
			message = case when state = 0 then 'cancelled before it ran' else message end
		where seq = $3 and state in (0, 1) returning state, bytes`, int(mode), time.Now().UnixMicro(), j.Seq).Scan(&state, &bytes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case state == rowRunning:
		return faas.JobRunning, nil
	}
	books.Waiting--
	note(books, rowCancelled, bytes)
	return faas.JobCancelled, nil
}

// RedriveJob lets a job of a function that is dead, expired or cancelled begin anew, as young as if it had just been accepted.
// Errors: CodeNotFound, field "job"; CodeConflict, field "job", for one in another state.
func (db *DB) RedriveJob(ctx context.Context, f faas.FunctionKey, id string) (place faas.JobPlace, err error) {
	if !storable(f.Project, f.Package, f.Name, id) {
		return place, faas.NotFound("job", id)
	}
	err = db.change(ctx, "redrive job", func(tx *sql.Tx) error {
		lanes, err := lanesOf(ctx, tx, faas.JobFilter{Project: f.Project, Package: f.Package, Name: f.Name, Deliveries: true})
		if err != nil {
			return err
		}
		j, err := jobByID(ctx, tx, id, db.dialect.lock) // its state goes into the books, so it must not change meanwhile
		if _, ours := lanes[j.Lane]; errors.Is(err, sql.ErrNoRows) || err == nil && !ours {
			return faas.NotFound("job", id)
		} else if err != nil {
			return err
		}
		place = faas.JobPlace{Lane: j.Lane, Due: time.Now()}
		var bytes int64
		err = tx.QueryRowContext(ctx, `update jobs set state = 0, due_us = $1, since_us = $1, ended_us = 0, attempts = 0, interrupted = 0,
			postponed = 0, cancel = 0, code = '', message = '' where seq = $2 and state in (3, 4, 5) returning bytes`,
			place.Due.UnixMicro(), j.Seq).Scan(&bytes)
		if errors.Is(err, sql.ErrNoRows) {
			return faas.Errorf(faas.CodeConflict, "job", "job %q is %s; only one that failed or was cancelled can begin anew", id, j.State)
		}
		if err != nil {
			return err
		}
		state, err := toRow(j.State)
		if err != nil {
			return err
		}
		books := faas.JobBooks{Waiting: 1}
		unnote(&books, state, bytes)
		return countJobs(ctx, tx, db.group.node, books)
	})
	return place, err
}

// ForgetJobs removes jobs that ended before a time, the oldest first, at most so many; and beyond that the oldest ended ones
// while all that are kept have more than maxBytes. It tells whether there may be more to remove.
func (db *DB) ForgetJobs(ctx context.Context, before time.Time, maxBytes int64, most int) (more bool, err error) {
	books, err := db.JobBooks(ctx)
	if err != nil {
		return false, err
	}
	until := before.UnixMicro()
	if books.Kept > maxBytes {
		until = 1<<63 - 1
	}
	err = db.change(ctx, "forget jobs", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `select seq, bytes from jobs where state > 1 and ended_us < $1 order by ended_us, seq limit $2 `+db.dialect.skip, until, most)
		if err != nil {
			return err
		}
		var seqs []int64
		var sizes []int64
		err = each(rows, func() error {
			var seq, bytes int64
			err := rows.Scan(&seq, &bytes)
			seqs, sizes = append(seqs, seq), append(sizes, bytes)
			return err
		})
		if err != nil {
			return err
		}
		more = len(seqs) == most
		var gone faas.JobBooks
		over := books.Kept - maxBytes
		for i, seq := range seqs {
			if until == 1<<63-1 && over+gone.Kept <= 0 {
				more = true // age may remove some still
				break
			}
			done, err := insert(ctx, tx, `delete from jobs where seq = $1 and state > 1`, seq)
			if err != nil {
				return err
			}
			if done {
				gone.Kept -= sizes[i]
			}
		}
		return countJobs(ctx, tx, db.group.node, gone)
	})
	return more, err
}
