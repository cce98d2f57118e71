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
	Methods   []string     // how it was got: "password", "token" or "assume_role"
	User      faas.User    // who got it; the zero User for a function
	Agency    faas.Agency  // acted as; the zero Agency for none
	Domain    faas.Domain  // the user's
	Project   faas.Project // scope; the zero Project when the scope is the domain
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// claims is the sealed content of a token. Nothing of it can be read or changed without the server's key.
type claims struct {
	User    string   `json:"u,omitempty"`
	Agency  string   `json:"a,omitempty"`
	For     string   `json:"f,omitempty"` // the function that was given it
	Project string   `json:"p,omitempty"`
	Methods []string `json:"m"`
	Issued  int64    `json:"i"` // Unix microseconds
	Expires int64    `json:"e"`
	Stamp   []byte   `json:"s,omitempty"` // of the password hash: a new password ends all tokens
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
func (a *Auth) issue(t Token, actingFor string) (Token, error) {
	plain, err := json.Marshal(claimsOf(t, actingFor))
	if err != nil {
		return Token{}, err
	}
	t.Text = base64.RawURLEncoding.EncodeToString(a.sealer.Seal(tokenLabel, plain))
	return t, nil
}

func claimsOf(t Token, actingFor string) claims {
	c := claims{User: t.User.ID, Agency: t.Agency.ID, For: actingFor, Project: t.Project.ID, Methods: t.Methods, Issued: t.IssuedAt.UnixMicro(),
		Expires: t.ExpiresAt.UnixMicro()}
	if t.User.ID != "" {
		c.Stamp = passwordStamp(t.User.PasswordHash)
	}
	return c
}

// verify opens a token and looks whether its user or agency and its project are still there. Error: CodeUnauthenticated.
func (a *Auth) verify(ctx context.Context, text string) (tokenEntry, error) {
	now := a.now()
	return a.tokens.find(text, now, func() (e tokenEntry, end time.Time, err error) {
		c, err := a.open(text)
		if err != nil {
			return e, end, refuse("decrypt token fail")
		}
		t := Token{Text: text, Methods: c.Methods, IssuedAt: time.UnixMicro(c.Issued).UTC(), ExpiresAt: time.UnixMicro(c.Expires).UTC()}
		if !now.Before(t.ExpiresAt) {
			return e, end, refuse("token expires, expires_at: " + t.ExpiresAt.Format(time.RFC3339))
		}
		if t, err = a.alive(ctx, t, c); err != nil {
			return e, end, gone(err, "decrypt token fail, its user or project is no more")
		}
		if end = now.Add(fresh); t.ExpiresAt.Before(end) {
			end = t.ExpiresAt
		}
		return tokenEntry{token: t, principal: t.principal(c.For)}, end, nil
	})
}

// Verify tells what a token is good for. Error: CodeUnauthenticated.
func (a *Auth) Verify(ctx context.Context, text string) (Token, faas.Principal, error) {
	e, err := a.verify(ctx, text)
	if faas.CodeOf(err) == faas.CodeUnauthenticated {
		err = faas.Errorf(faas.CodeUnauthenticated, "", wrongToken)
	}
	return e.token, e.principal, err
}

func (t Token) principal(actingFor string) faas.Principal {
	p := faas.Principal{UserID: t.User.ID, UserName: t.User.Name, DomainID: t.Domain.ID, Domain: t.Domain.Name, ProjectID: t.Project.ID, Project: t.Project.Name}
	if t.Agency.ID != "" {
		p.UserID, p.UserName, p.Agency, p.For, p.AtMost = t.Agency.ID, t.Agency.Name, true, actingFor, faas.MaxAgencyRole
	}
	return p
}

func (a *Auth) open(text string) (claims, error) {
	var c claims
	return c, a.unseal(tokenLabel, text, &c)
}

// unseal opens what was sealed under a label and written as text.
func (a *Auth) unseal(label, text string, out any) error {
	if len(text) > maxTokenText {
		return errSealed
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return errSealed
	}
	plain, err := a.sealer.Open(label, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, out)
}

// alive fills in the people of a token from the store. Error: CodeNotFound when one is no more.
func (a *Auth) alive(ctx context.Context, t Token, c claims) (Token, error) {
	var err error
	if c.User != "" {
		if t.User, t.Domain, err = a.person(ctx, c.User); err != nil {
			return t, err
		}
		if string(passwordStamp(t.User.PasswordHash)) != string(c.Stamp) {
			return t, faas.NotFound("user", c.User)
		}
	}
	if c.Agency != "" {
		if t.Agency, t.Domain, err = a.agencyByID(ctx, c.Agency); err != nil {
			return t, err
		}
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
