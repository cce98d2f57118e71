// Package auth proves who makes a request (password, token, AK/SK signature, OAuth client) and decides what they may do.
//
// It must not know what a function is, nor SQL, nor any dialect's bodies.
package auth

import (
	"context"

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
	CreateAccessKey(ctx context.Context, k faas.AccessKey) error
	// ResetUser replaces a user's password hash, and all of the user's keys by k.
	ResetUser(ctx context.Context, userID, passwordHash string, k faas.AccessKey) error
}
