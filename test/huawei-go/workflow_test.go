package huaweigo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// anything makes a pointer to a value of any type, as the SDK has them.
func anything(v any) *interface{} { return &v }

// state makes a state of the published definition.
func operation(t *testing.T, id, function, next string, arguments map[string]any) model.OperationState {
	t.Helper()
	return model.OperationState{
		Id: id, Name: id, Type: model.GetOperationStateTypeEnum().OPERATION, Transition: next, End: next == "",
		ActionMode: ptr(model.GetOperationStateActionModeEnum().SEQUENTIAL),
		Actions: []model.Action{{FunctionRef: &model.FunctionRef{
			RefName: function, Arguments: anything(arguments), InvokeMode: ptr(model.GetFunctionRefInvokeModeEnum().SYNCHRONIZE),
		}}},
	}
}

func (u *user) awaitRun(t *testing.T, flow, run, status string) *model.ShowWorkflowExecutionResponse {
	t.Helper()
	var shown *model.ShowWorkflowExecutionResponse
	require.Eventually(t, func() bool {
		var err error
		shown, err = u.ShowWorkflowExecution(&model.ShowWorkflowExecutionRequest{WorkflowId: flow, ExecutionId: run, XGetWorkflowFullHistoryData: ptr(true)})
		require.NoError(t, err)
		return shown.Status.Value() == status
	}, 30*time.Second, 10*time.Millisecond, "the run never became %s", status)
	return shown
}

const flowSource = `
import os
def handler(event, context):
    if event.get("fail"):
        raise ValueError("told to fail")
    return {"n": event.get("n", 0) + 1, "run": context.getWorkflowRunID(), "state": context.getWorkflowStateID(), "attempt": context.getWorkflowAttempt()}
`

// workflowChapter drives all fifteen operations.
func workflowChapter(t *testing.T, l *ledger) {
	u := l.user
	urn := u.create(t, inline(t, "step", u.python, flowSource))
	body := &model.WorkflowCreateBody{
		Name: "testflow", Description: ptr("desc"), Start: "first", Constants: anything(map[string]any{"by": 5}),
		Functions: []model.Function{{Name: "step", Operation: urn}},
		Retries:   []model.Retry{{Name: "once", Delay: ptr(int64(1)), MaxAttempts: ptr(int64(1))}},
		States: []model.OperationState{
			operation(t, "first", "step", "pause", map[string]any{"n": "$.n | $CONST.by", "fail": "$.fail | false"}),
			{Id: "pause", Name: "pause", Type: model.GetOperationStateTypeEnum().SLEEP, Duration: ptr(int64(1)), Transition: "last", Actions: []model.Action{}},
			{Id: "last", Name: "last", Type: model.GetOperationStateTypeEnum().END, End: true, Actions: []model.Action{}},
		},
	}
	made, err := u.CreateWorkflow(&model.CreateWorkflowRequest{Body: body})
	require.NoError(t, err)
	require.Equal(t, 201, made.HttpStatusCode)
	require.Equal(t, "testflow", *made.Name)
	l.did(t, "CreateWorkflow", "201, and its name once only")
	id := *made.Id
	_, err = u.CreateWorkflow(&model.CreateWorkflowRequest{Body: body})
	requireFlowError(t, err, 400, "FGS.3003")

	list, err := u.ListWorkflow(&model.ListWorkflowRequest{WorkflowName: ptr("test"), Limit: ptr(int32(10)), Mode: ptr("NORMAL")})
	require.NoError(t, err)
	require.EqualValues(t, 1, *list.Total)
	require.Equal(t, *made.WorkflowUrn, (*list.Workflows)[0].WorkflowUrn)
	l.did(t, "ListWorkflow", "the workflow alone, by a part of its name")

	shown, err := u.ShowWorkFlow(&model.ShowWorkFlowRequest{WorkflowId: id})
	require.NoError(t, err)
	require.Equal(t, "first", shown.Definition.Start)
	require.Len(t, shown.Definition.States, 3)
	l.did(t, "ShowWorkFlow", "the definition as it was sent")

	begun, err := u.StartWorkflowExecution(&model.StartWorkflowExecutionRequest{
		WorkflowId: id, XWorkflowRunID: ptr("run-1"), Body: &model.FlowExecuteBody{Input: anything(map[string]any{})},
	})
	require.NoError(t, err)
	require.Equal(t, "run-1", *begun.ExecutionId)
	l.did(t, "StartWorkflowExecution", "the run has the id asked for; the same id is the same run")
	run := u.awaitRun(t, id, "run-1", "success")
	require.Equal(t, "map[attempt:1 n:6 run:run-1 state:first]", fmt.Sprint(*run.Output))
	require.Len(t, *run.NodeExecutionDetails, 3)
	require.NotEmpty(t, *(*(*run.NodeExecutionDetails)[0].Executions)[0].RequestId)
	l.did(t, "ShowWorkflowExecution", "three states, their attempts, the output")

	again, err := u.StartWorkflowExecution(&model.StartWorkflowExecutionRequest{
		WorkflowId: id, XWorkflowRunID: ptr("run-1"), Body: &model.FlowExecuteBody{Input: anything(map[string]any{})},
	})
	require.NoError(t, err, "the same id is the same run")
	require.Equal(t, "run-1", *again.ExecutionId)

	u.retried(t, id)
	l.did(t, "RetryWorkFlow", "a failed run goes on where it failed; one that is well does not")
	u.stopped(t, id)
	l.did(t, "StopWorkFlow", "a run under way ends as stopped; it cannot be stopped twice")
	u.calledBack(t)
	l.did(t, "CreateCallbackWorkflow", "the state that waits goes on with the output; once only")
	u.waitedFor(t, body)
	l.did(t, "StartSyncWorkflowExecution", "the result of an EXPRESS run")

	runs, err := u.ListWorkflowExecutions(&model.ListWorkflowExecutionsRequest{WorkflowId: id, Status: ptr(model.GetListWorkflowExecutionsRequestStatusEnum().SUCCESS)})
	require.NoError(t, err)
	require.Len(t, *runs.Executions, 1)
	l.did(t, "ListWorkflowExecutions", "the one that ended well")
	page, err := u.ShowWorkflowExecutionForPage(&model.ShowWorkflowExecutionForPageRequest{WorkflowId: id, Offset: 1, Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, 3, *page.Total)
	require.EqualValues(t, 1, *page.Size)
	l.did(t, "ShowWorkflowExecutionForPage", "the second of three, alone")

	all, err := u.ShowTenantMetric(&model.ShowTenantMetricRequest{Period: ptr("30")})
	require.NoError(t, err)
	require.EqualValues(t, 6, sum(*all.Count))
	l.did(t, "ShowTenantMetric", "as many runs as were made")
	one, err := u.ShowWorkFlowMetric(&model.ShowWorkFlowMetricRequest{WorkflowUrn: *made.WorkflowUrn, Period: ptr("30")})
	require.NoError(t, err)
	require.EqualValues(t, 3, sum(*one.Count))
	require.EqualValues(t, 3, sum(*one.FailCount), "a run that was retried has ended twice")
	l.did(t, "ShowWorkFlowMetric", "runs of this workflow, and those that failed")

	quotas, err := u.ListQuotas(&model.ListQuotasRequest{ContentType: "application/json"})
	require.NoError(t, err)
	resources := quotas.Quotas.Resources
	last := resources[len(resources)-1]
	require.Equal(t, "fgs_workflow_num", last.Type.Value())
	require.EqualValues(t, 3, *last.Used)

	body.Description = ptr("other")
	changed, err := u.UpdateWorkFlow(&model.UpdateWorkFlowRequest{WorkflowId: id, Body: body})
	require.NoError(t, err)
	require.Equal(t, "other", *changed.Description)
	l.did(t, "UpdateWorkFlow", "the new description")

	gone, err := u.BatchDeleteWorkflows(&model.BatchDeleteWorkflowsRequest{Body: &model.WorkflowDeleteBody{WorkflowUrns: []string{*made.WorkflowUrn, "urn:fss:x:y:workflow:default:nobody:latest"}}})
	require.NoError(t, err)
	require.Equal(t, []string{*made.WorkflowUrn}, *gone.Success)
	require.Len(t, *gone.Fail, 1)
	l.did(t, "BatchDeleteWorkflows", "one gone, one that never was told apart")
	_, err = u.ShowWorkFlow(&model.ShowWorkFlowRequest{WorkflowId: id})
	requireFlowError(t, err, 404, "FGS.5002")
}

func sum(values []model.SlaReportsValue) (all float64) {
	for _, v := range values {
		all += *v.Value
	}
	return all
}

func requireFlowError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.StatusCode, "%v", err)
	require.Equal(t, code, e.ErrorCode, "%v", err)
	require.NotEmpty(t, e.RequestId)
}

// retried lets a run fail, and retries it: it fails once more, as its input says.
func (u *user) retried(t *testing.T, flow string) {
	t.Helper()
	_, err := u.StartWorkflowExecution(&model.StartWorkflowExecutionRequest{
		WorkflowId: flow, XWorkflowRunID: ptr("failing"), Body: &model.FlowExecuteBody{Input: anything(map[string]any{"fail": true})},
	})
	require.NoError(t, err)
	u.awaitRun(t, flow, "failing", "fail")
	again, err := u.RetryWorkFlow(&model.RetryWorkFlowRequest{WorkflowId: flow, ExecutionId: "failing"})
	require.NoError(t, err)
	require.Equal(t, 200, again.HttpStatusCode)
	require.Eventually(t, func() bool {
		run := u.awaitRun(t, flow, "failing", "fail")
		nodes := *run.NodeExecutionDetails
		return len(*nodes[0].Executions) == 2
	}, 20*time.Second, 10*time.Millisecond)
	_, err = u.RetryWorkFlow(&model.RetryWorkFlowRequest{WorkflowId: flow, ExecutionId: "run-1"})
	requireFlowError(t, err, 400, "FGS.3004")
}

func (u *user) stopped(t *testing.T, flow string) {
	t.Helper()
	_, err := u.StartWorkflowExecution(&model.StartWorkflowExecutionRequest{
		WorkflowId: flow, XWorkflowRunID: ptr("stopped"), Body: &model.FlowExecuteBody{Input: anything(map[string]any{})},
	})
	require.NoError(t, err)
	stopped, err := u.StopWorkFlow(&model.StopWorkFlowRequest{WorkflowId: flow, ExecutionId: "stopped"})
	require.NoError(t, err)
	require.Equal(t, 200, stopped.HttpStatusCode)
	require.Equal(t, "cancel", u.awaitRun(t, flow, "stopped", "cancel").Status.Value())
	_, err = u.StopWorkFlow(&model.StopWorkFlowRequest{WorkflowId: flow, ExecutionId: "stopped"})
	requireFlowError(t, err, 400, "FGS.3004")
	_, err = u.StopWorkFlow(&model.StopWorkFlowRequest{WorkflowId: flow, ExecutionId: "nobody"})
	requireFlowError(t, err, 404, "FGS.5003")
}

// calledBack answers a state that only our own definitions have, so the workflow is posted as text.
func (u *user) calledBack(t *testing.T) {
	t.Helper()
	id := u.postFlow(t, `{"name":"approval","start":"ask","functions":[],"constants":{},"retries":[],"states":[{"id":"ask","name":"ask","type":"callback","end":true}]}`)
	_, err := u.StartWorkflowExecution(&model.StartWorkflowExecutionRequest{
		WorkflowId: id, XWorkflowRunID: ptr("r"), Body: &model.FlowExecuteBody{Input: anything(map[string]any{})},
	})
	require.NoError(t, err)
	answer, err := u.CreateCallbackWorkflow(&model.CreateCallbackWorkflowRequest{
		WorkflowId: id, XWorkflowRunId: "r", XWorkflowStateId: "ask",
		Body: &model.CallbackWorkflowRequestBody{Result: model.GetCallbackWorkflowRequestBodyResultEnum().SUCCESS, Output: anything(map[string]any{"ok": true})},
	})
	require.NoError(t, err)
	require.Equal(t, "r", *answer.ExecutionId)
	require.Equal(t, map[string]any{"ok": true}, *u.awaitRun(t, id, "r", "success").Output)
	_, err = u.CreateCallbackWorkflow(&model.CreateCallbackWorkflowRequest{
		WorkflowId: id, XWorkflowRunId: "r", XWorkflowStateId: "ask",
		Body: &model.CallbackWorkflowRequestBody{Result: model.GetCallbackWorkflowRequestBodyResultEnum().SUCCESS, Output: anything(map[string]any{})},
	})
	requireFlowError(t, err, 400, "FGS.3004")
}

// postFlow makes a workflow of a definition that the SDK has no types for.
func (u *user) postFlow(t *testing.T, definition string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, u.server.Endpoint+"/v2/"+u.server.ProjectID+"/fgs/workflows", strings.NewReader(definition))
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", token(t, u.server))
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	var made struct {
		ID string `json:"id"`
	}
	require.Equal(t, 201, res.StatusCode)
	require.NoError(t, json.NewDecoder(res.Body).Decode(&made))
	return made.ID
}

// waitedFor runs a workflow of mode EXPRESS, which has no state that waits.
func (u *user) waitedFor(t *testing.T, body *model.WorkflowCreateBody) {
	t.Helper()
	express := *body
	express.Name, express.Mode = "express", ptr(model.GetWorkflowCreateBodyModeEnum().EXPRESS)
	express.States = []model.OperationState{operation(t, "first", "step", "", map[string]any{"n": "$.n", "fail": "$.fail"})}
	made, err := u.CreateWorkflow(&model.CreateWorkflowRequest{Body: &express})
	require.NoError(t, err)
	done, err := u.StartSyncWorkflowExecution(&model.StartSyncWorkflowExecutionRequest{WorkflowId: *made.WorkflowUrn, Body: &model.FlowExecuteBody{Input: anything(map[string]any{"n": 1})}})
	require.NoError(t, err)
	require.Equal(t, "success", done.Status.Value())
	require.Equal(t, "2", fmt.Sprint((*done.Output).(map[string]any)["n"]))
	require.Empty(t, *done.Errors)

	failed, err := u.StartSyncWorkflowExecution(&model.StartSyncWorkflowExecutionRequest{WorkflowId: *made.Id, Body: &model.FlowExecuteBody{Input: anything(map[string]any{"fail": true})}})
	require.NoError(t, err)
	require.Equal(t, "fail", failed.Status.Value())
	require.Equal(t, "first", *(*failed.Errors)[0].NodeId)
	require.True(t, strings.Contains(*(*failed.Errors)[0].ErrorMessage, "told to fail"), fmt.Sprint(*failed.Errors))
	require.Eventually(t, func() bool {
		list, err := u.ListWorkflowExecutions(&model.ListWorkflowExecutionsRequest{WorkflowId: *made.Id})
		require.NoError(t, err)
		return len(*list.Executions) == 2
	}, 10*time.Second, 10*time.Millisecond)
}
