package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// SaveCalls stores records of calls, or what is newer of them: a record never goes back, and its place in the order and the
// time of its acceptance stay as they were first told.
func (db *DB) SaveCalls(ctx context.Context, records []faas.CallRecord) error {
	return db.change(ctx, "save calls", func(tx *sql.Tx) error {
		for _, r := range records {
			log := strings.ToValidUTF8(strings.ReplaceAll(r.Log, "\x00", ""), "\uFFFD")
			_, err := tx.ExecContext(ctx, `insert into calls (id, number, project, package, name, source, async, state, created_us, started_us,
					ended_us, memory, code, log) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
				on conflict (id) do update set state = excluded.state, started_us = excluded.started_us, ended_us = excluded.ended_us,
					memory = excluded.memory, code = excluded.code, log = excluded.log
				where excluded.state > calls.state`,
				r.ID, r.Number, r.Function.Project, r.Function.Package, r.Function.Name, r.Source, bit(r.Async), int(r.State),
				micros(r.CreatedAt), micros(r.StartedAt), micros(r.EndedAt), r.MemoryPeak, string(r.Code), log)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const callColumns = `id, number, project, package, name, source, async, state, created_us, started_us, ended_us, memory, code, log`

// Calls lists records, the youngest first, and counts all that match.
func (db *DB) Calls(ctx context.Context, f faas.CallFilter) (found []faas.CallRecord, total int64, err error) {
	if !storable(f.Function.Project, f.Function.Package, f.Function.Name) || !storable(f.Sources...) {
		return nil, 0, nil
	}
	where, args := callsWhere(f)
	err = db.view(ctx, "list calls", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `select count(*)`+where, args...).Scan(&total); err != nil {
			return err
		}
		n := strconv.Itoa(len(args) + 1)
		rows, err := tx.QueryContext(ctx, `select `+callColumns+where+` order by number desc limit $`+n+` offset $`+strconv.Itoa(len(args)+2),
			append(args, f.Limit, f.Offset)...)
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

func callsWhere(f faas.CallFilter) (string, []any) {
	text := ` from calls where project = $1 and package = $2 and name = $3`
	args := []any{f.Function.Project, f.Function.Package, f.Function.Name}
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	if f.Sources != nil {
		marks := []string{"''"}
		for _, s := range f.Sources {
			marks = append(marks, bind(s))
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
		text += ` and async = ` + bind(bit(*f.Async))
	}
	if !f.From.IsZero() {
		text += ` and created_us >= ` + bind(f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		text += ` and created_us <= ` + bind(f.To.UnixMicro())
	}
	return text, args
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
		result, err := tx.ExecContext(ctx, `delete from calls where id in (select id from calls where created_us < $1 order by created_us limit $2)`,
			before.UnixMicro(), most)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		more = n == int64(most)
		return err
	})
	return more, err
}
