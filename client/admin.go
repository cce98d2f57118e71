package client

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Status is what a server says about itself.
type Status struct {
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Region    string    `json:"region"`
	Sandbox   struct {
		Driver   string   `json:"driver"`
		Level    string   `json:"level"` // one line for people
		Isolated bool     `json:"isolated"`
		Lacks    []string `json:"lacks"`
	} `json:"sandbox"`
	Database string `json:"database"`
	DataDir  string `json:"data_dir"`
}

// Status asks a server about itself.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.call(ctx, request{method: http.MethodGet, path: "/admin/v1/status"}, nil, &s)
}

// Runtime is a runtime name and how it is served.
type Runtime struct {
	Name    string `json:"name"`    // "Python3.9"
	Title   string `json:"title"`   // "Python 3.9"
	Status  string `json:"status"`  // RuntimeExact, RuntimeServed or RuntimeMissing
	Version string `json:"version"` // of the interpreter; "" when missing
	Path    string `json:"path"`    // of the interpreter; "" when missing
	Note    string `json:"note"`    // one line for people; "" when exact
}

// The values of Runtime.Status.
const (
	RuntimeExact   = "exact"   // by the version it names
	RuntimeServed  = "served"  // by another version of the same major
	RuntimeMissing = "missing" // not at all
)

// Runtimes lists the runtime names that the server knows.
func (c *Client) Runtimes(ctx context.Context) ([]Runtime, error) {
	var got struct {
		Runtimes []Runtime `json:"runtimes"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/admin/v1/runtimes"}, nil, &got)
	return got.Runtimes, err
}

// Run is the record of one call. Times are in milliseconds.
type Run struct {
	Seq        uint64    `json:"seq"` // position among all runs of the server since its start
	ID         string    `json:"id"`  // the request's
	Source     string    `json:"source"`
	Version    string    `json:"version"`
	Begun      time.Time `json:"begun"`
	TookMS     float64   `json:"took_ms"` // all of it, waiting included
	QueuedMS   float64   `json:"queued_ms"`
	InitMS     float64   `json:"init_ms"`
	RunMS      float64   `json:"run_ms"` // in the handler
	Cold       bool      `json:"cold"`
	MemoryPeak int64     `json:"memory_peak"` // bytes
	MemoryMB   int       `json:"memory_mb"`   // size of the instance
	Status     string    `json:"status"`      // "ok" or the code of a failure
	Message    string    `json:"message"`
	Logs       []LogLine `json:"logs"`
	Dropped    int64     `json:"dropped"` // bytes of log over the limit of one call
}

// LogLine is one line that a function wrote.
type LogLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// RunsOptions say which runs.
type RunsOptions struct {
	After uint64        // runs behind this Seq
	Limit int           // at most so many of the newest; 0 for the server's choice
	Wait  time.Duration // whole seconds; with it, an answer without runs comes only after that time
}

// Runs lists the runs of a function, all versions of it, that the server still keeps, oldest first.
func (c *Client) Runs(ctx context.Context, f Ref, o RunsOptions) ([]Run, error) {
	query := url.Values{}
	if o.After > 0 {
		query.Set("after", strconv.FormatUint(o.After, 10))
	}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Wait > 0 {
		query.Set("wait", strconv.Itoa(int(o.Wait/time.Second)))
	}
	path := "/admin/v1/projects/" + url.PathEscape(cmp.Or(f.Project, c.cfg.ProjectID)) +
		"/functions/" + url.PathEscape(f.Package) + "/" + url.PathEscape(f.Name) + "/runs"
	var got struct {
		Runs []Run `json:"runs"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, timeout: o.Wait + plainTime}, nil, &got)
	return got.Runs, err
}
