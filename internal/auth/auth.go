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
	// Registry changes identities and keeps agencies; nil where neither is done.
	Registry Registry
	Dev      bool             // requests from loopback without credentials become the owner
	Now      func() time.Time // nil for time.Now
}

// fresh is how long an answer of the store is believed. What changed through this Auth is seen by the next request; what changed on
// another server, or by ResetOwner, is seen after it.
const fresh = time.Minute

// Auth proves identities and decides what they may do. Safe for concurrent use; it starts nothing.
type Auth struct {
	store     Store
	clients   ClientStore
	registry  Registry
	sealer    *Sealer
	dev       bool
	now       func() time.Time
	passwords *passwords

	tokens   *cache[string, tokenEntry]       // by token text
	keys     *cache[string, keyEntry]         // by access key
	projects *cache[string, faas.Project]     // by id
	owner    *cache[struct{}, faas.Principal] // of dev mode
	bindings *cache[string, []faas.Binding]   // by holder
	agencies *cache[agencyName, faas.Agency]
	sessions *cache[string, session] // by security token
	badKeys  *lockout                // by access key
	badUsers *lockout                // by user and source
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
		store: cfg.Store, clients: cfg.Clients, registry: cfg.Registry, sealer: cfg.Sealer, dev: cfg.Dev, now: now, passwords: newPasswords(),
		tokens:   newCache[string, tokenEntry](4096),
		keys:     newCache[string, keyEntry](1024),
		projects: newCache[string, faas.Project](1024),
		owner:    newCache[struct{}, faas.Principal](1),
		bindings: newCache[string, []faas.Binding](4096),
		agencies: newCache[agencyName, faas.Agency](1024),
		sessions: newCache[string, session](4096),
		badKeys:  newLockout(), badUsers: newLockout(),
	}, nil
}

// forget has the next request ask the store for everything.
func (a *Auth) forget() {
	a.tokens.clear()
	a.keys.clear()
	a.projects.clear()
	a.owner.clear()
	a.bindings.clear()
	a.agencies.clear()
	a.sessions.clear()
}

// project finds a project. Error: CodeNotFound.
func (a *Auth) project(ctx context.Context, id string) (faas.Project, error) {
	now := a.now()
	return a.projects.find(id, now, func() (faas.Project, time.Time, error) {
		p, err := a.store.ProjectByID(ctx, id)
		return p, now.Add(fresh), err
	})
}

// person finds a user who is let in, and the domain the user belongs to. Error: CodeNotFound, also for one who is disabled.
func (a *Auth) person(ctx context.Context, userID string) (faas.User, faas.Domain, error) {
	u, err := a.store.UserByID(ctx, userID)
	if err != nil {
		return faas.User{}, faas.Domain{}, err
	}
	if u.Disabled {
		return faas.User{}, faas.Domain{}, faas.NotFound("user", userID)
	}
	d, err := a.store.DomainByID(ctx, u.DomainID)
	return u, d, err
}
