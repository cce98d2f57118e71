package iam

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Agencies changes agencies and their roles; auth.Auth is one. An agency is named by id here.
type Agencies interface {
	Agency(ctx context.Context, p faas.Principal, agency string) (faas.Agency, error)
	Agencies(ctx context.Context, p faas.Principal, name string) ([]faas.Agency, error)
	CreateAgency(ctx context.Context, p faas.Principal, name, description string) (faas.Agency, error)
	DescribeAgency(ctx context.Context, p faas.Principal, agency, description string) (faas.Agency, error)
	DeleteAgency(ctx context.Context, p faas.Principal, agency string) error
	Roles(ctx context.Context, holderID string) ([]faas.Binding, error)
	SetRole(ctx context.Context, p faas.Principal, b faas.Binding) error
}

// trusted is the vendor's name for FunctionGraph as the one that an agency trusts. Agencies of this server are for functions.
const (
	trusted  = "op_svc_cff"
	lifetime = "FOREVER"
)

func (f face) agencyRoutes() []httpkit.Route {
	const administer, self = auth.ActionAdminister, auth.ActionSelf
	const agencies = "/v3.0/OS-AGENCY/agencies"
	const inProject = "/v3.0/OS-AGENCY/projects/{project_id}/agencies/{agency_id}/roles"
	const inAll = "/v3.0/OS-INHERIT/domains/{domain_id}/agencies/{agency_id}/roles"
	const inherited = "/inherited_to_projects"
	return []httpkit.Route{
		{Method: "GET", Path: "/v3/roles", Operation: "KeystoneListPermissions", Action: self, Handle: f.listRoles},
		{Method: "GET", Path: "/v3/roles/{role_id}", Operation: "KeystoneShowPermission", Action: self, Handle: f.showRole},
		{Method: "GET", Path: agencies, Operation: "ListAgencies", Handle: f.listAgencies},
		{Method: "POST", Path: agencies, Operation: "CreateAgency", Action: administer, Handle: f.createAgency},
		{Method: "GET", Path: agencies + "/{agency_id}", Operation: "ShowAgency", Handle: f.showAgency},
		{Method: "PUT", Path: agencies + "/{agency_id}", Operation: "UpdateAgency", Action: administer, Handle: f.updateAgency},
		{Method: "DELETE", Path: agencies + "/{agency_id}", Operation: "DeleteAgency", Action: administer, Handle: f.deleteAgency},
		{Method: "GET", Path: inProject, Operation: "ListProjectPermissionsForAgency", Action: administer, Handle: f.agencyRoles},
		{Method: "PUT", Path: inProject + "/{role_id}", Operation: "AssociateAgencyWithProjectPermission", Action: administer, Handle: f.giveRole},
		{Method: "HEAD", Path: inProject + "/{role_id}", Operation: "CheckProjectPermissionForAgency", Action: administer, Handle: f.checkRole},
		{Method: "DELETE", Path: inProject + "/{role_id}", Operation: "RemoveProjectPermissionFromAgency", Action: administer, Handle: f.takeRole},
		{Method: "GET", Path: inAll + inherited, Operation: "ListAllProjectsPermissionsForAgency", Action: administer, Handle: f.agencyRoles},
		{Method: "PUT", Path: inAll + "/{role_id}" + inherited, Operation: "AssociateAgencyWithAllProjectsPermission", Action: administer, Handle: f.giveRole},
		{Method: "HEAD", Path: inAll + "/{role_id}" + inherited, Operation: "CheckAllProjectsPermissionForAgency", Action: administer, Handle: f.checkRole},
		{Method: "DELETE", Path: inAll + "/{role_id}" + inherited, Operation: "RemoveAllProjectsPermissionFromAgency", Action: administer, Handle: f.takeRole},
	}
}

type roleItem struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	DisplayName string     `json:"display_name"`
	Type        string     `json:"type"`
	Catalog     string     `json:"catalog"`
	Description string     `json:"description"`
	Policy      rolePolicy `json:"policy"`
	Links       links      `json:"links"`
}

type rolePolicy struct {
	Version   string `json:"Version"`
	Statement []struct {
		Effect string   `json:"Effect"`
		Action []string `json:"Action"`
	} `json:"Statement"`
}

func roleOf(r *http.Request, role faas.Role) roleItem {
	item := roleItem{ID: string(role), Name: string(role), DisplayName: string(role), Type: "AA", Catalog: "FunctionGraph",
		Links: links{Self: baseURL(r) + "/v3/roles/" + string(role)}}
	item.Policy.Version = "1.1"
	item.Policy.Statement = append(item.Policy.Statement, struct {
		Effect string   `json:"Effect"`
		Action []string `json:"Action"`
	}{Effect: "Allow"})
	for _, a := range []faas.Action{faas.ActionRead, faas.ActionWrite, faas.ActionInvoke, faas.ActionAdminister} {
		if role.Allows(a) {
			item.Policy.Statement[0].Action = append(item.Policy.Statement[0].Action, "functiongraph:*:"+string(a))
		}
	}
	return item
}

func (f face) listRoles(w http.ResponseWriter, r *http.Request) error {
	return writeRoles(w, r, faas.Roles)
}

func writeRoles(w http.ResponseWriter, r *http.Request, roles []faas.Role) error {
	out := make([]roleItem, 0, len(roles))
	for _, role := range roles {
		out = append(out, roleOf(r, role))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]any{"roles": out, "links": selfLink(r), "total_number": len(out)})
}

func (f face) showRole(w http.ResponseWriter, r *http.Request) error {
	role := faas.Role(r.PathValue("role_id"))
	if !slices.Contains(faas.Roles, role) {
		return faas.NotFound("role", string(role))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]roleItem{"role": roleOf(r, role)})
}

type agencyItem struct {
	ID              string  `json:"id"`
	Name            string  `json:"name"`
	DomainID        string  `json:"domain_id"`
	Description     string  `json:"description"`
	TrustDomainID   string  `json:"trust_domain_id"`
	TrustDomainName string  `json:"trust_domain_name"`
	Duration        string  `json:"duration"`
	CreateTime      string  `json:"create_time"`
	ExpireTime      *string `json:"expire_time"` // never
}

func agencyOf(a faas.Agency) agencyItem {
	return agencyItem{ID: a.ID, Name: a.Name, DomainID: a.DomainID, Description: a.Description, TrustDomainName: trusted,
		Duration: lifetime, CreateTime: wireTime(a.CreatedAt)}
}

type agencyRequest struct {
	Agency struct {
		Name            string          `json:"name"`
		DomainID        string          `json:"domain_id"`
		TrustDomainID   string          `json:"trust_domain_id"`
		TrustDomainName string          `json:"trust_domain_name"`
		Description     *string         `json:"description"`
		Duration        json.RawMessage `json:"duration"`
	} `json:"agency"`
}

// readAgency holds a request to what an agency can be here: of the own domain, for functions, and without an end.
func (f face) readAgency(r *http.Request) (faas.Principal, agencyRequest, error) {
	var q agencyRequest
	p := httpkit.PrincipalOf(r.Context())
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return p, q, err
	}
	if err := firstError(ownDomain(p, q.Agency.DomainID), notKept("trust_domain_id", q.Agency.TrustDomainID)); err != nil {
		return p, q, err
	}
	if t := q.Agency.TrustDomainName; t != "" && t != trusted {
		return p, q, faas.Errorf(faas.CodeUnsupported, "trust_domain_name", "agencies of this server are for its functions: trust_domain_name must be %s", trusted)
	}
	switch string(q.Agency.Duration) {
	case "", "null", `""`, `"` + lifetime + `"`:
	default:
		return p, q, faas.Errorf(faas.CodeUnsupported, "duration", "agencies of this server have no end: duration must be %s", lifetime)
	}
	return p, q, nil
}

func writeAgency(w http.ResponseWriter, status int, a faas.Agency) error {
	return httpkit.WriteJSON(w, status, map[string]agencyItem{"agency": agencyOf(a)})
}

func (f face) listAgencies(w http.ResponseWriter, r *http.Request) error {
	p, q := httpkit.PrincipalOf(r.Context()), r.URL.Query()
	if err := ownDomain(p, q.Get("domain_id")); err != nil {
		return err
	}
	var all []faas.Agency
	if t := q.Get("trust_domain_id"); t == "" || t == trusted {
		var err error
		if all, err = f.Agencies.Agencies(r.Context(), p, q.Get("name")); err != nil {
			return err
		}
	}
	all, err := page(r, all)
	if err != nil {
		return err
	}
	out := make([]agencyItem, 0, len(all))
	for _, a := range all {
		out = append(out, agencyOf(a))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]agencyItem{"agencies": out})
}

func (f face) createAgency(w http.ResponseWriter, r *http.Request) error {
	p, q, err := f.readAgency(r)
	if err != nil {
		return err
	}
	description := ""
	if q.Agency.Description != nil {
		description = *q.Agency.Description
	}
	a, err := f.Agencies.CreateAgency(r.Context(), p, q.Agency.Name, description)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "agency "+a.Name+" "+a.ID)
	return writeAgency(w, http.StatusCreated, a)
}

func (f face) showAgency(w http.ResponseWriter, r *http.Request) error {
	a, err := f.Agencies.Agency(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("agency_id"))
	if err != nil {
		return err
	}
	return writeAgency(w, http.StatusOK, a)
}

func (f face) updateAgency(w http.ResponseWriter, r *http.Request) error {
	p, q, err := f.readAgency(r)
	if err != nil {
		return err
	}
	a, err := f.Agencies.Agency(r.Context(), p, r.PathValue("agency_id"))
	if err == nil && q.Agency.Description != nil {
		a, err = f.Agencies.DescribeAgency(r.Context(), p, a.ID, *q.Agency.Description)
	}
	if err != nil {
		return err
	}
	return writeAgency(w, http.StatusOK, a)
}

func (f face) deleteAgency(w http.ResponseWriter, r *http.Request) error {
	if err := f.Agencies.DeleteAgency(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("agency_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// roleAt gives the role that the agency of the path has in the project of the path, or in all projects; "" for none.
func (f face) roleAt(r *http.Request) (faas.Agency, faas.Role, error) {
	p := httpkit.PrincipalOf(r.Context())
	if err := ownDomain(p, r.PathValue("domain_id")); err != nil {
		return faas.Agency{}, "", err
	}
	a, err := f.Agencies.Agency(r.Context(), p, r.PathValue("agency_id"))
	if err != nil {
		return a, "", err
	}
	all, err := f.Agencies.Roles(r.Context(), a.ID)
	for _, b := range all {
		if b.ProjectID == r.PathValue("project_id") {
			return a, b.Role, err
		}
	}
	return a, "", err
}

func (f face) agencyRoles(w http.ResponseWriter, r *http.Request) error {
	_, has, err := f.roleAt(r)
	if err != nil {
		return err
	}
	var roles []faas.Role
	if has != "" {
		roles = append(roles, has)
	}
	return writeRoles(w, r, roles)
}

// giveRole gives the one role that an agency may have in one place. Another that it has there is not taken away silently.
func (f face) giveRole(w http.ResponseWriter, r *http.Request) error {
	role := faas.Role(r.PathValue("role_id"))
	if err := faas.CheckRole(role); err != nil {
		return err
	}
	a, has, err := f.roleAt(r)
	if err != nil {
		return err
	}
	if has != "" && has != role {
		return faas.Errorf(faas.CodeConflict, "role", "the agency is %s there already; it has one role in one place: take that away first", has)
	}
	return f.setRole(w, r, a, role)
}

func (f face) takeRole(w http.ResponseWriter, r *http.Request) error {
	a, has, err := f.roleAt(r)
	if err != nil {
		return err
	}
	if has == "" || string(has) != r.PathValue("role_id") {
		return faas.NotFound("role", r.PathValue("role_id"))
	}
	return f.setRole(w, r, a, "")
}

func (f face) setRole(w http.ResponseWriter, r *http.Request, a faas.Agency, role faas.Role) error {
	b := faas.Binding{HolderID: a.ID, ProjectID: r.PathValue("project_id"), Role: role}
	if err := f.Agencies.SetRole(r.Context(), httpkit.PrincipalOf(r.Context()), b); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) checkRole(w http.ResponseWriter, r *http.Request) error {
	_, has, err := f.roleAt(r)
	if err != nil {
		return err
	}
	if has == "" || string(has) != r.PathValue("role_id") {
		return faas.NotFound("role", r.PathValue("role_id"))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Sessions gives what is good for a while; auth.Auth is one.
type Sessions interface {
	AssumeAgency(ctx context.Context, p faas.Principal, name string, scope auth.Scope) (auth.Token, error)
	TemporaryKey(ctx context.Context, token string, life time.Duration) (faas.Credentials, error)
	Verify(ctx context.Context, token string) (auth.Token, faas.Principal, error)
}

type sessionRequest struct {
	Auth struct {
		Identity struct {
			Methods []string `json:"methods"`
			Token   struct {
				ID              string `json:"id"`
				DurationSeconds *int64 `json:"duration_seconds"`
			} `json:"token"`
			AssumeRole struct {
				assumeRole
				DurationSeconds *int64          `json:"duration_seconds"`
				SessionUser     json.RawMessage `json:"session_user"`
			} `json:"assume_role"`
			Policy json.RawMessage `json:"policy"`
		} `json:"identity"`
	} `json:"auth"`
}

type assumeRole struct {
	AgencyName string `json:"agency_name"`
	DomainID   string `json:"domain_id"`
	DomainName string `json:"domain_name"`
}

type temporaryKey struct {
	Access        string `json:"access"`
	Secret        string `json:"secret"`
	SecurityToken string `json:"securitytoken"`
	ExpiresAt     string `json:"expires_at"`
}

// createTemporaryKey gives a temporary key for a token, or for an agency that the caller's token may act as.
func (f face) createTemporaryKey(w http.ResponseWriter, r *http.Request) error {
	var q sessionRequest
	ctx, p := r.Context(), httpkit.PrincipalOf(r.Context())
	if err := httpkit.DecodeJSON(httpkit.BodyOf(ctx), &q); err != nil {
		return err
	}
	id := q.Auth.Identity
	if len(id.Policy) > 0 && string(id.Policy) != "null" || len(id.AssumeRole.SessionUser) > 0 && string(id.AssumeRole.SessionUser) != "null" {
		return faas.Errorf(faas.CodeUnsupported, "policy", "policy and session_user are not supported by this server; leave them out")
	}
	token, life := id.Token.ID, lifeOf(id.Token.DurationSeconds)
	switch {
	case slices.Equal(id.Methods, []string{"token"}):
		if token == "" {
			token = r.Header.Get("X-Auth-Token")
		}
	case slices.Equal(id.Methods, []string{"assume_role"}):
		if err := sameDomain(p, id.AssumeRole.assumeRole); err != nil {
			return err
		}
		assumed, err := f.Sessions.AssumeAgency(ctx, p, id.AssumeRole.AgencyName, auth.Scope{})
		if err != nil {
			return err
		}
		token, life = assumed.Text, lifeOf(id.AssumeRole.DurationSeconds)
	default:
		return faas.Errorf(faas.CodeInvalid, "methods", "auth.identity.methods must name one method, token or assume_role")
	}
	if token == "" {
		return faas.Errorf(faas.CodeInvalid, "token", "auth.identity.token.id or the header X-Auth-Token is needed")
	}
	c, err := f.Sessions.TemporaryKey(ctx, token, life)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusCreated, map[string]temporaryKey{"credential": {c.AccessKey, c.SecretKey, c.SecurityToken, wireTime(c.ExpiresAt)}})
}

// sameDomain refuses an agency of another domain.
func sameDomain(p faas.Principal, a assumeRole) error {
	if a.DomainName != "" && a.DomainName != p.Domain {
		return ownDomain(p, "another")
	}
	return ownDomain(p, a.DomainID)
}

// assume gives a token of an agency to whom the token in X-Auth-Token proves.
func (f face) assume(r *http.Request, req *tokenRequest, scope auth.Scope) (auth.Token, error) {
	_, p, err := f.Sessions.Verify(r.Context(), r.Header.Get("X-Auth-Token"))
	if err != nil {
		return auth.Token{}, err
	}
	if err := sameDomain(p, req.Auth.Identity.AssumeRole); err != nil {
		return auth.Token{}, err
	}
	return f.Sessions.AssumeAgency(r.Context(), p, req.Auth.Identity.AssumeRole.AgencyName, scope)
}

// validateToken shows a token to whom it belongs, and to administrators.
func (f face) validateToken(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	t, of, err := f.Sessions.Verify(r.Context(), r.Header.Get("X-Subject-Token"))
	if err != nil {
		if faas.CodeOf(err) == faas.CodeUnauthenticated {
			err = faas.NotFound("token", "of X-Subject-Token")
		}
		return err
	}
	if of.UserID != p.UserID {
		if err := firstError(ownDomain(p, of.DomainID), f.Keys.Can(r.Context(), p, auth.ActionAdminister, auth.Resource{DomainID: p.DomainID})); err != nil {
			return err
		}
	}
	answer, err := f.tokenAnswer(r, t)
	if err != nil {
		return err
	}
	w.Header().Set("X-Subject-Token", t.Text)
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}
