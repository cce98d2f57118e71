package auth

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// MaxRotateGrace is the longest that a key which is replaced goes on.
const MaxRotateGrace = 90 * 24 * time.Hour

// Key is an access key with its secret in the clear, which is shown once and never again.
type Key struct {
	faas.AccessKey
	Secret string
}

func (a *Auth) newKey(userID, description string) Key {
	k := Key{Secret: randomText(40, letters+capitals+digits)}
	k.AccessKey = faas.AccessKey{ID: randomText(20, capitals+digits), UserID: userID, Description: description,
		CreatedAt: a.now().UTC().Truncate(time.Microsecond)}
	k.SealedSecret = a.sealer.Seal(keyLabel(k.ID), []byte(k.Secret))
	return k
}

// CreateKey makes an access key for a user of the caller's domain. Errors: CodeNotFound, field "user"; CodeInvalid, field
// "description"; CodeQuota, field "access_key", when the user has faas.MaxAccessKeys already.
func (a *Auth) CreateKey(ctx context.Context, p faas.Principal, user, description string) (Key, error) {
	u, err := a.User(ctx, p, user)
	if err = errorsFirst(err, checkDescription(description)); err != nil {
		return Key{}, err
	}
	k := a.newKey(u.ID, description)
	return k, a.changed(func() error { return a.store.CreateAccessKey(ctx, k.AccessKey) })
}

// RotateKey makes a key to take the place of another, which goes on for grace, so that nobody is without. Errors: as CreateKey;
// CodeNotFound, field "access_key"; CodeInvalid, field "grace".
func (a *Auth) RotateKey(ctx context.Context, p faas.Principal, id string, grace time.Duration) (fresh Key, old faas.AccessKey, err error) {
	if grace < 0 || grace > MaxRotateGrace {
		return fresh, old, faas.Errorf(faas.CodeInvalid, "grace", "the old key may go on for 0 s to 90 days")
	}
	if old, err = a.KeyByID(ctx, p, id); err != nil {
		return fresh, old, err
	}
	fresh = a.newKey(old.UserID, old.Description)
	if ends := fresh.CreatedAt.Add(grace); old.ExpiresAt.IsZero() || ends.Before(old.ExpiresAt) {
		old.ExpiresAt = ends
	}
	return fresh, old, a.changed(func() error { return a.registry.RotateAccessKey(ctx, id, old.ExpiresAt, fresh.AccessKey) })
}

// KeyByID gives a key of a user of the caller's domain. Error: CodeNotFound.
func (a *Auth) KeyByID(ctx context.Context, p faas.Principal, id string) (faas.AccessKey, error) {
	k, err := a.store.AccessKey(ctx, id)
	if err != nil {
		return k, err
	}
	if u, err := a.store.UserByID(ctx, k.UserID); err != nil || u.DomainID != p.DomainID {
		return faas.AccessKey{}, faas.NotFound("access_key", id)
	}
	return k, nil
}

// Keys lists the keys of a user of the caller's domain, the oldest first. Error: CodeNotFound, field "user".
func (a *Auth) Keys(ctx context.Context, p faas.Principal, user string) ([]faas.AccessKey, error) {
	u, err := a.User(ctx, p, user)
	if err != nil {
		return nil, err
	}
	if a.registry == nil {
		return nil, errNoRegistry
	}
	return a.registry.AccessKeys(ctx, u.ID)
}

// SetKey replaces a key's description and state; nil leaves as it is. Errors: CodeNotFound; CodeInvalid, field "description".
func (a *Auth) SetKey(ctx context.Context, p faas.Principal, id string, description *string, disabled *bool) (faas.AccessKey, error) {
	k, err := a.KeyByID(ctx, p, id)
	if err != nil {
		return k, err
	}
	if description != nil {
		k.Description = *description
	}
	if disabled != nil {
		k.Disabled = *disabled
	}
	if err := checkDescription(k.Description); err != nil {
		return k, err
	}
	return k, a.changed(func() error { return a.registry.UpdateAccessKey(ctx, k) })
}

// DeleteKey forgets a key. Error: CodeNotFound.
func (a *Auth) DeleteKey(ctx context.Context, p faas.Principal, id string) error {
	if _, err := a.KeyByID(ctx, p, id); err != nil {
		return err
	}
	return a.changed(func() error { return a.registry.DeleteAccessKey(ctx, id) })
}
