package client

import (
	"context"
	"net/http"
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

// Walls are how the functions of a project are kept apart. "" stands for what the server has.
type Walls struct {
	Egress         string `json:"egress"` // none, open or a list
	EgressFixed    bool   `json:"egress_fixed"`
	Isolation      string `json:"isolation"` // native or oci
	IsolationFixed bool   `json:"isolation_fixed"`
}

// ProjectWalls are what a project has set, and what holds for its functions that have set nothing.
type ProjectWalls struct {
	Set   Walls `json:"set"`
	Holds Walls `json:"holds"`
}

// ShowWalls gives how the project's functions are kept apart.
func (c *Client) ShowWalls(ctx context.Context) (*ProjectWalls, error) {
	var w ProjectWalls
	return &w, c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/walls")}, nil, &w)
}

// SetWalls puts w in place of all that the project has set.
func (c *Client) SetWalls(ctx context.Context, w Walls) (*ProjectWalls, error) {
	var all ProjectWalls
	return &all, c.call(ctx, request{method: http.MethodPut, path: c.adminPath("/walls")}, w, &all)
}
