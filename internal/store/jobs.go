package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// How states stand in the table.
const (
	rowWaiting = iota
	rowRunning
	rowDone
	rowDead
	rowExpired
	rowCancelled
)

func toRow(s faas.JobState) (int, error) {
	for i, state := range faas.JobStates {
		if s == state {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no job has the state %q", s)
}

// rowBytes is what a job costs beside its event: row and indexes, roughly.
const rowBytes = 512

// laneKey names a lane.
type laneKey struct {
	project, pkg, name string
	delivery           bool
}

func laneOf(j *faas.Job) laneKey {
	return laneKey{j.Key.Project, j.Key.Package, j.Key.Name, j.Target != nil}
}

// EnqueueJob stores a job to be done, and returns when it is on disk; callers at the same time share the wait. A job whose
// id, or whose Dedup within its function, is there already is accepted again and changes nothing.
//
// Errors: CodeInvalid, field "job", when its texts cannot be stored.
func (db *DB) EnqueueJob(ctx context.Context, j faas.Job) (faas.JobPlace, error) {
	places, err := db.EnqueueJobs(ctx, []faas.Job{j})
	if err != nil {
		return faas.JobPlace{}, err
	}
	return places[0], nil
}

// EnqueueJobs is EnqueueJob for several jobs: all are accepted or none is.
func (db *DB) EnqueueJobs(ctx context.Context, jobs []faas.Job) ([]faas.JobPlace, error) {
	m := &member{jobs: jobs, now: time.Now()}
	for i := range jobs {
		j := &jobs[i]
		if !storable(j.ID, j.Key.Project, j.Key.Package, j.Key.Name, j.Key.Version, j.Alias, j.Source, j.Dedup, j.Parent) || j.ID == "" {
			return nil, faas.Errorf(faas.CodeInvalid, "job", "the job's id or function holds bytes that are not text")
		}
		m.bytes += len(j.Event)
	}
	if err := db.group.join(ctx, m); err != nil {
		return nil, err
	}
	return m.places, nil
}

// versionOf is the version that a job names: Latest where it names neither one nor an alias.
func versionOf(j *faas.Job) string {
	if j.Key.Version == "" && j.Alias == "" {
		return faas.Latest
	}
	return j.Key.Version
}

// newJob is a job about to be inserted.
type newJob struct {
	job        *faas.Job
	seq, lane  int64
	due, since int64
	target     string
	inserted   bool
}

// insert stores the jobs of all members.
func (w *writer) insert(ctx context.Context, batch []*member) error {
	var all []*newJob
	for _, m := range batch {
		m.places = make([]faas.JobPlace, 0, len(m.jobs))
		for i := range m.jobs {
			n, err := w.prepare(ctx, &m.jobs[i], m.now)
			if err != nil {
				return err
			}
			all = append(all, n)
			m.places = append(m.places, faas.JobPlace{Lane: n.lane, Due: time.UnixMicro(n.due).UTC()})
		}
		for i := range m.ended {
			for k := range m.ends[i].Next {
				if m.ended[i].State != m.ends[i].State {
					break
				}
				n, err := w.prepare(ctx, &m.ends[i].Next[k], m.now)
				if err != nil {
					return err
				}
				all = append(all, n)
				m.ended[i].Places = append(m.ended[i].Places, faas.JobPlace{Lane: n.lane, Due: time.UnixMicro(n.due).UTC()})
			}
		}
	}
	if w.group.db.dialect.shared {
		// In one order on every node, so that two that hand over the same occurrences of timers wait for each other at most once.
		slices.SortFunc(all, func(a, b *newJob) int { return cmp.Compare(a.job.ID, b.job.ID) })
	}
	return inChunks(len(all), func(from, to int) error { return w.insertChunk(ctx, all[from:to]) })
}

func (w *writer) prepare(ctx context.Context, j *faas.Job, now time.Time) (*newJob, error) {
	lane, err := w.lane(ctx, laneOf(j))
	if err != nil {
		return nil, err
	}
	target, err := encodeDestination(j.Target)
	if err != nil {
		return nil, err
	}
	n := &newJob{job: j, seq: w.next(now), lane: lane, due: now.UnixMicro(), target: target}
	if j.NotBefore.After(now) {
		n.due = j.NotBefore.UnixMicro()
	}
	n.since = n.due
	return n, nil
}

// next gives a seq that is higher than all before, and otherwise the time in microseconds.
func (w *writer) next(now time.Time) int64 {
	us := now.UnixMicro()
	w.last = max(w.last+w.slots, us-us%w.slots)
	w.last += w.slot - w.last%w.slots
	return w.last
}

// lane finds or makes a lane.
func (w *writer) lane(ctx context.Context, key laneKey) (int64, error) {
	id, ok := w.group.lanes[key]
	if ok {
		return id, nil
	}
	if id, ok = w.fresh[key]; ok {
		return id, nil
	}
	delivery := 0
	if key.delivery {
		delivery = 1
	}
	for {
		err := w.tx.QueryRowContext(ctx, `select id from lanes where project = $1 and package = $2 and name = $3 and delivery = $4`,
			key.project, key.pkg, key.name, delivery).Scan(&id)
		if err == nil {
			w.fresh[key] = id
			return id, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
		// Another node may take the number or make the lane at the same time; then look again.
		_, err = w.tx.ExecContext(ctx, `insert into lanes (id, project, package, name, delivery)
			select coalesce(max(id), 0) + 1, $1, $2, $3, $4 from lanes where true on conflict do nothing`,
			key.project, key.pkg, key.name, delivery)
		if err != nil {
			return 0, err
		}
	}
}

const columnsOfNew = 16

// insertOf is the statement that inserts n jobs.
func (g *group) insertOf(n int) string {
	text := g.inserts[n]
	if text == "" {
		text = `insert into jobs (seq, id, lane, state, due_us, since_us, version, alias, source, memory_mb, parent, dedup, target, bytes, event,
			origin) values ` + rowsOf(n, 0, make([]string, columnsOfNew), g.db.dialect.mark) + ` on conflict do nothing returning seq`
		g.inserts[n] = text
	}
	return text
}

func (w *writer) insertChunk(ctx context.Context, chunk []*newJob) error {
	args := make([]any, 0, len(chunk)*columnsOfNew)
	bySeq := make(map[int64]*newJob, len(chunk))
	for _, n := range chunk {
		j := n.job
		var dedup any
		if j.Dedup != "" {
			dedup = j.Dedup
		}
		args = append(args, n.seq, j.ID, n.lane, rowWaiting, n.due, n.since, versionOf(j), j.Alias, j.Source,
			j.MemoryMB, j.Parent, dedup, n.target, rowBytes+len(j.Event)+len(j.Origin), j.Event, j.Origin)
		bySeq[n.seq] = n
	}
	rows, err := w.query(ctx, w.group.insertOf(len(chunk)), args...)
	if err != nil {
		return err
	}
	err = each(rows, func() error {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return err
		}
		bySeq[seq].inserted = true
		w.books.Accepted++
		w.books.Waiting++
		return nil
	})
	if err != nil {
		return err
	}
	return w.insertAgain(ctx, chunk)
}

// insertAgain sees to jobs that were not inserted: those that are there already stay as they are; one whose seq another
// node has taken gets another.
func (w *writer) insertAgain(ctx context.Context, chunk []*newJob) error {
	missing := slices.DeleteFunc(slices.Clone(chunk), func(n *newJob) bool { return n.inserted })
	return inChunks(len(missing), func(from, to int) error {
		there, err := w.known(ctx, missing[from:to])
		if err != nil {
			return err
		}
		for _, n := range missing[from:to] {
			if there[n.job.ID] {
				continue
			}
			if err := w.insertSingly(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// known tells which jobs are there by their ids. Servers that see the same occurrences of timers hand over many such.
func (w *writer) known(ctx context.Context, chunk []*newJob) (map[string]bool, error) {
	args, there := make([]any, len(chunk)), make(map[string]bool, len(chunk))
	for i, n := range chunk {
		args[i] = n.job.ID
	}
	rows, err := w.query(ctx, `select id from jobs where id in `+rowsOf(1, 0, make([]string, len(chunk)), w.group.db.dialect.mark), args...)
	if err != nil {
		return nil, err
	}
	return there, each(rows, func() error {
		var id string
		err := rows.Scan(&id)
		there[id] = true
		return err
	})
}

// insertSingly inserts a job whose id is not there, unless its Dedup is.
func (w *writer) insertSingly(ctx context.Context, n *newJob) error {
	var there bool
	err := w.tx.QueryRowContext(ctx, `select exists (select 1 from jobs where lane = $1 and dedup = $2)`, n.lane, n.job.Dedup).Scan(&there)
	if err != nil || there {
		return err
	}
	n.seq = w.next(time.Now())
	return w.insertChunk(ctx, []*newJob{n})
}

// each reads all rows and closes them.
func each(rows *sql.Rows, read func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := read(); err != nil {
			return err
		}
	}
	return rows.Err()
}
