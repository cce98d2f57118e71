package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// AddAudit adds an entry. Bytes in it that are not text are left out.
func (db *DB) AddAudit(ctx context.Context, e faas.AuditEntry) error {
	return db.change(ctx, "add to the audit log", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into audit (id, at_us, domain_id, project, actor_id, actor, acting_for, face, operation,
			action, resource, source, request_id, status, code, skipped)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			e.ID, micros(e.At), e.DomainID, plain(e.ProjectID), e.ActorID, plain(e.Actor), plain(e.For), e.Face, e.Operation,
			string(e.Action), plain(e.Resource), plain(e.Source), e.RequestID, e.Status, string(e.Code), e.Skipped)
		return err
	})
}

// plain leaves out what the databases cannot hold.
func plain(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}

// Audit lists entries as AuditFilter says.
func (db *DB) Audit(ctx context.Context, f faas.AuditFilter) (all []faas.AuditEntry, err error) {
	var args []any
	bind := func(v any) string { args = append(args, v); return "$" + strconv.Itoa(len(args)) }
	if !storable(f.DomainID, f.ProjectID, f.Actor, f.Operation, f.Before, f.After) {
		return nil, nil
	}
	text := `select id, at_us, domain_id, project, actor_id, actor, acting_for, face, operation, action, resource, source, request_id,
		status, code, skipped from audit where domain_id in (` + bind(f.DomainID) + `, '')`
	if f.ProjectID != "" {
		text += ` and project = ` + bind(f.ProjectID)
	}
	if f.Actor != "" {
		text += ` and (actor = ` + bind(f.Actor) + ` or actor_id = ` + bind(f.Actor) + `)`
	}
	if f.Operation != "" {
		text += ` and operation = ` + bind(f.Operation)
	}
	if f.Refused {
		text += ` and status >= 400`
	}
	order := ` order by id desc`
	switch {
	case f.After != "":
		text, order = text+` and id > `+bind(f.After), ` order by id`
	case f.Before != "":
		text += ` and id < ` + bind(f.Before)
	}
	rows, err := db.read.QueryContext(ctx, text+order+` limit `+bind(f.Limit), args...)
	if err != nil {
		return nil, db.failed("read the audit log", err)
	}
	err = each(rows, func() error {
		var e faas.AuditEntry
		var at int64
		err := rows.Scan(&e.ID, &at, &e.DomainID, &e.ProjectID, &e.ActorID, &e.Actor, &e.For, &e.Face, &e.Operation, &e.Action,
			&e.Resource, &e.Source, &e.RequestID, &e.Status, &e.Code, &e.Skipped)
		e.At = fromMicros(at)
		all = append(all, e)
		return err
	})
	return all, db.failed("read the audit log", err)
}

// ForgetAudit forgets the entries before a time, and the oldest beyond a number. It tells how many went.
func (db *DB) ForgetAudit(ctx context.Context, before time.Time, most int64) (gone int64, err error) {
	err = db.change(ctx, "forget audit entries", func(tx *sql.Tx) error {
		gone = 0
		for _, part := range []struct {
			text string
			arg  any
		}{
			{`delete from audit where at_us < $1`, micros(before)},
			{`delete from audit where id <= (select id from audit order by id desc limit 1 offset $1)`, most},
		} {
			res, err := tx.ExecContext(ctx, part.text, part.arg)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			gone += n
		}
		return nil
	})
	return gone, err
}
