package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// Workflow is a workflow without its definition.
type Workflow struct {
	ID          string `json:"id"`
	URN         string `json:"workflow_urn"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Mode        string `json:"mode"`
	CreatedTime string `json:"created_time"`
	UpdatedTime string `json:"updated_time"`
	CreatedBy   string `json:"created_by"`
	// Definition is there when one workflow is asked for.
	Definition json.RawMessage `json:"definition,omitempty"`
}

// FlowRun is a run of a workflow. All but its brief parts are there when one run is asked for.
type FlowRun struct {
	ID        string          `json:"execution_id"`
	Workflow  string          `json:"workflow_id"`
	Status    string          `json:"status"` // running, success, fail, timeout or cancel
	BeginTime string          `json:"begin_time"`
	EndTime   string          `json:"end_time,omitempty"`
	CreatedBy string          `json:"created_by"`
	Input     json.RawMessage `json:"input,omitempty"`
	Output    json.RawMessage `json:"output,omitempty"`
	Fault     json.RawMessage `json:"fault,omitempty"`
	Nodes     []FlowNode      `json:"node_execution_details,omitempty"`
	Waits     []FlowWait      `json:"waits,omitempty"`
}

// FlowNode is all attempts at one state of a run.
type FlowNode struct {
	ID       string        `json:"node_id"` // the state's id, behind "<foreach>[<item>]/" inside a foreach
	Name     string        `json:"node_name"`
	Type     string        `json:"node_type"`
	Attempts []FlowAttempt `json:"executions"`
}

// FlowAttempt is one attempt at a state. Times are milliseconds since 1970, 0 for none.
type FlowAttempt struct {
	Status    string          `json:"status"`
	Input     json.RawMessage `json:"input"`
	Output    json.RawMessage `json:"output,omitempty"`
	BeginTime int64           `json:"begin_time"`
	EndTime   int64           `json:"end_time,omitempty"`
	Fault     json.RawMessage `json:"error_message,omitempty"`
	RequestID string          `json:"request_id"`
}

// FlowWait is something that a run waits for now. Times are milliseconds since 1970, 0 for none.
type FlowWait struct {
	Node    string `json:"node_id,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	What    string `json:"what"` // call, callback, subflow, or a timer: sleep, retry, interval, timeout, run
	Detail  string `json:"detail,omitempty"`
	Since   int64  `json:"since"`
	Until   int64  `json:"until,omitempty"`
}

func (c *Client) flowPath(name, rest string) string {
	return c.projectPath("/workflows/" + url.PathEscape(name) + rest)
}

// CreateWorkflow makes a workflow of a definition.
func (c *Client) CreateWorkflow(ctx context.Context, definition []byte) (*Workflow, error) {
	var w Workflow
	return &w, c.call(ctx, request{method: http.MethodPost, path: c.projectPath("/workflows"), body: definition}, nil, &w)
}

// UpdateWorkflow replaces the definition of a workflow, which name names by id, name or URN.
func (c *Client) UpdateWorkflow(ctx context.Context, name string, definition []byte) (*Workflow, error) {
	var w Workflow
	return &w, c.call(ctx, request{method: http.MethodPut, path: c.flowPath(name, ""), body: definition}, nil, &w)
}

// Workflow gives a workflow with its definition.
func (c *Client) Workflow(ctx context.Context, name string) (*Workflow, error) {
	var w Workflow
	return &w, c.call(ctx, request{method: http.MethodGet, path: c.flowPath(name, "")}, nil, &w)
}

// Workflows lists those of the project, the oldest first.
func (c *Client) Workflows(ctx context.Context) ([]Workflow, error) {
	var all []Workflow
	for {
		var page struct {
			Total     int        `json:"total"`
			Workflows []Workflow `json:"workflows"`
		}
		query := url.Values{"offset": {strconv.Itoa(len(all))}}
		if err := c.call(ctx, request{method: http.MethodGet, path: c.projectPath("/workflows"), query: query}, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Workflows...)
		if len(page.Workflows) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// DeleteWorkflow removes a workflow with its runs. What it removed is named by its URN.
func (c *Client) DeleteWorkflow(ctx context.Context, urn string) error {
	body := map[string][]string{"workflow_urns": {urn}}
	return c.call(ctx, request{method: http.MethodDelete, path: c.projectPath("/workflows")}, body, nil)
}

// StartFlow starts a run; id "" for one that the server chooses. With the id of a run that is there it gives that one.
func (c *Client) StartFlow(ctx context.Context, name, id string, input []byte) (string, error) {
	header := http.Header{}
	if id != "" {
		header.Set("X-WorkflowRun-ID", id)
	}
	var got struct {
		ID string `json:"execution_id"`
	}
	body := map[string]json.RawMessage{"input": input}
	err := c.call(ctx, request{method: http.MethodPost, path: c.flowPath(name, "/executions"), header: header}, body, &got)
	return got.ID, err
}

// FlowRuns lists runs of the last three days, the youngest first; status "" for all.
func (c *Client) FlowRuns(ctx context.Context, name, status string, limit int) ([]FlowRun, error) {
	query := url.Values{}
	if status != "" {
		query.Set("status", status)
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var got struct {
		Runs []FlowRun `json:"executions"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.flowPath(name, "/executions"), query: query}, nil, &got)
	return got.Runs, err
}

// FlowRun gives a run with every attempt, and what it waits for. Long values are cut short unless full.
func (c *Client) FlowRun(ctx context.Context, name, id string, full bool) (*FlowRun, error) {
	header := http.Header{}
	if full {
		header.Set("X-Get-Workflow-Full-History-Data", "true")
	}
	var r FlowRun
	return &r, c.call(ctx, request{method: http.MethodGet, path: c.flowPath(name, "/executions/"+url.PathEscape(id)), header: header}, nil, &r)
}

// StopFlow calls a run off.
func (c *Client) StopFlow(ctx context.Context, name, id string) error {
	return c.call(ctx, request{method: http.MethodPost, path: c.flowPath(name, "/executions/"+url.PathEscape(id)+"/terminate")}, nil, nil)
}

// RetryFlow lets a run that ended badly go on from the state in which it ended.
func (c *Client) RetryFlow(ctx context.Context, name, id string) error {
	return c.call(ctx, request{method: http.MethodPost, path: c.flowPath(name, "/executions/"+url.PathEscape(id)+"/retry")}, nil, nil)
}

// AnswerFlow ends what a callback state of a run waits for; with fault not "" it fails.
func (c *Client) AnswerFlow(ctx context.Context, name, id, state string, output []byte, fault string) error {
	header := http.Header{}
	header.Set("X-Workflow-Run-Id", id)
	header.Set("X-Workflow-State-Id", state)
	body := map[string]any{"result": "success", "output": json.RawMessage(output)}
	if fault != "" {
		body["result"], body["error"] = "fail", fault
	}
	return c.call(ctx, request{method: http.MethodPost, path: c.flowPath(name, "/callback"), header: header}, body, nil)
}
