package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// CreateClient stores an application. Error: CodeExists, field "client".
func (db *DB) CreateClient(ctx context.Context, c faas.OAuthClient) error {
	return db.change(ctx, "create client", func(tx *sql.Tx) error {
		return add(ctx, tx, "client", []string{c.ID, c.ProjectID, c.UserID},
			`insert into oauth_clients (id, project, user_id, secret_hash) values ($1, $2, $3, $4) on conflict do nothing`,
			c.ID, c.ProjectID, c.UserID, append([]byte{}, c.SecretHash...))
	})
}

// Client gives an application. Error: CodeNotFound, field "client".
func (db *DB) Client(ctx context.Context, id string) (c faas.OAuthClient, err error) {
	err = one(ctx, db.read, "client", id, []any{&c.ID, &c.ProjectID, &c.UserID, &c.SecretHash},
		`select id, project, user_id, secret_hash from oauth_clients where id = $1`, id)
	return c, db.failed("read client", err)
}

// AddGrants stores secrets that are handed out, and forgets those that ended before a time.
func (db *DB) AddGrants(ctx context.Context, grants []faas.Grant, ended time.Time) error {
	return db.change(ctx, "add grants", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `delete from oauth_grants where expires_us < $1`, ended.UnixMicro()); err != nil {
			return err
		}
		return addGrants(ctx, tx, grants)
	})
}

func addGrants(ctx context.Context, tx *sql.Tx, grants []faas.Grant) error {
	for _, g := range grants {
		err := add(ctx, tx, "grant", []string{g.Hash, g.ClientID, g.UserID, g.Family},
			`insert into oauth_grants (hash, kind, client, user_id, family, expires_us) values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
			g.Hash, string(g.Kind), g.ClientID, g.UserID, g.Family, g.ExpiresAt.UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}

// UseGrant puts others in the place of a grant and all of its family, once: of two that try, one succeeds. Error:
// CodeNotFound, field "grant".
func (db *DB) UseGrant(ctx context.Context, used faas.Grant, next []faas.Grant) error {
	return db.change(ctx, "use grant", func(tx *sql.Tx) error {
		gone, err := insert(ctx, tx, `delete from oauth_grants where hash = $1`, used.Hash)
		if err != nil {
			return err
		}
		if !gone {
			return faas.NotFound("grant", "of this text")
		}
		if _, err := tx.ExecContext(ctx, `delete from oauth_grants where family = $1`, used.Family); err != nil {
			return err
		}
		return addGrants(ctx, tx, next)
	})
}

// Grant gives a grant by its hash. Error: CodeNotFound, field "grant".
func (db *DB) Grant(ctx context.Context, hash string) (g faas.Grant, err error) {
	var kind string
	var expires int64
	err = db.read.QueryRowContext(ctx, `select hash, kind, client, user_id, family, expires_us from oauth_grants where hash = $1`, hash).
		Scan(&g.Hash, &kind, &g.ClientID, &g.UserID, &g.Family, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return g, faas.NotFound("grant", "of this text")
	}
	g.Kind, g.ExpiresAt = faas.GrantKind(kind), time.UnixMicro(expires).UTC()
	return g, db.failed("read grant", err)
}
