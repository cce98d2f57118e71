package auth

import (
	"context"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Action is what someone wants to do with a Resource.
type Action = faas.Action

// The actions there are.
const (
	ActionRead       = faas.ActionRead
	ActionWrite      = faas.ActionWrite
	ActionInvoke     = faas.ActionInvoke
	ActionAdminister = faas.ActionAdminister
	ActionSelf       = faas.ActionSelf
)

// Resource is what an Action is done to: a project, or a domain with what no project holds.
type Resource struct {
	ProjectID string // the project that holds it
	DomainID  string // where no project does
}

// Can is the one place that decides who may do what. It allows an action when a role that the principal has been given holds it: in
// the project, or in all of the domain. It refuses with CodeForbidden, field "project":
//
//   - what is in another domain, or outside the scope of the principal's token; what does not exist is refused alike;
//   - a domain, to a principal whose scope is a project: a token for one project rules there alone;
//   - what goes beyond Principal.AtMost.
//
// ActionSelf asks for no role and no resource.
func (a *Auth) Can(ctx context.Context, p faas.Principal, action Action, r Resource) error {
	if p.DomainID != "" && action == ActionSelf {
		return nil
	}
	allowed, err := a.allows(ctx, p, action, r)
	if err == nil && !allowed {
		if r.ProjectID == "" {
			return faas.Errorf(faas.CodeForbidden, "project", "you have no right to %s in this domain with these credentials", action)
		}
		return faas.Errorf(faas.CodeForbidden, "project", "you have no right to %s in project %.64q", action, r.ProjectID)
	}
	return err
}

func (a *Auth) allows(ctx context.Context, p faas.Principal, action Action, r Resource) (bool, error) {
	if p.DomainID == "" || p.AtMost != "" && !p.AtMost.Allows(action) {
		return false, nil
	}
	switch {
	case r.ProjectID == "":
		if r.DomainID != p.DomainID || p.ProjectID != "" {
			return false, nil
		}
	case p.ProjectID == r.ProjectID: // Authenticate saw it exist, in this domain
	case p.ProjectID != "":
		return false, nil
	default:
		project, err := a.project(ctx, r.ProjectID)
		if err != nil || project.DomainID != p.DomainID {
			return false, unlessGone(err)
		}
	}
	roles, err := a.rolesOf(ctx, p.UserID)
	for _, b := range roles {
		if (b.ProjectID == "" || b.ProjectID == r.ProjectID) && b.Role.Allows(action) {
			return true, nil
		}
	}
	return false, err
}

// unlessGone passes an error on unless it says that something is not there.
func unlessGone(err error) error {
	if faas.CodeOf(err) == faas.CodeNotFound {
		return nil
	}
	return err
}

// rolesOf lists the roles of a user or an agency.
func (a *Auth) rolesOf(ctx context.Context, holderID string) ([]faas.Binding, error) {
	now := a.now()
	return a.bindings.find(holderID, now, func() ([]faas.Binding, time.Time, error) {
		all, err := a.store.Bindings(ctx, holderID)
		return all, now.Add(fresh), err
	})
}

// Projects lists the projects of the caller's domain in which the caller has a role; name "" for all.
func (a *Auth) Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error) {
	return a.projectsOf(ctx, p.UserID, p.DomainID, name)
}

func (a *Auth) projectsOf(ctx context.Context, holderID, domainID, name string) ([]faas.Project, error) {
	all, err := a.store.Projects(ctx, domainID, name)
	if err != nil {
		return nil, err
	}
	roles, err := a.rolesOf(ctx, holderID)
	if err != nil {
		return nil, err
	}
	in := map[string]bool{}
	for _, b := range roles {
		in[b.ProjectID] = true
	}
	var own []faas.Project
	for _, p := range all {
		if in[""] || in[p.ID] {
			own = append(own, p)
		}
	}
	return own, nil
}

// Users lists the users of the caller's domain, or the caller alone where seeing others is not the caller's right; name "" for all.
func (a *Auth) Users(ctx context.Context, p faas.Principal, name string) ([]faas.User, error) {
	all, err := a.store.Users(ctx, p.DomainID, name)
	if err != nil {
		return nil, err
	}
	if a.Can(ctx, p, ActionRead, Resource{DomainID: p.DomainID}) == nil {
		return all, nil
	}
	for _, u := range all {
		if u.ID == p.UserID {
			return []faas.User{u}, nil
		}
	}
	return nil, nil
}
