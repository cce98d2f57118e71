package admin_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// shownJobs is a queue with one dead letter.
type shownJobs struct {
	filter faas.JobFilter
	hooks  map[faas.DestinationKind]faas.Webhook
	forced bool
}

func (s *shownJobs) Jobs(_ context.Context, f faas.JobFilter) ([]faas.JobStatus, error) {
	s.filter = f
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	j := faas.JobStatus{Seq: at.UnixMicro(), State: faas.JobDead, Attempts: 2, Code: faas.CodeException, Message: "no", Began: at, Ended: at, Due: at}
	j.ID, j.Event, j.Key = "r1", []byte(`{"a":1}`), faas.FunctionKey{Project: "p", Package: "default", Name: "f"}
	j.Target = &faas.Destination{Kind: faas.DestinationTopic}
	return []faas.JobStatus{j}, nil
}

func (s *shownJobs) JobBooks(context.Context) (faas.JobBooks, error) {
	return faas.JobBooks{Accepted: 3, Done: 1, Dead: 1, Waiting: 1, Kept: 512}, nil
}

func (s *shownJobs) Cancel(_ context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) error {
	s.forced = mode == faas.CancelForce && children
	if id != "r1" {
		return faas.NotFound("job", id)
	}
	return nil
}

func (s *shownJobs) Redrive(_ context.Context, _ faas.FunctionKey, id string) error {
	if id != "r1" {
		return faas.Errorf(faas.CodeConflict, "job", "job %q is done", id)
	}
	return nil
}

func (s *shownJobs) SetWebhook(_ context.Context, _ string, kind faas.DestinationKind, url, secret string) error {
	s.hooks = map[faas.DestinationKind]faas.Webhook{kind: {URL: url, SealedSecret: []byte(secret)}}
	return nil
}

func (s *shownJobs) Settings(context.Context, string) (faas.AsyncSettings, error) {
	return faas.AsyncSettings{Webhooks: s.hooks}, nil
}

func TestJobs(t *testing.T) {
	jobs := &shownJobs{}
	call := withJobs(t, jobs)
	const base = "/admin/v1/projects/p1"
	status, body := call("GET", base+"/jobs?function=f&state=dead,expired&before=9&limit=7", "")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, faas.JobFilter{
		Project: "p1", Package: "default", Name: "f", Deliveries: true, States: []faas.JobState{faas.JobDead, faas.JobExpired}, Before: 9, Limit: 7,
	}, jobs.filter)
	var got struct {
		Jobs []struct {
			ID, State, Delivery, Code, Event string
			Attempts                         int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Equal(t, []string{"r1", "dead", "topic", "exception", `{"a":1}`},
		[]string{got.Jobs[0].ID, got.Jobs[0].State, got.Jobs[0].Delivery, got.Jobs[0].Code, got.Jobs[0].Event})

	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", base + "/jobs?state=gone", "", 400, "must be one of"},
		{"GET", base + "/jobs?limit=501", "", 400, "limit"},
		{"GET", base + "/job-books", "", 200, `{"accepted":3,"done":1,"dead":1,"cancelled":0,"waiting":1,"running":0,"kept_bytes":512}`},
		{"POST", base + "/jobs/r1/redrive", "", 204, ""},
		{"POST", base + "/jobs/r2/redrive", "", 409, "is done"},
		{"POST", base + "/jobs/r1/cancel?force=true&children=true", "", 204, ""},
		{"POST", base + "/jobs/r2/cancel", "", 404, "does not exist"},
		{"PUT", base + "/webhooks/topic", `{"url":"https://a.example.com","secret":"s3cret"}`, 204, ""},
		{"GET", base + "/webhooks", "", 200, `{"webhooks":{"topic":{"url":"https://a.example.com"}}}`},
	} {
		status, body := call(c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, body)
		require.Contains(t, body, c.says)
		require.NotContains(t, body, "s3cret")
	}
}

// anyone may do anything in project p1.
type anyone struct{}

func (anyone) Authenticate(*http.Request, func() ([]byte, error)) (faas.Principal, error) {
	return faas.Principal{ProjectID: "p1"}, nil
}

func (anyone) Can(_ context.Context, _ faas.Principal, _ auth.Action, r auth.Resource) error {
	if r.ProjectID != "p1" {
		return faas.Errorf(faas.CodeForbidden, "project", "not yours")
	}
	return nil
}

// withJobs gives the face over a queue, as a function that sends a request.
func withJobs(t *testing.T, jobs *shownJobs) func(method, path, body string) (int, string) {
	t.Helper()
	mux, err := httpkit.NewMux(httpkit.MuxConfig{Authenticator: anyone{}, Log: slog.New(slog.DiscardHandler)},
		admin.New(admin.Config{Permissions: anyone{}, Jobs: jobs, JobList: jobs, Webhooks: jobs}))
	require.NoError(t, err)
	return func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
}

// TestJobsOfOthers: every route about jobs asks for the project.
func TestJobsOfOthers(t *testing.T) {
	call := withJobs(t, &shownJobs{})
	const base = "/admin/v1/projects/p2"
	for method, paths := range map[string][]string{
		"GET": {"/jobs", "/job-books", "/webhooks"}, "POST": {"/jobs/r1/redrive", "/jobs/r1/cancel"}, "PUT": {"/webhooks/topic"},
	} {
		for _, path := range paths {
			status, body := call(method, base+path, "{}")
			require.Equal(t, http.StatusForbidden, status, "%s %s: %s", method, path, body)
		}
	}
}
