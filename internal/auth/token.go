package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TokenLife is how long a token is good for.
const TokenLife = 24 * time.Hour

const (
	tokenLabel   = "token"
	maxTokenText = 4096
)

// Token is a proof of identity in one scope, for X-Auth-Token.
type Token struct {
	Text      string
	Methods   []string // how it was got: "password" or "token"
	User      faas.User
	Domain    faas.Domain  // the user's
	Project   faas.Project // scope; the zero Project when the scope is the domain
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// claims is the sealed content of a token. Nothing of it can be read or changed without the server's key.
type claims struct {
	User    string   `json:"u"`
	Project string   `json:"p,omitempty"`
	Methods []string `json:"m"`
	Issued  int64    `json:"i"` // Unix microseconds
	Expires int64    `json:"e"`
	Stamp   []byte   `json:"s"` // of the password hash: a new password ends all tokens
}

func passwordStamp(phc string) []byte {
	sum := sha256.Sum256([]byte(phc))
	return sum[:8]
}

type tokenEntry struct {
	principal faas.Principal
	token     Token
}

// issue seals a token.
func (a *Auth) issue(t Token) (Token, error) {
	c := claims{User: t.User.ID, Project: t.Project.ID, Methods: t.Methods, Issued: t.IssuedAt.UnixMicro(),
		Expires: t.ExpiresAt.UnixMicro(), Stamp: passwordStamp(t.User.PasswordHash)}
	plain, err := json.Marshal(c)
	if err != nil {
		return Token{}, err
	}
	t.Text = base64.RawURLEncoding.EncodeToString(a.sealer.Seal(tokenLabel, plain))
	return t, nil
}

// verify opens a token and looks whether its user and project are still there. Error: CodeUnauthenticated.
func (a *Auth) verify(ctx context.Context, text string) (tokenEntry, error) {
	now := a.now()
	if e, ok := a.tokens.get(text, now); ok {
		return e, nil
	}
	c, err := a.open(text)
	if err != nil {
		return tokenEntry{}, refuse("decrypt token fail")
	}
	t := Token{Text: text, Methods: c.Methods, IssuedAt: time.UnixMicro(c.Issued).UTC(), ExpiresAt: time.UnixMicro(c.Expires).UTC()}
	if !now.Before(t.ExpiresAt) {
		return tokenEntry{}, refuse("token expires, expires_at: " + t.ExpiresAt.Format(time.RFC3339))
	}
	if t, err = a.alive(ctx, t, c); err != nil {
		return tokenEntry{}, gone(err, "decrypt token fail, its user or project is no more")
	}
	e := tokenEntry{token: t, principal: faas.Principal{UserID: t.User.ID, UserName: t.User.Name, DomainID: t.Domain.ID,
		Domain: t.Domain.Name, ProjectID: t.Project.ID, Project: t.Project.Name}}
	end := now.Add(fresh)
	if t.ExpiresAt.Before(end) {
		end = t.ExpiresAt
	}
	a.tokens.put(text, e, now, end)
	return e, nil
}

func (a *Auth) open(text string) (claims, error) {
	var c claims
	if len(text) > maxTokenText {
		return c, errSealed
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return c, errSealed
	}
	plain, err := a.sealer.Open(tokenLabel, sealed)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(plain, &c)
}

// alive fills in the people of a token from the store. Error: CodeNotFound when one is no more.
func (a *Auth) alive(ctx context.Context, t Token, c claims) (Token, error) {
	var err error
	if t.User, t.Domain, err = a.person(ctx, c.User); err != nil {
		return t, err
	}
	if string(passwordStamp(t.User.PasswordHash)) != string(c.Stamp) {
		return t, faas.NotFound("user", c.User)
	}
	if c.Project == "" {
		return t, nil
	}
	t.Project, err = a.store.ProjectByID(ctx, c.Project)
	if err == nil && t.Project.DomainID != t.Domain.ID {
		err = faas.NotFound("project", c.Project)
	}
	return t, err
}
