package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
)

// InvokeOptions are what a call may ask for. The zero InvokeOptions ask for nothing.
type InvokeOptions struct {
	MemoryMB int        // instance size of this call; 0 for the function's own
	Gateway  GatewayRef // where it runs; "" for the server
}

// InvokeResult is how a call ended that reached its function (FunctionGraph reference, section 3.1).
type InvokeResult struct {
	RequestID string
	Status    int            // of HTTP
	Output    []byte         // what the function returned; nil when it failed
	Failure   *FunctionError // nil on success
	Summary   InvokeSummary
	Log       string // the end of the call's log, at most 4 KB
}

// FunctionError is a failure of the function's own making.
type FunctionError struct {
	Message string   `json:"errorMessage"`
	Type    string   `json:"errorType"`
	Stack   []string `json:"stackTrace"`
}

// Error gives type and message.
func (e *FunctionError) Error() string {
	if e.Type == "" {
		return e.Message
	}
	return e.Type + ": " + e.Message
}

// InvokeSummary is what a call cost. Times are in milliseconds.
type InvokeSummary struct {
	Digest        string  `json:"funcDigest"`
	Duration      float64 `json:"duration"` // in the handler
	BilledMS      int64   `json:"billingDuration"`
	MemorySizeMB  int     `json:"memorySize"` // of the instance
	MemoryUsedMB  float64 `json:"memoryUsed"` // the instance's highest so far
	ColdStart     bool    `json:"coldStart"`
	InitDuration  float64 `json:"initDuration"`
	QueueDuration float64 `json:"queueDuration"`
}

// Invoke calls a function and waits for its end; ctx is the only bound. An empty event is {}. What the function itself did
// wrong stands in the result; an APIError is everyone else's doing.
func (c *Client) Invoke(ctx context.Context, urn string, event []byte, o InvokeOptions) (*InvokeResult, error) {
	if len(event) == 0 {
		event = []byte("{}")
	}
	header := http.Header{"X-Cff-Log-Type": {"tail"}, "X-Cff-Request-Version": {"v0"}}
	if o.MemoryMB != 0 {
		header.Set("X-Cff-Instance-Memory", strconv.Itoa(o.MemoryMB))
	}
	if o.Gateway != "" {
		header.Set("X-Hanshu-Gateway", string(o.Gateway))
	}
	a, err := c.send(ctx, request{method: http.MethodPost, path: c.functionPath(urn, "/invocations"), header: header, body: event})
	if err != nil {
		return nil, err
	}
	r := &InvokeResult{RequestID: a.requestID(), Status: a.status}
	failed := a.header.Get("X-Is-Func-Err") == "true"
	if !failed {
		if err := a.failure(); err != nil {
			return nil, err
		}
	}
	// The headers are extras: a call that lacks one is still a call.
	_ = json.Unmarshal([]byte(a.header.Get("X-Cff-Invoke-Summary")), &r.Summary)
	if log, err := base64.StdEncoding.DecodeString(a.header.Get("X-Cff-Function-Log")); err == nil {
		r.Log = string(log)
	}
	if !failed {
		r.Output = a.body
		return r, nil
	}
	r.Failure = new(FunctionError)
	if json.Unmarshal(a.body, r.Failure) != nil || r.Failure.Message == "" {
		r.Failure.Message = string(a.body)
	}
	return r, nil
}
