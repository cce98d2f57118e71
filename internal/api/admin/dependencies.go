package admin

import (
	"context"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Dependencies are the packages that functions share.
type Dependencies interface {
	// Version gives one, the newest for number 0. Error: CodeNotFound, field "dependency".
	Version(ctx context.Context, project, id string, number int64) (*faas.DependencyVersion, error)
	SetPublic(ctx context.Context, id string, public bool) error
}

// dependencyRoutes lists what no dialect has a way to do.
func (f face) dependencyRoutes() []httpkit.Route {
	return []httpkit.Route{
		{Method: "PUT", Path: "/admin/v1/projects/{project_id}/dependencies/{depend_id}/public", Operation: "SetDependencyPublic", Action: auth.ActionAdminister, Handle: f.setDependencyPublic},
	}
}

// setDependencyPublic lets the functions of every project use a dependency of this one, or those of this one alone.
func (f face) setDependencyPublic(w http.ResponseWriter, r *http.Request) error {
	ctx, project, id := r.Context(), r.PathValue("project_id"), r.PathValue("depend_id")
	if err := f.cfg.Permissions.Can(ctx, httpkit.PrincipalOf(ctx), auth.ActionAdminister, auth.Resource{ProjectID: project}); err != nil {
		return err
	}
	var body struct {
		Public *bool `json:"public"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(ctx), &body); err != nil {
		return err
	}
	if body.Public == nil {
		return faas.Errorf(faas.CodeInvalid, "public", "public must be true or false")
	}
	v, err := f.cfg.Dependencies.Version(ctx, project, id, 0)
	if err != nil {
		return err
	}
	if v.Project != project {
		return faas.NotFound("dependency", id)
	}
	if err := f.cfg.Dependencies.SetPublic(ctx, id, *body.Public); err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]any{"id": id, "name": v.Name, "public": *body.Public})
}
