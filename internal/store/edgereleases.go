package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// AddRelease stores a release of the gateways' agent. Error: CodeExists, field "version".
func (db *DB) AddRelease(ctx context.Context, r faas.Release) error {
	return db.change(ctx, "add release", func(tx *sql.Tx) error {
		added, err := insert(ctx, tx, `insert into edge_releases (project, version, created_us) values ($1, $2, $3) on conflict do nothing`,
			r.Project, r.Version, r.CreatedAt.UnixMicro())
		if err == nil && !added {
			return faas.Errorf(faas.CodeExists, "version", "the release %q exists already, and stays as it is; give another a version of its own", r.Version)
		}
		for _, p := range r.Programs {
			if err != nil {
				break
			}
			_, err = tx.ExecContext(ctx, `insert into edge_programs (project, version, arch, digest, size, sha256) values ($1, $2, $3, $4, $5, $6)`,
				r.Project, r.Version, p.Arch, p.Digest, p.Size, p.SHA256)
		}
		return err
	})
}

// RemoveRelease removes a release that nobody shall run; its programs go with the next sweep. Errors: CodeNotFound, field "version";
// CodeConflict, field "version", while it is used.
func (db *DB) RemoveRelease(ctx context.Context, project, version string) error {
	if !storable(version) {
		return faas.NotFound("version", version)
	}
	return db.change(ctx, "remove release", func(tx *sql.Tx) error {
		removed, err := insert(ctx, tx, `delete from edge_releases where project = $1 and version = $2`, project, version)
		if err != nil {
			return err
		}
		if !removed {
			return faas.NotFound("version", version)
		}
		var used int
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_release_uses where project = $1 and version = $2`, project, version).Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			return faas.Errorf(faas.CodeConflict, "version", "%d places shall run the release %q; have them use another, or none, first", used, version)
		}
		_, err = tx.ExecContext(ctx, `delete from edge_programs where project = $1 and version = $2`, project, version)
		return err
	})
}

// Releases lists the releases of a project, the youngest first.
func (db *DB) Releases(ctx context.Context, project string) (list []faas.Release, err error) {
	err = db.view(ctx, "list releases", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `select version, created_us from edge_releases where project = $1 order by created_us desc, version`, project)
		if err != nil {
			return err
		}
		list = nil
		if err := each(rows, func() error {
			r := faas.Release{Project: project}
			var created int64
			err := rows.Scan(&r.Version, &created)
			r.CreatedAt = fromMicros(created)
			list = append(list, r)
			return err
		}); err != nil {
			return err
		}
		for i := range list {
			if list[i].Programs, err = programs(ctx, tx, project, list[i].Version); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func programs(ctx context.Context, tx *sql.Tx, project, version string) (list []faas.ReleaseProgram, err error) {
	rows, err := tx.QueryContext(ctx, `select arch, digest, size, sha256 from edge_programs where project = $1 and version = $2 order by arch`, project, version)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var p faas.ReleaseProgram
		err := rows.Scan(&p.Arch, &p.Digest, &p.Size, &p.SHA256)
		list = append(list, p)
		return err
	})
	return list, err
}

// UseRelease has gateways run a release; Version "" ends what was said of the same place. Errors: CodeNotFound, field "version",
// "gateway" or "product".
func (db *DB) UseRelease(ctx context.Context, u faas.ReleaseUse) error {
	return db.change(ctx, "use release", func(tx *sql.Tx) error {
		if err := lockPlace(ctx, tx, u); err != nil {
			return err
		}
		if u.Version == "" {
			_, err := tx.ExecContext(ctx, `delete from edge_release_uses where project = $1 and product = $2 and gateway = $3`, u.Project, u.Product, u.SN)
			return err
		}
		if !storable(u.Version) {
			return faas.NotFound("version", u.Version)
		}
		there, err := insert(ctx, tx, `update edge_releases set version = version where project = $1 and version = $2`, u.Project, u.Version) // against its removal meanwhile
		if err != nil {
			return err
		}
		if !there {
			return faas.NotFound("version", u.Version)
		}
		_, err = tx.ExecContext(ctx, `insert into edge_release_uses (project, product, gateway, version) values ($1, $2, $3, $4)
			on conflict (project, product, gateway) do update set version = excluded.version`, u.Project, u.Product, u.SN, u.Version)
		return err
	})
}

// lockPlace locks the gateway or the product that a use is of. A project needs no lock: what is said of it goes with it.
func lockPlace(ctx context.Context, tx *sql.Tx, u faas.ReleaseUse) error {
	switch {
	case u.SN != "":
		return lockGateway(ctx, tx, u.GatewayID)
	case u.Product == "":
		return nil
	case !storable(u.Product):
		return faas.NotFound("product", u.Product)
	}
	there, err := insert(ctx, tx, `update edge_products set number = number where sn = $1 and project = $2`, u.Product, u.Project)
	if err == nil && !there {
		return faas.NotFound("product", u.Product)
	}
	return err
}

// ReleaseUses lists what was said for a project, its products and its gateways, the widest first.
func (db *DB) ReleaseUses(ctx context.Context, project string) (list []faas.ReleaseUse, err error) {
	rows, err := db.read.QueryContext(ctx, `select product, gateway, version from edge_release_uses where project = $1 order by product, gateway`, project)
	if err != nil {
		return nil, db.failed("list uses of releases", err)
	}
	err = each(rows, func() error {
		u := faas.ReleaseUse{Project: project}
		err := rows.Scan(&u.Product, &u.SN, &u.Version)
		list = append(list, u)
		return err
	})
	return list, db.failed("list uses of releases", err)
}

// ReleaseFor gives the release that a gateway shall run: its own, or else its product's, or else its project's; nil for none.
func (db *DB) ReleaseFor(ctx context.Context, project string, id faas.GatewayID) (r *faas.Release, err error) {
	err = db.view(ctx, "read release", func(tx *sql.Tx) error {
		r = nil
		found := faas.Release{Project: project}
		var created int64
		err := tx.QueryRowContext(ctx, `select u.version, r.created_us from edge_release_uses u join edge_releases r on r.project = u.project and r.version = u.version
			where u.project = $1 and (u.product = '' or u.product = $2) and (u.gateway = '' or u.gateway = $3)
			order by case when u.gateway <> '' then 0 when u.product <> '' then 1 else 2 end limit 1`, project, id.Product, id.SN).Scan(&found.Version, &created)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found.CreatedAt = fromMicros(created)
		found.Programs, err = programs(ctx, tx, project, found.Version)
		r = &found
		return err
	})
	return r, err
}

// digestOfRelease tells whether a release has this program.
func (db *DB) digestOfRelease(ctx context.Context, digest string) (used bool, err error) {
	err = db.read.QueryRowContext(ctx, `select exists (select 1 from edge_programs where digest = $1)`, digest).Scan(&used)
	return used, db.failed("look up digest", err)
}
