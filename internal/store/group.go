package store

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	maxGroup      = 512     // members of one transaction
	maxGroupBytes = 8 << 20 // of their events
	groupTime     = time.Minute
	seqSlots      = 64 // of which a transaction takes one; a power of two
)

// group commits the work of many callers in one transaction, so that they share one wait for the disk. While one
// transaction is under way the callers behind it gather for the next; a caller alone waits for nobody.
type group struct {
	db    *DB
	node  string
	lanes map[laneKey]int64 // touched by the leader alone
	last  int64             // the highest seq given; touched by the leader alone
	// prepared holds statements by their text, where the driver does not do so by itself; touched by the leader alone.
	prepared map[string]*sql.Stmt
	inserts  map[int]string // statements that insert so many jobs; touched by the leader alone

	mu      sync.Mutex
	pending []*member
	leading bool // somebody commits, and will call the first of pending when done
}

// member is one caller's part of a transaction.
type member struct {
	jobs   []faas.Job
	ends   []faas.JobEnd
	claims []faas.LaneClaim
	more   func(context.Context, *writer) error // what else it wants written; may run again after a failure
	now    time.Time
	bytes  int

	places  []faas.JobPlace
	ended   []faas.JobEnded
	claimed []faas.LaneClaimed
	err     error

	call chan bool // true: lead the next transaction; closed: the results are there
}

func newGroup(db *DB) *group {
	g := &group{db: db, node: "here", lanes: map[laneKey]int64{}, prepared: map[string]*sql.Stmt{}, inserts: map[int]string{}}
	if db.dialect.shared {
		g.node, g.prepared = uuid.NewString(), nil // the driver keeps its statements
	}
	return g
}

// join waits until m is committed or has failed.
func (g *group) join(ctx context.Context, m *member) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.call = make(chan bool, 1)
	g.mu.Lock()
	g.pending = append(g.pending, m)
	wait := g.leading
	g.leading = true
	g.mu.Unlock()
	if wait && !<-m.call {
		return m.err
	}
	batch := g.take()
	g.lead(ctx, batch)
	g.mu.Lock()
	if len(g.pending) > 0 {
		g.pending[0].call <- true
	} else {
		g.leading = false
	}
	g.mu.Unlock()
	for _, other := range batch {
		if other != m {
			close(other.call)
		}
	}
	return m.err
}

// lead commits a batch. Not with the leader's own context: the others' work does not end with its caller. A file needs no bound, and
// each statement is cheaper without one.
func (g *group) lead(ctx context.Context, batch []*member) {
	ctx = context.WithoutCancel(ctx)
	if g.db.dialect.shared {
		bounded, cancel := context.WithTimeout(ctx, groupTime)
		defer cancel()
		ctx = bounded
	}
	g.commit(ctx, batch)
}

// take gives the members of the next transaction, the leader first.
func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, bytes := 0, 0
	for n < len(g.pending) && n < maxGroup && (n == 0 || bytes+g.pending[n].bytes <= maxGroupBytes) {
		bytes += g.pending[n].bytes
		n++
	}
	batch := append([]*member(nil), g.pending[:n]...)
	g.pending = append(g.pending[:0], g.pending[n:]...)
	return batch
}

// commit runs the members together; when that fails for a reason that may be one member's own, each alone.
func (g *group) commit(ctx context.Context, batch []*member) {
	err := g.transact(ctx, batch)
	if err == nil || len(batch) == 1 || faas.CodeOf(err) != faas.CodeInternal {
		for _, m := range batch {
			m.err = err
		}
		return
	}
	for _, m := range batch {
		m.err = g.transact(ctx, []*member{m})
	}
}

// transact runs one transaction: what has to be locked first, then ends, since they cause jobs, then jobs, then claims, which may find these.
func (g *group) transact(ctx context.Context, batch []*member) error {
	var w *writer
	err := g.db.change(ctx, "change jobs", func(tx *sql.Tx) error {
		w = &writer{group: g, tx: tx, fresh: map[laneKey]int64{}, last: g.last, slots: 1}
		if g.db.dialect.shared {
			w.slots, w.slot = seqSlots, rand.Int64N(seqSlots)
		}
		if err := w.beSeen(ctx, batch); err != nil {
			return err
		}
		if err := w.end(ctx, batch); err != nil {
			return err
		}
		if err := w.insert(ctx, batch); err != nil {
			return err
		}
		if err := w.claim(ctx, batch); err != nil {
			return err
		}
		if err := w.write(ctx, batch); err != nil {
			return err
		}
		return w.count(ctx)
	})
	if err != nil {
		return err
	}
	g.prepare(ctx, w.unprepared)
	for key, id := range w.fresh {
		g.lanes[key] = id
	}
	g.last = w.last
	return nil
}

// writer is one transaction of a group under way.
type writer struct {
	group *group
	tx    *sql.Tx
	fresh map[laneKey]int64 // lanes that this transaction has looked up
	last  int64
	// slot is what its seqs are modulo slots, so that nodes that store jobs in the same microseconds seldom want the same ones: one would
	// wait for the other then. Where one server has the database there is one slot, 0.
	slots, slot int64

	books faas.JobBooks // what this transaction adds
	sums  flowSums      // the same
	// unprepared are statements worth preparing once the connection is free.
	unprepared []string
}

// maxPrepared bounds the statements that are kept; there are few, since rows come in powers of two.
const maxPrepared = 64

// prepare keeps statements for later. A failure costs only time, and shows when the statement is used.
func (g *group) prepare(ctx context.Context, texts []string) {
	for _, text := range texts {
		if g.prepared[text] != nil || len(g.prepared) >= maxPrepared {
			continue
		}
		if s, err := g.db.write.PrepareContext(ctx, text); err == nil {
			g.prepared[text] = s
		}
	}
}

// query runs a statement that comes again and again.
func (w *writer) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if s := w.group.prepared[text]; s != nil {
		return w.tx.StmtContext(ctx, s).QueryContext(ctx, args...)
	}
	if w.group.prepared != nil {
		w.unprepared = append(w.unprepared, text)
	}
	return w.tx.QueryContext(ctx, text, args...)
}

func (w *writer) count(ctx context.Context) error {
	if w.books == (faas.JobBooks{}) {
		return nil
	}
	b := w.books
	rows, err := w.query(ctx, countOf+` returning node`, w.group.node, b.Accepted, b.Done, b.Dead, b.Cancelled, b.Waiting, b.Running, b.Kept)
	if err != nil {
		return err
	}
	return each(rows, func() error { return nil })
}

const countOf = `insert into job_books (node, accepted, done, dead, cancelled, waiting, running, kept)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (node) do update set
			accepted = job_books.accepted + excluded.accepted, done = job_books.done + excluded.done,
			dead = job_books.dead + excluded.dead, cancelled = job_books.cancelled + excluded.cancelled,
			waiting = job_books.waiting + excluded.waiting, running = job_books.running + excluded.running,
			kept = job_books.kept + excluded.kept`

// countJobs adds to the books of a node.
func countJobs(ctx context.Context, tx *sql.Tx, node string, b faas.JobBooks) error {
	_, err := tx.ExecContext(ctx, countOf, node, b.Accepted, b.Done, b.Dead, b.Cancelled, b.Waiting, b.Running, b.Kept)
	return err
}

// inChunks cuts n rows into powers of two up to 64, so that there are few different statements.
func inChunks(n int, each func(from, to int) error) error {
	for from := 0; from < n; {
		size := 64
		for size > n-from {
			size /= 2
		}
		if err := each(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// rowsOf writes rows of parameters, "($1, cast($2 as bigint)), ...", that begin behind the first skip parameters. Type ""
// is that of the column that the parameter goes to. With a mark, each parameter is that mark and no number, which costs SQLite less.
func rowsOf(rows, skip int, types []string, mark string) string {
	b := make([]byte, 0, rows*len(types)*24)
	for row := range rows {
		if row > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '(')
		for i, kind := range types {
			if i > 0 {
				b = append(b, ", "...)
			}
			if kind != "" {
				b = append(b, "cast("...)
			}
			if b = append(b, mark...); mark == "" {
				b = strconv.AppendInt(append(b, '$'), int64(skip+row*len(types)+i+1), 10)
			}
			if kind != "" {
				b = append(append(append(b, " as "...), kind...), ')')
			}
		}
		b = append(b, ')')
	}
	return string(b)
}
