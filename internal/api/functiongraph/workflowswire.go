package functiongraph

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// flowAnswer is WorkflowSimpleInfo (reference 1.7).
type flowAnswer struct {
	ID                   string `json:"id"`
	WorkflowURN          string `json:"workflow_urn"`
	Name                 string `json:"name"`
	Description          string `json:"description"`
	CreatedTime          string `json:"created_time"`
	UpdatedTime          string `json:"updated_time"`
	CreatedBy            string `json:"created_by"`
	EnableStreamResponse bool   `json:"enable_stream_response"`
	Mode                 string `json:"mode"` // ours
}

// flowPage is WorkflowPageList.
type flowPage struct {
	Total     int64        `json:"total"`
	Size      int          `json:"size"`
	Workflows []flowAnswer `json:"workflows"`
}

// flowInfo is WorkflowInfo.
type flowInfo struct {
	flowAnswer
	Definition json.RawMessage `json:"definition"`
}

// operateAnswer is OperateResponse.
type operateAnswer struct {
	Success []string       `json:"success"`
	Fail    []operateError `json:"fail"`
}

// operateError is OperateErrorInfo.
type operateError struct {
	URN    string `json:"workflow_urn"`
	Detail string `json:"error_detail"`
}

// runStarted is FlowExecuteResponse.
type runStarted struct {
	ExecutionID string `json:"execution_id"`
}

// syncRun is SyncExecuteResponse.
type syncRun struct {
	ExecutionID string          `json:"execution_id"`
	Status      string          `json:"status"`
	BeginTime   string          `json:"begin_time"`
	EndTime     string          `json:"end_time"`
	Output      json.RawMessage `json:"output"`
	Errors      []syncError     `json:"errors"`
}

// syncError is SyncExecutionNodeErrorDetail.
type syncError struct {
	NodeID       string `json:"node_id"`
	ErrorMessage string `json:"error_message"`
	BeginTime    string `json:"begin_time"`
	EndTime      string `json:"end_time"`
}

// runBrief is FlowExecutionBrief and FlowExecutionBriefV2.
type runBrief struct {
	ExecutionID    string `json:"execution_id"`
	WorkflowID     string `json:"workflow_id"`
	WorkflowURN    string `json:"workflow_urn"`
	Status         string `json:"status"`
	BeginTime      string `json:"begin_time"`
	EndTime        string `json:"end_time,omitempty"`
	LastUpdateTime string `json:"last_update_time"`
	CreatedBy      string `json:"created_by"`
}

// runList is FlowExecutionList.
type runList struct {
	Executions []runBrief `json:"executions"`
}

// runPage is ShowWorkflowExecutionForPage.
type runPage struct {
	Executions []runBrief `json:"executions"`
	Size       int        `json:"size"`
	Total      int64      `json:"total"`
}

// runDetails is ExecutionDetails. Waits, fault and revision are ours.
type runDetails struct {
	runBrief
	Input    json.RawMessage `json:"input"`
	Headers  json.RawMessage `json:"headers,omitempty"`
	Output   json.RawMessage `json:"output,omitempty"`
	Nodes    []nodeDetail    `json:"node_execution_details"`
	Waits    []waitAnswer    `json:"waits"`
	Fault    json.RawMessage `json:"fault,omitempty"`
	Revision int64           `json:"revision"`
}

// nodeDetail is NodeExecutionDetail: all attempts at one state. Type is ours.
type nodeDetail struct {
	NodeID      string        `json:"node_id"`
	NodeName    string        `json:"node_name"`
	Type        string        `json:"node_type"`
	ExecutionID string        `json:"execution_id"`
	Executions  []nodeAttempt `json:"executions"`
}

// nodeAttempt is NodeExecution. Times are milliseconds since 1970. Calls are ours.
type nodeAttempt struct {
	Status       string          `json:"status"`
	Input        json.RawMessage `json:"input"`
	Output       json.RawMessage `json:"output,omitempty"`
	BeginTime    int64           `json:"begin_time"`
	EndTime      int64           `json:"end_time,omitempty"`
	ErrorMessage json.RawMessage `json:"error_message,omitempty"`
	RequestID    string          `json:"request_id"` // of the last call
	Calls        []callAnswer    `json:"calls,omitempty"`
}

type callAnswer struct {
	Function     string          `json:"function"`
	RequestID    string          `json:"request_id"`
	BeginTime    int64           `json:"begin_time"`
	EndTime      int64           `json:"end_time"`
	ErrorMessage json.RawMessage `json:"error_message,omitempty"`
}

// waitAnswer is something that a run waits for now.
type waitAnswer struct {
	NodeID  string `json:"node_id,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	What    string `json:"what"`
	Detail  string `json:"detail,omitempty"`
	Since   int64  `json:"since"`           // milliseconds since 1970
	Until   int64  `json:"until,omitempty"` // the same
}

func (a *api) toFlow(f *faas.Flow) flowAnswer {
	return flowAnswer{
		ID: f.ID, WorkflowURN: a.Flows.URN(f), Name: f.Name, Description: f.Description, CreatedTime: flowTime(f.CreatedAt),
		UpdatedTime: flowTime(f.ModifiedAt), CreatedBy: f.CreatedBy, EnableStreamResponse: f.Streaming, Mode: f.Mode,
	}
}

// flowTime writes a time as workflows have it (reference 2.4); "" for none.
func flowTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func (a *api) toRun(f *faas.Flow, r *faas.FlowRun) runBrief {
	return runBrief{
		ExecutionID: r.ID, WorkflowID: f.ID, WorkflowURN: a.Flows.URN(f), Status: string(r.Status), BeginTime: flowTime(r.BeganAt),
		EndTime: flowTime(r.EndedAt), LastUpdateTime: flowTime(r.UpdatedAt), CreatedBy: r.CreatedBy,
	}
}

func toSyncRun(r *faas.FlowRun) syncRun {
	answer := syncRun{
		ExecutionID: r.ID, Status: string(r.Status), BeginTime: flowTime(r.BeganAt), EndTime: flowTime(r.EndedAt), Output: r.Output, Errors: []syncError{},
	}
	if answer.Output == nil {
		answer.Output = json.RawMessage("{}")
	}
	if r.Status == faas.FlowCancelled {
		answer.Status = string(faas.FlowFailed) // the dialect knows no other word here
	}
	if r.Fault != nil {
		var fault struct {
			State   string `json:"state"`
			Message string `json:"errorMessage"`
		}
		_ = json.Unmarshal(r.Fault, &fault) // we have written it
		answer.Errors = append(answer.Errors, syncError{
			NodeID: fault.State, ErrorMessage: fault.Message, BeginTime: answer.BeginTime, EndTime: answer.EndTime,
		})
	}
	return answer
}

// maxShown is how much of a value is shown to who does not ask for all of it, in bytes.
const maxShown = 4096

// shown gives a value, or its beginning as a text.
func shown(text []byte, full bool) json.RawMessage {
	if full || len(text) <= maxShown {
		return text
	}
	short, err := json.Marshal(faas.Clip(string(text), maxShown) + "...")
	if err != nil {
		return json.RawMessage("null") // never: a text can be encoded
	}
	return short
}

func (a *api) toDetails(f *faas.Flow, v *faas.FlowView, full bool) runDetails {
	d := runDetails{
		runBrief: a.toRun(f, &v.Run), Input: shown(v.Run.Input, full), Headers: v.Run.Headers, Output: shown(v.Run.Output, full), Fault: v.Run.Fault,
		Nodes: []nodeDetail{}, Waits: []waitAnswer{}, Revision: v.Run.Revision,
	}
	at := map[string]int{}
	for i := range v.Attempts {
		one := &v.Attempts[i]
		n, known := at[one.State]
		if !known {
			n = len(d.Nodes)
			at[one.State] = n
			d.Nodes = append(d.Nodes, nodeDetail{NodeID: one.State, NodeName: one.Name, Type: one.Type, ExecutionID: v.Run.ID})
		}
		d.Nodes[n].Executions = append(d.Nodes[n].Executions, toAttempt(one, full))
	}
	for _, w := range v.Waits {
		d.Waits = append(d.Waits, waitAnswer{NodeID: w.State, Attempt: w.Attempt, What: w.What, Detail: w.Detail, Since: millis(w.Since), Until: millis(w.Until)})
	}
	return d
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func toAttempt(one *faas.FlowAttempt, full bool) nodeAttempt {
	n := nodeAttempt{
		Status: string(one.Status), Input: shown(one.Input, full), Output: shown(one.Output, full), BeginTime: millis(one.BeganAt), EndTime: millis(one.EndedAt),
		ErrorMessage: one.Fault,
	}
	for _, c := range one.Calls {
		n.RequestID = c.RequestID
		n.Calls = append(n.Calls, callAnswer{
			Function: c.Function, RequestID: c.RequestID, BeginTime: millis(c.BeganAt), EndTime: millis(c.EndedAt), ErrorMessage: c.Fault,
		})
	}
	return n
}

// flowStatistics is WorkflowStatisticsResp.
type flowStatistics struct {
	Count    []slaValue `json:"count"`
	Duration []slaValue `json:"duration"` // mean, in milliseconds; -1 where no run has ended
	Fail     []slaValue `json:"fail_count"`
	Running  []slaValue `json:"running_count"`
}

func (a *api) tenantMetric(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	return a.flowTally(w, r, project, "")
}

func (a *api) flowMetric(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	f, err := a.Flows.Get(r.Context(), project, r.PathValue("workflow_urn"))
	if err != nil {
		return err
	}
	return a.flowTally(w, r, project, f.ID)
}

// maxFlowSpan bounds how far back statistics go: runs and their sums are kept for as long.
const maxFlowSpan = 7 * 24 * time.Hour

// flowSpan reads the span of statistics: start_time and end_time in milliseconds, or the last period minutes.
func (a *api) flowSpan(r *http.Request) (from, to time.Time, err error) {
	query := r.URL.Query()
	to = a.now().UTC()
	period, err := flowNumber("period", query.Get("period"), 60)
	if err != nil {
		return from, to, err
	}
	if period < 1 || time.Duration(period)*time.Minute > maxFlowSpan {
		return from, to, faas.Errorf(faas.CodeInvalid, "period", "period %d must be 1 to %d minutes", period, int(maxFlowSpan.Minutes()))
	}
	from = to.Add(-time.Duration(period) * time.Minute)
	for name, at := range map[string]*time.Time{"start_time": &from, "end_time": &to} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 {
			return from, to, faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be milliseconds since 1970", name, text)
		}
		*at = time.UnixMilli(ms).UTC()
	}
	if !from.Before(to) || to.Sub(from) > maxFlowSpan {
		return from, to, faas.Errorf(faas.CodeInvalid, "start_time", "start_time must be before end_time, and by at most %d days", int(maxFlowSpan.Hours()/24))
	}
	return from, to, nil
}

// flowTally answers both statistics: by minute up to a day, by hour beyond.
func (a *api) flowTally(w http.ResponseWriter, r *http.Request, project, flow string) error {
	from, to, err := a.flowSpan(r)
	if err != nil {
		return err
	}
	kind := r.URL.Query().Get("metric_type")
	switch kind {
	case "", "totalCount", "errorCount", "averageDuration", "running", "rejectCount":
	default:
		return faas.Errorf(faas.CodeInvalid, "metric_type", "metric_type %.40q must be totalCount, errorCount, averageDuration, running or rejectCount", kind)
	}
	first, last, now := from.Unix()/60, to.Unix()/60+1, a.now().Unix()/60+1
	sums, err := a.FlowLists.FlowSums(r.Context(), project, flow, first, max(last, now))
	if err != nil {
		return err
	}
	running, err := a.FlowLists.FlowsRunning(r.Context(), project, flow)
	if err != nil {
		return err
	}
	step := int64(1)
	if to.Sub(from) > 24*time.Hour {
		step = 60
	}
	return httpkit.WriteJSON(w, http.StatusOK, tallyFlows(sums, running, first, last, step).only(kind))
}

// tallyFlows lays sums into spans. What was running at the end of a span is what runs now, without those started since and with those
// that have ended since.
func tallyFlows(sums []faas.FlowSum, running, first, last, step int64) flowStatistics {
	answer := flowStatistics{Count: []slaValue{}, Duration: []slaValue{}, Fail: []slaValue{}, Running: []slaValue{}}
	for at := first - first%step; at < last; at += step {
		var span faas.FlowSum
		then := running
		for _, s := range sums {
			switch {
			case s.Minute >= at+step:
				then += s.Ended - s.Started
			case s.Minute >= at:
				span.Started += s.Started
				span.Ended += s.Ended
				span.Failed += s.Failed
				span.Duration += s.Duration
			}
		}
		ms, mean := at*60_000, -1.0
		if span.Ended > 0 {
			mean = float64(span.Duration.Microseconds()) / 1000 / float64(span.Ended)
		}
		answer.Count = append(answer.Count, slaValue{ms, float64(span.Started)})
		answer.Fail = append(answer.Fail, slaValue{ms, float64(span.Failed)})
		answer.Duration = append(answer.Duration, slaValue{ms, mean})
		answer.Running = append(answer.Running, slaValue{ms, float64(max(then, 0))})
	}
	return answer
}

// only leaves one of the lists; all for "". Nothing is ever rejected, so rejectCount leaves none.
func (s flowStatistics) only(kind string) flowStatistics {
	none := flowStatistics{Count: []slaValue{}, Duration: []slaValue{}, Fail: []slaValue{}, Running: []slaValue{}}
	switch kind {
	case "":
		return s
	case "totalCount":
		none.Count = s.Count
	case "errorCount":
		none.Fail = s.Fail
	case "averageDuration":
		none.Duration = s.Duration
	case "running":
		none.Running = s.Running
	}
	return none
}
