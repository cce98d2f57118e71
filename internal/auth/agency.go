package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// How long the credentials of a function are good for, beyond the longest call that may begin with them, and when an instance
// that lives on is given others.
const (
	AgencyLife  = 24 * time.Hour
	AgencyRenew = 12 * time.Hour
)

// MaxSessionLife bounds the temporary keys that are asked for, as the vendor does.
const MaxSessionLife = 24 * time.Hour

const sessionLabel = "session"

type agencyName struct{ domain, name string }

// sessionClaims is the sealed content of a security token: claims, and the temporary key.
type sessionClaims struct {
	claims
	Access string `json:"k"`
	Secret string `json:"x"`
}

// session is a temporary access key that was proved.
type session struct {
	keyEntry
	access string
}

// agencyByID finds an agency and its domain. Error: CodeNotFound.
func (a *Auth) agencyByID(ctx context.Context, id string) (faas.Agency, faas.Domain, error) {
	if a.registry == nil {
		return faas.Agency{}, faas.Domain{}, faas.NotFound("agency", id)
	}
	agency, err := a.registry.AgencyByID(ctx, id)
	if err != nil {
		return agency, faas.Domain{}, err
	}
	d, err := a.store.DomainByID(ctx, agency.DomainID)
	return agency, d, err
}

// FunctionCredentials gives what a function of a project works with as the agency of this name: credentials for this server, in
// this project, as long as the agency exists. They outlive a call of the given length that begins before RenewAt. Where there is no such agency they are none.
func (a *Auth) FunctionCredentials(ctx context.Context, projectID, function, agency string, call time.Duration) (faas.Credentials, error) {
	now := a.now().UTC()
	none := faas.Credentials{RenewAt: now.Add(fresh)}
	project, err := a.project(ctx, projectID)
	if err != nil || a.registry == nil {
		return none, unlessGone(err)
	}
	found, err := a.agencies.find(agencyName{project.DomainID, agency}, now, func() (faas.Agency, time.Time, error) {
		found, err := a.registry.AgencyByName(ctx, project.DomainID, agency)
		return found, now.Add(fresh), err
	})
	if err != nil {
		return none, unlessGone(err)
	}
	t := Token{Methods: []string{"assume_role"}, Agency: found, Project: project, IssuedAt: now, ExpiresAt: now.Add(AgencyLife + call)}
	c, err := a.temporary(t, function)
	c.RenewAt = now.Add(AgencyRenew)
	return c, err
}

// AssumeAgency gives a token of an agency of the caller's domain. Who may change functions in the scope may have it, and gains
// nothing by it. Errors: CodeForbidden, also for an agency that is not there.
func (a *Auth) AssumeAgency(ctx context.Context, p faas.Principal, name string, scope Scope) (Token, error) {
	no := faas.Errorf(faas.CodeForbidden, "agency", noRight)
	if a.registry == nil || p.Agency {
		return Token{}, no
	}
	found, err := a.registry.AgencyByName(ctx, p.DomainID, name)
	if err != nil {
		if unlessGone(err) == nil {
			err = no
		}
		return Token{}, err
	}
	now := a.now().UTC()
	t := Token{Methods: []string{"assume_role"}, Agency: found, IssuedAt: now, ExpiresAt: now.Add(TokenLife)}
	if t.User, t.Domain, err = a.person(ctx, p.UserID); err != nil {
		return Token{}, gone(err, wrongToken)
	}
	if scope == (Scope{}) {
		scope.ProjectID = p.ProjectID
	}
	if t.Project, err = a.choose(ctx, found.ID, t.Domain, scope); err != nil {
		return Token{}, err
	}
	if t.Project.ID == "" {
		return Token{}, faas.Errorf(faas.CodeInvalid, "scope", "name the project in which to act as an agency")
	}
	if err := a.Can(ctx, p, ActionWrite, Resource{ProjectID: t.Project.ID}); err != nil {
		return Token{}, err
	}
	return a.issue(t, "")
}

// TemporaryKey gives a key for signatures that is good for what a token of this server is good for, and ends with it or after life,
// whichever is first. Errors: CodeUnauthenticated; CodeInvalid, field "duration_seconds".
func (a *Auth) TemporaryKey(ctx context.Context, token string, life time.Duration) (faas.Credentials, error) {
	if life < 15*time.Minute || life > MaxSessionLife {
		return faas.Credentials{}, faas.Errorf(faas.CodeInvalid, "duration_seconds", "duration_seconds must be 900 to 86400")
	}
	e, err := a.verify(ctx, token)
	if err != nil {
		return faas.Credentials{}, err
	}
	now := a.now().UTC()
	t := e.token
	t.IssuedAt = now
	if end := now.Add(life); end.Before(t.ExpiresAt) {
		t.ExpiresAt = end
	}
	return a.temporary(t, e.principal.For)
}

// temporary makes a key and seals it, with the scope of t, into its security token; and a token of the same scope and end.
func (a *Auth) temporary(t Token, actingFor string) (faas.Credentials, error) {
	c := sessionClaims{claims: claimsOf(t, actingFor), Access: "HSTA" + randomText(16, capitals+digits), Secret: randomText(40, letters+capitals+digits)}
	plain, err := json.Marshal(c)
	if err != nil {
		return faas.Credentials{}, err
	}
	issued, err := a.issue(t, actingFor)
	return faas.Credentials{
		AccessKey: c.Access, SecretKey: c.Secret, ExpiresAt: t.ExpiresAt, AuthToken: issued.Text,
		SecurityToken: base64.RawURLEncoding.EncodeToString(a.sealer.Seal(sessionLabel, plain)),
	}, err
}

// session opens a security token and looks whether who has it is still there. Error: CodeNotFound when it is no good.
func (a *Auth) session(ctx context.Context, text string) (session, error) {
	now := a.now()
	return a.sessions.find(text, now, func() (s session, end time.Time, err error) {
		var c sessionClaims
		if a.unseal(sessionLabel, text, &c) != nil {
			return s, end, faas.NotFound("access_key", "of this security token")
		}
		t := Token{ExpiresAt: time.UnixMicro(c.Expires).UTC()}
		if !now.Before(t.ExpiresAt) {
			return s, end, refuse("verify aksk signature fail, the security token expires, expires_at: " + t.ExpiresAt.Format(time.RFC3339))
		}
		if t, err = a.alive(ctx, t, c.claims); err != nil {
			return s, end, err
		}
		if end = now.Add(fresh); t.ExpiresAt.Before(end) {
			end = t.ExpiresAt
		}
		return session{keyEntry{[]byte(c.Secret), t.principal(c.For)}, c.Access}, end, nil
	})
}
