package auth

import (
	"context"
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// What changes identities takes effect with the next request to this server, and within a minute on others that share its
// database. Who may call it is decided by Can at the door; here stands what holds for everyone: nobody reaches into another
// domain, and the owner can be neither deleted nor disabled nor given another role, so that nobody locks everybody out.

var errNoRegistry = errors.New("auth: made without a Registry")

// minPassword is the least length of a password that someone chooses.
const minPassword = 8

// changed runs a change of identities and forgets what was known of them.
func (a *Auth) changed(run func() error) error {
	if a.registry == nil {
		return errNoRegistry
	}
	err := run()
	a.forget() // also when it failed: a change may have been made all the same
	return err
}

// CreateProject makes a project in the caller's domain. Errors: CodeInvalid, CodeExists, field "project".
func (a *Auth) CreateProject(ctx context.Context, p faas.Principal, name string) (faas.Project, error) {
	project := faas.Project{ID: newID(), DomainID: p.DomainID, Name: name}
	if err := faas.CheckIdentityName("project", name); err != nil {
		return project, err
	}
	return project, a.changed(func() error { return a.store.CreateProject(ctx, project) })
}

// Project gives a project of the caller's domain. Error: CodeNotFound.
func (a *Auth) Project(ctx context.Context, p faas.Principal, id string) (faas.Project, error) {
	project, err := a.store.ProjectByID(ctx, id)
	if err == nil && project.DomainID != p.DomainID {
		err = faas.NotFound("project", id)
	}
	return project, err
}

// DeleteProject forgets a project without functions, and the roles in it. Errors: CodeNotFound; CodeConflict while it has functions,
// or when it is the last.
func (a *Auth) DeleteProject(ctx context.Context, p faas.Principal, id string) error {
	if _, err := a.Project(ctx, p, id); err != nil {
		return err
	}
	all, err := a.store.Projects(ctx, p.DomainID, "")
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return faas.Errorf(faas.CodeConflict, "project", "the last project stays")
	}
	return a.changed(func() error { return a.registry.DeleteProject(ctx, id) })
}

// CreateUser makes a user in the caller's domain, without any role; password "" for one who works with keys alone. Errors:
// CodeInvalid, field "user" or "password"; CodeExists, field "user".
func (a *Auth) CreateUser(ctx context.Context, p faas.Principal, name, password string) (faas.User, error) {
	u := faas.User{ID: newID(), DomainID: p.DomainID, Name: name}
	if err := faas.CheckIdentityName("user", name); err != nil {
		return u, err
	}
	if password != "" {
		var err error
		if u.PasswordHash, err = a.hash(ctx, password); err != nil {
			return u, err
		}
	}
	return u, a.changed(func() error { return a.store.CreateUser(ctx, u) })
}

// NewPassword makes one that nobody guesses.
func NewPassword() string { return randomText(24, letters+capitals+digits) }

func (a *Auth) hash(ctx context.Context, password string) (string, error) {
	if len(password) < minPassword {
		return "", faas.Errorf(faas.CodeInvalid, "password", "a password must have %d to %d bytes", minPassword, maxPassword)
	}
	return a.passwords.hash(ctx, password)
}

// User gives a user of the caller's domain by id or name. Error: CodeNotFound.
func (a *Auth) User(ctx context.Context, p faas.Principal, idOrName string) (faas.User, error) {
	u, err := a.store.UserByID(ctx, idOrName)
	if faas.CodeOf(err) == faas.CodeNotFound {
		u, err = a.store.UserByName(ctx, p.DomainID, idOrName)
	}
	if err == nil && u.DomainID != p.DomainID {
		err = faas.NotFound("user", idOrName)
	}
	return u, err
}

// isOwner tells of the first user of the server.
func isOwner(u faas.User) bool { return u.Name == OwnerUser }

func ownerStays(what string) error {
	return faas.Errorf(faas.CodeConflict, "user", "user %s is the owner of this server and cannot be %s", OwnerUser, what)
}

// SetUser replaces a user's password and state; nil leaves as it is. A new password ends the user's tokens, not the keys. Errors:
// CodeNotFound; CodeInvalid, field "password"; CodeConflict for the owner.
func (a *Auth) SetUser(ctx context.Context, p faas.Principal, idOrName string, password *string, disabled *bool) (faas.User, error) {
	u, err := a.User(ctx, p, idOrName)
	if err != nil {
		return u, err
	}
	if password != nil {
		if u.PasswordHash, err = a.hash(ctx, *password); err != nil {
			return u, err
		}
	}
	if disabled != nil {
		if u.Disabled = *disabled; u.Disabled && isOwner(u) {
			return u, ownerStays("disabled")
		}
	}
	return u, a.changed(func() error { return a.registry.UpdateUser(ctx, u) })
}

// ChangePassword replaces the caller's own password, whose old one is needed. source is as for Login, and so is the lock. Errors:
// CodeUnauthenticated; CodeForbidden for what is no person; CodeInvalid, field "password"; CodeOverload.
func (a *Auth) ChangePassword(ctx context.Context, p faas.Principal, old, fresh, source string) error {
	if p.Agency || p.AtMost != "" {
		return faas.Errorf(faas.CodeForbidden, "", noRight)
	}
	u, _, err := a.byPassword(ctx, Proof{UserID: p.UserID, Password: old}, source)
	if err != nil {
		return err
	}
	if u.PasswordHash, err = a.hash(ctx, fresh); err != nil {
		return err
	}
	return a.changed(func() error { return a.registry.UpdateUser(ctx, u) })
}

// DeleteUser forgets a user with the user's keys, roles and clients. Errors: CodeNotFound; CodeConflict for the owner.
func (a *Auth) DeleteUser(ctx context.Context, p faas.Principal, idOrName string) error {
	u, err := a.User(ctx, p, idOrName)
	if err != nil {
		return err
	}
	if isOwner(u) {
		return ownerStays("deleted")
	}
	return a.changed(func() error { return a.registry.DeleteUser(ctx, u.ID) })
}

// Roles lists the roles of a user or an agency.
func (a *Auth) Roles(ctx context.Context, holderID string) ([]faas.Binding, error) {
	return a.store.Bindings(ctx, holderID)
}

// RolesIn lists the roles that are given in a project.
func (a *Auth) RolesIn(ctx context.Context, projectID string) ([]faas.Binding, error) {
	if a.registry == nil {
		return nil, errNoRegistry
	}
	return a.registry.BindingsIn(ctx, projectID)
}

// SetRole gives a user or an agency of the caller's domain a role in a project (projectID "" for all of the domain); role "" takes it
// away. Errors: CodeNotFound; CodeInvalid, field "role", also for an agency that would get more than faas.MaxAgencyRole; CodeConflict for the owner's own role.
func (a *Auth) SetRole(ctx context.Context, p faas.Principal, b faas.Binding) error {
	if b.Role != "" {
		if err := faas.CheckRole(b.Role); err != nil {
			return err
		}
	}
	if b.ProjectID != "" {
		if _, err := a.Project(ctx, p, b.ProjectID); err != nil {
			return err
		}
	}
	if a.registry == nil {
		return errNoRegistry
	}
	u, err := a.store.UserByID(ctx, b.HolderID)
	switch {
	case err == nil && u.DomainID != p.DomainID:
		return faas.NotFound("user", b.HolderID)
	case err == nil && isOwner(u) && b.ProjectID == "":
		return ownerStays("given another role")
	case faas.CodeOf(err) == faas.CodeNotFound:
		agency, err := a.registry.AgencyByID(ctx, b.HolderID)
		if err != nil || agency.DomainID != p.DomainID {
			return faas.NotFound("user", b.HolderID)
		}
		if b.Role == faas.RoleAdmin {
			return faas.Errorf(faas.CodeInvalid, "role", "an agency can be %s at most: every developer may act as one", faas.MaxAgencyRole)
		}
	case err != nil:
		return err
	}
	return a.changed(func() error { return a.registry.SetBinding(ctx, b) })
}

// CreateAgency makes an agency in the caller's domain, without any role. Errors: CodeInvalid, CodeExists, field "agency".
func (a *Auth) CreateAgency(ctx context.Context, p faas.Principal, name, description string) (faas.Agency, error) {
	agency := faas.Agency{ID: newID(), DomainID: p.DomainID, Name: name, Description: description, CreatedAt: a.now().UTC().Truncate(time.Microsecond)}
	if err := errorsFirst(faas.CheckIdentityName("agency", name), checkDescription(description)); err != nil {
		return agency, err
	}
	return agency, a.changed(func() error { return a.registry.CreateAgency(ctx, agency) })
}

func errorsFirst(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkDescription(text string) error {
	if len(text) > 255 {
		return faas.Errorf(faas.CodeInvalid, "description", "a description has at most 255 bytes")
	}
	return nil
}

// Agency gives an agency of the caller's domain by id or name. Error: CodeNotFound.
func (a *Auth) Agency(ctx context.Context, p faas.Principal, idOrName string) (faas.Agency, error) {
	if a.registry == nil {
		return faas.Agency{}, errNoRegistry
	}
	agency, err := a.registry.AgencyByID(ctx, idOrName)
	if faas.CodeOf(err) == faas.CodeNotFound {
		agency, err = a.registry.AgencyByName(ctx, p.DomainID, idOrName)
	}
	if err == nil && agency.DomainID != p.DomainID {
		err = faas.NotFound("agency", idOrName)
	}
	return agency, err
}

// Agencies lists the agencies of the caller's domain; name "" for all.
func (a *Auth) Agencies(ctx context.Context, p faas.Principal, name string) ([]faas.Agency, error) {
	if a.registry == nil {
		return nil, errNoRegistry
	}
	return a.registry.Agencies(ctx, p.DomainID, name)
}

// DescribeAgency replaces the description. Errors: CodeNotFound; CodeInvalid, field "description".
func (a *Auth) DescribeAgency(ctx context.Context, p faas.Principal, idOrName, description string) (faas.Agency, error) {
	agency, err := a.Agency(ctx, p, idOrName)
	if err = errorsFirst(err, checkDescription(description)); err != nil {
		return agency, err
	}
	agency.Description = description
	return agency, a.changed(func() error { return a.registry.UpdateAgency(ctx, agency) })
}

// DeleteAgency forgets an agency; its credentials end. Error: CodeNotFound.
func (a *Auth) DeleteAgency(ctx context.Context, p faas.Principal, idOrName string) error {
	agency, err := a.Agency(ctx, p, idOrName)
	if err != nil {
		return err
	}
	return a.changed(func() error { return a.registry.DeleteAgency(ctx, agency.ID) })
}
