package auth

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// The first identity of a server.
const (
	OwnerDomain   = "hanshu"
	OwnerUser     = "admin"
	DefaultRegion = "local-1"
)

// Credentials are an owner's, in the clear. They are shown once and not kept by the server.
type Credentials struct {
	DomainID  string
	Domain    string
	ProjectID string
	Project   string
	UserID    string
	User      string
	Password  string
	AccessKey string
	SecretKey string
}

// HasOwner tells whether the store holds the first identity already.
func HasOwner(ctx context.Context, store Store) (bool, error) {
	_, err := store.DomainByName(ctx, OwnerDomain)
	if faas.CodeOf(err) == faas.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// EnsureOwner makes the first domain, user "admin" and key, and a project with the name of the region. It gives nil when
// there is an owner already: what ResetOwner is for when the credentials are lost.
func EnsureOwner(ctx context.Context, store Store, sealer *Sealer, region string) (*Credentials, error) {
	if has, err := HasOwner(ctx, store); has || err != nil {
		return nil, err
	}
	d := faas.Domain{ID: newID(), Name: OwnerDomain}
	p := faas.Project{ID: newID(), DomainID: d.ID, Name: region}
	u := faas.User{ID: newID(), DomainID: d.ID, Name: OwnerUser}
	c := &Credentials{DomainID: d.ID, Domain: d.Name, ProjectID: p.ID, Project: p.Name, UserID: u.ID, User: u.Name}
	k, err := c.renew(ctx, sealer, &u)
	if err != nil {
		return nil, err
	}
	if err := store.CreateOwner(ctx, d, p, u, k); err != nil {
		return nil, fmt.Errorf("create the owner: %w", err)
	}
	return c, nil
}

// ResetOwner gives the owner a new password and key; the old ones, and all tokens, end within a minute. The project is the
// one with the name of the region. Error: CodeNotFound when there is no owner or no such project.
func ResetOwner(ctx context.Context, store Store, sealer *Sealer, region string) (*Credentials, error) {
	d, u, err := findOwner(ctx, store)
	if err != nil {
		return nil, err
	}
	found, err := store.Projects(ctx, d.ID, region)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, faas.NotFound("project", region)
	}
	c := &Credentials{DomainID: d.ID, Domain: d.Name, ProjectID: found[0].ID, Project: found[0].Name, UserID: u.ID, User: u.Name}
	k, err := c.renew(ctx, sealer, &u)
	if err != nil {
		return nil, err
	}
	if err := store.ResetUser(ctx, u.ID, u.PasswordHash, k); err != nil {
		return nil, fmt.Errorf("reset the owner: %w", err)
	}
	return c, nil
}

func findOwner(ctx context.Context, store Store) (faas.Domain, faas.User, error) {
	d, err := store.DomainByName(ctx, OwnerDomain)
	if err != nil {
		return faas.Domain{}, faas.User{}, err
	}
	u, err := store.UserByName(ctx, d.ID, OwnerUser)
	return d, u, err
}

// renew makes a password and a key, and what the store keeps of them.
func (c *Credentials) renew(ctx context.Context, sealer *Sealer, u *faas.User) (faas.AccessKey, error) {
	c.Password = randomText(24, letters+capitals+digits)
	c.AccessKey = randomText(20, capitals+digits)
	c.SecretKey = randomText(40, letters+capitals+digits)
	var err error
	if u.PasswordHash, err = newPasswords().hash(ctx, c.Password); err != nil {
		return faas.AccessKey{}, err
	}
	return faas.AccessKey{ID: c.AccessKey, UserID: u.ID, SealedSecret: sealer.Seal(keyLabel(c.AccessKey), []byte(c.SecretKey))}, nil
}

const (
	letters  = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits   = "0123456789"
)

// randomText draws n characters evenly: bytes beyond the last whole round of the alphabet are drawn again.
func randomText(n int, alphabet string) string {
	round := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var one [1]byte
	for len(out) < n {
		rand.Read(one[:]) // never fails
		if int(one[0]) < round {
			out = append(out, alphabet[int(one[0])%len(alphabet)])
		}
	}
	return string(out)
}

// newID gives 32 hex digits.
func newID() string {
	id := uuid.New()
	return fmt.Sprintf("%x", id[:])
}
