package app

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/audit"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// permit asks auth at the door: for the project of the path, or else for the domain.
func permit(identities *auth.Auth) func(context.Context, faas.Principal, faas.Action, string) error {
	return func(ctx context.Context, p faas.Principal, action faas.Action, project string) error {
		r := auth.Resource{ProjectID: project}
		if project == "" {
			r.DomainID = p.DomainID
		}
		return identities.Can(ctx, p, action, r)
	}
}

func withPeople(cfg admin.Config, identities *auth.Auth, trail *audit.Log) admin.Config {
	cfg.People, cfg.Audit = identities, trail
	return cfg
}

// functionRoles gives functions what they work with as their agency.
type functionRoles struct{ identities *auth.Auth }

func (r functionRoles) Credentials(ctx context.Context, f *faas.Function) (faas.Credentials, error) {
	return r.identities.FunctionCredentials(ctx, f.Project, f.Package+"/"+f.Name, f.Spec.Agency(), f.Spec.Timeout)
}
