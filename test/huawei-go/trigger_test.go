package huaweigo

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// trigger makes one as the SDK's users do.
func (u *user) trigger(t *testing.T, urn, kind string, data *model.TriggerEventDataRequestBody) (*model.CreateFunctionTriggerResponse, error) {
	t.Helper()
	return u.CreateFunctionTrigger(&model.CreateFunctionTriggerRequest{
		FunctionUrn: urn, ContentType: "application/json",
		Body: &model.CreateFunctionTriggerRequestBody{
			TriggerTypeCode: enum[model.CreateFunctionTriggerRequestBodyTriggerTypeCode](t, kind),
			TriggerStatus:   ptr(enum[model.CreateFunctionTriggerRequestBodyTriggerStatus](t, "ACTIVE")),
			EventTypeCode:   ptr("MessageCreated"), EventData: data,
		},
	})
}

// TestTriggers takes a trigger through all six operations.
func TestTriggers(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "triggered", u.python, "def handler(event, context):\n    return event\n")) + ":latest"
	timer := &model.TriggerEventDataRequestBody{
		Name: ptr("Timer-l8v2"), ScheduleType: ptr(enum[model.TriggerEventDataRequestBodyScheduleType](t, "Rate")), Schedule: ptr("3m"), UserEvent: ptr("hi"),
	}
	made, err := u.trigger(t, urn, "TIMER", timer)
	require.NoError(t, err)
	require.Equal(t, 201, made.HttpStatusCode)
	require.Equal(t, "3m", *made.EventData.Schedule)
	require.NotNil(t, made.CreatedTime)
	_, err = u.trigger(t, urn, "TIMER", timer)
	refused(t, err, 409, "FSS.1148")
	_, err = u.trigger(t, urn, "LTS", &model.TriggerEventDataRequestBody{LogGroupId: ptr("g"), LogTopicId: ptr("t")})
	refused(t, err, 400, "FSS.1101")

	id := *made.TriggerId
	shown, err := u.ShowFunctionTrigger(&model.ShowFunctionTriggerRequest{
		FunctionUrn: urn, TriggerId: id, TriggerTypeCode: enum[model.ShowFunctionTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: "application/json",
	})
	require.NoError(t, err)
	require.Equal(t, made.EventData, shown.EventData, "read back as it was answered")
	require.Equal(t, "ACTIVE", shown.TriggerStatus.Value())

	changed, err := u.UpdateTrigger(&model.UpdateTriggerRequest{
		FunctionUrn: urn, TriggerId: id, TriggerTypeCode: enum[model.UpdateTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: "application/json",
		Body: &model.UpdateTriggerRequestBody{TriggerStatus: ptr(enum[model.UpdateTriggerRequestBodyTriggerStatus](t, "DISABLED"))},
	})
	require.NoError(t, err)
	require.Equal(t, 200, changed.HttpStatusCode)

	listed, err := u.ListFunctionTriggers(&model.ListFunctionTriggersRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	require.Len(t, *listed.Body, 1)
	require.Equal(t, "DISABLED", (*listed.Body)[0].TriggerStatus.Value())

	remove := &model.DeleteFunctionTriggerRequest{
		FunctionUrn: urn, TriggerId: id, TriggerTypeCode: enum[model.DeleteFunctionTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: "application/json",
	}
	deleted, err := u.DeleteFunctionTrigger(remove)
	require.NoError(t, err)
	require.Equal(t, 204, deleted.HttpStatusCode)
	_, err = u.DeleteFunctionTrigger(remove)
	refused(t, err, 404, "FSS.1140")

	_, err = u.trigger(t, urn, "TIMER", timer)
	require.NoError(t, err)
	all, err := u.BatchDeleteFunctionTriggers(&model.BatchDeleteFunctionTriggersRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	require.Equal(t, 204, all.HttpStatusCode)
	listed, err = u.ListFunctionTriggers(&model.ListFunctionTriggersRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	require.Empty(t, *listed.Body)
}

// TestRoute makes an HTTP route, calls it without credentials, switches it off, and removes its function.
func TestRoute(t *testing.T) {
	u := newUser(t)
	name := u.create(t, inline(t, "web", u.python, `import json
def handler(event, context):
    return {"statusCode": 201, "headers": {"X-Who": event["pathParameters"]["who"]}, "body": event["queryStringParameters"]["q"], "isBase64Encoded": False}
`))
	made, err := u.trigger(t, name, "APIG", &model.TriggerEventDataRequestBody{
		Name: ptr("web"), GroupId: ptr("g"), EnvId: ptr("DEFAULT_ENVIRONMENT_RELEASE_ID"), EnvName: ptr("RELEASE"),
		Auth: ptr(enum[model.TriggerEventDataRequestBodyAuth](t, "NONE")), Protocol: ptr(enum[model.TriggerEventDataRequestBodyProtocol](t, "HTTP")),
		Path: ptr("/hello/{who}"), ReqMethod: ptr(enum[model.TriggerEventDataRequestBodyReqMethod](t, "GET")),
		MatchMode:   ptr(enum[model.TriggerEventDataRequestBodyMatchMode](t, "NORMAL")),
		BackendType: ptr(enum[model.TriggerEventDataRequestBodyBackendType](t, "FUNCTION")), Type: ptr(int32(1)),
		FuncInfo: &model.ApigTriggerFuncInfo{FunctionUrn: &name, Timeout: 5000, Version: ptr("latest")},
	})
	require.NoError(t, err)
	get := func() *http.Response {
		resp, err := http.Get(strings.ReplaceAll(*made.EventData.InvokeUrl, "{who}", "ada") + "?q=1")
		require.NoError(t, err)
		return resp
	}
	resp := get()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 201, resp.StatusCode, "%s", body)
	require.Equal(t, "ada", resp.Header.Get("X-Who"))
	require.Equal(t, "1", string(body))

	_, err = u.UpdateTrigger(&model.UpdateTriggerRequest{
		FunctionUrn: name, TriggerId: *made.TriggerId, TriggerTypeCode: enum[model.UpdateTriggerRequestTriggerTypeCode](t, "APIG"), ContentType: "application/json",
		Body: &model.UpdateTriggerRequestBody{TriggerStatus: ptr(enum[model.UpdateTriggerRequestBodyTriggerStatus](t, "DISABLED"))},
	})
	require.NoError(t, err)
	resp = get()
	var failure struct {
		Code string `json:"error_code"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&failure))
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 404, resp.StatusCode, "switched off at once")
	require.Equal(t, "APIG.0101", failure.Code)
}
