package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// PublishVersion reads the version that key names, lets publish make another version of the same function of it, and stores that with
// Revision 1. most bounds the versions of the function, the one it was made of among them. publish must be quick and must not call
// the store; its error is returned.
//
// Errors: as Function; CodeExists, field "version"; CodeQuota, field "versions" or, as CreateFunction, "code_bytes".
func (db *DB) PublishVersion(ctx context.Context, key faas.FunctionKey, quota faas.Quota, most int, publish func(*faas.Function) (*faas.Function, error)) (made *faas.Function, err error) {
	err = db.change(ctx, "publish version", func(tx *sql.Tx) error {
		from, err := lockFunction(ctx, tx, key)
		if err != nil {
			return err
		}
		if made, err = publish(from); err != nil {
			return err
		}
		if made.ID != from.ID || made.Project != key.Project || made.Package != key.Package || made.Name != key.Name || !storable(made.Version) {
			return fmt.Errorf("version %q is not of %s/%s/%s", made.Version, key.Project, key.Package, key.Name)
		}
		var held int
		err = tx.QueryRowContext(ctx, `select count(*) from functions where project = $1 and package = $2 and name = $3`,
			key.Project, key.Package, key.Name).Scan(&held)
		if err != nil {
			return err
		}
		delta := faas.Usage{CodeBytes: made.Code.Size}
		usage, seq, err := take(ctx, tx, key.Project, delta)
		if err != nil {
			return err
		}
		made.Revision, made.Number = 1, seq
		added, err := insertFunction(ctx, tx, made)
		switch {
		case err != nil:
			return err
		case !added:
			return faas.Errorf(faas.CodeExists, "version", "version %q exists already", made.Version)
		case held >= most:
			return faas.Errorf(faas.CodeQuota, "versions", "the function has %d versions already, which is the limit", held)
		}
		return within(usage, delta, quota)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// insertFunction adds the row of f with its Revision and Number, and tells whether its key was free. What f depends on is held.
// Error: CodeNotFound, field "dependency".
func insertFunction(ctx context.Context, tx *sql.Tx, f *faas.Function) (bool, error) {
	doc, err := encode(f)
	if err != nil {
		return false, err
	}
	added, err := insert(ctx, tx, `insert into functions (`+functionColumns+`, name_folded, reserves)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		on conflict (project, package, name, version) do nothing`,
		f.Number, f.Project, f.Package, f.Name, f.Version, f.ID, f.Revision, f.Code.Digest, f.Code.Size,
		f.CreatedAt.UnixMicro(), f.ModifiedAt.UnixMicro(), doc, strings.ToLower(f.Name), bit(keeps(f)))
	if err != nil || !added {
		return false, err
	}
	return true, holdDependencies(ctx, tx, f)
}

// Versions lists the versions of a function in the order in which they were made, so Latest first. Error: CodeNotFound, field "function".
func (db *DB) Versions(ctx context.Context, key faas.FunctionKey) (found []*faas.Function, err error) {
	if !storable(key.Project, key.Package, key.Name) {
		return nil, faas.NotFound("function", key.Name)
	}
	rows, err := db.read.QueryContext(ctx, `select `+functionColumns+` from functions where project = $1 and package = $2 and name = $3
		order by seq`, key.Project, key.Package, key.Name)
	if err != nil {
		return nil, db.failed("list versions", err)
	}
	err = each(rows, func() error {
		f, _, err := scan(rows)
		found = append(found, f)
		return err
	})
	if err == nil && len(found) == 0 {
		err = faas.NotFound("function", key.Name)
	}
	return found, db.failed("list versions", err)
}

// DeleteVersion removes one version, the aliases that lead to it, and the triggers and settings of them all; calls that wait for it
// or for one of these aliases are cancelled. It gives the names of the aliases. Latest goes with its function only, which is for
// the caller to see to.
//
// Errors: as Function; CodeConflict, field "additional_version", while another alias has it as its second version.
func (db *DB) DeleteVersion(ctx context.Context, key faas.FunctionKey) (gone []string, err error) {
	err = db.change(ctx, "delete version", func(tx *sql.Tx) error {
		gone = nil
		f, err := lockFunction(ctx, tx, key)
		if err != nil {
			return err
		}
		all, err := aliases(ctx, tx, key)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Key.Version == key.Version {
				gone = append(gone, a.Name)
			} else if a.Additional != nil && a.Additional.Version == key.Version {
				return faas.Errorf(faas.CodeConflict, "additional_version", "version %q is the additional version of alias %q", key.Version, a.Name)
			}
		}
		for _, name := range gone {
			if err := dropAlias(ctx, tx, key, name); err != nil {
				return err
			}
		}
		if err := db.dropQualifier(ctx, tx, key, key.Version); err != nil {
			return err
		}
		for _, name := range gone {
			if err := db.dropQualifier(ctx, tx, key, faas.Qualifier("", name)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `delete from functions where project = $1 and package = $2 and name = $3 and version = $4`,
			key.Project, key.Package, key.Name, key.Version); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, key.Project, faas.Usage{CodeBytes: -f.Code.Size})
		return err
	})
	return gone, err
}

// dropQualifier removes what hangs on a version or alias of a function: its triggers, its settings for asynchronous calls, and the
// calls that wait for it.
func (db *DB) dropQualifier(ctx context.Context, tx *sql.Tx, key faas.FunctionKey, qualifier string) error {
	filter := faas.TriggerFilter{Project: key.Project, Package: key.Package, Name: key.Name, Qualifier: qualifier}
	if _, err := deleteTriggers(ctx, tx, filter); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `delete from async_configs where project = $1 and package = $2 and name = $3 and qualifier = $4`,
		key.Project, key.Package, key.Name, qualifier); err != nil {
		return err
	}
	return db.cancelJobsOf(ctx, tx, key, qualifier)
}
