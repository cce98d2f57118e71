package auth

import (
	"context"
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Config is what New needs.
type Config struct {
	Store  Store
	Sealer *Sealer
	// Clients keeps applications; nil where none can log in.
	Clients ClientStore
	Dev     bool             // requests from loopback without credentials become the owner
	Now     func() time.Time // nil for time.Now
}

// fresh is how long an answer of the store is believed; a user, key or project that went is refused after it.
const fresh = time.Minute

// Auth proves identities and decides what they may do. Safe for concurrent use; it starts nothing.
type Auth struct {
	store     Store
	clients   ClientStore
	sealer    *Sealer
	dev       bool
	now       func() time.Time
	passwords *passwords

	tokens   *cache[string, tokenEntry]       // by token text
	keys     *cache[string, keyEntry]         // by access key
	projects *cache[string, faas.Project]     // by id
	owner    *cache[struct{}, faas.Principal] // of dev mode
	badKeys  *lockout                         // by access key
	badUsers *lockout                         // by user and source
}

// New makes an Auth.
func New(cfg Config) (*Auth, error) {
	if cfg.Store == nil || cfg.Sealer == nil {
		return nil, errors.New("auth: a Store and a Sealer are needed")
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	return &Auth{
		store: cfg.Store, clients: cfg.Clients, sealer: cfg.Sealer, dev: cfg.Dev, now: now, passwords: newPasswords(),
		tokens:   newCache[string, tokenEntry](4096),
		keys:     newCache[string, keyEntry](1024),
		projects: newCache[string, faas.Project](1024),
		owner:    newCache[struct{}, faas.Principal](1),
		badKeys:  newLockout(), badUsers: newLockout(),
	}, nil
}

// project finds a project. Error: CodeNotFound.
func (a *Auth) project(ctx context.Context, id string) (faas.Project, error) {
	now := a.now()
	if p, ok := a.projects.get(id, now); ok {
		return p, nil
	}
	p, err := a.store.ProjectByID(ctx, id)
	if err == nil {
		a.projects.put(id, p, now, now.Add(fresh))
	}
	return p, err
}

// person finds a user and the domain the user belongs to. Error: CodeNotFound.
func (a *Auth) person(ctx context.Context, userID string) (faas.User, faas.Domain, error) {
	u, err := a.store.UserByID(ctx, userID)
	if err != nil {
		return faas.User{}, faas.Domain{}, err
	}
	d, err := a.store.DomainByID(ctx, u.DomainID)
	return u, d, err
}

// Projects lists the projects of the caller's domain; name "" for all.
func (a *Auth) Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error) {
	return a.store.Projects(ctx, p.DomainID, name)
}

// Users lists the users of the caller's domain; name "" for all.
func (a *Auth) Users(ctx context.Context, p faas.Principal, name string) ([]faas.User, error) {
	return a.store.Users(ctx, p.DomainID, name)
}

// Action is what someone wants to do with a Resource.
type Action string

// The actions there are.
const (
	ActionRead   Action = "read"
	ActionWrite  Action = "write"
	ActionInvoke Action = "invoke"
)

// Resource is what an Action is done to.
type Resource struct {
	ProjectID string // the project that holds it
}

// Can allows an action, or refuses it with CodeForbidden, field "project": the project must be of the principal's domain,
// and be the principal's own scope where there is one. A project that does not exist is refused alike. The action decides
// nothing as long as there are no roles.
func (a *Auth) Can(ctx context.Context, p faas.Principal, action Action, r Resource) error {
	if p.DomainID != "" && r.ProjectID != "" && p.ProjectID == r.ProjectID {
		return nil // Authenticate saw it exist, in this domain
	}
	no := faas.Errorf(faas.CodeForbidden, "project", "you have no right to %s in project %.64q", action, r.ProjectID)
	if p.DomainID == "" || r.ProjectID == "" || p.ProjectID != "" {
		return no
	}
	project, err := a.project(ctx, r.ProjectID)
	switch {
	case faas.CodeOf(err) == faas.CodeNotFound:
		return no
	case err != nil:
		return err
	case project.DomainID != p.DomainID:
		return no
	}
	return nil
}
