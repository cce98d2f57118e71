package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Jobs shows and changes what waits in the queue.
type Jobs interface {
	Cancel(ctx context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) error
	Redrive(ctx context.Context, f faas.FunctionKey, id string) error
}

// JobList shows jobs, the youngest first, and the books.
type JobList interface {
	Jobs(ctx context.Context, f faas.JobFilter) ([]faas.JobStatus, error)
	JobBooks(ctx context.Context) (faas.JobBooks, error)
}

// Webhooks says where the records for topics and streams of a project are posted.
type Webhooks interface {
	SetWebhook(ctx context.Context, project string, kind faas.DestinationKind, url, secret string) error
	Settings(ctx context.Context, project string) (faas.AsyncSettings, error)
}

type job struct {
	Seq         int64         `json:"seq"` // position among all jobs
	ID          string        `json:"id"`
	Package     string        `json:"package"`
	Function    string        `json:"function"`
	Version     string        `json:"version"`
	Alias       string        `json:"alias"`
	Source      string        `json:"source"`
	Parent      string        `json:"parent"`
	Delivery    string        `json:"delivery"` // the kind of place that a record goes to; "" for a call
	State       faas.JobState `json:"state"`
	Attempts    int           `json:"attempts"`
	Interrupted int           `json:"interrupted"`
	Postponed   int           `json:"postponed"`
	Accepted    time.Time     `json:"accepted"`
	Due         time.Time     `json:"due"`
	Began       *time.Time    `json:"began"`
	Ended       *time.Time    `json:"ended"`
	Code        faas.Code     `json:"code"`
	Message     string        `json:"message"`
	Event       *string       `json:"event"` // null when it is kept no more, or was not asked for
}

type books struct {
	Accepted  int64 `json:"accepted"`
	Done      int64 `json:"done"`
	Dead      int64 `json:"dead"`
	Cancelled int64 `json:"cancelled"`
	Waiting   int64 `json:"waiting"`
	Running   int64 `json:"running"`
	Kept      int64 `json:"kept_bytes"`
}

type webhookBody struct {
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

const (
	defaultJobs = 50
	maxJobs     = 500
	maxJobEvent = 64 << 10 // bytes of all events in one answer; the rest is left out
)

func (f face) jobRoutes() []httpkit.Route {
	const jobs = "/admin/v1/projects/{project_id}/jobs"
	return []httpkit.Route{
		{Method: "GET", Path: jobs, Operation: "ListJobs", Handle: f.jobs},
		{Method: "POST", Path: jobs + "/{id}/redrive", Operation: "RedriveJob", Action: auth.ActionInvoke, Handle: f.redriveJob},
		{Method: "POST", Path: jobs + "/{id}/cancel", Operation: "CancelJob", Action: auth.ActionInvoke, Handle: f.cancelJob},
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/job-books", Operation: "ShowJobBooks", Handle: f.jobBooks},
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/webhooks", Operation: "ListWebhooks", Handle: f.webhooks},
		{Method: "PUT", Path: "/admin/v1/projects/{project_id}/webhooks/{kind}", Operation: "SetWebhook", Handle: f.setWebhook},
	}
}

// enter gives the id of the path's project, once it is sure that the caller may do this there.
func (f face) enter(r *http.Request, action auth.Action) (string, error) {
	project := r.PathValue("project_id")
	return project, f.cfg.Permissions.Can(r.Context(), httpkit.PrincipalOf(r.Context()), action, auth.Resource{ProjectID: project})
}

// jobs answers the jobs of a project, or of one function, the youngest first.
func (f face) jobs(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	limit, err := number(r, "limit", defaultJobs, maxJobs)
	if err != nil {
		return err
	}
	before, err := number(r, "before", 0, 1<<62)
	if err != nil {
		return err
	}
	filter := faas.JobFilter{
		Project: project, Name: query.Get("function"), Deliveries: true, Before: before, Limit: int(max(limit, 1)),
	}
	if filter.Name != "" {
		filter.Package = cmp.Or(query.Get("package"), faas.DefaultPackage)
	}
	if id := query.Get("id"); id != "" {
		filter.IDs = []string{id}
	}
	for name := range strings.SplitSeq(query.Get("state"), ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(faas.JobStates, faas.JobState(name)) {
			return faas.Errorf(faas.CodeInvalid, "state", "state %.40q must be one of %v", name, faas.JobStates)
		}
		filter.States = append(filter.States, faas.JobState(name))
	}
	found, err := f.cfg.JobList.Jobs(r.Context(), filter)
	if err != nil {
		return err
	}
	list, left := make([]job, 0, len(found)), maxJobEvent
	for _, j := range found {
		out := fromJob(j)
		if n := len(j.Event); n > 0 && (n <= left || len(found) == 1) {
			event := string(j.Event)
			out.Event, left = &event, left-n
		}
		list = append(list, out)
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]job{"jobs": list})
}

func fromJob(j faas.JobStatus) job {
	out := job{
		Seq: j.Seq, ID: j.ID, Package: j.Key.Package, Function: j.Key.Name, Version: j.Key.Version, Alias: j.Alias, Source: j.Source, Parent: j.Parent,
		State: j.State, Attempts: j.Attempts, Interrupted: j.Interrupted, Postponed: j.Postponed, Accepted: j.Accepted(), Due: j.Due,
		Code: j.Code, Message: j.Message,
	}
	if j.Target != nil {
		out.Delivery = string(j.Target.Kind)
	}
	if !j.Began.IsZero() {
		out.Began = &j.Began
	}
	if !j.Ended.IsZero() {
		out.Ended = &j.Ended
	}
	return out
}

func (f face) redriveJob(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	if err := f.cfg.Jobs.Redrive(r.Context(), faas.FunctionKey{Project: project}, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cancelJob takes the query "force" (true or false) and "children" (true or false).
func (f face) cancelJob(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	mode := faas.CancelRetries
	if r.URL.Query().Get("force") == "true" {
		mode = faas.CancelForce
	}
	err = f.cfg.Jobs.Cancel(r.Context(), faas.FunctionKey{Project: project}, r.PathValue("id"), mode, r.URL.Query().Get("children") == "true")
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// jobBooks answers the books of the whole server: they are kept for all projects together.
func (f face) jobBooks(w http.ResponseWriter, r *http.Request) error {
	if _, err := f.enter(r, auth.ActionRead); err != nil {
		return err
	}
	b, err := f.cfg.JobList.JobBooks(r.Context())
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, books(b))
}

// webhooks answers the addresses, and no secrets.
func (f face) webhooks(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	settings, err := f.cfg.Webhooks.Settings(r.Context(), project)
	if err != nil {
		return err
	}
	list := map[faas.DestinationKind]webhookBody{}
	for kind, hook := range settings.Webhooks {
		list[kind] = webhookBody{URL: hook.URL}
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]any{"webhooks": list})
}

func (f face) setWebhook(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var body webhookBody
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if err := f.cfg.Webhooks.SetWebhook(r.Context(), project, faas.DestinationKind(r.PathValue("kind")), body.URL, body.Secret); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
