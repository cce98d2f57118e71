package client

import (
	"context"
	"net/http"
	"net/url"
)

// Trigger binds a source of events to a function (FunctionGraph reference, section 1.5).
type Trigger struct {
	ID      string         `json:"trigger_id"`
	Type    string         `json:"trigger_type_code"` // "TIMER", "APIG", ...
	Status  string         `json:"trigger_status"`    // TriggerActive or TriggerDisabled
	Data    map[string]any `json:"event_data"`
	Created string         `json:"created_time"`
	Updated string         `json:"last_updated_time"`
	URN     string         `json:"func_urn,omitempty"` // in the list of a project only
	// InvokeURL is where requests or events are posted to; "" for a trigger that takes none.
	InvokeURL string `json:"invoke_url,omitempty"`
	// LastError is why the server does not reach the trigger's broker now; "" while it does.
	LastError string `json:"last_error,omitempty"`
}

// The states of a Trigger.
const (
	TriggerActive   = "ACTIVE"
	TriggerDisabled = "DISABLED"
)

func (c *Client) triggerPath(urn string, rest ...string) string {
	path := "/triggers/" + url.PathEscape(urn)
	for _, part := range rest {
		path += "/" + url.PathEscape(part)
	}
	return c.projectPath(path)
}

// CreateTrigger makes a trigger of the version or alias that the URN names.
func (c *Client) CreateTrigger(ctx context.Context, urn, kind string, data map[string]any) (*Trigger, error) {
	in := map[string]any{"trigger_type_code": kind, "trigger_status": TriggerActive, "event_data": data}
	var t Trigger
	return &t, c.call(ctx, request{method: http.MethodPost, path: c.triggerPath(urn)}, in, &t)
}

// ListTriggers lists the triggers of a function.
func (c *Client) ListTriggers(ctx context.Context, urn string) ([]Trigger, error) {
	var all []Trigger
	err := c.call(ctx, request{method: http.MethodGet, path: c.triggerPath(urn)}, nil, &all)
	return all, err
}

// ListAllTriggers lists the triggers of the project, each with its function's URN.
func (c *Client) ListAllTriggers(ctx context.Context) ([]Trigger, error) {
	var page struct {
		Triggers []Trigger `json:"triggers"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.projectPath("/triggers")}, nil, &page)
	return page.Triggers, err
}

// SetTriggerStatus switches a trigger on or off.
func (c *Client) SetTriggerStatus(ctx context.Context, urn, kind, id, status string) (*Trigger, error) {
	in := map[string]string{"trigger_status": status}
	var t Trigger
	return &t, c.call(ctx, request{method: http.MethodPut, path: c.triggerPath(urn, kind, id)}, in, &t)
}

// DeleteTrigger removes a trigger.
func (c *Client) DeleteTrigger(ctx context.Context, urn, kind, id string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: c.triggerPath(urn, kind, id)}, nil, nil)
}
