package functiongraph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// asyncConfigRequest is UpdateFunctionAsyncInvokeConfigRequestBody. The names of log groups and streams have no effect: there
// is one status log for each project.
type asyncConfigRequest struct {
	MaxAge      *int             `json:"max_async_event_age_in_seconds"`
	Retries     *int             `json:"max_async_retry_attempts"`
	Destination asyncDestination `json:"destination_config"`
	StatusLog   bool             `json:"enable_async_status_log"`
}

// asyncDestination is FuncAsyncDestinationConfig.
type asyncDestination struct {
	OnSuccess *destination `json:"on_success,omitempty"`
	OnFailure *destination `json:"on_failure,omitempty"`
}

// destination is FuncDestinationConfig; Param is JSON in a string.
type destination struct {
	Destination string `json:"destination"`
	Param       string `json:"param"`
}

// destinationParam holds the parameters of all kinds of destinations (reference 3.2). They stand in the order of their names, as
// Terraform's jsonencode writes them: it compares the text.
type destinationParam struct {
	Bucket     string `json:"bucket,omitempty"`
	Expires    int    `json:"expires,omitempty"`
	FuncURN    string `json:"func_urn,omitempty"`
	Prefix     string `json:"prefix,omitempty"`
	StreamName string `json:"stream_name,omitempty"`
	TopicURN   string `json:"topic_urn,omitempty"`
}

// asyncConfigAnswer is ShowFunctionAsyncInvokeConfigResponseBody, its like of update, and ListFunctionAsyncInvokeConfigResult.
type asyncConfigAnswer struct {
	FuncURN      string           `json:"func_urn"`
	MaxAge       int              `json:"max_async_event_age_in_seconds"`
	Retries      int              `json:"max_async_retry_attempts"`
	Destination  asyncDestination `json:"destination_config"`
	CreatedTime  string           `json:"created_time"`
	LastModified string           `json:"last_modified"`
	StatusLog    bool             `json:"enable_async_status_log"`
}

func (a *api) updateAsyncConfig(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q asyncConfigRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	n := control.NewAsyncConfig{MaxAgeSec: q.MaxAge, Retries: q.Retries, StatusLog: q.StatusLog}
	if n.OnSuccess, err = readDestination(project, q.Destination.OnSuccess); err != nil {
		return err
	}
	if n.OnFailure, err = readDestination(project, q.Destination.OnFailure); err != nil {
		return err
	}
	c, err := a.Async.Set(r.Context(), project, urn, n)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, a.toAsyncConfig(c))
}

func (a *api) showAsyncConfig(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	c, err := a.Async.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, a.toAsyncConfig(c))
}

func (a *api) deleteAsyncConfig(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Async.Delete(r.Context(), project, urn); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// asyncConfigsAnswer is ListFunctionAsyncInvokeConfigResponseBody.
type asyncConfigsAnswer struct {
	Configs []asyncConfigAnswer `json:"async_invoke_configs"`
	Count   int                 `json:"count"` // of all pages
	Page    pageInfo            `json:"page_info"`
}

// pageInfo is PageInfo.
type pageInfo struct {
	NextMarker     int64 `json:"next_marker"`
	PreviousMarker int64 `json:"previous_marker"`
	CurrentCount   int64 `json:"current_count"`
}

const (
	defaultAsyncConfigs = 10
	maxAsyncConfigs     = 100
)

// listAsyncConfigs pages by offset: a function has few versions.
func (a *api) listAsyncConfigs(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	marker, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return err
	}
	limit, err := queryNumber("limit", query.Get("limit"))
	if err != nil {
		return err
	}
	if query.Get("limit") == "" {
		limit = defaultAsyncConfigs
	}
	if limit > maxAsyncConfigs {
		return faas.Errorf(faas.CodeInvalid, "limit", "limit %d must be 0 to %d", limit, maxAsyncConfigs)
	}
	all, err := a.Async.List(r.Context(), project, urn)
	if err != nil {
		return err
	}
	from := min(marker, int64(len(all)))
	to := min(from+limit, int64(len(all)))
	answer := asyncConfigsAnswer{
		Configs: []asyncConfigAnswer{}, Count: len(all),
		Page: pageInfo{NextMarker: to, PreviousMarker: max(0, from-limit), CurrentCount: to - from},
	}
	for _, c := range all[from:to] {
		answer.Configs = append(answer.Configs, a.toAsyncConfig(c))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) toAsyncConfig(c faas.AsyncConfig) asyncConfigAnswer {
	urn := faas.URN{Region: a.Functions.Region(), Project: c.Key.Project, Package: c.Key.Package, Name: c.Key.Name, Version: c.Key.Version, Alias: c.Alias}
	return asyncConfigAnswer{
		FuncURN: urn.String(), MaxAge: int(c.MaxAge / time.Second), Retries: c.Retries, StatusLog: c.StatusLog,
		Destination: asyncDestination{OnSuccess: a.toDestination(c.OnSuccess), OnFailure: a.toDestination(c.OnFailure)},
		CreatedTime: c.CreatedAt.UTC().Format(time.RFC3339), LastModified: c.ChangedAt.UTC().Format(time.RFC3339),
	}
}

// destinationNames are the dialect's words for the kinds of destinations.
func destinationNames() map[faas.DestinationKind]string {
	return map[faas.DestinationKind]string{
		faas.DestinationFunction: "FunctionGraph", faas.DestinationBucket: "OBS", faas.DestinationTopic: "SMN", faas.DestinationStream: "DIS",
	}
}

func (a *api) toDestination(d *faas.Destination) *destination {
	if d == nil {
		return nil
	}
	var p destinationParam
	switch d.Kind {
	case faas.DestinationFunction:
		to := d.Function
		p.FuncURN = faas.URN{Region: a.Functions.Region(), Project: to.Project, Package: to.Package, Name: to.Name, Version: to.Version, Alias: d.Alias}.String()
	case faas.DestinationBucket:
		p.Bucket, p.Prefix, p.Expires = d.Name, d.Prefix, d.Days
	case faas.DestinationTopic:
		p.TopicURN = d.Name
	case faas.DestinationStream:
		p.StreamName = d.Name
	}
	text, _ := json.Marshal(p) // texts and a number can always be encoded
	return &destination{destinationNames()[d.Kind], string(text)}
}

// readDestination reads a destination; nil, and one that names nothing, as Terraform sends it, is none.
func readDestination(project string, d *destination) (*faas.Destination, error) {
	if d == nil || d.Destination == "" && d.Param == "" {
		return nil, nil
	}
	bad := func(format string, args ...any) (*faas.Destination, error) {
		return nil, faas.Errorf(faas.CodeInvalid, "destination_config", "%s", fmt.Sprintf(format, args...))
	}
	var p destinationParam
	if err := json.Unmarshal([]byte(d.Param), &p); err != nil {
		return bad("the param of a destination must be a JSON object in a string: %v", err)
	}
	switch d.Destination {
	case "FunctionGraph":
		urn, err := faas.ParseURN(p.FuncURN)
		if err != nil {
			return bad("func_urn %.200q is not a function URN", p.FuncURN)
		}
		if urn.Project == "" {
			urn.Project = project
		}
		return &faas.Destination{
			Kind: faas.DestinationFunction, Alias: urn.Alias,
			Function: faas.FunctionKey{Project: urn.Project, Package: urn.Package, Name: urn.Name, Version: urn.Version},
		}, nil
	case "OBS":
		return &faas.Destination{Kind: faas.DestinationBucket, Name: p.Bucket, Prefix: p.Prefix, Days: p.Expires}, nil
	case "SMN":
		return &faas.Destination{Kind: faas.DestinationTopic, Name: p.TopicURN}, nil
	case "DIS":
		return &faas.Destination{Kind: faas.DestinationStream, Name: p.StreamName}, nil
	}
	return bad("destination %.40q must be OBS, SMN, DIS or FunctionGraph", d.Destination)
}

// asyncLogAnswer is ShowLtsLogDetailsResponseBody, which also tells about the status log.
type asyncLogAnswer struct {
	GroupName  string `json:"group_name"`
	GroupID    string `json:"group_id"`
	StreamID   string `json:"stream_id"`
	StreamName string `json:"stream_name"`
}

func (a *api) enableAsyncStatusLog(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Async.EnableStatusLog(r.Context(), project); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// showAsyncStatusLog names the log where it is switched on; else all names are empty. The log is the server's own.
func (a *api) showAsyncStatusLog(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	answer, err := a.statusLog(r.Context(), project)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// statusLog names the status log of a project; no names while it is off.
func (a *api) statusLog(ctx context.Context, project string) (asyncLogAnswer, error) {
	settings, err := a.Async.Settings(ctx, project)
	if err != nil || !settings.StatusLog {
		return asyncLogAnswer{}, err
	}
	return asyncLogAnswer{GroupName: "hanshu", GroupID: project, StreamName: "async-status", StreamID: project + "-async-status"}, nil
}

// asyncRecord is what goes to a destination (reference 3.2).
type asyncRecord struct {
	Timestamp string             `json:"timestamp"`
	Request   asyncRecordRequest `json:"request_context"`
	Event     string             `json:"request_payload"`
	Response  asyncRecordAnswer  `json:"response_context"`
	Result    string             `json:"response_payload"`
}

type asyncRecordRequest struct {
	RequestID   string `json:"request_id"`
	FunctionURN string `json:"function_urn"`
	Condition   string `json:"condition"` // "" on success
	InvokeCount int    `json:"approximate_invoke_count"`
}

type asyncRecordAnswer struct {
	StatusCode    int    `json:"status_code"`
	FunctionError string `json:"function_error"`
}

// AsyncEnd is how an asynchronous call ended.
type AsyncEnd struct {
	Job     faas.JobStatus
	Code    faas.Code // "" on success
	Message string
	Result  *faas.Result // nil when the function was not reached
	At      time.Time
}

// AsyncRecord is the record of a call for its destination. Payloads are left out where they would make it larger than the
// event of a call may be.
func AsyncRecord(region string, e AsyncEnd) []byte {
	j := &e.Job
	urn := faas.URN{Region: region, Project: j.Key.Project, Package: j.Key.Package, Name: j.Key.Name, Version: j.Key.Version, Alias: j.Alias}
	record := asyncRecord{
		Timestamp: e.At.UTC().Format("2006-01-02T15:04:05.000Z"), Event: string(j.Event),
		Request: asyncRecordRequest{RequestID: j.ID, FunctionURN: urn.String(), Condition: condition(e), InvokeCount: j.Attempts},
	}
	switch {
	case e.Result != nil && e.Result.Failure != nil:
		record.Response = asyncRecordAnswer{http.StatusInternalServerError, condition(e)}
		record.Result = string(failureBody(e.Result.Failure))
	case e.Code != "":
		reply := newErrorTable().of(&faas.Error{Code: e.Code, Message: e.Message})
		record.Response = asyncRecordAnswer{reply.status, condition(e)}
		record.Result = e.Message
	case e.Result != nil:
		record.Response.StatusCode = http.StatusOK
		record.Result = string(e.Result.Output)
	}
	text, _ := marshal(record) // texts and numbers can always be encoded
	if len(text) > faas.MaxEventBytes {
		record.Result = ""
		text, _ = marshal(record)
	}
	if len(text) > faas.MaxEventBytes {
		record.Event = ""
		text, _ = marshal(record)
	}
	return text
}

// condition names why a call failed.
func condition(e AsyncEnd) string {
	switch e.Code {
	case "":
		return ""
	case faas.CodeTimeout, faas.CodeInitTimeout:
		return "InvocationTimeout"
	case faas.CodeMemory:
		return "MemoryLimitExceeded"
	case faas.CodeQueueTimeout:
		return "EventAgeExceeded"
	}
	if e.Code.Fault() == faas.FaultFunction {
		return "UnhandledInvocationError"
	}
	return "InvocationError"
}
