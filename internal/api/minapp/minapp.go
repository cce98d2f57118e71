// Package minapp speaks the cloud-function interfaces of minapp: /userve and /oserve for owners, /hserve for clients, and the
// OAuth that leads to them (minapp reference 1 and 2).
//
// It is a codec. It must not know SQL, processes, or any rule on functions that control does not already keep. What the dialect
// means otherwise than the others is a named field of faas: the contract of a handler, the title of a function.
package minapp

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Access decides who may work in a project; auth.Auth is one.
type Access interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
	// Projects lists the projects of the caller's domain; name "" for all.
	Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error)
}

// Logins hands out tokens; auth.Auth is one.
type Logins interface {
	ClientCode(ctx context.Context, id, secret string) (code string, life time.Duration, err error)
	Exchange(ctx context.Context, id, secret string, kind faas.GrantKind, text string) (auth.Pair, error)
	LoginToClient(ctx context.Context, clientID, name, password, source string) (auth.UserToken, error)
	ClientByID(ctx context.Context, id string) (faas.OAuthClient, error)
}

// Invoker runs a call; invoke.Invoker is one. The answer's Failure is the function's own doing, an error everyone else's.
type Invoker interface {
	Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error)
}

// Jobs accepts calls that are made later. Enqueue returns when the job is on disk.
type Jobs interface {
	Enqueue(ctx context.Context, job faas.Job) error
}

// JobList tells what has become of accepted calls.
type JobList interface {
	Jobs(ctx context.Context, f faas.JobFilter) ([]faas.JobStatus, error)
}

// Records shows what is kept of calls.
type Records interface {
	// Calls lists the youngest first, and counts all that match.
	Calls(ctx context.Context, f faas.CallFilter) ([]faas.CallRecord, int64, error)
	// Call error: CodeNotFound, field "job".
	Call(ctx context.Context, project string, number int64) (faas.CallRecord, error)
}

// Ledger takes records in; invoke.Ledger is one.
type Ledger interface{ Add(r faas.CallRecord) }

// Sealer seals the addresses of logs.
type Sealer interface {
	Seal(label string, plain []byte) []byte
	Open(label string, sealed []byte) ([]byte, error)
}

// Config is what the API needs. All of it is required but Now.
type Config struct {
	Functions *control.Functions
	Invoker   Invoker
	Access    Access
	Logins    Logins
	Jobs      Jobs
	JobList   JobList
	Records   Records
	Ledger    Ledger
	Sealer    Sealer
	Runtime   func() string    // of a function that is made: the newest Node.js here
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

// The limits of the dialect (minapp reference 5).
const (
	SyncLimit    = 5 * time.Second
	AsyncLimit   = 300 * time.Second
	SyncPatience = 2 * time.Second // for a free place
	AsyncMaxAge  = 5 * time.Minute // likewise, from attempt to attempt
	memoryFree   = 128             // MB
	memoryOwn    = 256
)

// Plans are the calls at a time in one project, by memory size in MB.
func Plans() map[int]int { return map[int]int{memoryFree: 100, memoryOwn: 10} }

const (
	dashboard = "/userve"
	open      = "/oserve"
	clients   = "/hserve"
)

// Prefixes begin the paths of the dialect.
func Prefixes() []string { return []string{dashboard + "/", open + "/", clients + "/", "/api/oauth2/"} }

// Face is the dialect as routes.
func (a *API) Face() httpkit.Face {
	return httpkit.Face{Name: "minapp", Asks: true, Routes: a.routes(), WriteError: writeError}
}

// maxBody holds the largest event and what stands around it.
const maxBody = faas.MaxEventBytes + 64<<10

func (a *API) routes() []httpkit.Route {
	var all []httpkit.Route
	for _, prefix := range []string{dashboard, open} {
		const functions = "/v1.3/cloud-function/"
		const function = functions + "{name}/"
		all = append(all,
			httpkit.Route{Method: http.MethodPost, Path: prefix + functions, Operation: "CreateCloudFunction", MaxBody: maxBody, Handle: a.create},
			httpkit.Route{Method: http.MethodGet, Path: prefix + functions, Operation: "ListCloudFunctions", Handle: a.list},
			httpkit.Route{Method: http.MethodGet, Path: prefix + function, Operation: "ShowCloudFunction", Handle: a.show},
			httpkit.Route{Method: http.MethodPatch, Path: prefix + function, Operation: "UpdateCloudFunction", MaxBody: maxBody, Handle: a.patch},
			httpkit.Route{Method: http.MethodDelete, Path: prefix + function, Operation: "DeleteCloudFunction", Handle: a.remove},
			httpkit.Route{Method: http.MethodPost, Path: prefix + function + "job/", Operation: "CreateJob", Action: auth.ActionInvoke, MaxBody: maxBody, Handle: a.trigger},
			httpkit.Route{Method: http.MethodGet, Path: prefix + function + "job/", Operation: "ListJobs", Handle: a.listJobs},
		)
	}
	all = append(all,
		httpkit.Route{Method: http.MethodPost, Path: open + "/v1.3/cloud-function/{name}/debug/", Operation: "DebugCloudFunction", Action: auth.ActionInvoke, MaxBody: maxBody, Handle: a.debug},
		httpkit.Route{Method: http.MethodPost, Path: open + "/v1/cloud-function/job/", Operation: "CreateJobByName", Action: auth.ActionInvoke, MaxBody: maxBody, Handle: a.triggerByName},
		httpkit.Route{Method: http.MethodPost, Path: clients + "/v1/cloud-function/job/", Operation: "CreateClientJob", Action: auth.ActionInvoke, MaxBody: maxBody, Handle: a.triggerByName},
		httpkit.Route{Method: http.MethodGet, Path: clients + "/v2.5/user/info/{id}/", Operation: "ShowClientUser", Action: auth.ActionInvoke, Handle: a.userInfo},
		httpkit.Route{Method: http.MethodPost, Path: clients + "/v2.1/login/username/", Operation: "LoginByUsername", Open: true, Handle: a.loginByName},
		httpkit.Route{Method: http.MethodPost, Path: clients + "/v2.0/login/anonymous/", Operation: "LoginAnonymously", Open: true, Handle: a.loginAnonymously},
		httpkit.Route{Method: http.MethodPost, Path: "/api/oauth2/hydrogen/openapi/authorize/", Operation: "Authorize", Open: true, Handle: a.authorize},
		httpkit.Route{Method: http.MethodPost, Path: "/api/oauth2/access_token/", Operation: "CreateAccessToken", Open: true, Handle: a.accessToken},
	)
	for _, r := range append([]httpkit.Route(nil), all...) {
		if strings.HasPrefix(r.Path, clients) {
			all = append(all, httpkit.Route{Method: http.MethodOptions, Path: r.Path, Operation: "Preflight", Open: true, Handle: preflight})
		}
	}
	// Clients leave the "/" at the end away, and a redirect would lose a body.
	for _, r := range append([]httpkit.Route(nil), all...) {
		r.Path = r.Path[:len(r.Path)-1]
		all = append(all, r)
	}
	return append(all,
		httpkit.Route{Method: http.MethodGet, Path: dashboard + "/v1.3/cloud-function-log/{file}", Operation: "ShowJobLog", Open: true, Handle: a.jobLog},
	)
}

// scope is where a request works: a project, and in it the package that its environment is.
type scope struct {
	project, pkg string
	principal    faas.Principal
}

const (
	headerEnv    = "X-Hydrogen-Env-ID"
	headerClient = "X-Hydrogen-Client-ID"
)

// enter finds the scope of a request and sees to it that the caller may do this there.
func (a *API) enter(r *http.Request, action auth.Action) (scope, error) {
	s := scope{principal: httpkit.PrincipalOf(r.Context()), pkg: cmp.Or(r.Header.Get(headerEnv), faas.DefaultPackage)}
	if s.project = s.principal.ProjectID; s.project == "" {
		all, err := a.Access.Projects(r.Context(), s.principal, "")
		if err != nil {
			return s, err
		}
		if len(all) != 1 {
			return s, faas.Errorf(faas.CodeForbidden, "project", "these credentials are good for %d projects; name one in X-Project-Id", len(all))
		}
		s.project = all[0].ID
	}
	if id := r.Header.Get(headerClient); id != "" {
		c, err := a.Logins.ClientByID(r.Context(), id)
		if err != nil {
			return s, err
		}
		if c.ProjectID != s.project {
			return s, faas.Errorf(faas.CodeUnauthenticated, "client", "%s names another client than the token's", headerClient)
		}
	}
	if faas.CheckPackageName(s.pkg) != nil {
		return s, faas.Errorf(faas.CodeInvalid, headerEnv, "%s %.64q must be 1 to 60 letters, digits, '-' or '_', and start with a letter", headerEnv, s.pkg)
	}
	return s, a.Access.Can(r.Context(), s.principal, action, auth.Resource{ProjectID: s.project})
}

// target is enter for a path that names a function.
func (a *API) target(r *http.Request, action auth.Action) (scope, *faas.Function, error) {
	s, err := a.enter(r, action)
	if err != nil {
		return s, nil, err
	}
	f, err := a.Functions.ByTitle(r.Context(), s.project, s.pkg, r.PathValue("name"))
	return s, f, err
}
