// Package uiot speaks the interfaces of UIoT Stack that have to do with functions on gateways (edge reference 1.1 to 1.3):
// /api/v1/function/..., and beside them login, products, gateways, message routes and deployments.
//
// It is a codec. It must not know SQL, brokers, or any rule on functions and gateways that control does not already keep. What
// the dialect means otherwise than the others is a named field of faas: the contract of a handler, its configuration.
package uiot

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Access decides who may work in a project; auth.Auth is one.
type Access interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
	// Projects lists the projects of the caller's domain; name "" for all.
	Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error)
}

// Logins hands out tokens; auth.Auth is one.
type Logins interface {
	Login(ctx context.Context, proof auth.Proof, scope auth.Scope, source string) (auth.Token, error)
	WebToken(t auth.Token, claims map[string]any) (string, error)
}

// Gateways are sent what is bound to them; edge.Service is behind it.
type Gateways interface {
	// Refresh gives the version of the desired document that a gateway shall have now, and sends it to one that is online.
	Refresh(ctx context.Context, id faas.GatewayID) (uint64, error)
}

// Packages gives packages by their digest.
type Packages interface {
	Open(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Config is what the API needs. All of it is required but Now.
type Config struct {
	Functions *control.Functions
	Placed    *control.Gateways
	Gateways  Gateways
	Packages  Packages
	Access    Access
	Logins    Logins
	Links     *Links
	Domain    string           // of the users who log in
	Runtime   func() string    // of a function that asks for Python 3: the newest here
	Now       func() time.Time // nil for time.Now
}

// API is the dialect.
type API struct{ Config }

// New makes it.
func New(cfg Config) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &API{cfg}
}

// Prefixes begin the paths of the dialect.
func Prefixes() []string { return []string{"/api/v1/", filePrefix} }

// Face is the dialect as routes.
func (a *API) Face() httpkit.Face {
	return httpkit.Face{Name: "uiot", Asks: true, Routes: a.routes(), WriteError: writeError}
}

// maxBody holds the largest package as base64 and what stands around it.
const maxBody = faas.MaxPackageBytes/3*4 + 64<<10

func (a *API) routes() []httpkit.Route {
	post := func(path, operation string, handle httpkit.Handler) httpkit.Route {
		r := httpkit.Route{Method: http.MethodPost, Path: "/api/v1/" + path, Operation: operation, Action: auth.ActionWrite, Handle: handle}
		if strings.HasPrefix(operation, "List") || strings.HasPrefix(operation, "Show") {
			r.Action = auth.ActionRead
		}
		return r
	}
	create, update := post("function/create", "CreateFunction", a.create), post("function/update", "UpdateFunction", a.update)
	create.MaxBody, update.MaxBody = maxBody, maxBody
	login := post("user/login", "Login", a.login)
	login.Open, login.MaxBody = true, 64<<10
	all := []httpkit.Route{
		login, create, update,
		post("function/list", "ListFunctions", a.list),
		post("function/delete", "DeleteFunction", a.remove),
		post("function/info", "ShowFunction", a.info),
		post("function/bind", "BindFunction", a.bind),
		post("function/unbind", "UnbindFunction", a.unbind),
		post("function/bind/list", "ListBoundFunctions", a.listBound),
		post("function/unbind/list", "ListUnboundFunctions", a.listUnbound),
		post("function/config", "ConfigureFunction", a.configure),
		post("function/function_gatway", "ListGatewaysOfFunction", a.gatewaysOf), // spelt as the document does
		post("deployment/create", "CreateDeployment", a.deploy),
		post("deployment/info", "ShowDeployment", a.deployment),
		{Method: http.MethodGet, Path: filePrefix + "{file}", Operation: "DownloadCode", Open: true, Handle: a.download},
	}
	return append(append(all, a.deviceRoutes(post)...), a.messageRoutes(post)...)
}

// headerProject names the project of a request.
const headerProject = "Projectname"

// scope is where a request works.
type scope struct {
	project   string
	principal faas.Principal
	secrets   bool // may be shown: the caller may change what they are of
}

// enter finds the project of a request and sees to it that the caller may do this there.
func (a *API) enter(r *http.Request, action auth.Action) (scope, error) {
	s := scope{principal: httpkit.PrincipalOf(r.Context())}
	s.project = s.principal.ProjectID
	if name := r.Header.Get(headerProject); name != "" || s.project == "" {
		found, err := a.Access.Projects(r.Context(), s.principal, name)
		if err != nil {
			return s, err
		}
		if len(found) != 1 {
			return s, faas.Errorf(faas.CodeForbidden, "project", "ProjectName %.64q must name one of your projects", name)
		}
		s.project = found[0].ID
	}
	at := auth.Resource{ProjectID: s.project}
	s.secrets = a.Access.Can(r.Context(), s.principal, auth.ActionWrite, at) == nil
	return s, a.Access.Can(r.Context(), s.principal, action, at)
}

// secret gives one to who may see it, and "" to everyone else.
func (s *scope) secret(text string, err error) (string, error) {
	if !s.secrets {
		return "", err
	}
	return text, err
}

// begin is enter with the body read.
func begin[T any](a *API, r *http.Request, action auth.Action) (s scope, body T, err error) {
	if s, err = a.enter(r, action); err != nil {
		return s, body, err
	}
	return s, body, httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body)
}

type answer struct {
	Code int
	Data any `json:",omitempty"`
}

func ok(w http.ResponseWriter, data any) error {
	return httpkit.WriteJSON(w, http.StatusOK, answer{Data: data})
}

// page cuts what a request asks for out of a list. Error: CodeInvalid with the field.
func page[T any](all []T, offset, limit int) ([]T, error) {
	if offset < 0 {
		return nil, faas.Errorf(faas.CodeInvalid, "Offset", "Offset must not be negative")
	}
	if limit < 0 {
		return nil, faas.Errorf(faas.CodeInvalid, "Limit", "Limit must not be negative")
	}
	all = all[min(offset, len(all)):]
	if limit > 0 && limit < len(all) {
		all = all[:limit]
	}
	if all == nil {
		all = []T{}
	}
	return all, nil
}

// number gives an id of 32 hexadecimal digits as a number that JSON holds exactly: the dialect has numbers.
func number(id string) uint64 {
	n, err := strconv.ParseUint(id[:min(len(id), 13)], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
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

type loginRequest struct{ Username, Password string }

type loginData struct {
	ProjectList []projectItem
	ProjectName string
	Token       string
	Username    string
}

type projectItem struct {
	ProjectID   uint64
	ProjectName string
	CanDelete   bool
	Description string
	CreatedTime int64
}

// issuer stands in the tokens of the dialect (edge reference 1.1).
const issuer = "uiot stack-user"

func (a *API) login(w http.ResponseWriter, r *http.Request) error {
	var b loginRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &b); err != nil {
		return err
	}
	if b.Username == "" || b.Password == "" {
		return faas.Errorf(faas.CodeInvalid, "Username", "Username and Password must be given")
	}
	t, err := a.Logins.Login(r.Context(), auth.Proof{UserName: b.Username, DomainName: a.Domain, Password: b.Password}, auth.Scope{}, source(r))
	if err != nil {
		return err
	}
	text, err := a.Logins.WebToken(t, map[string]any{"UseID": number(t.User.ID), "Username": t.User.Name, "iss": issuer})
	if err != nil {
		return err
	}
	projects, err := a.Access.Projects(r.Context(), faas.Principal{UserID: t.User.ID, DomainID: t.Domain.ID}, "")
	if err != nil {
		return err
	}
	data := loginData{ProjectName: t.Project.Name, Token: text, Username: t.User.Name, ProjectList: []projectItem{}}
	for _, p := range projects {
		data.ProjectList = append(data.ProjectList, projectItem{ProjectID: number(p.ID), ProjectName: p.Name})
	}
	return ok(w, data)
}
