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
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Permissions decides what a principal may do; auth.Auth is one.
type Permissions interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
}

// Runs gives the newest runs; invoke.Recent is one.
type Runs interface {
	After(key faas.FunctionKey, seq uint64, limit int) ([]invoke.Run, <-chan struct{})
}

// Config is what New needs.
type Config struct {
	Permissions  Permissions
	Runs         Runs
	Jobs         Jobs
	JobList      JobList
	Webhooks     Webhooks
	Status       func() Status
	Runtimes     func() []Runtime
	WriteMetrics func(io.Writer)
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

type run struct {
	Seq        uint64    `json:"seq"`
	ID         string    `json:"id"`
	Source     string    `json:"source"`
	Version    string    `json:"version"`
	Begun      time.Time `json:"begun"`
	TookMS     float64   `json:"took_ms"`
	QueuedMS   float64   `json:"queued_ms"`
	InitMS     float64   `json:"init_ms"`
	RunMS      float64   `json:"run_ms"`
	Cold       bool      `json:"cold"`
	MemoryPeak int64     `json:"memory_peak"` // bytes
	MemoryMB   int       `json:"memory_mb"`
	Status     string    `json:"status"` // ok, or the code of the failure
	Message    string    `json:"message"`
	Logs       []logLine `json:"logs"`
	Dropped    int64     `json:"dropped"` // bytes of log beyond the limit of a call
}

type logLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// limits of GET .../runs
const (
	defaultRuns = 50
	maxRuns     = 500
	maxWait     = 30 // seconds
)

type face struct{ cfg Config }

// New gives the face.
func New(cfg Config) httpkit.Face {
	f := face{cfg}
	return httpkit.Face{Name: "admin", WriteError: writeError, Routes: append([]httpkit.Route{
		{Method: "GET", Path: "/healthz", Operation: "Health", Open: true, Handle: f.health},
		{Method: "GET", Path: "/metrics", Operation: "Metrics", Open: true, Handle: f.metrics},
		{Method: "GET", Path: "/admin/v1/status", Operation: "ShowStatus", Handle: f.status},
		{Method: "GET", Path: "/admin/v1/runtimes", Operation: "ListRuntimes", Handle: f.runtimes},
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/functions/{package}/{name}/runs", Operation: "ListRuns", Handle: f.runs},
		{Method: "POST", Path: "/admin/v1/projects/{project_id}/events/obs", Operation: "PostBucketEvents", Handle: f.postBucketEvents},
	}, f.jobRoutes()...)}
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

// runs answers the runs behind a position, at once when there are any, else when there is one or the wait is over.
func (f face) runs(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	key := faas.FunctionKey{Project: r.PathValue("project_id"), Package: r.PathValue("package"), Name: r.PathValue("name")}
	if err := f.cfg.Permissions.Can(ctx, httpkit.PrincipalOf(ctx), auth.ActionRead, auth.Resource{ProjectID: key.Project}); err != nil {
		return err
	}
	after, err := number(r, "after", 0, 1<<62)
	limit, err2 := number(r, "limit", defaultRuns, maxRuns)
	wait, err3 := number(r, "wait", 0, maxWait)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	over := time.NewTimer(time.Duration(wait) * time.Second)
	defer over.Stop()
	for {
		found, changed := f.cfg.Runs.After(key, uint64(after), int(max(limit, 1)))
		if len(found) > 0 || wait == 0 {
			return writeRuns(w, found)
		}
		select {
		case <-changed:
		case <-over.C:
			return writeRuns(w, nil)
		case <-ctx.Done():
			return faas.Errorf(faas.CodeCancelled, "", "the caller went away")
		}
	}
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

func writeRuns(w http.ResponseWriter, found []invoke.Run) error {
	runs := make([]run, 0, len(found))
	for _, r := range found {
		runs = append(runs, fromRun(r))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]run{"runs": runs})
}

func fromRun(r invoke.Run) run {
	out := run{Seq: r.Seq, ID: r.ID, Source: r.Source, Version: r.Key.Version, Begun: r.Begun, TookMS: ms(r.Took), Status: "ok", Logs: []logLine{}}
	if r.Err != nil {
		out.Status = string(faas.CodeOf(r.Err))
		var expected *faas.Error
		if errors.As(r.Err, &expected) {
			out.Message = expected.Message
		}
		return out
	}
	res := r.Result
	out.QueuedMS, out.InitMS, out.RunMS = ms(res.Queued), ms(res.Init), ms(res.Run)
	out.Cold, out.MemoryPeak, out.MemoryMB, out.Dropped = res.Cold, res.MemoryPeak, res.MemoryMB, res.Dropped
	if res.Failure != nil {
		out.Status, out.Message = string(res.Failure.Code), res.Failure.Message
	}
	for _, l := range res.Logs {
		out.Logs = append(out.Logs, logLine{l.Time, l.Level, l.Text})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

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
