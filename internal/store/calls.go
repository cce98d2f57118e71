package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// SaveCalls stores records of calls, or what is newer of them: a record never goes back, and its place in the order and the
// time of its acceptance stay as they were first told.
func (db *DB) SaveCalls(ctx context.Context, records []faas.CallRecord) error {
	return db.change(ctx, "save calls", func(tx *sql.Tx) error {
		sorted := slices.SortedFunc(slices.Values(records), func(a, b faas.CallRecord) int { return cmp.Compare(a.ID, b.ID) })
		counts := callCounts{}
		for _, r := range sorted { // in one order everywhere, so that two nodes do not wait for each other
			if err := saveCall(ctx, tx, r, counts, db.dialect.lock); err != nil {
				return err
			}
		}
		return counts.save(ctx, tx)
	})
}

// saveCall adds the record, or makes the one that is there newer. Of two nodes that know the same call the second waits for the
// first's row, so that both count from what is really there.
func saveCall(ctx context.Context, tx *sql.Tx, r faas.CallRecord, counts callCounts, lock string) error {
	log := strings.ToValidUTF8(strings.ReplaceAll(r.Log, "\x00", ""), "\uFFFD")
	added, err := insert(ctx, tx, `insert into calls (id, number, project, package, name, source, async, state, created_us, started_us,
			ended_us, memory, code, log) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) on conflict do nothing`,
		r.ID, r.Number, r.Function.Project, r.Function.Package, r.Function.Name, r.Source, bit(r.Async), int(r.State),
		micros(r.CreatedAt), micros(r.StartedAt), micros(r.EndedAt), r.MemoryPeak, string(r.Code), log)
	if err != nil || added {
		counts[callKind(r)] += int64(bit(added))
		return err
	}
	old, err := scanCall(tx.QueryRowContext(ctx, `select `+callColumns+` from calls where id = $1 `+lock, r.ID))
	if err != nil || r.State <= old.State {
		return err
	}
	if _, err := tx.ExecContext(ctx, `update calls set state = $2, started_us = $3, ended_us = $4, memory = $5, code = $6, log = $7 where id = $1`,
		r.ID, int(r.State), micros(r.StartedAt), micros(r.EndedAt), r.MemoryPeak, string(r.Code), log); err != nil {
		return err
	}
	counts[callKind(old)]--
	old.State = r.State
	counts[callKind(old)]++
	return nil
}

// callCount is a row of call_counts: calls of one function, kind and hour.
type callCount struct {
	function     faas.FunctionKey
	hour         int64 // since 1970
	source       string
	async, state int
}

const hourMicros = int64(time.Hour / time.Microsecond)

func callKind(r faas.CallRecord) callCount {
	r.Function.Version = ""
	return callCount{r.Function, micros(r.CreatedAt) / hourMicros, r.Source, bit(r.Async), int(r.State)}
}

// callCounts is how many calls came to a row, or went from it.
type callCounts map[callCount]int64

func (c callCounts) save(ctx context.Context, tx *sql.Tx) error {
	rows := slices.SortedFunc(maps.Keys(c), func(a, b callCount) int {
		return cmp.Or(cmp.Compare(a.function.Project, b.function.Project), cmp.Compare(a.function.Package, b.function.Package), cmp.Compare(a.function.Name, b.function.Name),
			cmp.Compare(a.hour, b.hour), cmp.Compare(a.source, b.source), cmp.Compare(a.async, b.async), cmp.Compare(a.state, b.state))
	})
	for _, k := range rows {
		if c[k] == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, `insert into call_counts (project, package, name, hour, source, async, state, n) values ($1, $2, $3, $4, $5, $6, $7, $8)
				on conflict (project, package, name, hour, source, async, state) do update set n = call_counts.n + excluded.n`,
			k.function.Project, k.function.Package, k.function.Name, k.hour, k.source, k.async, k.state, c[k]); err != nil {
			return err
		}
	}
	return nil
}

const callColumns = `id, number, project, package, name, source, async, state, created_us, started_us, ended_us, memory, code, log`

// Calls lists records, the youngest first, and counts all that match. What a page costs grows with the hours that have calls, and
// with the calls in the hours where the page, From and To stand; not with the calls of all other hours.
func (db *DB) Calls(ctx context.Context, f faas.CallFilter) (found []faas.CallRecord, total int64, err error) {
	if !storable(f.Function.Project, f.Function.Package, f.Function.Name) || !storable(f.Sources...) {
		return nil, 0, nil
	}
	err = db.view(ctx, "list calls", func(tx *sql.Tx) error {
		hours, err := callHours(ctx, tx, f)
		if err != nil {
			return err
		}
		skip, from := f.Offset, int64(-1) // the youngest hour of the page
		for _, h := range hours {
			total += h.n
			if from < 0 && skip >= h.n {
				skip -= h.n
			} else if from < 0 {
				from = h.hour
			}
		}
		if from < 0 {
			return nil
		}
		where, bind := callsWhere(` from calls where project = $1 and package = $2 and name = $3`, f)
		where += ` and created_us < ` + bind.add((from+1)*hourMicros)
		where = spanned(where, f, bind)
		rows, err := tx.QueryContext(ctx, `select `+callColumns+where+` order by created_us desc, number desc limit `+bind.add(f.Limit)+` offset `+bind.add(skip), bind.args...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			r, err := scanCall(rows)
			found = append(found, r)
			return err
		})
	})
	return found, total, err
}

type callHour struct{ hour, n int64 }

// callHours gives the hours that have calls of a filter, the youngest first. The hours of From and To are counted call by call,
// where they are not whole.
func callHours(ctx context.Context, tx *sql.Tx, f faas.CallFilter) (hours []callHour, err error) {
	text, bind := callsWhere(`select hour, sum(n) from call_counts where project = $1 and package = $2 and name = $3`, f)
	if !f.From.IsZero() {
		text += ` and hour >= ` + bind.add(f.From.UnixMicro()/hourMicros)
	}
	if !f.To.IsZero() {
		text += ` and hour <= ` + bind.add(f.To.UnixMicro()/hourMicros)
	}
	rows, err := tx.QueryContext(ctx, text+` group by hour having sum(n) > 0 order by hour desc`, bind.args...)
	if err != nil {
		return nil, err
	}
	if err := each(rows, func() error {
		var h callHour
		err := rows.Scan(&h.hour, &h.n)
		hours = append(hours, h)
		return err
	}); err != nil {
		return nil, err
	}
	for i := range hours {
		begin, end := hours[i].hour*hourMicros, (hours[i].hour+1)*hourMicros
		whole := (f.From.IsZero() || f.From.UnixMicro() <= begin) && (f.To.IsZero() || f.To.UnixMicro() >= end-1)
		if whole {
			continue
		}
		text, bind := callsWhere(`select count(*) from calls where project = $1 and package = $2 and name = $3`, f)
		text += ` and created_us >= ` + bind.add(begin) + ` and created_us < ` + bind.add(end)
		text = spanned(text, f, bind)
		if err := tx.QueryRowContext(ctx, text, bind.args...).Scan(&hours[i].n); err != nil {
			return nil, err
		}
	}
	return hours, nil
}

// binder collects arguments and gives their marks.
type binder struct{ args []any }

func (b *binder) add(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

// callsWhere appends what a filter says of the kind of calls, which calls and their counts have alike.
func callsWhere(text string, f faas.CallFilter) (string, *binder) {
	bind := &binder{[]any{f.Function.Project, f.Function.Package, f.Function.Name}}
	if f.Sources != nil {
		marks := []string{"''"}
		for _, s := range f.Sources {
			marks = append(marks, bind.add(s))
		}
		text += ` and source in (` + strings.Join(marks, ", ") + `)`
	}
	if f.States != nil {
		marks := []string{"-1"}
		for _, s := range f.States {
			marks = append(marks, strconv.Itoa(int(s)))
		}
		text += ` and state in (` + strings.Join(marks, ", ") + `)`
	}
	if f.Async != nil {
		text += ` and async = ` + bind.add(bit(*f.Async))
	}
	return text, bind
}

// spanned appends the times of a filter.
func spanned(text string, f faas.CallFilter, bind *binder) string {
	if !f.From.IsZero() {
		text += ` and created_us >= ` + bind.add(f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		text += ` and created_us <= ` + bind.add(f.To.UnixMicro())
	}
	return text
}

// Call gives a record of a project by its number. Error: CodeNotFound, field "job".
func (db *DB) Call(ctx context.Context, project string, number int64) (r faas.CallRecord, err error) {
	r, err = scanCall(db.read.QueryRowContext(ctx, `select `+callColumns+` from calls where number = $1 and project = $2 limit 1`, number, project))
	if errors.Is(err, sql.ErrNoRows) {
		return r, faas.NotFound("job", strconv.FormatInt(number, 10))
	}
	return r, db.failed("read call", err)
}

func scanCall(row interface{ Scan(...any) error }) (r faas.CallRecord, err error) {
	var async, state int
	var created, started, ended int64
	var code string
	err = row.Scan(&r.ID, &r.Number, &r.Function.Project, &r.Function.Package, &r.Function.Name, &r.Source, &async, &state,
		&created, &started, &ended, &r.MemoryPeak, &code, &r.Log)
	r.Async, r.State, r.Code = async == 1, faas.CallState(state), faas.Code(code)
	r.CreatedAt, r.StartedAt, r.EndedAt = fromMicros(created), fromMicros(started), fromMicros(ended)
	return r, err
}

// ForgetCalls removes the records of calls that were accepted before a time, at most so many. It tells whether there may be
// more.
func (db *DB) ForgetCalls(ctx context.Context, before time.Time, most int) (more bool, err error) {
	err = db.change(ctx, "forget calls", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `delete from calls where id in (select id from calls where created_us < $1 order by created_us limit $2)
			returning project, package, name, source, async, state, created_us`, before.UnixMicro(), most)
		if err != nil {
			return err
		}
		counts, n := callCounts{}, 0
		if err := each(rows, func() error {
			var k callCount
			var created int64
			err := rows.Scan(&k.function.Project, &k.function.Package, &k.function.Name, &k.source, &k.async, &k.state, &created)
			k.hour = created / hourMicros
			counts[k]--
			n++
			return err
		}); err != nil {
			return err
		}
		more = n == most
		if err := counts.save(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `delete from call_counts where n = 0 and hour < $1`, before.UnixMicro()/hourMicros)
		return err
	})
	return more, err
}
