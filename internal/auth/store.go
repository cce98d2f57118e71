// Package auth proves who makes a request (password, token, AK/SK signature, OAuth client) and decides what they may do.
//
// It must not know what a function is, nor SQL, nor any dialect's bodies.
package auth

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Store keeps identities. Each method is one whole transaction. A thing that does not exist is CodeNotFound with the kind
// ("domain", "project", "user", "access_key") as field.
type Store interface {
	// CreateOwner stores the first domain, project, user and key of a fresh server in one transaction. Error: CodeExists when
	// there is a domain already.
	CreateOwner(ctx context.Context, d faas.Domain, p faas.Project, u faas.User, k faas.AccessKey) error
	DomainByID(ctx context.Context, id string) (faas.Domain, error)
	DomainByName(ctx context.Context, name string) (faas.Domain, error)
	ProjectByID(ctx context.Context, id string) (faas.Project, error)
	// Projects lists a domain's projects by name; name "" for all.
	Projects(ctx context.Context, domainID, name string) ([]faas.Project, error)
	CreateProject(ctx context.Context, p faas.Project) error
	UserByID(ctx context.Context, id string) (faas.User, error)
	UserByName(ctx context.Context, domainID, name string) (faas.User, error)
	// Users lists a domain's users by name; name "" for all.
	Users(ctx context.Context, domainID, name string) ([]faas.User, error)
	CreateUser(ctx context.Context, u faas.User) error
	AccessKey(ctx context.Context, id string) (faas.AccessKey, error)
	// CreateAccessKey error: CodeQuota, field "access_key", when the user has faas.MaxAccessKeys.
	CreateAccessKey(ctx context.Context, k faas.AccessKey) error
	// ResetUser replaces a user's password hash, and all of the user's keys by k.
	ResetUser(ctx context.Context, userID, passwordHash string, k faas.AccessKey) error
	// Bindings lists the roles of a user or an agency.
	Bindings(ctx context.Context, holderID string) ([]faas.Binding, error)
}

// Registry is a Store whose identities change. Each method is one whole transaction; errors are as for Store, and CodeNotFound
// with "agency" as field.
type Registry interface {
	// DeleteProject error: CodeConflict, field "project", while it has functions.
	DeleteProject(ctx context.Context, id string) error
	// UpdateUser replaces the password hash and the state.
	UpdateUser(ctx context.Context, u faas.User) error
	// DeleteUser forgets also what the user had.
	DeleteUser(ctx context.Context, id string) error
	BindingsIn(ctx context.Context, projectID string) ([]faas.Binding, error)
	// SetBinding gives a role in place of the one there; role "" takes it away.
	SetBinding(ctx context.Context, b faas.Binding) error
	KeyRegistry
	AgencyRegistry
}

// KeyRegistry keeps the access keys of users.
type KeyRegistry interface {
	// AccessKeys lists a user's, the oldest first.
	AccessKeys(ctx context.Context, userID string) ([]faas.AccessKey, error)
	// UpdateAccessKey replaces the description, state and end.
	UpdateAccessKey(ctx context.Context, k faas.AccessKey) error
	// RotateAccessKey adds a key and lets another of the same user end at a time, together. Error: CodeQuota as CreateAccessKey.
	RotateAccessKey(ctx context.Context, old string, ends time.Time, k faas.AccessKey) error
	DeleteAccessKey(ctx context.Context, id string) error
}

// AgencyRegistry keeps agencies.
type AgencyRegistry interface {
	CreateAgency(ctx context.Context, a faas.Agency) error
	// UpdateAgency replaces the description.
	UpdateAgency(ctx context.Context, a faas.Agency) error
	DeleteAgency(ctx context.Context, id string) error
	AgencyByID(ctx context.Context, id string) (faas.Agency, error)
	AgencyByName(ctx context.Context, domainID, name string) (faas.Agency, error)
	// Agencies lists a domain's by name; name "" for all.
	Agencies(ctx context.Context, domainID, name string) ([]faas.Agency, error)
}
