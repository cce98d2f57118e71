package admin

import (
	"context"
	"net"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// People is all that changes identities; auth.Auth is one.
type People interface {
	Projects
	Users
	Roles
	Keys
	Agencies
}

// Projects keeps projects.
type Projects interface {
	Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error)
	CreateProject(ctx context.Context, p faas.Principal, name string) (faas.Project, error)
	DeleteProject(ctx context.Context, p faas.Principal, id string) error
}

// Users keeps users. One is named by id or by name.
type Users interface {
	Users(ctx context.Context, p faas.Principal, name string) ([]faas.User, error)
	User(ctx context.Context, p faas.Principal, user string) (faas.User, error)
	CreateUser(ctx context.Context, p faas.Principal, name, password string) (faas.User, error)
	SetUser(ctx context.Context, p faas.Principal, user string, password *string, disabled *bool) (faas.User, error)
	DeleteUser(ctx context.Context, p faas.Principal, user string) error
	ChangePassword(ctx context.Context, p faas.Principal, old, fresh, source string) error
}

// Roles keeps who has which role.
type Roles interface {
	Roles(ctx context.Context, holderID string) ([]faas.Binding, error)
	RolesIn(ctx context.Context, projectID string) ([]faas.Binding, error)
	SetRole(ctx context.Context, p faas.Principal, b faas.Binding) error
}

type projectBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type roleBody struct {
	ProjectID string    `json:"project_id"` // "" for all of the domain
	Role      faas.Role `json:"role"`
}

type holderBody struct {
	ID   string    `json:"id"`   // of a user or an agency
	Kind string    `json:"kind"` // "user" or "agency"
	Name string    `json:"name"`
	Role faas.Role `json:"role"`
}

type userBody struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Disabled bool       `json:"disabled"`
	Password bool       `json:"has_password"`
	Roles    []roleBody `json:"roles"`
}

type meBody struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Domain    string     `json:"domain"`
	DomainID  string     `json:"domain_id"`
	ProjectID string     `json:"project_id"` // scope of the credentials; "" for none
	Agency    bool       `json:"agency"`
	AtMost    faas.Role  `json:"at_most"` // bounds the roles; "" for no bound
	Roles     []roleBody `json:"roles"`
}

func (f face) peopleRoutes() []httpkit.Route {
	const administer, self = auth.ActionAdminister, auth.ActionSelf
	const inProject = "/admin/v1/projects/{project_id}/roles"
	return []httpkit.Route{
		{Method: "GET", Path: "/admin/v1/me", Operation: "ShowMe", Action: self, Handle: f.me},
		{Method: "PUT", Path: "/admin/v1/me/password", Operation: "ChangeMyPassword", Action: self, Handle: f.changePassword},
		{Method: "GET", Path: "/admin/v1/projects", Operation: "ListProjects", Action: self, Handle: f.projects},
		{Method: "POST", Path: "/admin/v1/projects", Operation: "CreateProject", Action: administer, Handle: f.createProject},
		{Method: "DELETE", Path: "/admin/v1/projects/{id}", Operation: "DeleteProject", Action: administer, Handle: f.deleteProject},
		{Method: "GET", Path: "/admin/v1/users", Operation: "ListUsers", Handle: f.users},
		{Method: "POST", Path: "/admin/v1/users", Operation: "CreateUser", Action: administer, Handle: f.createUser},
		{Method: "GET", Path: "/admin/v1/users/{user}", Operation: "ShowUser", Handle: f.showUser},
		{Method: "PATCH", Path: "/admin/v1/users/{user}", Operation: "UpdateUser", Action: administer, Handle: f.updateUser},
		{Method: "DELETE", Path: "/admin/v1/users/{user}", Operation: "DeleteUser", Action: administer, Handle: f.deleteUser},
		{Method: "PUT", Path: "/admin/v1/roles/{holder}", Operation: "SetDomainRole", Action: administer, Handle: f.setRole},
		{Method: "DELETE", Path: "/admin/v1/roles/{holder}", Operation: "RemoveDomainRole", Action: administer, Handle: f.removeRole},
		{Method: "GET", Path: inProject, Operation: "ListRoles", Action: administer, Handle: f.rolesIn},
		{Method: "PUT", Path: inProject + "/{holder}", Operation: "SetRole", Action: administer, Handle: f.setRole},
		{Method: "DELETE", Path: inProject + "/{holder}", Operation: "RemoveRole", Action: administer, Handle: f.removeRole},
	}
}

func (f face) rolesOf(ctx context.Context, holderID string) ([]roleBody, error) {
	all, err := f.cfg.People.Roles(ctx, holderID)
	out := make([]roleBody, 0, len(all))
	for _, b := range all {
		out = append(out, roleBody{b.ProjectID, b.Role})
	}
	return out, err
}

func (f face) me(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	roles, err := f.rolesOf(r.Context(), p.UserID)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, meBody{ID: p.UserID, Name: p.UserName, Domain: p.Domain, DomainID: p.DomainID,
		ProjectID: p.ProjectID, Agency: p.Agency, AtMost: p.AtMost, Roles: roles})
}

func (f face) changePassword(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	if err := f.cfg.People.ChangePassword(r.Context(), httpkit.PrincipalOf(r.Context()), q.Old, q.New, source); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) projects(w http.ResponseWriter, r *http.Request) error {
	all, err := f.cfg.People.Projects(r.Context(), httpkit.PrincipalOf(r.Context()), r.URL.Query().Get("name"))
	if err != nil {
		return err
	}
	out := make([]projectBody, 0, len(all))
	for _, p := range all {
		out = append(out, projectBody{p.ID, p.Name})
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]projectBody{"projects": out})
}

func (f face) createProject(w http.ResponseWriter, r *http.Request) error {
	var q projectBody
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	p, err := f.cfg.People.CreateProject(r.Context(), httpkit.PrincipalOf(r.Context()), q.Name)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "project "+p.ID)
	return httpkit.WriteJSON(w, http.StatusCreated, projectBody{p.ID, p.Name})
}

func (f face) deleteProject(w http.ResponseWriter, r *http.Request) error {
	if err := f.cfg.People.DeleteProject(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeUser answers with a user and the user's roles.
func (f face) writeUser(w http.ResponseWriter, r *http.Request, status int, u faas.User) error {
	body, err := f.userBody(r.Context(), u)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, status, body)
}

func (f face) userBody(ctx context.Context, u faas.User) (userBody, error) {
	roles, err := f.rolesOf(ctx, u.ID)
	return userBody{ID: u.ID, Name: u.Name, Disabled: u.Disabled, Password: u.PasswordHash != "", Roles: roles}, err
}

func (f face) users(w http.ResponseWriter, r *http.Request) error {
	all, err := f.cfg.People.Users(r.Context(), httpkit.PrincipalOf(r.Context()), r.URL.Query().Get("name"))
	if err != nil {
		return err
	}
	out := make([]userBody, 0, len(all))
	for _, u := range all {
		body, err := f.userBody(r.Context(), u)
		if err != nil {
			return err
		}
		out = append(out, body)
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]userBody{"users": out})
}

func (f face) showUser(w http.ResponseWriter, r *http.Request) error {
	u, err := f.cfg.People.User(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("user"))
	if err != nil {
		return err
	}
	return f.writeUser(w, r, http.StatusOK, u)
}

func (f face) createUser(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Name     string `json:"name"`
		Password string `json:"password"` // "" for one who works with keys alone
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	u, err := f.cfg.People.CreateUser(r.Context(), httpkit.PrincipalOf(r.Context()), q.Name, q.Password)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "user "+u.Name+" "+u.ID)
	return f.writeUser(w, r, http.StatusCreated, u)
}

func (f face) updateUser(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Password *string `json:"password"`
		Disabled *bool   `json:"disabled"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	u, err := f.cfg.People.SetUser(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("user"), q.Password, q.Disabled)
	if err != nil {
		return err
	}
	switch {
	case q.Disabled != nil && *q.Disabled:
		httpkit.Concerns(r.Context(), "disabled")
	case q.Disabled != nil:
		httpkit.Concerns(r.Context(), "enabled")
	case q.Password != nil:
		httpkit.Concerns(r.Context(), "password")
	}
	return f.writeUser(w, r, http.StatusOK, u)
}

func (f face) deleteUser(w http.ResponseWriter, r *http.Request) error {
	if err := f.cfg.People.DeleteUser(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("user")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// holder finds a user or, where there is none, an agency, by id or by name.
func (f face) holder(ctx context.Context, p faas.Principal, idOrName string) (holderBody, error) {
	u, err := f.cfg.People.User(ctx, p, idOrName)
	if faas.CodeOf(err) != faas.CodeNotFound {
		return holderBody{ID: u.ID, Kind: "user", Name: u.Name}, err
	}
	a, err := f.cfg.People.Agency(ctx, p, idOrName)
	if faas.CodeOf(err) == faas.CodeNotFound {
		err = faas.Errorf(faas.CodeNotFound, "user", "there is no user and no agency %.64q", idOrName)
	}
	return holderBody{ID: a.ID, Kind: "agency", Name: a.Name}, err
}

func (f face) rolesIn(w http.ResponseWriter, r *http.Request) error {
	ctx, p := r.Context(), httpkit.PrincipalOf(r.Context())
	all, err := f.cfg.People.RolesIn(ctx, r.PathValue("project_id"))
	if err != nil {
		return err
	}
	out := make([]holderBody, 0, len(all))
	for _, b := range all {
		h, err := f.holder(ctx, p, b.HolderID)
		if err != nil {
			return err
		}
		h.Role = b.Role
		out = append(out, h)
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]holderBody{"roles": out})
}

func (f face) setRole(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Role faas.Role `json:"role"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	if err := faas.CheckRole(q.Role); err != nil {
		return err
	}
	return f.bind(w, r, q.Role)
}

func (f face) removeRole(w http.ResponseWriter, r *http.Request) error { return f.bind(w, r, "") }

func (f face) bind(w http.ResponseWriter, r *http.Request, role faas.Role) error {
	ctx, p := r.Context(), httpkit.PrincipalOf(r.Context())
	h, err := f.holder(ctx, p, r.PathValue("holder"))
	if err != nil {
		return err
	}
	if err := f.cfg.People.SetRole(ctx, p, faas.Binding{HolderID: h.ID, ProjectID: r.PathValue("project_id"), Role: role}); err != nil {
		return err
	}
	httpkit.Concerns(ctx, string(role))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
