package functiongraph

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Jobs accepts asynchronous calls, and calls them off.
type Jobs interface {
	// Enqueue returns when the job is on disk.
	Enqueue(ctx context.Context, job faas.Job) error
	// Cancel errors: CodeNotFound and CodeConflict, field "job".
	Cancel(ctx context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) error
}

// JobList shows asynchronous calls, the youngest first.
type JobList interface {
	Jobs(ctx context.Context, f faas.JobFilter) ([]faas.JobStatus, error)
}

// asyncInvokeAnswer is AsyncInvokeFunctionResponseBody.
type asyncInvokeAnswer struct {
	RequestID string `json:"request_id"`
}

// asyncInvokeFunction accepts a call (reference 3.2). Once it is answered, the call is on disk and will run.
func (a *api) asyncInvokeFunction(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	opts, err := readInvokeOptions(r.Header)
	if err != nil {
		return err
	}
	event, err := checkEvent(httpkit.BodyOf(r.Context()))
	if err != nil {
		return err
	}
	if urn.Project != "" && urn.Project != project {
		return faas.NotFound("function", urn.Name)
	}
	key := faas.FunctionKey{Project: project, Package: urn.Package, Name: urn.Name, Version: urn.Version}
	request := invoke.Request{Key: key, Alias: urn.Alias, Asked: (*httpkit.Asked)(r), Call: faas.Invocation{MemoryMB: opts.memoryMB}}
	f, err := a.Invoker.Find(r.Context(), request)
	if err != nil {
		return err
	}
	if f.Spec.MaxInstances == 0 {
		return faas.Errorf(faas.CodeDisabled, "function", "the function is switched off (concurrency is 0)")
	}
	if urn.Alias != "" {
		if key.Version, err = a.Invoker.Bound(r.Context(), request); err != nil {
			return err
		}
	}
	id, err := uuid.NewV7() // it begins with the time, so that jobs accepted together stand together on disk
	if err != nil {
		return err
	}
	job := faas.Job{ID: id.String(), Key: key, Alias: urn.Alias, Source: faas.SourceAPI, Event: event, MemoryMB: opts.memoryMB}
	if err := a.Jobs.Enqueue(r.Context(), job); err != nil {
		return err
	}
	w.Header()[headerRequestID] = []string{job.ID}
	return httpkit.WriteJSON(w, http.StatusAccepted, asyncInvokeAnswer{job.ID})
}

// asyncListAnswer is ListFunctionAsyncInvocationsResponseBody.
type asyncListAnswer struct {
	Invocations []asyncAnswer `json:"invocations"`
	NextMarker  int           `json:"next_marker"` // 0 when this page is empty
	Count       int           `json:"count"`       // on this page
}

// asyncAnswer is ListFunctionAsyncInvocationsResult.
type asyncAnswer struct {
	RequestID    string `json:"request_id"`
	Status       string `json:"status"`
	StartTime    string `json:"start_time"` // of the latest attempt; of the acceptance before the first one
	EndTime      string `json:"end_time"`
	ErrorCode    int    `json:"error_code,omitempty"` // absent for none: Terraform reads it as a text, the SDK as a number
	ErrorMessage string `json:"error_message"`
}

// asyncStates are the dialect's words for the states of jobs.
func asyncStates() map[faas.JobState]string {
	return map[faas.JobState]string{
		faas.JobWaiting: "WAIT", faas.JobRunning: "RUNNING", faas.JobDone: "SUCCESS", faas.JobDead: "FAIL", faas.JobExpired: "DISCARD",
		faas.JobCancelled: "DISCARD",
	}
}

const (
	asyncTime       = "2006-01-02T15:04:05" // in UTC
	defaultAsyncs   = 100
	maxAsyncs       = 500
	asyncWindow     = time.Hour // that a listing looks back when it names no time
	maxAsyncRequest = 10        // ids in one listing
	maxAsyncMarker  = 1_000_000 // rows that a page leaves out; clients hold markers in 32 bits, so they are no keys
)

func (a *api) listAsyncInvocations(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	return a.listAsync(w, r, query.Get("request_id"), faas.JobStates, asyncWindow)
}

func (a *api) listActiveAsyncInvocations(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	return a.listAsync(w, r, query.Get("requests"), []faas.JobState{faas.JobWaiting, faas.JobRunning}, 0)
}

// listAsync answers both listings: ids is a list of request ids or "", and window how far back to look when no time is named.
func (a *api) listAsync(w http.ResponseWriter, r *http.Request, ids string, states []faas.JobState, window time.Duration) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	filter := faas.JobFilter{Project: f.Project, Package: f.Package, Name: f.Name, States: states}
	if err := readAsyncFilter(r, ids, window, &filter); err != nil {
		return err
	}
	list, err := a.JobList.Jobs(r.Context(), filter)
	if err != nil {
		return err
	}
	answer := asyncListAnswer{Invocations: []asyncAnswer{}, Count: len(list)}
	words := asyncStates()
	for _, j := range list {
		answer.Invocations = append(answer.Invocations, a.toAsync(j, words))
	}
	if len(list) > 0 {
		answer.NextMarker = filter.Skip + len(list)
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) toAsync(j faas.JobStatus, words map[faas.JobState]string) asyncAnswer {
	row := asyncAnswer{RequestID: j.ID, Status: words[j.State], StartTime: j.Accepted().Format(asyncTime), ErrorMessage: j.Message}
	if !j.Began.IsZero() {
		row.StartTime = j.Began.UTC().Format(asyncTime)
	}
	if !j.Ended.IsZero() {
		row.EndTime = j.Ended.UTC().Format(asyncTime)
	}
	if j.Code != "" {
		row.ErrorCode, _ = strconv.Atoi(a.errors.of(&faas.Error{Code: j.Code}).inner) // every inner code is a number
	}
	return row
}

// readAsyncFilter reads the query of a listing.
func readAsyncFilter(r *http.Request, ids string, window time.Duration, filter *faas.JobFilter) error {
	query := r.URL.Query()
	limit, err := queryNumber("limit", query.Get("limit"))
	if err != nil || limit > maxAsyncs {
		return faas.Errorf(faas.CodeInvalid, "limit", "limit %.40q must be 1 to %d", query.Get("limit"), maxAsyncs)
	}
	filter.Limit = cmp.Or(int(limit), defaultAsyncs)
	marker, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return err
	}
	if marker > maxAsyncMarker {
		return faas.Errorf(faas.CodeInvalid, "marker", "marker %d is over %d; narrow the times of the query", marker, maxAsyncMarker)
	}
	filter.Skip = int(marker)
	if ids != "" {
		filter.IDs = strings.Split(ids, ",")
		if len(filter.IDs) > maxAsyncRequest {
			return faas.Errorf(faas.CodeInvalid, "requests", "requests names more than %d ids", maxAsyncRequest)
		}
		window = 0
	}
	if filter.From, err = queryTime("query_begin_time", query.Get("query_begin_time")); err != nil {
		return err
	}
	if filter.To, err = queryTime("query_end_time", query.Get("query_end_time")); err != nil {
		return err
	}
	if filter.From.IsZero() && filter.To.IsZero() && window > 0 {
		filter.From = time.Now().Add(-window)
	}
	if !filter.To.IsZero() {
		filter.To = filter.To.Add(time.Second - time.Microsecond) // the whole of that second
	}
	filter.States, err = readStatus(query.Get("status"), filter.States)
	return err
}

// readStatus gives those of the states that a word means; all for "".
func readStatus(status string, among []faas.JobState) ([]faas.JobState, error) {
	if status == "" {
		return among, nil
	}
	words, found, known := asyncStates(), []faas.JobState{}, false
	for _, s := range faas.JobStates {
		if words[s] == status {
			known = true
			if slices.Contains(among, s) {
				found = append(found, s)
			}
		}
	}
	if !known {
		return nil, faas.Errorf(faas.CodeInvalid, "status", "status %.40q must be WAIT, RUNNING, SUCCESS, FAIL or DISCARD", status)
	}
	return found, nil
}

// queryTime reads a time in UTC, with or without its zone.
func queryTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{asyncTime, time.RFC3339, "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be a time like 2006-01-02T15:04:05 in UTC", name, text)
}

// cancelRequest is CancelAsyncInvocationRequestBody.
type cancelRequest struct {
	RequestID string `json:"request_id"`
	Type      string `json:"type"`
}

// cancelAsyncInvocation calls a call off (reference 3.2). Without a type, one under way goes to its end and is not tried
// again; recursive also reaches the calls that it caused; force ends its instance.
func (a *api) cancelAsyncInvocation(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	var body cancelRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	mode, children := faas.CancelRetries, false
	switch body.Type {
	case "":
	case "recursive":
		children = true
	case "force":
		mode = faas.CancelForce
	default:
		return faas.Errorf(faas.CodeInvalid, "type", "type %.40q must be recursive or force", body.Type)
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	if err := a.Jobs.Cancel(r.Context(), f.Key(), body.RequestID, mode, children); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
