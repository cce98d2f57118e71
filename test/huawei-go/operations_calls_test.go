package huaweigo

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

func functionChapter(t *testing.T, l *ledger) {
	body := inline(t, "chapter", l.python, pythonEcho)
	body.UserData, body.Tags = ptr(`{"mode":"first"}`), ptr(`{"team":"edge"}`)
	made, err := l.CreateFunction(&model.CreateFunctionRequest{ContentType: jsonType, Body: body})
	require.NoError(t, err)
	require.Equal(t, "latest", *made.Version)
	l.did(t, "CreateFunction", "200, %s", *made.FuncUrn)
	urn := "urn:fss:" + l.server.Region + ":" + l.server.ProjectID + ":function:default:chapter"
	require.Equal(t, urn+":latest", *made.FuncUrn)

	page := l.list(t, model.ListFunctionsRequest{FuncName: ptr("chapter")})
	require.EqualValues(t, 1, *page.Count)
	l.did(t, "ListFunctions", "the function alone, by its name")

	shown := l.show(t, urn)
	require.Equal(t, *made.Digest, *shown.Digest)
	require.Equal(t, *body.UserData, *shown.UserData)
	l.did(t, "ShowFunctionConfig", "user_data as it was sent, the digest as it was answered")

	require.JSONEq(t, `{"event":{"n":1},"name":"chapter","memory":128,"mode":"first"}`, l.answer(t, urn, map[string]any{"n": 1}))
	l.did(t, "InvokeFunction", "what the handler returned, with its variable")

	change := l.configBody(t, "chapter")
	change.MemorySize, change.UserData, change.Description = 256, ptr(`{"mode":"second"}`), ptr("")
	l.update(t, urn, change)
	require.Contains(t, l.answer(t, urn, map[string]any{}), `"memory":256,"mode":"second"`)
	l.did(t, "UpdateFunctionConfig", "the next call has 256 MB and the new variable")

	second := "def handler(event, context):\n    return 'second'\n"
	code, err := l.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: jsonType, Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE, FuncCode: &model.FuncCode{File: ptr(encode([]byte(second)))},
	}})
	require.NoError(t, err)
	require.NotEqual(t, *made.Digest, *code.Digest)
	require.Equal(t, `"second"`, l.answer(t, urn, nil))
	l.did(t, "UpdateFunctionCode", "another digest, and the next call runs it")

	read, err := l.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, encode([]byte(second)), *read.FuncCode.File)
	l.did(t, "ShowFunctionCode", "the source, in base64")

	limit, err := l.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{FunctionUrn: urn, ContentType: jsonType,
		Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{MaxInstanceNum: ptr(int32(0))}})
	require.NoError(t, err)
	require.EqualValues(t, 0, limit.StrategyConfig.Concurrency)
	_, err = l.invoke(urn, nil)
	refused(t, err, 403, "FSS.0403")
	l.did(t, "UpdateFunctionMaxInstanceConfig", "0 switches the function off")

	_, err = l.UpdateFunctionCollectState(&model.UpdateFunctionCollectStateRequest{FuncUrn: urn, State: "true", ContentType: jsonType})
	require.NoError(t, err)
	l.did(t, "UpdateFunctionCollectState", "200")

	quotas, err := l.ListQuotas(&model.ListQuotasRequest{ContentType: jsonType})
	require.NoError(t, err)
	listed := map[string]int32{}
	for _, q := range quotas.Quotas.Resources {
		listed[q.Type.Value()] = *q.Used
	}
	require.EqualValues(t, 1, listed["fgs_func_num"])
	l.did(t, "ListQuotas", "%d quotas, 1 function used", len(listed))

	gone, err := l.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	_, err = l.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn, ContentType: jsonType})
	refused(t, err, 404, "FSS.1051")
	l.did(t, "DeleteFunction", "204, then 404 FSS.1051")
}

func asyncChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "later", l.python, "import time\n\ndef handler(event, context):\n    time.sleep(event.get('s', 0))\n    return 1 / event.get('by', 1)\n"))
	set := l.set(t, urn, &model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: ptr(int32(0)), MaxAsyncEventAgeInSeconds: ptr(int32(60))})
	require.EqualValues(t, 0, *set.MaxAsyncRetryAttempts)
	l.did(t, "UpdateFunctionAsyncInvokeConfig", "no retry, 60 s")
	got, err := l.ShowFunctionAsyncInvokeConfig(&model.ShowFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.EqualValues(t, 60, *got.MaxAsyncEventAgeInSeconds)
	l.did(t, "ShowFunctionAsyncInvokeConfig", "as it was set")
	all, err := l.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.EqualValues(t, 1, *all.Count)
	l.did(t, "ListFunctionAsyncInvokeConfig", "the one")

	id := l.enqueue(t, urn, map[string]any{"by": 0})
	l.did(t, "AsyncInvokeFunction", "202 with a request id")
	row := l.awaitAsync(t, urn, id, "FAIL")
	require.EqualValues(t, 4002, *row.ErrorCode)
	l.did(t, "ListAsyncInvocations", "FAIL 4002, as the handler divides by zero")

	slow := l.enqueue(t, urn, map[string]any{"s": 9})
	l.awaitAsync(t, urn, slow, "RUNNING")
	active, err := l.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: urn, ContentType: jsonType, Requests: &slow})
	require.NoError(t, err)
	require.Equal(t, "RUNNING", (*active.Invocations)[0].Status.Value())
	l.did(t, "ListActiveAsyncInvocations", "the one that is under way")
	l.stop(t, urn, slow, ptr(model.GetCancelAsyncInvocationRequestBodyTypeEnum().FORCE))
	l.awaitAsync(t, urn, slow, "DISCARD")
	l.did(t, "CancelAsyncInvocation", "DISCARD within seconds")

	gone, err := l.DeleteFunctionAsyncInvokeConfig(&model.DeleteFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	_, err = l.ShowFunctionAsyncInvokeConfig(&model.ShowFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, ContentType: jsonType})
	refused(t, err, 404, "FSS.0404")
	l.did(t, "DeleteFunctionAsyncInvokeConfig", "204, then 404")

	_, err = l.EnableAsyncStatusLog(&model.EnableAsyncStatusLogRequest{ContentType: jsonType})
	require.NoError(t, err)
	l.did(t, "EnableAsyncStatusLog", "200")
	log, err := l.ShowProjectAsyncStatusLogInfo(&model.ShowProjectAsyncStatusLogInfoRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.NotEmpty(t, *log.StreamName)
	l.did(t, "ShowProjectAsyncStatusLogInfo", "stream %s", *log.StreamName)
}

func triggerChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "started", l.python, pythonEcho))
	timer := &model.TriggerEventDataRequestBody{
		Name: ptr("t"), ScheduleType: ptr(enum[model.TriggerEventDataRequestBodyScheduleType](t, "Rate")), Schedule: ptr("3m"),
	}
	made, err := l.trigger(t, urn, "TIMER", timer)
	require.NoError(t, err)
	require.Equal(t, 201, made.HttpStatusCode)
	l.did(t, "CreateFunctionTrigger", "201, a timer")
	shown, err := l.ShowFunctionTrigger(&model.ShowFunctionTriggerRequest{
		FunctionUrn: urn, TriggerId: *made.TriggerId, TriggerTypeCode: enum[model.ShowFunctionTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: jsonType,
	})
	require.NoError(t, err)
	require.Equal(t, made.EventData, shown.EventData)
	l.did(t, "ShowFunctionTrigger", "event_data as it was answered")
	changed, err := l.UpdateTrigger(&model.UpdateTriggerRequest{
		FunctionUrn: urn, TriggerId: *made.TriggerId, TriggerTypeCode: enum[model.UpdateTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: jsonType,
		Body: &model.UpdateTriggerRequestBody{TriggerStatus: ptr(enum[model.UpdateTriggerRequestBodyTriggerStatus](t, "DISABLED"))},
	})
	require.NoError(t, err)
	require.Equal(t, "DISABLED", changed.TriggerStatus.Value())
	l.did(t, "UpdateTrigger", "DISABLED")
	list := func() []model.ListFunctionTriggerResult {
		listed, err := l.ListFunctionTriggers(&model.ListFunctionTriggersRequest{FunctionUrn: urn, ContentType: jsonType})
		require.NoError(t, err)
		return *listed.Body
	}
	require.Len(t, list(), 1)
	l.did(t, "ListFunctionTriggers", "a bare array of one")
	_, err = l.DeleteFunctionTrigger(&model.DeleteFunctionTriggerRequest{
		FunctionUrn: urn, TriggerId: *made.TriggerId, TriggerTypeCode: enum[model.DeleteFunctionTriggerRequestTriggerTypeCode](t, "TIMER"), ContentType: jsonType,
	})
	require.NoError(t, err)
	require.Empty(t, list())
	l.did(t, "DeleteFunctionTrigger", "204, and none is listed")
	_, err = l.trigger(t, urn, "TIMER", timer)
	require.NoError(t, err)
	all, err := l.BatchDeleteFunctionTriggers(&model.BatchDeleteFunctionTriggersRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, all.HttpStatusCode)
	require.Empty(t, list())
	l.did(t, "BatchDeleteFunctionTriggers", "204, and none is listed")
}

// awaitReady waits until an instance stands ready for a snapshot.
func (l *ledger) awaitReady(t *testing.T, urn string) {
	t.Helper()
	require.Eventually(t, func() bool {
		r, err := l.ShowFuncSnapshotState(&model.ShowFuncSnapshotStateRequest{FunctionUrn: urn, Action: model.GetShowFuncSnapshotStateRequestActionEnum().STATE, ContentType: jsonType})
		require.NoError(t, err)
		return *r.State == "enable" && *r.Code == "ready"
	}, time.Minute, 20*time.Millisecond)
}

func instanceChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "warm", l.python, pythonEcho))
	snapshot := func(action model.UpdateFuncSnapshotRequestAction) {
		r, err := l.UpdateFuncSnapshot(&model.UpdateFuncSnapshotRequest{FunctionUrn: urn, Action: action, ContentType: jsonType})
		require.NoError(t, err)
		require.Equal(t, 204, r.HttpStatusCode)
	}
	actions := model.GetUpdateFuncSnapshotRequestActionEnum()
	snapshot(actions.ENABLE)
	l.did(t, "UpdateFuncSnapshot", "204")
	l.awaitReady(t, urn)
	l.did(t, "ShowFuncSnapshotState", "enable, and soon ready, without a call")
	snapshot(actions.DISABLE)

	begin, end := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Hour).Unix()
	tactics := &model.TacticsConfig{
		CronConfigs:   &[]model.CronConfig{{Name: ptr("now"), Cron: ptr("* * * * * *"), Count: ptr(int32(2)), StartTime: &begin, ExpiredTime: &end}},
		MetricConfigs: &[]model.MetricConfig{{Name: ptr("load"), Type: ptr(model.GetMetricConfigTypeEnum().CONCURRENCY), Threshold: ptr(int32(60)), Min: ptr(int32(1))}},
	}
	set, err := l.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{FunctionUrn: urn, ContentType: jsonType,
		Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 0, TacticsConfig: tactics}})
	require.NoError(t, err)
	require.Equal(t, tactics, set.TacticsConfig)
	l.did(t, "UpdateFunctionReservedInstancesCount", "a schedule and a metric, as they were sent")
	configs, err := l.ListReservedInstanceConfigs(&model.ListReservedInstanceConfigsRequest{FunctionUrn: &urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, tactics, (*configs.ReservedInstances)[0].TacticsConfig)
	l.did(t, "ListReservedInstanceConfigs", "the same")
	require.Eventually(t, func() bool {
		r, err := l.ShowFuncReservedInstanceMetrics(&model.ShowFuncReservedInstanceMetricsRequest{FuncUrn: urn, ContentType: jsonType})
		require.NoError(t, err)
		return *(*r.ReservedInstanceNum)[0].Value == 2 && *(*r.InstanceNum)[0].Value == 2
	}, time.Minute, 20*time.Millisecond)
	l.did(t, "ShowFuncReservedInstanceMetrics", "2 of 2 instances reserved, by the schedule and without a call")
	list, err := l.ListFunctionReservedInstances(&model.ListFunctionReservedInstancesRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.EqualValues(t, 2, (*list.Reservedinstances)[0].Count)
	l.did(t, "ListFunctionReservedInstances", "2")
	_, err = l.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{FunctionUrn: urn, ContentType: jsonType,
		Body: &model.UpdateFunctionReservedInstancesCountRequestBody{}})
	require.NoError(t, err)
}

func statisticsChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "measured", l.python, "def handler(event, context):\n    return 1 / event['by']\n"))
	for _, by := range []int{1, 0} {
		_, _ = l.invoke(urn, map[string]any{"by": by}) // the second fails
	}
	series, err := l.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: urn, Period: "5", ContentType: jsonType})
	require.NoError(t, err)
	require.InDelta(t, 2, total(series.Count), 0)
	require.InDelta(t, 1, total(series.FailCount), 0)
	l.did(t, "ListFunctionStatistics", "2 calls, 1 failure")
	live, err := l.ShowFunctionMetrics(&model.ShowFunctionMetricsRequest{FuncUrn: urn, Period: "5", ContentType: jsonType})
	require.NoError(t, err)
	require.Positive(t, total(live.InstanceNum))
	l.did(t, "ShowFunctionMetrics", "the same, with %v instances", total(live.InstanceNum))
	project, err := l.ListStatistics(&model.ListStatisticsRequest{Filter: model.GetListStatisticsRequestFilterEnum().MONITOR_DATA, Period: ptr("5"), ContentType: jsonType})
	require.NoError(t, err)
	require.GreaterOrEqual(t, total(project.Statistics.Count), 2.0)
	l.did(t, "ListStatistics", "%v calls of the project", total(project.Statistics.Count))
	now := time.Now().Unix()
	top, err := l.ListFunctionAsMetric(&model.ListFunctionAsMetricRequest{
		StartTime: ptr(strconv.FormatInt(now-600, 10)), EndTime: ptr(strconv.FormatInt(now+60, 10)), ContentType: jsonType,
	})
	require.NoError(t, err)
	found := false
	for _, v := range *top.Values {
		found = found || *v.Key == urn+":latest" && *v.Value == 1
	}
	require.True(t, found)
	l.did(t, "ListFunctionAsMetric", "the function with its failure")
	log, err := l.ShowLtsLogDetails(&model.ShowLtsLogDetailsRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, "default_measured", *log.StreamName)
	l.did(t, "ShowLtsLogDetails", "stream default_measured")
	_, err = l.EnableLtsLogs(&model.EnableLtsLogsRequest{ContentType: jsonType})
	require.NoError(t, err)
	l.did(t, "EnableLtsLogs", "200")
}

// decoded gives JSON from base64.
func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(plain(t, text), &v))
	return v
}

// decodedText gives the object that a JSON text holds.
func decodedText(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	return v
}

// bodyOf gives the body of an answer of a function that is a web server, as an event tells it.
func bodyOf(t *testing.T, answer string) string {
	t.Helper()
	var v struct {
		Body     string `json:"body"`
		IsBase64 bool   `json:"isBase64Encoded"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &v), answer)
	if v.IsBase64 {
		return string(plain(t, v.Body))
	}
	return v.Body
}
