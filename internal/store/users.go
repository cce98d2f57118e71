package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

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
		if err := rows.Scan(&u.ID, &u.DomainID, &u.Name, &u.PasswordHash); err != nil {
			return nil, db.failed("list users", err)
		}
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b faas.User) int { return cmp.Compare(a.Name, b.Name) })
	return users, db.failed("list users", rows.Err())
}

// ResetUser replaces a user's password hash, and all of the user's keys by k. Errors: CodeNotFound, field "user";
// CodeExists, field "access_key", when k has the id of another user's key.
func (db *DB) ResetUser(ctx context.Context, userID, passwordHash string, k faas.AccessKey) error {
	return db.change(ctx, "reset user", func(tx *sql.Tx) error {
		if _, err := userByID(ctx, tx, userID); err != nil {
			return err
		}
		if !storable(passwordHash) {
			return faas.Errorf(faas.CodeInvalid, "user", "the user holds bytes that are not text")
		}
		if _, err := tx.ExecContext(ctx, `update users set password_hash = $2 where id = $1`, userID, passwordHash); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `delete from access_keys where user_id = $1`, userID); err != nil {
			return err
		}
		k.UserID = userID
		return addAccessKey(ctx, tx, k)
	})
}
