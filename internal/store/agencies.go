package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const agencyColumns = `select id, domain_id, name, description, created_us from agencies`

// CreateAgency stores an agency. Errors: CodeNotFound, field "domain"; CodeExists, field "agency".
func (db *DB) CreateAgency(ctx context.Context, a faas.Agency) error {
	return db.change(ctx, "create agency", func(tx *sql.Tx) error {
		if _, err := domainByID(ctx, tx, a.DomainID); err != nil {
			return err
		}
		return add(ctx, tx, "agency", []string{a.ID, a.Name, a.Description},
			`insert into agencies (id, domain_id, name, description, created_us) values ($1, $2, $3, $4, $5) on conflict do nothing`,
			a.ID, a.DomainID, a.Name, a.Description, micros(a.CreatedAt))
	})
}

// UpdateAgency replaces the description of an agency. Error: CodeNotFound, field "agency".
func (db *DB) UpdateAgency(ctx context.Context, a faas.Agency) error {
	return db.change(ctx, "update agency", func(tx *sql.Tx) error {
		if !storable(a.ID, a.Description) {
			return faas.Errorf(faas.CodeInvalid, "agency", "the agency holds bytes that are not text")
		}
		done, err := insert(ctx, tx, `update agencies set description = $1 where id = $2`, a.Description, a.ID)
		if err == nil && !done {
			err = faas.NotFound("agency", a.ID)
		}
		return err
	})
}

// DeleteAgency forgets an agency and its roles. Error: CodeNotFound, field "agency".
func (db *DB) DeleteAgency(ctx context.Context, id string) error {
	return db.change(ctx, "delete agency", func(tx *sql.Tx) error {
		if err := deleteOne(ctx, tx, "agency", `delete from agencies where id = $1`, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `delete from role_bindings where holder = $1`, id)
		return err
	})
}

// AgencyByID gives an agency. Error: CodeNotFound, field "agency".
func (db *DB) AgencyByID(ctx context.Context, id string) (faas.Agency, error) {
	return db.agency(ctx, id, ` where id = $1`, id)
}

// AgencyByName gives an agency of a domain. Error: CodeNotFound, field "agency".
func (db *DB) AgencyByName(ctx context.Context, domainID, name string) (faas.Agency, error) {
	return db.agency(ctx, name, ` where domain_id = $1 and name = $2`, domainID, name)
}

func (db *DB) agency(ctx context.Context, name, where string, texts ...any) (a faas.Agency, err error) {
	var created int64
	err = one(ctx, db.read, "agency", name, []any{&a.ID, &a.DomainID, &a.Name, &a.Description, &created}, agencyColumns+where, texts...)
	a.CreatedAt = fromMicros(created)
	return a, db.failed("read agency", err)
}

// Agencies lists a domain's agencies by name; with a name only that one.
func (db *DB) Agencies(ctx context.Context, domainID, name string) (all []faas.Agency, err error) {
	if !storable(domainID, name) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, agencyColumns+` where domain_id = $1 and ($2 = '' or name = $2)`, domainID, name)
	if err != nil {
		return nil, db.failed("list agencies", err)
	}
	err = each(rows, func() error {
		var a faas.Agency
		var created int64
		err := rows.Scan(&a.ID, &a.DomainID, &a.Name, &a.Description, &created)
		a.CreatedAt = fromMicros(created)
		all = append(all, a)
		return err
	})
	slices.SortFunc(all, func(a, b faas.Agency) int { return cmp.Compare(a.Name, b.Name) })
	return all, db.failed("list agencies", err)
}
