// Package iam is the identity face: tokens, projects, domains and users, as far as clients of FunctionGraph ask for them
// (FunctionGraph reference, sections 7.1 and 7.3).
//
// It must not know functions, SQL, nor how a proof is checked.
package iam

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Identities is what the face needs of auth.
type Identities interface {
	Login(ctx context.Context, proof auth.Proof, scope auth.Scope, source string) (auth.Token, error)
	Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error)
	Users(ctx context.Context, p faas.Principal, name string) ([]faas.User, error)
}

// Config is what New needs.
type Config struct {
	Identities Identities
	People     People
	Keys       Keys
	Agencies   Agencies
	Sessions   Sessions
	Region     string // of the endpoints in a token's catalog
}

type face struct{ Config }

// New gives the face.
func New(cfg Config) httpkit.Face {
	f := face{cfg}
	return httpkit.Face{Name: "iam", WriteError: writeError, Routes: slices.Concat([]httpkit.Route{
		{Method: "POST", Path: "/v3/auth/tokens", Operation: "KeystoneCreateToken", Open: true, MaxBody: 64 << 10, Handle: f.createToken},
		{Method: "GET", Path: "/v3/projects", Operation: "KeystoneListProjects", Action: auth.ActionSelf, Handle: f.listProjects},
		{Method: "GET", Path: "/v3/auth/projects", Operation: "KeystoneListAuthProjects", Action: auth.ActionSelf, Handle: f.listAuthProjects},
		{Method: "GET", Path: "/v3/auth/domains", Operation: "KeystoneListAuthDomains", Action: auth.ActionSelf, Handle: f.listAuthDomains},
		{Method: "GET", Path: "/v3/users", Operation: "KeystoneListUsers", Action: auth.ActionSelf, Handle: f.listUsers},
		{Method: "GET", Path: "/v3/auth/tokens", Operation: "KeystoneValidateToken", Action: auth.ActionSelf, Handle: f.validateToken},
		{Method: "POST", Path: "/v3.0/OS-CREDENTIAL/securitytokens", Operation: "CreateTemporaryAccessKey", Action: auth.ActionSelf, Handle: f.createTemporaryKey},
	}, f.peopleRoutes(), f.agencyRoutes())}
}

func (f face) createToken(w http.ResponseWriter, r *http.Request) error {
	var req tokenRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &req); err != nil {
		return err
	}
	token, err := f.token(r, &req)
	if err != nil {
		return err
	}
	answer, err := f.tokenAnswer(r, token)
	if err != nil {
		return err
	}
	w.Header().Set("X-Subject-Token", token.Text)
	return httpkit.WriteJSON(w, http.StatusCreated, answer)
}

// token gives the token that a request asks for.
func (f face) token(r *http.Request, req *tokenRequest) (auth.Token, error) {
	scope, err := req.scope()
	if slices.Equal(req.Auth.Identity.Methods, []string{"assume_role"}) {
		if err != nil {
			return auth.Token{}, err
		}
		return f.assume(r, req, scope)
	}
	proof, err2 := req.proof(r.Header.Get("X-Auth-Token"))
	if err := firstError(err2, err); err != nil {
		return auth.Token{}, err
	}
	return f.Identities.Login(r.Context(), proof, scope, source(r))
}

// tokenAnswer shows a token with the roles that hold in its scope.
func (f face) tokenAnswer(r *http.Request, t auth.Token) (tokenAnswer, error) {
	holder := cmp.Or(t.Agency.ID, t.User.ID)
	roles, err := f.Agencies.Roles(r.Context(), holder)
	answer := tokenAnswerOf(t, roles)
	if !r.URL.Query().Has("nocatalog") {
		answer.Token.Catalog = catalog(baseURL(r), f.Region, t.Project.ID)
	}
	return answer, err
}

// source is where a request comes from, without the port.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// baseURL is this server as the client knows it.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (f face) listProjects(w http.ResponseWriter, r *http.Request) error {
	p, q := httpkit.PrincipalOf(r.Context()), r.URL.Query()
	if !ofDomain(r, p) || q.Get("is_domain") == "true" || cmp.Or(q.Get("parent_id"), p.DomainID) != p.DomainID {
		return writeProjects(w, r, nil)
	}
	found, err := f.Identities.Projects(r.Context(), p, q.Get("name"))
	if err != nil {
		return err
	}
	return writeProjects(w, r, found)
}

func (f face) listAuthProjects(w http.ResponseWriter, r *http.Request) error {
	found, err := f.Identities.Projects(r.Context(), httpkit.PrincipalOf(r.Context()), "")
	if err != nil {
		return err
	}
	return writeProjects(w, r, found)
}

func projectOf(r *http.Request, p faas.Project) projectItem {
	return projectItem{ID: p.ID, Name: p.Name, DomainID: p.DomainID, ParentID: p.DomainID, Enabled: true, Links: links{Self: baseURL(r) + "/v3/projects/" + p.ID}}
}

func userOf(r *http.Request, u faas.User) userItem {
	return userItem{ID: u.ID, Name: u.Name, DomainID: u.DomainID, Enabled: !u.Disabled, PasswordStatus: true, Links: links{Self: baseURL(r) + "/v3/users/" + u.ID}}
}

func writeProjects(w http.ResponseWriter, r *http.Request, found []faas.Project) error {
	found, err := page(r, found)
	if err != nil {
		return err
	}
	answer := projectsAnswer{Projects: []projectItem{}, Links: selfLink(r)}
	for _, p := range found {
		answer.Projects = append(answer.Projects, projectOf(r, p))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (f face) listAuthDomains(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	return httpkit.WriteJSON(w, http.StatusOK, domainsAnswer{
		Domains: []domainItem{{ID: p.DomainID, Name: p.Domain, Enabled: true, Links: links{Self: baseURL(r) + "/v3/domains/" + p.DomainID}}},
		Links:   selfLink(r),
	})
}

func (f face) listUsers(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	var found []faas.User
	var err error
	if ofDomain(r, p) {
		if found, err = f.Identities.Users(r.Context(), p, r.URL.Query().Get("name")); err != nil {
			return err
		}
	}
	if found, err = page(r, found); err != nil {
		return err
	}
	answer := usersAnswer{Users: []userItem{}, Links: selfLink(r)}
	for _, u := range found {
		answer.Users = append(answer.Users, userOf(r, u))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// ofDomain tells whether the filters on domain and state leave anything: one sees one's own domain, where all is enabled.
func ofDomain(r *http.Request, p faas.Principal) bool {
	q := r.URL.Query()
	return cmp.Or(q.Get("domain_id"), p.DomainID) == p.DomainID && cmp.Or(q.Get("enabled"), "true") == "true"
}

// page cuts a listing by page (from 1) and per_page (1 to 5000); both or neither are given.
func page[T any](r *http.Request, all []T) ([]T, error) {
	q := r.URL.Query()
	if !q.Has("page") && !q.Has("per_page") {
		return all, nil
	}
	number, err := strconv.Atoi(q.Get("page"))
	if err != nil || number < 1 || number > 1_000_000 {
		return nil, faas.Errorf(faas.CodeInvalid, "page", "page must be a number from 1 on, given together with per_page")
	}
	size, err := strconv.Atoi(q.Get("per_page"))
	if err != nil || size < 1 || size > 5000 {
		return nil, faas.Errorf(faas.CodeInvalid, "per_page", "per_page must be 1 to 5000, given together with page")
	}
	from := min((number-1)*size, len(all))
	return all[from:min(from+size, len(all))], nil
}

func selfLink(r *http.Request) links {
	return links{Self: fmt.Sprintf("%s%s", baseURL(r), r.URL.RequestURI())}
}
