// Package admin is hanshu's own face: what the command line and operators need and no dialect has. Paths /admin/v1/...,
// /healthz and /metrics.
//
// It must not know rules; those are in control and invoke.
package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Permissions decides what a principal may do; auth.Auth is one.
type Permissions interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
}

// Config is what New needs.
type Config struct {
	Permissions  Permissions
	Runs         Runs
	Invoker      Invoker
	Jobs         Jobs
	JobList      JobList
	Webhooks     Webhooks
	Placed       *control.Gateways
	Gateways     Gateways
	Walls        Walls
	Dependencies Dependencies
	People       People
	Audit        Audit
	Status       func() Status
	Runtimes     func() []Runtime
	WriteMetrics func(io.Writer)
	// WorkflowSchema is the JSON Schema of the definitions of workflows.
	WorkflowSchema []byte
	// PostBucketEvents hands a bucket's notification to the triggers of a project, and tells how many calls it becomes.
	PostBucketEvents func(ctx context.Context, project string, body []byte) (int, error)
	Healthy          func(ctx context.Context) error // asked by /healthz; nil means ready
}

// Status tells about a server.
type Status struct {
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Region    string    `json:"region"`
	Database  string    `json:"database"` // "sqlite" or "postgres"
	DataDir   string    `json:"data_dir"`
	Sandbox   Sandbox   `json:"sandbox"`
}

// Sandbox tells how functions are kept in.
type Sandbox struct {
	Driver   string   `json:"driver"`
	Level    string   `json:"level"`
	Isolated bool     `json:"isolated"`
	Lacks    []string `json:"lacks"`
}

// Runtime tells how a runtime name is served here.
type Runtime struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Status  string `json:"status"` // exact, served (by another version) or missing
	Version string `json:"version"`
	Path    string `json:"path"`
	Note    string `json:"note"`
}

type face struct{ cfg Config }

// New gives the face.
func New(cfg Config) httpkit.Face {
	f := face{cfg}
	return httpkit.Face{Name: "admin", WriteError: writeError, Routes: slices.Concat([]httpkit.Route{
		{Method: "GET", Path: "/healthz", Operation: "Health", Open: true, Handle: f.health},
		{Method: "GET", Path: "/metrics", Operation: "Metrics", Open: true, Handle: f.metrics},
		{Method: "GET", Path: "/admin/v1/status", Operation: "ShowStatus", Action: auth.ActionSelf, Handle: f.status},
		{Method: "GET", Path: "/admin/v1/runtimes", Operation: "ListRuntimes", Action: auth.ActionSelf, Handle: f.runtimes},
		{Method: "GET", Path: "/admin/v1/workflow-schema", Operation: "ShowWorkflowSchema", Action: auth.ActionSelf, Handle: f.workflowSchema},
		{Method: "POST", Path: "/admin/v1/projects/{project_id}/events/obs", Operation: "PostBucketEvents", Action: auth.ActionInvoke, Handle: f.postBucketEvents},
	}, f.runRoutes(), f.jobRoutes(), f.dependencyRoutes(), f.peopleRoutes(), f.keyRoutes(), f.auditRoutes(), f.wallRoutes(), f.gatewayRoutes())}
}

func (f face) health(w http.ResponseWriter, r *http.Request) error {
	if f.cfg.Healthy != nil {
		if err := f.cfg.Healthy(r.Context()); err != nil {
			return &faas.Error{Code: faas.CodeUnavailable, Message: "not ready", Err: err}
		}
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// metrics answers without credentials, which scrapers seldom have, but to this machine alone.
func (f face) metrics(w http.ResponseWriter, r *http.Request) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return faas.Errorf(faas.CodeForbidden, "", "metrics are given to this machine only")
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	f.cfg.WriteMetrics(w)
	return nil
}

func (f face) status(w http.ResponseWriter, _ *http.Request) error {
	return httpkit.WriteJSON(w, http.StatusOK, f.cfg.Status())
}

func (f face) runtimes(w http.ResponseWriter, _ *http.Request) error {
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]Runtime{"runtimes": f.cfg.Runtimes()})
}

// postBucketEvents takes a notification in the shape of S3 for all triggers of the project, from a sender that can prove who it is.
// It answers when all of it is on disk.
func (f face) postBucketEvents(w http.ResponseWriter, r *http.Request) error {
	ctx, project := r.Context(), r.PathValue("project_id")
	if err := f.cfg.Permissions.Can(ctx, httpkit.PrincipalOf(ctx), auth.ActionInvoke, auth.Resource{ProjectID: project}); err != nil {
		return err
	}
	n, err := f.cfg.PostBucketEvents(ctx, project, httpkit.BodyOf(ctx))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]int{"accepted": n})
}

func number(r *http.Request, name string, def, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, faas.Errorf(faas.CodeInvalid, name, "%s must be a number from 0 to %d", name, most)
	}
	return n, nil
}

// writeError answers {"error":{"code","message"}}.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	status, message := http.StatusInternalServerError, "internal error"
	code := faas.CodeOf(err)
	var expected *faas.Error
	if errors.As(err, &expected) {
		message = expected.Message
		switch code {
		case faas.CodeUnauthenticated:
			status = http.StatusUnauthorized
		case faas.CodeForbidden:
			status = http.StatusForbidden
		case faas.CodeNotFound:
			status = http.StatusNotFound
		case faas.CodeConflict, faas.CodeExists:
			status = http.StatusConflict
		case faas.CodeTooLarge:
			status = http.StatusRequestEntityTooLarge
		case faas.CodeOverload:
			status = http.StatusTooManyRequests
		case faas.CodeUnavailable:
			status = http.StatusServiceUnavailable
		default:
			if code.Fault() == faas.FaultCaller {
				status = http.StatusBadRequest
			}
		}
	}
	_ = httpkit.WriteJSON(w, status, map[string]map[string]string{"error": {"code": string(code), "message": message}})
}
