package admin

import (
	"context"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Walls says how the functions of a project are kept apart.
type Walls interface {
	Project(ctx context.Context, project string) (set, holds faas.ProjectWalls, err error)
	SetProject(ctx context.Context, project string, set faas.ProjectWalls) error
}

// wallsBody is what a project has set. "" stands for what the server has.
type wallsBody struct {
	Egress         string `json:"egress"`
	EgressFixed    bool   `json:"egress_fixed"`
	Isolation      string `json:"isolation"`
	IsolationFixed bool   `json:"isolation_fixed"`
}

// wallsAnswer adds what holds for functions that have set nothing.
type wallsAnswer struct {
	Set   wallsBody `json:"set"`
	Holds wallsBody `json:"holds"`
}

func (f face) wallRoutes() []httpkit.Route {
	return []httpkit.Route{
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/walls", Operation: "ShowWalls", Action: auth.ActionRead, Handle: f.walls},
		{Method: "PUT", Path: "/admin/v1/projects/{project_id}/walls", Operation: "SetWalls", Action: auth.ActionAdminister, Handle: f.setWalls},
	}
}

func (f face) walls(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	return f.tellWalls(w, r, project)
}

func (f face) tellWalls(w http.ResponseWriter, r *http.Request, project string) error {
	set, holds, err := f.cfg.Walls.Project(r.Context(), project)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, wallsAnswer{Set: wallsBody(set), Holds: wallsBody(holds)})
}

// setWalls puts what is sent in place of all that was set.
func (f face) setWalls(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionAdminister)
	if err != nil {
		return err
	}
	var body wallsBody
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if err := f.cfg.Walls.SetProject(r.Context(), project, faas.ProjectWalls(body)); err != nil {
		return err
	}
	return f.tellWalls(w, r, project)
}
