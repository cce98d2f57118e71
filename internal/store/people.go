package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const keyColumns = `select id, user_id, sealed_secret, description, disabled <> 0, created_us, expires_us from access_keys`

// truth writes a truth as both databases take it.
func truth(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// DeleteProject forgets a project with the roles in it and its clients. Errors: CodeNotFound, field "project"; CodeConflict, field
// "project", while it has functions.
func (db *DB) DeleteProject(ctx context.Context, id string) error {
	return db.change(ctx, "delete project", func(tx *sql.Tx) error {
		var held int64
		// The same row is the lock of all changes to the project's functions.
		err := tx.QueryRowContext(ctx, `insert into project_usage (project, functions, code_bytes, seq) values ($1, 0, 0, 0)
			on conflict (project) do update set functions = project_usage.functions returning functions`, id).Scan(&held)
		if err != nil {
			return err
		}
		if held > 0 {
			return faas.Errorf(faas.CodeConflict, "project", "the project has functions; delete them first")
		}
		if _, err := tx.ExecContext(ctx, `delete from oauth_grants where client in (select id from oauth_clients where project = $1)`, id); err != nil {
			return err
		}
		for _, held := range []string{"oauth_clients", "role_bindings", "project_usage", "edge_release_uses", "edge_programs", "edge_releases"} {
			if _, err := tx.ExecContext(ctx, `delete from `+held+` where project = $1`, id); err != nil {
				return err
			}
		}
		return deleteOne(ctx, tx, "project", `delete from projects where id = $1`, id)
	})
}

// deleteOne deletes the row of a kind and an id. Error: CodeNotFound, field kind.
func deleteOne(ctx context.Context, tx *sql.Tx, kind, statement, id string) error {
	if !storable(id) {
		return faas.NotFound(kind, id)
	}
	gone, err := insert(ctx, tx, statement, id)
	if err == nil && !gone {
		err = faas.NotFound(kind, id)
	}
	return err
}

// UpdateUser replaces the password hash and the state of a user. Error: CodeNotFound, field "user".
func (db *DB) UpdateUser(ctx context.Context, u faas.User) error {
	return db.change(ctx, "update user", func(tx *sql.Tx) error {
		if !storable(u.ID, u.PasswordHash) {
			return faas.NotFound("user", u.ID)
		}
		done, err := insert(ctx, tx, `update users set password_hash = $1, disabled = $2 where id = $3`, u.PasswordHash, truth(u.Disabled), u.ID)
		if err == nil && !done {
			err = faas.NotFound("user", u.ID)
		}
		return err
	})
}

// DeleteUser forgets a user with all keys, roles, clients and what was handed out to them. Error: CodeNotFound, field "user".
func (db *DB) DeleteUser(ctx context.Context, id string) error {
	return db.change(ctx, "delete user", func(tx *sql.Tx) error {
		if !storable(id) {
			return faas.NotFound("user", id)
		}
		for _, statement := range []string{
			`delete from access_keys where user_id = $1`,
			`delete from oauth_grants where user_id = $1 or client in (select id from oauth_clients where user_id = $1)`,
			`delete from oauth_clients where user_id = $1`,
			`delete from role_bindings where holder = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return deleteOne(ctx, tx, "user", `delete from users where id = $1`, id)
	})
}

// makeRoomForKey forgets the keys of a user that had expired at a time, and refuses where there are as many as may be.
func makeRoomForKey(ctx context.Context, tx *sql.Tx, userID string, now time.Time) error {
	if !storable(userID) {
		return faas.NotFound("user", userID)
	}
	// The user's row is the lock of the user's keys.
	if _, err := tx.ExecContext(ctx, `update users set disabled = disabled where id = $1`, userID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `delete from access_keys where user_id = $1 and expires_us > 0 and expires_us <= $2`, userID, micros(now))
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `select count(*) from access_keys where user_id = $1`, userID).Scan(&n); err != nil {
		return err
	}
	if n >= faas.MaxAccessKeys {
		return faas.Errorf(faas.CodeQuota, "access_key", "the user has %d access keys already; delete one first", n)
	}
	return nil
}

// AccessKeys lists the keys of a user, the oldest first.
func (db *DB) AccessKeys(ctx context.Context, userID string) (keys []faas.AccessKey, err error) {
	if !storable(userID) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, keyColumns+` where user_id = $1 order by created_us, id`, userID)
	if err != nil {
		return nil, db.failed("list access keys", err)
	}
	err = each(rows, func() error {
		var k faas.AccessKey
		var created, expires int64
		err := rows.Scan(&k.ID, &k.UserID, &k.SealedSecret, &k.Description, &k.Disabled, &created, &expires)
		k.CreatedAt, k.ExpiresAt = fromMicros(created), fromMicros(expires)
		keys = append(keys, k)
		return err
	})
	return keys, db.failed("list access keys", err)
}

// UpdateAccessKey replaces the description, state and end of a key. Error: CodeNotFound, field "access_key".
func (db *DB) UpdateAccessKey(ctx context.Context, k faas.AccessKey) error {
	return db.change(ctx, "update access key", func(tx *sql.Tx) error {
		if !storable(k.Description) {
			return faas.Errorf(faas.CodeInvalid, "description", "the description holds bytes that are not text")
		}
		done := false
		var err error
		if storable(k.ID) {
			done, err = insert(ctx, tx, `update access_keys set description = $1, disabled = $2, expires_us = $3 where id = $4`,
				k.Description, truth(k.Disabled), micros(k.ExpiresAt), k.ID)
		}
		if err == nil && !done {
			err = faas.NotFound("access_key", k.ID)
		}
		return err
	})
}

// RotateAccessKey adds a key and lets another of the same user end at a time, together. Errors: those of CreateAccessKey;
// CodeNotFound, field "access_key", when the old one is not there.
func (db *DB) RotateAccessKey(ctx context.Context, old string, ends time.Time, k faas.AccessKey) error {
	return db.change(ctx, "rotate access key", func(tx *sql.Tx) error {
		if err := makeRoomForKey(ctx, tx, k.UserID, k.CreatedAt); err != nil {
			return err
		}
		if !storable(old) {
			return faas.NotFound("access_key", old)
		}
		done, err := insert(ctx, tx, `update access_keys set expires_us = $1 where id = $2 and user_id = $3`, micros(ends), old, k.UserID)
		if err != nil {
			return err
		}
		if !done {
			return faas.NotFound("access_key", old)
		}
		return addAccessKey(ctx, tx, k)
	})
}

// DeleteAccessKey forgets a key. Error: CodeNotFound, field "access_key".
func (db *DB) DeleteAccessKey(ctx context.Context, id string) error {
	return db.change(ctx, "delete access key", func(tx *sql.Tx) error {
		return deleteOne(ctx, tx, "access_key", `delete from access_keys where id = $1`, id)
	})
}

// Bindings lists the roles of a user or an agency.
func (db *DB) Bindings(ctx context.Context, holderID string) ([]faas.Binding, error) {
	return db.bindings(ctx, `holder = $1`, holderID)
}

// BindingsIn lists the roles that are given in a project, but for those that hold in all of its domain.
func (db *DB) BindingsIn(ctx context.Context, projectID string) ([]faas.Binding, error) {
	return db.bindings(ctx, `project = $1`, projectID)
}

func (db *DB) bindings(ctx context.Context, where, of string) (all []faas.Binding, err error) {
	if !storable(of) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select holder, project, role from role_bindings where `+where, of)
	if err != nil {
		return nil, db.failed("list roles", err)
	}
	err = each(rows, func() error {
		var b faas.Binding
		err := rows.Scan(&b.HolderID, &b.ProjectID, &b.Role)
		all = append(all, b)
		return err
	})
	slices.SortFunc(all, func(a, b faas.Binding) int {
		return cmp.Or(cmp.Compare(a.HolderID, b.HolderID), cmp.Compare(a.ProjectID, b.ProjectID))
	})
	return all, db.failed("list roles", err)
}

// SetBinding gives the holder a role in place of the one there; role "" takes it away. Error: CodeNotFound, field "user" or
// "project", when there is no such user or agency, or no such project.
func (db *DB) SetBinding(ctx context.Context, b faas.Binding) error {
	return db.change(ctx, "set role", func(tx *sql.Tx) error {
		if !storable(b.HolderID, b.ProjectID) {
			return faas.NotFound("user", b.HolderID)
		}
		var holder, project bool
		err := tx.QueryRowContext(ctx, `select exists (select 1 from users where id = $1) or exists (select 1 from agencies where id = $1),
			exists (select 1 from projects where id = $2)`, b.HolderID, b.ProjectID).Scan(&holder, &project)
		switch {
		case err != nil:
			return err
		case !holder:
			return faas.NotFound("user", b.HolderID)
		case b.ProjectID != "" && !project:
			return faas.NotFound("project", b.ProjectID)
		}
		return setBinding(ctx, tx, b)
	})
}

func setBinding(ctx context.Context, tx *sql.Tx, b faas.Binding) error {
	if b.Role == "" {
		_, err := tx.ExecContext(ctx, `delete from role_bindings where holder = $1 and project = $2`, b.HolderID, b.ProjectID)
		return err
	}
	_, err := tx.ExecContext(ctx, `insert into role_bindings (holder, project, role) values ($1, $2, $3)
		on conflict (holder, project) do update set role = excluded.role`, b.HolderID, b.ProjectID, string(b.Role))
	return err
}
