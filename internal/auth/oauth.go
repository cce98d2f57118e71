package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ClientStore keeps applications and the secrets that were handed out to them. Each method is one whole transaction.
type ClientStore interface {
	// CreateClient error: CodeExists, field "client".
	CreateClient(ctx context.Context, c faas.OAuthClient) error
	// Client error: CodeNotFound, field "client".
	Client(ctx context.Context, id string) (faas.OAuthClient, error)
	// AddGrants also forgets those that ended before a time.
	AddGrants(ctx context.Context, grants []faas.Grant, ended time.Time) error
	// UseGrant puts others in the place of a grant and its family, once. Error: CodeNotFound, field "grant".
	UseGrant(ctx context.Context, used faas.Grant, next []faas.Grant) error
	// Grant error: CodeNotFound, field "grant".
	Grant(ctx context.Context, hash string) (faas.Grant, error)
}

// How long grants are good for (minapp reference 1).
const (
	CodeLife      = 10 * time.Minute
	AccessLife    = 30 * 24 * time.Hour
	RefreshLife   = 90 * 24 * time.Hour
	UserTokenLife = 30 * 24 * time.Hour
)

// Pair is what a code or refresh token is exchanged for: 40 hex digits each.
type Pair struct {
	Access, Refresh string
	ExpiresIn       time.Duration // of Access
}

// UserToken is what a person who uses a client works with.
type UserToken struct {
	Text      string
	User      faas.User
	ExpiresIn time.Duration
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func randomHex(digits int) string { return randomText(digits, digits0f) }

const digits0f = "0123456789abcdef"

// EnsureClient makes an application for the owner in a project. The secret is shown once and not kept.
func EnsureClient(ctx context.Context, store Store, clients ClientStore, projectID string) (id, secret string, err error) {
	_, u, err := findOwner(ctx, store)
	if err != nil {
		return "", "", err
	}
	id, secret = randomHex(20), randomHex(40)
	sum := sha256.Sum256([]byte(secret))
	err = clients.CreateClient(ctx, faas.OAuthClient{ID: id, ProjectID: projectID, UserID: u.ID, SecretHash: sum[:]})
	if err != nil {
		return "", "", fmt.Errorf("create the client: %w", err)
	}
	return id, secret, nil
}

var errNoClients = errors.New("auth: made without a ClientStore")

// errClient tells no more than that it was wrong.
func errClient() error {
	return faas.Errorf(faas.CodeUnauthenticated, "client", "client_id or client_secret is wrong")
}

// client proves an application.
func (a *Auth) client(ctx context.Context, id, secret string) (faas.OAuthClient, error) {
	if a.clients == nil {
		return faas.OAuthClient{}, errNoClients
	}
	if len(id) > 64 || len(secret) > 256 {
		return faas.OAuthClient{}, errClient()
	}
	c, err := a.clients.Client(ctx, id)
	if faas.CodeOf(err) == faas.CodeNotFound {
		return c, errClient()
	}
	sum := sha256.Sum256([]byte(secret))
	if err == nil && subtle.ConstantTimeCompare(sum[:], c.SecretHash) != 1 {
		err = errClient()
	}
	return c, err
}

// ClientCode hands out a code, to be exchanged once. Error: CodeUnauthenticated, field "client".
func (a *Auth) ClientCode(ctx context.Context, id, secret string) (code string, life time.Duration, err error) {
	c, err := a.client(ctx, id, secret)
	if err != nil {
		return "", 0, err
	}
	now := a.now()
	code = randomHex(40)
	g := faas.Grant{Hash: hashOf(code), Kind: faas.GrantCode, ClientID: c.ID, UserID: c.UserID, Family: newID(), ExpiresAt: now.Add(CodeLife)}
	return code, CodeLife, a.clients.AddGrants(ctx, []faas.Grant{g}, now)
}

// Exchange takes a code or a refresh token, as kind says, and gives a pair of tokens. The tokens that a refresh token came
// with end. Error: CodeUnauthenticated, field "client" or "grant".
func (a *Auth) Exchange(ctx context.Context, id, secret string, kind faas.GrantKind, text string) (Pair, error) {
	c, err := a.client(ctx, id, secret)
	if err != nil {
		return Pair{}, err
	}
	no := faas.Errorf(faas.CodeUnauthenticated, "grant", "the %s is wrong, was used already, or has expired", kind)
	now := a.now()
	g, err := a.clients.Grant(ctx, hashOf(text))
	switch {
	case faas.CodeOf(err) == faas.CodeNotFound:
		return Pair{}, no
	case err != nil:
		return Pair{}, err
	case g.Kind != kind || g.ClientID != c.ID || !now.Before(g.ExpiresAt):
		return Pair{}, no
	}
	p := Pair{Access: randomHex(40), Refresh: randomHex(40), ExpiresIn: AccessLife}
	family := newID()
	err = a.clients.UseGrant(ctx, g, []faas.Grant{
		{Hash: hashOf(p.Access), Kind: faas.GrantAccess, ClientID: c.ID, UserID: c.UserID, Family: family, ExpiresAt: now.Add(AccessLife)},
		{Hash: hashOf(p.Refresh), Kind: faas.GrantRefresh, ClientID: c.ID, UserID: c.UserID, Family: family, ExpiresAt: now.Add(RefreshLife)},
	})
	if faas.CodeOf(err) == faas.CodeNotFound {
		return Pair{}, no
	}
	return p, err
}

// LoginToClient lets a person use a client, by name and password of a user in the domain of the client's project. source is
// where the request comes from. Errors: CodeUnauthenticated; CodeOverload as Login.
func (a *Auth) LoginToClient(ctx context.Context, clientID, name, password, source string) (UserToken, error) {
	c, err := a.ClientByID(ctx, clientID)
	if err != nil {
		return UserToken{}, err
	}
	project, err := a.project(ctx, c.ProjectID)
	if err != nil {
		return UserToken{}, gone(err, "the project of the client is no more")
	}
	u, _, err := a.byPassword(ctx, Proof{UserName: name, DomainID: project.DomainID, Password: password}, source)
	if err != nil {
		return UserToken{}, err
	}
	now := a.now()
	t := UserToken{Text: randomHex(40), User: u, ExpiresIn: UserTokenLife}
	g := faas.Grant{Hash: hashOf(t.Text), Kind: faas.GrantUser, ClientID: c.ID, UserID: u.ID, Family: newID(), ExpiresAt: now.Add(UserTokenLife)}
	return t, a.clients.AddGrants(ctx, []faas.Grant{g}, now)
}

// ClientByID gives an application. Error: CodeUnauthenticated, field "client".
func (a *Auth) ClientByID(ctx context.Context, id string) (faas.OAuthClient, error) {
	if a.clients == nil {
		return faas.OAuthClient{}, errNoClients
	}
	c, err := a.clients.Client(ctx, id)
	if faas.CodeOf(err) == faas.CodeNotFound {
		err = faas.Errorf(faas.CodeUnauthenticated, "client", "client id %.64q is not known", id)
	}
	return c, err
}

// grantIn tells which kind of grant a request carries, and gives its text.
func grantIn(r *http.Request) (kind faas.GrantKind, text string, ok bool) {
	header := r.Header.Get("Authorization")
	if text, ok = strings.CutPrefix(header, "Bearer "); ok {
		return faas.GrantAccess, text, true
	}
	if text, ok = strings.CutPrefix(header, "Hydrogen-r1 "); ok {
		return faas.GrantUser, text, true
	}
	return "", "", false
}

// byGrant proves an access or user token. The principal is its user in the project of its client, where it may do no more than a
// developer, or with a user token than an invoker, whatever roles the user has. Error: CodeUnauthenticated.
func (a *Auth) byGrant(ctx context.Context, kind faas.GrantKind, text string) (faas.Principal, error) {
	const fail = "the token is wrong or has expired"
	if a.clients == nil || len(text) > 256 {
		return faas.Principal{}, refuse(fail)
	}
	now := a.now()
	g, err := a.clients.Grant(ctx, hashOf(text))
	if err != nil {
		return faas.Principal{}, gone(err, fail)
	}
	if g.Kind != kind || !now.Before(g.ExpiresAt) {
		return faas.Principal{}, refuse(fail)
	}
	c, err := a.clients.Client(ctx, g.ClientID)
	if err != nil {
		return faas.Principal{}, gone(err, fail)
	}
	project, err := a.project(ctx, c.ProjectID)
	if err != nil {
		return faas.Principal{}, gone(err, fail)
	}
	u, d, err := a.person(ctx, g.UserID)
	if err != nil {
		return faas.Principal{}, gone(err, fail)
	}
	if d.ID != project.DomainID {
		return faas.Principal{}, refuse(fail)
	}
	p := faas.Principal{UserID: u.ID, UserName: u.Name, DomainID: d.ID, Domain: d.Name, ProjectID: project.ID, Project: project.Name, AtMost: faas.RoleDeveloper}
	if kind == faas.GrantUser {
		p.AtMost = faas.RoleInvoker // people who use an application call its functions
	}
	return p, nil
}
