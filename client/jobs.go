package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// InvokeAsync asks for a call that the server makes later, and gives its request id. When it returns, the call is on the
// server's disk. An empty event is {}.
func (c *Client) InvokeAsync(ctx context.Context, urn string, event []byte, o InvokeOptions) (string, error) {
	if len(event) == 0 {
		event = []byte("{}")
	}
	header := http.Header{}
	if o.MemoryMB != 0 {
		header.Set("X-Cff-Instance-Memory", strconv.Itoa(o.MemoryMB))
	}
	var got struct {
		RequestID string `json:"request_id"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: c.functionPath(urn, "/invocations-async"), header: header, body: event}, nil, &got)
	return got.RequestID, err
}

// Job is an asynchronous call, or the delivery of a record, with what has become of it.
type Job struct {
	Seq         int64      `json:"seq"` // position among all jobs
	ID          string     `json:"id"`
	Package     string     `json:"package"`
	Function    string     `json:"function"`
	Version     string     `json:"version"`
	Alias       string     `json:"alias"`
	Source      string     `json:"source"`
	Parent      string     `json:"parent"`   // the job that caused it
	Delivery    string     `json:"delivery"` // the kind of place that a record goes to; "" for a call
	State       string     `json:"state"`    // waiting, running, done, dead, expired or cancelled
	Attempts    int        `json:"attempts"`
	Interrupted int        `json:"interrupted"` // attempts cut off by the end of the server
	Postponed   int        `json:"postponed"`   // attempts that did not reach the function
	Accepted    time.Time  `json:"accepted"`
	Due         time.Time  `json:"due"`
	Began       *time.Time `json:"began"`
	Ended       *time.Time `json:"ended"`
	Code        string     `json:"code"`
	Message     string     `json:"message"`
	Event       *string    `json:"event"`
}

// JobsOptions say which jobs. The zero JobsOptions mean the youngest of the project.
type JobsOptions struct {
	Package, Function string // Function "" for all
	ID                string // "" for all
	State             string // several parted by commas; "" for all
	Before            int64  // Seq of the last one of the page before
	Limit             int    // 0 for the server's choice
}

// Jobs lists jobs, the youngest first.
func (c *Client) Jobs(ctx context.Context, o JobsOptions) ([]Job, error) {
	query := url.Values{}
	for name, value := range map[string]string{"package": o.Package, "function": o.Function, "id": o.ID, "state": o.State} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if o.Before > 0 {
		query.Set("before", strconv.FormatInt(o.Before, 10))
	}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	var got struct {
		Jobs []Job `json:"jobs"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/jobs"), query: query}, nil, &got)
	return got.Jobs, err
}

// RedriveJob lets a job that is dead, expired or cancelled begin anew.
func (c *Client) RedriveJob(ctx context.Context, id string) error {
	return c.call(ctx, request{method: http.MethodPost, path: c.adminPath("/jobs/" + url.PathEscape(id) + "/redrive")}, nil, nil)
}

// CancelOptions say how to call a job off.
type CancelOptions struct {
	Force    bool // end a call under way with its instance
	Children bool // also what it caused
}

// CancelJob calls a job off.
func (c *Client) CancelJob(ctx context.Context, id string, o CancelOptions) error {
	query := url.Values{"force": {strconv.FormatBool(o.Force)}, "children": {strconv.FormatBool(o.Children)}}
	return c.call(ctx, request{method: http.MethodPost, path: c.adminPath("/jobs/" + url.PathEscape(id) + "/cancel"), query: query}, nil, nil)
}

// SetWebhook says where the records for the project's topics or streams (kind "topic" or "stream") are posted; "" for nowhere.
// With a secret each post is signed.
func (c *Client) SetWebhook(ctx context.Context, kind, target, secret string) error {
	body := map[string]string{"url": target, "secret": secret}
	return c.call(ctx, request{method: http.MethodPut, path: c.adminPath("/webhooks/" + url.PathEscape(kind))}, body, nil)
}

// adminPath is a path of the client's project on the server's own face.
func (c *Client) adminPath(rest string) string {
	return "/admin/v1/projects/" + url.PathEscape(c.cfg.ProjectID) + rest
}
