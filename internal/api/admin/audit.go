package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Audit shows who did what.
type Audit interface {
	List(ctx context.Context, f faas.AuditFilter) ([]faas.AuditEntry, error)
	// Changed gives a channel that is closed when this server has added an entry.
	Changed() <-chan struct{}
}

type auditEntry struct {
	ID        string      `json:"id"`
	At        time.Time   `json:"at"`
	ProjectID string      `json:"project_id"`
	ActorID   string      `json:"actor_id"`
	Actor     string      `json:"actor"` // "" for one who proved no identity
	For       string      `json:"for"`   // the function that acted with an agency's credentials
	Face      string      `json:"face"`
	Operation string      `json:"operation"`
	Action    faas.Action `json:"action"`
	Resource  string      `json:"resource"`
	Source    string      `json:"source"`
	RequestID string      `json:"request_id"`
	Status    int         `json:"status"`
	Code      faas.Code   `json:"code"` // "" for success
	Skipped   int64       `json:"skipped"`
}

type auditPage struct {
	Entries []auditEntry `json:"entries"`
	Next    string       `json:"next"` // "before" (or "after") of the next page; "" at the end
}

const (
	defaultEntries = 50
	maxEntries     = 500
)

func (f face) auditRoutes() []httpkit.Route {
	return []httpkit.Route{
		{Method: "GET", Path: "/admin/v1/audit", Operation: "ListAudit", Action: auth.ActionAdminister, Handle: f.audit},
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/audit", Operation: "ListProjectAudit", Action: auth.ActionAdminister, Handle: f.audit},
	}
}

// audit answers entries, the youngest first: those before "before"; or, the oldest first, those behind "after", for which it waits up to
// "wait" seconds.
func (f face) audit(w http.ResponseWriter, r *http.Request) error {
	ctx, query := r.Context(), r.URL.Query()
	limit, err := number(r, "limit", defaultEntries, maxEntries)
	wait, err2 := number(r, "wait", 0, maxWait)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	filter := faas.AuditFilter{
		DomainID: httpkit.PrincipalOf(ctx).DomainID, ProjectID: r.PathValue("project_id"), Actor: query.Get("actor"),
		Operation: query.Get("operation"), Refused: query.Get("refused") == "true", Before: query.Get("before"), After: query.Get("after"),
		Limit: int(max(limit, 1)),
	}
	over := time.NewTimer(time.Duration(wait) * time.Second)
	defer over.Stop()
	for {
		changed := f.cfg.Audit.Changed()
		found, err := f.cfg.Audit.List(ctx, filter)
		if err != nil {
			return err
		}
		if len(found) > 0 || wait == 0 || filter.After == "" {
			return writeAudit(w, found, filter)
		}
		select {
		case <-changed:
		case <-over.C:
			return writeAudit(w, nil, filter)
		case <-ctx.Done():
			return faas.Errorf(faas.CodeCancelled, "", "the caller went away")
		}
	}
}

func writeAudit(w http.ResponseWriter, found []faas.AuditEntry, filter faas.AuditFilter) error {
	page := auditPage{Entries: make([]auditEntry, 0, len(found))}
	for _, e := range found {
		page.Entries = append(page.Entries, auditEntry{ID: e.ID, At: e.At, ProjectID: e.ProjectID, ActorID: e.ActorID, Actor: e.Actor, For: e.For,
			Face: e.Face, Operation: e.Operation, Action: e.Action, Resource: e.Resource, Source: e.Source, RequestID: e.RequestID,
			Status: e.Status, Code: e.Code, Skipped: e.Skipped})
	}
	switch {
	case filter.After != "" && len(found) == 0:
		page.Next = filter.After
	case filter.After != "" || len(found) == filter.Limit:
		page.Next = found[len(found)-1].ID
	}
	return httpkit.WriteJSON(w, http.StatusOK, page)
}
