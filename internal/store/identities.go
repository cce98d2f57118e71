package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Identities refer to each other: a project and a user to their domain, a key to its user. Adding one whose parent is
// missing is CodeNotFound with the parent's kind as field; one whose id or name is taken is CodeExists with its own.

// CreateOwner stores the first domain, project, user and key of a fresh server in one transaction; the user becomes an admin.
// Error: CodeExists, field "domain", when there is a domain already.
func (db *DB) CreateOwner(ctx context.Context, d faas.Domain, p faas.Project, u faas.User, k faas.AccessKey) error {
	return db.change(ctx, "create owner", func(tx *sql.Tx) error {
		var any bool
		if err := tx.QueryRowContext(ctx, `select exists (select 1 from domains)`).Scan(&any); err != nil {
			return err
		}
		if any {
			return faas.Errorf(faas.CodeExists, "domain", "this server has its first domain already")
		}
		if err := addDomain(ctx, tx, d); err != nil {
			return err
		}
		// Of two servers that start together on one database only one adds this row.
		first, err := insert(ctx, tx, `insert into owner (one, domain_id) values (1, $1) on conflict do nothing`, d.ID)
		if err != nil {
			return err
		}
		if !first {
			return faas.Errorf(faas.CodeExists, "domain", "this server has its first domain already")
		}
		if err := addProject(ctx, tx, p); err != nil {
			return err
		}
		if err := addUser(ctx, tx, u); err != nil {
			return err
		}
		if err := setBinding(ctx, tx, faas.Binding{HolderID: u.ID, Role: faas.RoleAdmin}); err != nil {
			return err
		}
		return addAccessKey(ctx, tx, k)
	})
}

// CreateProject stores a project.
func (db *DB) CreateProject(ctx context.Context, p faas.Project) error {
	return db.change(ctx, "create project", func(tx *sql.Tx) error { return addProject(ctx, tx, p) })
}

// CreateUser stores a user.
func (db *DB) CreateUser(ctx context.Context, u faas.User) error {
	return db.change(ctx, "create user", func(tx *sql.Tx) error { return addUser(ctx, tx, u) })
}

// CreateAccessKey stores an access key; those of the user that had expired when it was made go. Error: CodeQuota, field
// "access_key", when the user has faas.MaxAccessKeys others.
func (db *DB) CreateAccessKey(ctx context.Context, k faas.AccessKey) error {
	return db.change(ctx, "create access key", func(tx *sql.Tx) error {
		if err := makeRoomForKey(ctx, tx, k.UserID, k.CreatedAt); err != nil {
			return err
		}
		return addAccessKey(ctx, tx, k)
	})
}

// ResetUser replaces a user's password hash, lets the user in again, and replaces all of the user's keys by k, which must be the user's; the user's clients and
// what was handed out to them go. Errors:
// CodeNotFound, field "user"; CodeExists, field "access_key", when another user has a key of this id.
func (db *DB) ResetUser(ctx context.Context, userID, passwordHash string, k faas.AccessKey) error {
	return db.change(ctx, "reset user", func(tx *sql.Tx) error {
		if k.UserID != userID {
			return errors.New("the new key is another user's")
		}
		if !storable(passwordHash) {
			return faas.Errorf(faas.CodeInvalid, "user", "the password hash holds bytes that are not text")
		}
		if _, err := userByID(ctx, tx, userID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `update users set password_hash = $1, disabled = 0 where id = $2`, passwordHash, userID); err != nil {
			return err
		}
		for _, held := range []string{"access_keys", "oauth_grants", "oauth_clients"} {
			if _, err := tx.ExecContext(ctx, `delete from `+held+` where user_id = $1`, userID); err != nil {
				return err
			}
		}
		return addAccessKey(ctx, tx, k)
	})
}

func addDomain(ctx context.Context, tx *sql.Tx, d faas.Domain) error {
	return add(ctx, tx, "domain", []string{d.ID, d.Name},
		`insert into domains (id, name) values ($1, $2) on conflict do nothing`, d.ID, d.Name)
}

func addProject(ctx context.Context, tx *sql.Tx, p faas.Project) error {
	if _, err := domainByID(ctx, tx, p.DomainID); err != nil {
		return err
	}
	return add(ctx, tx, "project", []string{p.ID, p.Name},
		`insert into projects (id, domain_id, name) values ($1, $2, $3) on conflict do nothing`, p.ID, p.DomainID, p.Name)
}

func addUser(ctx context.Context, tx *sql.Tx, u faas.User) error {
	if _, err := domainByID(ctx, tx, u.DomainID); err != nil {
		return err
	}
	return add(ctx, tx, "user", []string{u.ID, u.Name, u.PasswordHash},
		`insert into users (id, domain_id, name, password_hash, disabled) values ($1, $2, $3, $4, $5) on conflict do nothing`,
		u.ID, u.DomainID, u.Name, u.PasswordHash, truth(u.Disabled))
}

func addAccessKey(ctx context.Context, tx *sql.Tx, k faas.AccessKey) error {
	if _, err := userByID(ctx, tx, k.UserID); err != nil {
		return err
	}
	secret := append([]byte{}, k.SealedSecret...) // never nil, which would be null
	return add(ctx, tx, "access_key", []string{k.ID, k.Description},
		`insert into access_keys (id, user_id, sealed_secret, description, disabled, created_us, expires_us)
		values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
		k.ID, k.UserID, secret, k.Description, truth(k.Disabled), micros(k.CreatedAt), micros(k.ExpiresAt))
}

// add inserts an identity of a kind, once its texts are known to be storable.
func add(ctx context.Context, tx *sql.Tx, kind string, texts []string, statement string, args ...any) error {
	if !storable(texts...) {
		return faas.Errorf(faas.CodeInvalid, kind, "the %s holds bytes that are not text", kind)
	}
	added, err := insert(ctx, tx, statement, args...)
	switch {
	case err != nil:
		return err
	case !added:
		return faas.Errorf(faas.CodeExists, kind, "a %s of this id or name exists already", kind)
	}
	return nil
}

// DomainByID gives a domain. Error: CodeNotFound, field "domain".
func (db *DB) DomainByID(ctx context.Context, id string) (d faas.Domain, err error) {
	d, err = domainByID(ctx, db.read, id)
	return d, db.failed("read domain", err)
}

func domainByID(ctx context.Context, q queries, id string) (d faas.Domain, err error) {
	err = one(ctx, q, "domain", id, []any{&d.ID, &d.Name}, `select id, name from domains where id = $1`, id)
	return d, err
}

// DomainByName gives a domain. Error: CodeNotFound, field "domain".
func (db *DB) DomainByName(ctx context.Context, name string) (d faas.Domain, err error) {
	err = one(ctx, db.read, "domain", name, []any{&d.ID, &d.Name}, `select id, name from domains where name = $1`, name)
	return d, db.failed("read domain", err)
}

// ProjectByID gives a project. Error: CodeNotFound, field "project".
func (db *DB) ProjectByID(ctx context.Context, id string) (p faas.Project, err error) {
	err = one(ctx, db.read, "project", id, []any{&p.ID, &p.DomainID, &p.Name},
		`select id, domain_id, name from projects where id = $1`, id)
	return p, db.failed("read project", err)
}

// Projects lists a domain's projects by name; with a name only that one, and none when there is no such project.
func (db *DB) Projects(ctx context.Context, domainID, name string) (projects []faas.Project, err error) {
	if !storable(domainID, name) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select id, domain_id, name from projects
		where domain_id = $1 and ($2 = '' or name = $2)`, domainID, name)
	if err != nil {
		return nil, db.failed("list projects", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p faas.Project
		if err := rows.Scan(&p.ID, &p.DomainID, &p.Name); err != nil {
			return nil, db.failed("list projects", err)
		}
		projects = append(projects, p)
	}
	// Sorted here, since a database sorts text by its own locale.
	slices.SortFunc(projects, func(a, b faas.Project) int { return cmp.Compare(a.Name, b.Name) })
	return projects, db.failed("list projects", rows.Err())
}

const userColumns = `select id, domain_id, name, password_hash, disabled <> 0 from users`

// UserByID gives a user. Error: CodeNotFound, field "user".
func (db *DB) UserByID(ctx context.Context, id string) (u faas.User, err error) {
	u, err = userByID(ctx, db.read, id)
	return u, db.failed("read user", err)
}

func userByID(ctx context.Context, q queries, id string) (u faas.User, err error) {
	err = one(ctx, q, "user", id, []any{&u.ID, &u.DomainID, &u.Name, &u.PasswordHash, &u.Disabled}, userColumns+` where id = $1`, id)
	return u, err
}

// UserByName gives a user of a domain. Error: CodeNotFound, field "user".
func (db *DB) UserByName(ctx context.Context, domainID, name string) (u faas.User, err error) {
	err = one(ctx, db.read, "user", name, []any{&u.ID, &u.DomainID, &u.Name, &u.PasswordHash, &u.Disabled},
		userColumns+` where domain_id = $1 and name = $2`, domainID, name)
	return u, db.failed("read user", err)
}

// Users lists a domain's users by name; with a name only that one, and none when there is no such user.
func (db *DB) Users(ctx context.Context, domainID, name string) (users []faas.User, err error) {
	if !storable(domainID, name) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, userColumns+` where domain_id = $1 and ($2 = '' or name = $2)`, domainID, name)
	if err != nil {
		return nil, db.failed("list users", err)
	}
	defer rows.Close()
	for rows.Next() {
		var u faas.User
		if err := rows.Scan(&u.ID, &u.DomainID, &u.Name, &u.PasswordHash, &u.Disabled); err != nil {
			return nil, db.failed("list users", err)
		}
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b faas.User) int { return cmp.Compare(a.Name, b.Name) })
	return users, db.failed("list users", rows.Err())
}

// AccessKey gives an access key. Error: CodeNotFound, field "access_key".
func (db *DB) AccessKey(ctx context.Context, id string) (k faas.AccessKey, err error) {
	var created, expires int64
	err = one(ctx, db.read, "access_key", id, []any{&k.ID, &k.UserID, &k.SealedSecret, &k.Description, &k.Disabled, &created, &expires},
		keyColumns+` where id = $1`, id)
	k.CreatedAt, k.ExpiresAt = fromMicros(created), fromMicros(expires)
	return k, db.failed("read access key", err)
}

// one reads the single row of a query by texts into dest; name is what the error of a missing row of this kind names.
func one(ctx context.Context, q queries, kind, name string, dest []any, query string, texts ...any) error {
	for _, text := range texts {
		if !storable(text.(string)) {
			return faas.NotFound(kind, name)
		}
	}
	err := q.QueryRowContext(ctx, query, texts...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return faas.NotFound(kind, name)
	}
	return err
}
