package auth

import (
	"cmp"
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Proof is what someone logs in with: a password, with the user by id or by name and domain; or a token.
type Proof struct {
	UserID     string
	UserName   string
	DomainID   string // of UserName; this or DomainName
	DomainName string
	Password   string
	Token      string // instead of all the others
}

// Scope is what a token is asked for. The zero Scope is the user's default: the domain's only project, or else the domain.
type Scope struct {
	ProjectID, ProjectName string
	DomainID, DomainName   string // of ProjectName, or alone for the whole domain
}

// The refusals of IAM, in its words (FunctionGraph reference, section 6).
const (
	wrongPassword = "The username or password is wrong."
	wrongToken    = "The X-Auth-Token is invalid!"
	noRight       = "You have no right to do this action"
)

// Login proves an identity and gives a token. source is where the request comes from; five wrong passwords of one user from
// one source lock them out for five minutes. A token got with a token ends when that one ends.
// Errors: CodeInvalid for a proof that is not whole; CodeUnauthenticated; CodeForbidden for a scope that is not the user's;
// CodeOverload, field "login" when locked out, "password" when too many log in at a time.
func (a *Auth) Login(ctx context.Context, proof Proof, scope Scope, source string) (Token, error) {
	now := a.now().UTC()
	t := Token{Methods: []string{"password"}, IssuedAt: now, ExpiresAt: now.Add(TokenLife)}
	switch {
	case proof.Token != "":
		e, err := a.verify(ctx, proof.Token)
		if faas.CodeOf(err) == faas.CodeUnauthenticated {
			return Token{}, faas.Errorf(faas.CodeUnauthenticated, "", wrongToken)
		}
		if err != nil {
			return Token{}, err
		}
		if e.principal.Agency {
			return Token{}, faas.Errorf(faas.CodeForbidden, "auth", noRight)
		}
		t.Methods, t.ExpiresAt, t.User, t.Domain = []string{"token"}, e.token.ExpiresAt, e.token.User, e.token.Domain
		if e.token.Project.ID != "" && scope == (Scope{}) {
			scope.ProjectID = e.token.Project.ID
		}
	case proof.Password != "" && (proof.UserID != "" || proof.UserName != "" && (proof.DomainID != "" || proof.DomainName != "")):
		var err error
		if t.User, t.Domain, err = a.byPassword(ctx, proof, source); err != nil {
			return Token{}, err
		}
	default:
		return Token{}, faas.Errorf(faas.CodeInvalid, "auth", "a user with a password and a domain, or a token, is needed")
	}
	var err error
	if t.Project, err = a.choose(ctx, t.User.ID, t.Domain, scope); err != nil {
		return Token{}, err
	}
	return a.issue(t, "")
}

// byPassword checks a password. A user who does not exist takes the same time and gives the same answer.
func (a *Auth) byPassword(ctx context.Context, proof Proof, source string) (faas.User, faas.Domain, error) {
	now := a.now()
	name := source + "\n" + cmp.Or(proof.UserID, proof.UserName+"\n"+cmp.Or(proof.DomainID, proof.DomainName))
	if len(name) > 512 {
		return faas.User{}, faas.Domain{}, faas.Errorf(faas.CodeUnauthenticated, "", wrongPassword)
	}
	if a.badUsers.locked(name, now) {
		return faas.User{}, faas.Domain{}, faas.Errorf(faas.CodeOverload, "login", "too many wrong passwords; try again in 5 minutes")
	}
	u, d, err := a.find(ctx, proof)
	if err != nil && faas.CodeOf(err) != faas.CodeNotFound {
		return faas.User{}, faas.Domain{}, err
	}
	ok, err := a.passwords.verify(ctx, u.PasswordHash, proof.Password)
	if err != nil {
		return faas.User{}, faas.Domain{}, err
	}
	if !ok || u.Disabled {
		a.badUsers.failed(name, now)
		return faas.User{}, faas.Domain{}, faas.Errorf(faas.CodeUnauthenticated, "", wrongPassword)
	}
	a.badUsers.passed(name, now)
	return u, d, nil
}

// find looks a user up; the zero User with CodeNotFound when there is none.
func (a *Auth) find(ctx context.Context, proof Proof) (faas.User, faas.Domain, error) {
	if proof.UserID != "" {
		u, err := a.store.UserByID(ctx, proof.UserID)
		if err != nil {
			return faas.User{}, faas.Domain{}, err
		}
		d, err := a.store.DomainByID(ctx, u.DomainID)
		return u, d, err
	}
	var d faas.Domain
	var err error
	if proof.DomainID != "" {
		d, err = a.store.DomainByID(ctx, proof.DomainID)
	} else {
		d, err = a.store.DomainByName(ctx, proof.DomainName)
	}
	if err != nil {
		return faas.User{}, d, err
	}
	u, err := a.store.UserByName(ctx, d.ID, proof.UserName)
	return u, d, err
}

// choose finds the project of a scope in which the holder has a role; the zero Project for the domain. Error: CodeForbidden.
func (a *Auth) choose(ctx context.Context, holderID string, d faas.Domain, s Scope) (faas.Project, error) {
	no := faas.Errorf(faas.CodeForbidden, "scope", noRight)
	if s.DomainID != "" && s.DomainID != d.ID || s.DomainName != "" && s.DomainName != d.Name {
		return faas.Project{}, no
	}
	if s.ProjectID == "" && s.ProjectName == "" && s != (Scope{}) {
		return faas.Project{}, nil
	}
	found, err := a.projectsOf(ctx, holderID, d.ID, s.ProjectName)
	if err != nil {
		return faas.Project{}, err
	}
	if s.ProjectID != "" {
		for _, p := range found {
			if p.ID == s.ProjectID {
				return p, nil
			}
		}
		return faas.Project{}, no
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case s.ProjectName != "":
		return faas.Project{}, no
	}
	return faas.Project{}, nil
}
