package httpkit

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Concerns adds to the audit entry of a request what it is about, where the path does not tell: the name of what is made. It must
// not be a secret.
func Concerns(ctx context.Context, what string) { exchangeOf(ctx).concerns = what }

// permit asks whether the caller may do what a route does. In a face whose handlers ask themselves, no project stands in the path.
func (e *endpoint) permit(r *http.Request, p faas.Principal) error {
	project := r.PathValue("project_id")
	if e.mux.cfg.Permit == nil || e.face.Asks && project == "" {
		return nil
	}
	return e.mux.cfg.Permit(r.Context(), p, e.route.Action, project)
}

// changes tells of a route whose every request stands in the audit log; of others only what was refused does.
func (r *Route) changes() bool {
	switch r.Action {
	case faas.ActionWrite, faas.ActionAdminister, faas.ActionSelf:
		return r.Method != http.MethodGet
	}
	return false
}

// finish writes the audit entry of a request that needs one, and then lets go of an answer that waited for it.
func (e *endpoint) finish(w *recorder, r *http.Request, x *exchange) {
	status := cmp.Or(w.status, http.StatusOK)
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	if e.mux.cfg.Audit != nil && (refused || e.route.changes()) {
		e.mux.cfg.Audit(context.WithoutCancel(r.Context()), e.entry(r, x, status))
	}
	if w.held != nil {
		body := w.held.Bytes()
		w.held = nil
		w.ResponseWriter.WriteHeader(status)
		_, _ = w.ResponseWriter.Write(body) // who asked may be gone
	}
}

// maxResource bounds what an entry says of a request, in bytes.
const maxResource = 512

func (e *endpoint) entry(r *http.Request, x *exchange, status int) faas.AuditEntry {
	p := x.principal
	a := faas.AuditEntry{
		At: time.Now().UTC(), DomainID: p.DomainID, ProjectID: cmp.Or(r.PathValue("project_id"), p.ProjectID), ActorID: p.UserID, Actor: p.UserName,
		For: p.For, Face: e.face.Name, Operation: e.route.Operation, Action: e.route.Action, RequestID: x.id, Status: status, Code: x.failure,
	}
	if !e.route.Open { // the path of an open route may be the proof itself
		a.Resource = strings.TrimSpace(r.URL.Path + " " + x.concerns)
		a.Resource = a.Resource[:min(len(a.Resource), maxResource)]
	}
	if p.DomainID == "" {
		a.ProjectID = "" // what a stranger names is not to stand among what happened in a project
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		a.Source = host
	}
	return a
}

// recorder remembers the status, 0 while nothing is written, and may hold an answer back.
type recorder struct {
	http.ResponseWriter
	status int
	held   *bytes.Buffer // nil: the answer goes out as it is written
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	if w.held == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.held != nil {
		return w.held.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController: what is held back stays so.
func (w *recorder) FlushError() error {
	if w.held != nil {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
