package client

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Run is the record of one call. Times are in milliseconds. Lists of a project (Client.Runs) leave out Stack, EventSHA256, Event
// and Logs.
type Run struct {
	Seq         int64     `json:"seq"` // position among all runs of the server
	ID          string    `json:"id"`  // the request's; the attempts at an asynchronous call share it
	Package     string    `json:"package"`
	Function    string    `json:"function"`
	Version     string    `json:"version"`
	Alias       string    `json:"alias"`
	Source      string    `json:"source"`
	Parent      string    `json:"parent"` // the call that this one replays or follows
	Attempt     int       `json:"attempt"`
	Accepted    time.Time `json:"accepted"`
	Begun       time.Time `json:"begun"`
	TookMS      float64   `json:"took_ms"` // all of it, waiting included
	QueuedMS    float64   `json:"queued_ms"`
	InitMS      float64   `json:"init_ms"`
	RunMS       float64   `json:"run_ms"` // in the handler
	Cold        bool      `json:"cold"`
	MemoryPeak  int64     `json:"memory_peak"` // bytes
	MemoryMB    int       `json:"memory_mb"`   // size of the instance
	Status      string    `json:"status"`      // "ok" or the code of a failure
	Type        string    `json:"type"`
	Message     string    `json:"message"`
	Stack       []string  `json:"stack"`
	Digest      string    `json:"digest"` // of the code
	EventSize   int64     `json:"event_size"`
	EventSHA256 string    `json:"event_sha256"`
	Event       *string   `json:"event"` // nil where it is not kept
	ResultSize  int64     `json:"result_size"`
	Logs        []LogLine `json:"logs"`
	Dropped     int64     `json:"dropped"` // bytes of log over the limit of one call
}

// LogLine is one line that a function wrote.
type LogLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// RunPage is a part of a list of runs.
type RunPage struct {
	Runs []Run `json:"runs"`
	Next int64 `json:"next"` // Before of the next page; 0 at the end
}

// LogsOptions say which runs of a function.
type LogsOptions struct {
	After  int64         // runs behind this Seq, the oldest first; 0 for the newest
	Before int64         // runs before this Seq
	Limit  int           // at most so many; 0 for the server's choice
	Wait   time.Duration // whole seconds; with it, an answer without runs comes only after that time
}

// Logs lists runs of a function, all versions of it, with their logs, oldest first.
func (c *Client) Logs(ctx context.Context, f Ref, o LogsOptions) (RunPage, error) {
	query := url.Values{}
	for name, n := range map[string]int64{"after": o.After, "before": o.Before, "limit": int64(o.Limit), "wait": int64(o.Wait / time.Second)} {
		if n > 0 {
			query.Set(name, strconv.FormatInt(n, 10))
		}
	}
	path := "/admin/v1/projects/" + url.PathEscape(cmp.Or(f.Project, c.cfg.ProjectID)) +
		"/functions/" + url.PathEscape(f.Package) + "/" + url.PathEscape(f.Name) + "/runs"
	var got RunPage
	err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, timeout: o.Wait + plainTime}, nil, &got)
	return got, err
}

// RunsOptions say which runs. The zero RunsOptions mean the newest of the project.
type RunsOptions struct {
	Package, Function string // Function "" for all
	Version           string // "" for all
	Source            string // "" for all
	Status            string // "failed", or a code; "" for all
	From, To          time.Time
	Before            int64 // Next of the page before
	Limit             int   // 0 for the server's choice
}

// Runs lists runs that have ended, the newest first.
func (c *Client) Runs(ctx context.Context, o RunsOptions) (RunPage, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"package": o.Package, "function": o.Function, "version": o.Version, "source": o.Source, "status": o.Status,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"from": o.From, "to": o.To} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if o.Before > 0 {
		query.Set("before", strconv.FormatInt(o.Before, 10))
	}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	var got RunPage
	err := c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/runs"), query: query}, nil, &got)
	return got, err
}

// Run gives all attempts at one call, whole, the oldest first.
func (c *Client) Run(ctx context.Context, id string) ([]Run, error) {
	var got RunPage
	err := c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/runs/" + url.PathEscape(id))}, nil, &got)
	return got.Runs, err
}

// Replayed is how a call ended that ran again.
type Replayed struct {
	ID          string `json:"id"`
	Of          string `json:"of"`     // the recorded call
	Status      string `json:"status"` // "ok" or the code of the function's failure
	Type        string `json:"type"`
	Output      string `json:"output"`       // the result, or the failure's message
	CodeChanged bool   `json:"code_changed"` // since the recorded call
}

// replayTime is longer than any function may run.
const replayTime = 80 * time.Hour

// Replay runs a recorded call again, with the version and the event that it had, and waits for its end.
func (c *Client) Replay(ctx context.Context, id string) (Replayed, error) {
	var got Replayed
	err := c.call(ctx, request{method: http.MethodPost, path: c.adminPath("/runs/" + url.PathEscape(id) + "/replay"), timeout: replayTime}, nil, &got)
	return got, err
}
