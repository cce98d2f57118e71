package functiongraph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// FlowRuns starts runs of workflows and acts on them; workflow.Engine is one, and documents each.
type FlowRuns interface {
	StartRun(ctx context.Context, f *faas.Flow, s faas.FlowStart) (faas.FlowRun, error)
	RunNow(ctx context.Context, f *faas.Flow, s faas.FlowStart) (faas.FlowRun, error)
	FlowActs
	Show(ctx context.Context, flow, id string) (faas.FlowView, error)
}

// FlowActs is what can be done to a run.
type FlowActs interface {
	StopRun(ctx context.Context, flow, id string) error
	RetryRun(ctx context.Context, flow, id string) error
	Answer(ctx context.Context, flow, id, state string, output []byte, fault string, failed bool) error
}

// FlowLists lists and sums runs.
type FlowLists interface {
	FlowRuns(ctx context.Context, f faas.FlowRunFilter) ([]faas.FlowRun, int64, error)
	FlowSums(ctx context.Context, project, flow string, from, to int64) ([]faas.FlowSum, error)
	FlowsRunning(ctx context.Context, project, flow string) (int64, error)
}

// workflowRoutes lists the operations of reference 1.7.
func (a *api) workflowRoutes() []httpkit.Route {
	const project = "/v2/{project_id}/fgs"
	const flows = project + "/workflows"
	const flow = flows + "/{workflow_id}"
	const runs = flow + "/executions"
	return []httpkit.Route{
		{Method: http.MethodPost, Path: flows, Operation: "CreateWorkflow", Action: auth.ActionWrite, Note: "further types of states beside the published ones (docs/WORKFLOWS.md); a field that is not known is refused with its path. Functions need not exist yet", MaxBody: faas.MaxFlowDefinition, Handle: a.createFlow},
		{Method: http.MethodGet, Path: flows, Operation: "ListWorkflow", Action: auth.ActionRead, Handle: a.listFlows},
		{Method: http.MethodGet, Path: flow, Operation: "ShowWorkFlow", Action: auth.ActionRead, Note: "`workflow_id` may be the id, the URN or the name, here and below", Handle: a.showFlow},
		{Method: http.MethodPut, Path: flow, Operation: "UpdateWorkFlow", Action: auth.ActionWrite, MaxBody: faas.MaxFlowDefinition, Handle: a.updateFlow},
		{Method: http.MethodDelete, Path: flows, Operation: "BatchDeleteWorkflows", Action: auth.ActionWrite, Note: "runs under way are called off", Handle: a.deleteFlows},
		{Method: http.MethodPost, Path: runs, Operation: "StartWorkflowExecution", Action: auth.ActionInvoke, Note: "answered after fsync; `X-WorkflowRun-ID` is an idempotency key; `X-Create-Time` has no effect", Handle: a.startRun},
		{Method: http.MethodPost, Path: flow + "/sync-executions", Operation: "StartSyncWorkflowExecution", Action: auth.ActionInvoke, Note: "mode EXPRESS only", Handle: a.runNow},
		{Method: http.MethodGet, Path: runs, Operation: "ListWorkflowExecutions", Action: auth.ActionRead, Note: "the last three days where no time is named", Handle: a.listRuns},
		{Method: http.MethodGet, Path: runs + "/{execution_id}", Operation: "ShowWorkflowExecution", Action: auth.ActionRead, Note: "values over 4 KB are cut short without `X-Get-Workflow-Full-History-Data: true`; `waits`, `fault`, `calls` and `node_type` are ours", Handle: a.showRun},
		{Method: http.MethodGet, Path: flow + "/executions-history", Operation: "ShowWorkflowExecutionForPage", Action: auth.ActionRead, Note: "the states scheduled, recovered, retrying and stopping do not occur", Handle: a.pageRuns},
		{Method: http.MethodPost, Path: runs + "/{execution_id}/terminate", Operation: "StopWorkFlow", Action: auth.ActionInvoke, Handle: a.stopRun},
		{Method: http.MethodPost, Path: runs + "/{execution_id}/retry", Operation: "RetryWorkFlow", Action: auth.ActionInvoke, Note: "the outermost state in which the run ended is tried anew", Handle: a.retryRun},
		{Method: http.MethodPost, Path: flow + "/callback", Operation: "CreateCallbackWorkflow", Action: auth.ActionInvoke, Note: "`X-Workflow-State-Id` is the path of the state", MaxBody: faas.MaxFlowResult + 4096, Handle: a.answerRun},
		{Method: http.MethodGet, Path: project + "/workflow-statistic", Operation: "ShowTenantMetric", Action: auth.ActionRead, Note: "`period` in minutes (60) or `start_time` and `end_time` in milliseconds, up to 7 days, by minute up to a day and by hour beyond. Nothing is ever rejected, so `rejectCount` has no list", Handle: a.tenantMetric},
		{Method: http.MethodGet, Path: project + "/workflow-statistic/{workflow_urn}", Operation: "ShowWorkFlowMetric", Action: auth.ActionRead, Note: "as ShowTenantMetric", Handle: a.flowMetric},
	}
}

// ofFlows tells of a path that is one of workflows: their errors have codes of their own, and the request's id.
func ofFlows(path string) bool {
	_, rest, ok := strings.Cut(path, "/fgs/workflow")
	return ok && (rest == "" || rest[0] == '/' || rest[0] == 's' || rest[0] == '-')
}

// flowReply maps failures to the codes of workflows. The vendor publishes FGS.3002 and FGS.5002 only; the others are ours, in its form.
func flowReply(err error) errorReply {
	var e *faas.Error
	if !errors.As(err, &e) || e.Code == faas.CodeInternal {
		return errorReply{status: http.StatusInternalServerError, code: "FGS.3002", text: "Internal server error."}
	}
	reply := errorReply{status: http.StatusBadRequest, code: "FGS.3002", text: faas.Clip(e.Message, 512)}
	switch e.Code {
	case faas.CodeNotFound:
		reply.status, reply.code = http.StatusNotFound, "FGS.5002"
		if e.Field == "execution" {
			reply.code = "FGS.5003"
		}
	case faas.CodeExists:
		reply.code = "FGS.3003"
	case faas.CodeConflict:
		reply.code = "FGS.3004"
	case faas.CodeQuota:
		reply.code = "FGS.3005"
	case faas.CodeTooLarge:
		reply.code = "FGS.3006"
	case faas.CodeUnsupported:
		reply.code = "FGS.3007"
	case faas.CodeForbidden:
		reply.status, reply.code = http.StatusForbidden, "FGS.0403"
	case faas.CodeOverload:
		reply.status, reply.code = http.StatusTooManyRequests, "FGS.0429"
	case faas.CodeUnavailable, faas.CodeCancelled:
		reply.status, reply.code = http.StatusServiceUnavailable, "FGS.0503"
	}
	return reply
}

// flowOf gives the workflow that a path names.
func (a *api) flowOf(r *http.Request, action auth.Action) (*faas.Flow, error) {
	project, err := a.enter(r, action)
	if err != nil {
		return nil, err
	}
	return a.Flows.Get(r.Context(), project, r.PathValue("workflow_id"))
}

func (a *api) createFlow(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	f, err := a.Flows.Create(r.Context(), project, httpkit.PrincipalOf(r.Context()).UserName, httpkit.BodyOf(r.Context()))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusCreated, a.toFlow(f))
}

func (a *api) updateFlow(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	f, err := a.Flows.Update(r.Context(), project, r.PathValue("workflow_id"), httpkit.BodyOf(r.Context()))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, a.toFlow(f))
}

const maxFlowPage = 200

// listFlows lists workflows (reference 1.7): limit is 200 where none is given and at most, an offset below 0 is 0.
func (a *api) listFlows(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	limit, err := flowNumber("limit", query.Get("limit"), maxFlowPage)
	if err != nil {
		return err
	}
	offset, err := flowNumber("offset", query.Get("offset"), 0)
	if err != nil {
		return err
	}
	mode := query.Get("mode")
	if mode != "" && mode != faas.FlowNormal && mode != faas.FlowExpress {
		return faas.Errorf(faas.CodeInvalid, "mode", "mode %.40q must be NORMAL or EXPRESS", mode)
	}
	if limit < 1 {
		return faas.Errorf(faas.CodeInvalid, "limit", "limit %d must be at least 1", limit)
	}
	list, total, err := a.Flows.List(r.Context(), faas.FlowFilter{
		Project: project, Name: query.Get("workflow_name"), Mode: mode, Enterprise: query.Get("enterprise_project"),
		Limit: min(limit, maxFlowPage), Offset: max(offset, 0),
	})
	if err != nil {
		return err
	}
	answer := flowPage{Total: total, Size: len(list), Workflows: []flowAnswer{}}
	for _, f := range list {
		answer.Workflows = append(answer.Workflows, a.toFlow(f))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func flowNumber(name, text string, standard int) (int, error) {
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1_000_000 || n < -1_000_000 {
		return 0, faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be a number up to 1000000", name, text)
	}
	return n, nil
}

func (a *api) showFlow(w http.ResponseWriter, r *http.Request) error {
	f, err := a.flowOf(r, auth.ActionRead)
	if err != nil {
		return err
	}
	definition, err := a.Flows.Shown(r.Context(), f)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, flowInfo{flowAnswer: a.toFlow(f), Definition: definition})
}

// deleteFlows deletes workflows one by one, and tells of each.
func (a *api) deleteFlows(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var body struct {
		URNs []string `json:"workflow_urns"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if len(body.URNs) == 0 || len(body.URNs) > maxFlowPage {
		return faas.Errorf(faas.CodeInvalid, "workflow_urns", "workflow_urns must name 1 to %d workflows", maxFlowPage)
	}
	answer := operateAnswer{Success: []string{}, Fail: []operateError{}}
	for _, urn := range body.URNs {
		err := a.Flows.Delete(r.Context(), project, urn)
		var e *faas.Error
		switch {
		case err == nil:
			answer.Success = append(answer.Success, urn)
		case errors.As(err, &e) && e.Code != faas.CodeInternal:
			answer.Fail = append(answer.Fail, operateError{URN: faas.Clip(urn, 128), Detail: "the workflow does not exist"})
			if e.Code != faas.CodeNotFound {
				answer.Fail[len(answer.Fail)-1].Detail = faas.Clip(e.Message, 64)
			}
		default:
			return err
		}
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// readStart reads what shall be started, and how.
func (a *api) readStart(r *http.Request) (f *faas.Flow, start faas.FlowStart, err error) {
	if f, err = a.flowOf(r, auth.ActionInvoke); err != nil {
		return nil, start, err
	}
	start, err = startOf(r)
	return f, start, err
}

// startOf reads FlowExecuteBody and the headers of a start.
func startOf(r *http.Request) (faas.FlowStart, error) {
	start := faas.FlowStart{
		ID: r.Header.Get("X-WorkflowRun-ID"), Source: faas.SourceAPI, CreatedBy: faas.Clip(httpkit.PrincipalOf(r.Context()).UserName, 32),
	}
	if len(start.ID) > 64 || !wordID(start.ID) {
		return start, faas.Errorf(faas.CodeInvalid, "X-WorkflowRun-ID", "X-WorkflowRun-ID %.80q must have at most 64 letters, digits, '-', '_' or '.'", start.ID)
	}
	switch merge := r.Header.Get("X-WorkflowRun-MergeFnParameters"); merge {
	case "", "false":
	case "true":
		start.Merge = true
	default:
		return start, faas.Errorf(faas.CodeInvalid, "X-WorkflowRun-MergeFnParameters", "X-WorkflowRun-MergeFnParameters %.40q must be true or false", merge)
	}
	var body struct {
		Input   json.RawMessage            `json:"input"`
		Headers map[string]json.RawMessage `json:"headers"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return start, err
	}
	if len(body.Input) == 0 {
		return start, faas.Errorf(faas.CodeInvalid, "input", "input is missing; an empty one is {}")
	}
	start.Input = body.Input
	if body.Headers != nil {
		text, err := json.Marshal(body.Headers)
		if err != nil {
			return start, err
		}
		if len(text) > 4<<10 {
			return start, faas.Errorf(faas.CodeTooLarge, "headers", "headers have more than 4096 bytes")
		}
		start.Headers = text
	}
	return start, nil
}

func wordID(id string) bool {
	return !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}

// startRun starts a run. Once it is answered, the run is on disk and will go to its end.
func (a *api) startRun(w http.ResponseWriter, r *http.Request) error {
	f, start, err := a.readStart(r)
	if err != nil {
		return err
	}
	run, err := a.FlowRuns.StartRun(r.Context(), f, start)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, runStarted{run.ID})
}

// runNow runs a workflow of mode EXPRESS to its end (reference 2.4).
func (a *api) runNow(w http.ResponseWriter, r *http.Request) error {
	f, start, err := a.readStart(r)
	if err != nil {
		return err
	}
	run, err := a.FlowRuns.RunNow(r.Context(), f, start)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toSyncRun(&run))
}

const (
	maxRunList  = 500
	standardRun = 200
	runWindow   = 72 * time.Hour // that a listing looks back when it names no time
)

// readRuns reads what listings of runs have in common.
func (a *api) readRuns(r *http.Request, most, standard int) (f *faas.Flow, filter faas.FlowRunFilter, err error) {
	if f, err = a.flowOf(r, auth.ActionRead); err != nil {
		return nil, filter, err
	}
	filter.Flow = f.ID
	query := r.URL.Query()
	if filter.Limit, err = flowNumber("limit", query.Get("limit"), standard); err != nil {
		return nil, filter, err
	}
	if filter.Limit < 0 || filter.Limit > most {
		return nil, filter, faas.Errorf(faas.CodeInvalid, "limit", "limit %d must be 1 to %d", filter.Limit, most)
	}
	filter.Limit = cmp.Or(filter.Limit, standard)
	if filter.Offset, err = flowNumber("offset", query.Get("offset"), 0); err != nil {
		return nil, filter, err
	}
	filter.Offset = max(filter.Offset, 0)
	if filter.From, err = queryTime("start_time", query.Get("start_time")); err != nil {
		return nil, filter, err
	}
	if filter.To, err = queryTime("end_time", query.Get("end_time")); err != nil {
		return nil, filter, err
	}
	if !filter.To.IsZero() {
		filter.To = filter.To.Add(time.Second - time.Microsecond) // the whole of that second
	}
	if filter.From.IsZero() && filter.To.IsZero() {
		filter.From = a.now().Add(-runWindow)
	}
	return f, filter, nil
}

func (a *api) listRuns(w http.ResponseWriter, r *http.Request) error {
	f, filter, err := a.readRuns(r, maxRunList, standardRun)
	if err != nil {
		return err
	}
	if status := r.URL.Query().Get("status"); status != "" {
		filter.Status = faas.FlowStatus(status)
		if !slices.Contains(faas.FlowStatuses, filter.Status) {
			return faas.Errorf(faas.CodeInvalid, "status", "status %.40q must be success, fail, running, timeout or cancel", status)
		}
	}
	list, _, err := a.FlowLists.FlowRuns(r.Context(), filter)
	if err != nil {
		return err
	}
	answer := runList{Executions: []runBrief{}}
	for i := range list {
		answer.Executions = append(answer.Executions, a.toRun(f, &list[i]))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) pageRuns(w http.ResponseWriter, r *http.Request) error {
	f, filter, err := a.readRuns(r, 100, 100)
	if err != nil {
		return err
	}
	list, total, err := a.FlowLists.FlowRuns(r.Context(), filter)
	if err != nil {
		return err
	}
	answer := runPage{Executions: []runBrief{}, Size: len(list), Total: total}
	for i := range list {
		answer.Executions = append(answer.Executions, a.toRun(f, &list[i]))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) showRun(w http.ResponseWriter, r *http.Request) error {
	f, err := a.flowOf(r, auth.ActionRead)
	if err != nil {
		return err
	}
	view, err := a.FlowRuns.Show(r.Context(), f.ID, r.PathValue("execution_id"))
	if err != nil {
		return err
	}
	full := r.Header.Get("X-Get-Workflow-Full-History-Data") == "true"
	return httpkit.WriteJSON(w, http.StatusOK, a.toDetails(f, &view, full))
}

func (a *api) stopRun(w http.ResponseWriter, r *http.Request) error {
	return a.act(w, r, a.FlowRuns.StopRun)
}

func (a *api) retryRun(w http.ResponseWriter, r *http.Request) error {
	return a.act(w, r, a.FlowRuns.RetryRun)
}

func (a *api) act(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, flow, id string) error) error {
	f, err := a.flowOf(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	if err := do(r.Context(), f.ID, r.PathValue("execution_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// answerRun ends what a state of the type callback waits for (reference 2.4).
func (a *api) answerRun(w http.ResponseWriter, r *http.Request) error {
	f, err := a.flowOf(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	run, state := r.Header.Get("X-Workflow-Run-Id"), r.Header.Get("X-Workflow-State-Id")
	if run == "" || state == "" {
		return faas.Errorf(faas.CodeInvalid, "X-Workflow-Run-Id", "the headers X-Workflow-Run-Id and X-Workflow-State-Id must be given")
	}
	var body struct {
		Result string          `json:"result"`
		Error  string          `json:"error"`
		Output json.RawMessage `json:"output"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if body.Result != "success" && body.Result != "fail" {
		return faas.Errorf(faas.CodeInvalid, "result", "result %.40q must be success or fail", body.Result)
	}
	if len(body.Error) > 64 {
		return faas.Errorf(faas.CodeInvalid, "error", "error has more than 64 characters")
	}
	if err := a.FlowRuns.Answer(r.Context(), f.ID, run, state, body.Output, body.Error, body.Result == "fail"); err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, runStarted{run})
}
