package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	dependencyColumns = `d.id, d.project, d.name, d.public, v.id, v.number, v.runtime, v.description, v.kind, v.filename, v.url, v.etag, v.digest, v.size, v.created_us`
	dependencyTables  = ` from dependencies d join dependency_versions v on v.dependency = d.id`
)

// CreateDependencyVersion stores a version of the dependency that has v.Name in v.Project, and first the dependency itself, with
// v.ID, where none has that name. fresh refuses one that is there. It sets v.Number, and v.ID and v.Public to those of the
// dependency. The package counts as code of the project.
//
// Errors: CodeExists, field "dependency"; CodeQuota, field "dependencies" or "code_bytes".
func (db *DB) CreateDependencyVersion(ctx context.Context, v *faas.DependencyVersion, quota faas.Quota, fresh bool) error {
	if !storable(v.Project, v.Name, v.Description, v.Filename, v.URL) {
		return faas.Errorf(faas.CodeInvalid, "depend_name", "the dependency's name or description holds bytes that are not text")
	}
	return db.change(ctx, "create dependency", func(tx *sql.Tx) error {
		usage, seq, err := take(ctx, tx, v.Project, faas.Usage{CodeBytes: v.Size})
		if err != nil {
			return err
		}
		if err := within(usage, faas.Usage{CodeBytes: v.Size}, quota); err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `insert into dependencies (id, project, seq, name, name_folded, public, newest, last, created_us)
			values ($1, $2, $3, $4, $5, $6, 1, 1, $7)
			on conflict (project, name) do update set newest = dependencies.last + 1, last = dependencies.last + 1
			returning id, public, newest`,
			v.ID, v.Project, seq, v.Name, strings.ToLower(v.Name), v.Public, v.CreatedAt.UnixMicro()).Scan(&v.ID, &v.Public, &v.Number)
		switch {
		case err != nil:
			return err
		case fresh && v.Number > 1:
			return faas.Errorf(faas.CodeExists, "dependency", "dependency %q exists already", v.Name)
		}
		if v.Number == 1 {
			if err := withinDependencies(ctx, tx, v.Project); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `insert into dependency_versions
			(id, dependency, number, runtime, description, kind, filename, url, etag, digest, size, created_us)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			v.VersionID, v.ID, v.Number, v.Runtime, v.Description, v.Kind, v.Filename, v.URL, v.ETag, v.Digest, v.Size, v.CreatedAt.UnixMicro())
		return err
	})
}

func withinDependencies(ctx context.Context, q queries, project string) error {
	var held int64
	if err := q.QueryRowContext(ctx, `select count(*) from dependencies where project = $1`, project).Scan(&held); err != nil {
		return err
	}
	if held > faas.MaxDependencies {
		return faas.Errorf(faas.CodeQuota, "dependencies", "the project may hold %d dependencies and has them already", faas.MaxDependencies)
	}
	return nil
}

// Dependencies gives a page of the dependencies that a project may use, oldest first, each by its newest version.
func (db *DB) Dependencies(ctx context.Context, f faas.DependencyFilter) (faas.DependencyPage, error) {
	if !storable(f.Project, f.Runtime, f.NamePart) {
		return faas.DependencyPage{}, nil
	}
	whose := `(d.project = $1 or d.public)`
	if f.Public != nil && *f.Public {
		whose = `d.public and $1 <> ''`
	} else if f.Public != nil {
		whose = `d.project = $1 and not d.public`
	}
	matching := dependencyTables + ` where v.number = d.newest and ` + whose + `
		and ($2 = '' or v.runtime = $2) and ($3 = '' or ` + db.dialect.position + `(d.name_folded, $3) > 0)`
	return db.dependencyPage(ctx, matching+` `, `d.created_us, d.project, d.seq`, f.Offset, f.Limit, f.Project, f.Runtime, strings.ToLower(f.NamePart))
}

// DependencyVersions gives a page of the versions of a dependency that a project may use, oldest first. Error: CodeNotFound, field
// "dependency".
func (db *DB) DependencyVersions(ctx context.Context, project, id string, offset int64, limit int) (faas.DependencyPage, error) {
	if !storable(project, id) {
		return faas.DependencyPage{}, faas.NotFound("dependency", id)
	}
	page, err := db.dependencyPage(ctx, dependencyTables+` where (d.project = $1 or d.public) and d.id = $2`, `v.number`, offset, limit, project, id)
	if err == nil && page.Total == 0 {
		err = faas.NotFound("dependency", id)
	}
	return page, err
}

func (db *DB) dependencyPage(ctx context.Context, matching, order string, offset int64, limit int, args ...any) (page faas.DependencyPage, err error) {
	err = db.view(ctx, "list dependencies", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `select count(*)`+matching, args...).Scan(&page.Total); err != nil {
			return err
		}
		n := len(args)
		page.Versions, err = dependencies(ctx, tx, fmt.Sprintf(`%s order by %s limit $%d offset $%d`, matching, order, n+1, n+2),
			append(args, max(1, limit), offset)...)
		return err
	})
	return page, err
}

func dependencies(ctx context.Context, q queries, matching string, args ...any) ([]*faas.DependencyVersion, error) {
	rows, err := q.QueryContext(ctx, `select `+dependencyColumns+matching, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*faas.DependencyVersion
	for rows.Next() {
		v := new(faas.DependencyVersion)
		var created int64
		if err := rows.Scan(&v.ID, &v.Project, &v.Name, &v.Public, &v.VersionID, &v.Number, &v.Runtime, &v.Description, &v.Kind,
			&v.Filename, &v.URL, &v.ETag, &v.Digest, &v.Size, &created); err != nil {
			return nil, err
		}
		v.CreatedAt = time.UnixMicro(created).UTC()
		found = append(found, v)
	}
	return found, rows.Err()
}

// DependencyVersion gives one version of a dependency that a project may use, the newest for number 0. Error: CodeNotFound, field
// "dependency" or, when only the version is missing, "dependency_version".
func (db *DB) DependencyVersion(ctx context.Context, project, id string, number int64) (*faas.DependencyVersion, error) {
	if !storable(project, id) {
		return nil, faas.NotFound("dependency", id)
	}
	found, err := dependencies(ctx, db.read, dependencyTables+` where (d.project = $1 or d.public) and d.id = $2
		and (v.number = $3 or $3 = 0) order by v.number desc limit 1`, project, id, number)
	switch {
	case err != nil:
		return nil, db.failed("read dependency", err)
	case len(found) == 1:
		return found[0], nil
	case number == 0:
		return nil, faas.NotFound("dependency", id)
	}
	if _, err := db.DependencyVersion(ctx, project, id, 0); err != nil {
		return nil, err
	}
	return nil, faas.Errorf(faas.CodeNotFound, "dependency_version", "the dependency has no version %d", number)
}

// DependenciesByID gives versions by their ids, in the order of these, as far as a project may use them. Error: CodeNotFound, field
// "dependency", for the first that there is not.
func (db *DB) DependenciesByID(ctx context.Context, project string, ids []string) ([]*faas.DependencyVersion, error) {
	var found []*faas.DependencyVersion
	for _, id := range ids {
		if !storable(id) {
			return nil, faas.NotFound("dependency", id)
		}
		one, err := dependencies(ctx, db.read, dependencyTables+` where (d.project = $1 or d.public) and v.id = $2`, project, id)
		if err != nil {
			return nil, db.failed("read dependency", err)
		}
		if len(one) == 0 {
			return nil, faas.NotFound("dependency", id)
		}
		found = append(found, one[0])
	}
	return found, nil
}

// holdDependencies sees to it that what a function names is there, and stays until the end of the transaction. The rows are locked
// in one order, so that two functions never wait for each other.
func holdDependencies(ctx context.Context, tx *sql.Tx, f *faas.Function) error {
	sorted := slices.Clone(f.Spec.Dependencies)
	slices.Sort(sorted)
	for _, id := range slices.Compact(sorted) {
		if !storable(id) {
			return faas.NotFound("dependency", id)
		}
		there, err := insert(ctx, tx, `update dependency_versions set size = size where id = $1`, id)
		if err != nil {
			return err
		}
		if !there {
			return faas.NotFound("dependency", id)
		}
		if _, err := insert(ctx, tx, `insert into dependency_uses (version_id, project, package, name, version) values ($1, $2, $3, $4, $5)
			on conflict do nothing`, id, f.Project, f.Package, f.Name, f.Version); err != nil {
			return err
		}
	}
	return nil
}

// DeleteDependency removes a version of a project's own dependency, or all for number 0; the dependency goes with its last version.
// Errors: CodeNotFound as DependencyVersion; CodeConflict, field "dependency", when a function uses one of them, in whichever of
// its versions; CodeForbidden, field "dependency", for one of another project.
func (db *DB) DeleteDependency(ctx context.Context, project, id string, number int64) error {
	v, err := db.DependencyVersion(ctx, project, id, number)
	switch {
	case err != nil:
		return err
	case v.Project != project:
		return faas.Errorf(faas.CodeForbidden, "dependency", "dependency %q is public and belongs to another project", v.Name)
	}
	return db.change(ctx, "delete dependency", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, project); err != nil {
			return err
		}
		var held int64
		gone, err := lockVersions(ctx, tx, id, number)
		if err != nil {
			return err
		}
		for versionID, size := range gone {
			if err := unusedDependency(ctx, tx, versionID, v.Name); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `delete from dependency_versions where id = $1`, versionID); err != nil {
				return err
			}
			held += size
		}
		if len(gone) == 0 {
			return faas.NotFound("dependency", id)
		}
		if err := settleNewest(ctx, tx, id); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, project, faas.Usage{CodeBytes: -held})
		return err
	})
}

// lockVersions locks versions of a dependency, all for number 0, and gives their ids and sizes.
func lockVersions(ctx context.Context, tx *sql.Tx, id string, number int64) (map[string]int64, error) {
	rows, err := tx.QueryContext(ctx, `update dependency_versions set size = size where dependency = $1 and (number = $2 or $2 = 0)
		returning id, size`, id, number)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]int64{}
	for rows.Next() {
		var versionID string
		var size int64
		if err := rows.Scan(&versionID, &size); err != nil {
			return nil, err
		}
		found[versionID] = size
	}
	return found, rows.Err()
}

// settleNewest notes which version of a dependency is the newest by now, and removes the dependency when none is left.
func settleNewest(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `update dependencies set newest = coalesce((select max(number) from dependency_versions where dependency = $1), 0)
		where id = $1`, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `delete from dependencies where id = $1 and newest = 0`, id)
	return err
}

// unusedDependency refuses a version that a function names, and else forgets where it was used.
func unusedDependency(ctx context.Context, tx *sql.Tx, versionID, name string) error {
	rows, err := tx.QueryContext(ctx, `select `+functionColumns+` from functions where (project, package, name, version) in
		(select project, package, name, version from dependency_uses where version_id = $1)`, versionID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		f, _, err := scan(rows)
		if err != nil {
			return err
		}
		if slices.Contains(f.Spec.Dependencies, versionID) {
			return faas.Errorf(faas.CodeConflict, "dependency", "dependency %q is in use by function %q, version %q", name, f.Name, f.Version)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `delete from dependency_uses where version_id = $1`, versionID)
	return err
}

// SetDependencyPublic lets every project use a dependency, or its own alone: functions that use it already go on. Error:
// CodeNotFound, field "dependency".
func (db *DB) SetDependencyPublic(ctx context.Context, id string, public bool) error {
	if !storable(id) {
		return faas.NotFound("dependency", id)
	}
	return db.change(ctx, "publish dependency", func(tx *sql.Tx) error {
		there, err := insert(ctx, tx, `update dependencies set public = $1 where id = $2`, public, id)
		if err == nil && !there {
			err = faas.NotFound("dependency", id)
		}
		return err
	})
}

// digestOfDependency tells whether a dependency has this package.
func (db *DB) digestOfDependency(ctx context.Context, digest string) (used bool, err error) {
	err = db.read.QueryRowContext(ctx, `select exists (select 1 from dependency_versions where digest = $1)`, digest).Scan(&used)
	return used, db.failed("look up digest", err)
}
