package huaweigo

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdktime"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

const jsonType = "application/json"

// enqueue makes an asynchronous call and gives its request id.
func (u *user) enqueue(t *testing.T, urn string, event map[string]any) string {
	t.Helper()
	r, err := u.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: urn, ContentType: jsonType, Body: event})
	require.NoError(t, err)
	require.Equal(t, 202, r.HttpStatusCode)
	return *r.RequestId
}

// asyncOf gives the row of a call.
func (u *user) asyncOf(t *testing.T, urn, id string) model.ListFunctionAsyncInvocationsResult {
	t.Helper()
	r, err := u.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: urn, ContentType: jsonType, RequestId: &id})
	require.NoError(t, err)
	require.Len(t, *r.Invocations, 1)
	return (*r.Invocations)[0]
}

// awaitAsync waits until a call has a status.
func (u *user) awaitAsync(t *testing.T, urn, id, status string) model.ListFunctionAsyncInvocationsResult {
	t.Helper()
	var row model.ListFunctionAsyncInvocationsResult
	require.Eventually(t, func() bool {
		row = u.asyncOf(t, urn, id)
		return row.Status.Value() == status
	}, time.Minute, 20*time.Millisecond, "%s", status)
	return row
}

func to(kind model.FuncDestinationConfigDestination, param string) *model.FuncDestinationConfig {
	return &model.FuncDestinationConfig{Destination: &kind, Param: &param}
}

// TestAsyncInvocations accepts, lists and calls off asynchronous calls.
func TestAsyncInvocations(t *testing.T) {
	u := newUser(t)
	quick := u.create(t, inline(t, "quick", u.python, "def handler(event, context):\n    return event\n"))
	slow := inline(t, "slow", u.python, "import time\n\ndef handler(event, context):\n    time.sleep(60)\n")
	slow.Timeout = 120
	slowURN := u.create(t, slow)
	failing := u.create(t, inline(t, "failing", u.python, "def handler(event, context):\n    return 1 / 0\n"))

	begun := time.Now().Add(-time.Second)
	first := u.enqueue(t, quick, map[string]any{"n": 1})
	row := u.awaitAsync(t, quick, first, "SUCCESS")
	require.Nil(t, row.ErrorCode)
	require.WithinDuration(t, time.Now(), time.Time(*row.StartTime), time.Minute)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`, *row.EndTime)

	for n := range 5 {
		u.awaitAsync(t, quick, u.enqueue(t, quick, map[string]any{"n": n}), "SUCCESS")
	}
	seen := map[string]bool{}
	for marker := "0"; ; {
		page, err := u.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{
			FunctionUrn: quick, ContentType: jsonType, Limit: ptr("4"), Marker: &marker, Status: ptr("SUCCESS"),
			QueryBeginTime: ptr(sdktime.SdkTime(begun.UTC())), QueryEndTime: ptr(sdktime.SdkTime(time.Now().Add(time.Minute).UTC())),
		})
		require.NoError(t, err)
		if len(*page.Invocations) == 0 {
			break
		}
		for _, r := range *page.Invocations {
			require.False(t, seen[*r.RequestId])
			seen[*r.RequestId] = true
		}
		text, err := json.Marshal(*page.NextMarker)
		require.NoError(t, err)
		marker = string(text)
	}
	require.Len(t, seen, 6)

	u.set(t, failing, &model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: ptr(int32(0))})
	row = u.awaitAsync(t, failing, u.enqueue(t, failing, nil), "FAIL")
	require.EqualValues(t, 4002, *row.ErrorCode)
	require.Contains(t, *row.ErrorMessage, "division by zero")

	running := u.enqueue(t, slowURN, nil)
	u.awaitAsync(t, slowURN, running, "RUNNING")
	active, err := u.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: slowURN, ContentType: jsonType, Requests: ptr(running + ",nobody")})
	require.NoError(t, err)
	require.Len(t, *active.Invocations, 1)
	require.Equal(t, "RUNNING", (*active.Invocations)[0].Status.Value())
	stopped := time.Now()
	u.stop(t, slowURN, running, ptr(model.GetCancelAsyncInvocationRequestBodyTypeEnum().FORCE))
	row = u.awaitAsync(t, slowURN, running, "DISCARD")
	require.EqualValues(t, 4208, *row.ErrorCode)
	require.Less(t, time.Since(stopped), 30*time.Second, "its instance was ended")
	_, err = u.CancelAsyncInvocation(&model.CancelAsyncInvocationRequest{FunctionUrn: slowURN, ContentType: jsonType, Body: &model.CancelAsyncInvocationRequestBody{RequestId: "nobody"}})
	require.Contains(t, refused(t, err, 400, "FSS.0400").ErrorMessage, "Invalid RequestId")
	_, err = u.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: quick, ContentType: jsonType, Body: map[string]any{"pad": strings.Repeat("x", 256<<10)}})
	refused(t, err, 413, "FSS.0413")
}

func (u *user) stop(t *testing.T, urn, id string, how *model.CancelAsyncInvocationRequestBodyType) {
	t.Helper()
	r, err := u.CancelAsyncInvocation(&model.CancelAsyncInvocationRequest{
		FunctionUrn: urn, ContentType: jsonType, Body: &model.CancelAsyncInvocationRequestBody{RequestId: id, Type: how},
	})
	require.NoError(t, err)
	require.Equal(t, 200, r.HttpStatusCode)
}

func (u *user) set(t *testing.T, urn string, body *model.UpdateFunctionAsyncInvokeConfigRequestBody) *model.UpdateFunctionAsyncInvokeConfigResponse {
	t.Helper()
	r, err := u.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: urn, ContentType: jsonType, Body: body})
	require.NoError(t, err)
	return r
}

// TestAsyncConfig goes through the four operations, and both of the status log.
func TestAsyncConfig(t *testing.T) {
	u := newUser(t)
	a := u.create(t, inline(t, "a", u.python, "def handler(event, context):\n    return 1\n"))
	b := u.create(t, inline(t, "b", u.python, "def handler(event, context):\n    return 1\n"))
	show := &model.ShowFunctionAsyncInvokeConfigRequest{FunctionUrn: a, ContentType: jsonType}
	_, err := u.ShowFunctionAsyncInvokeConfig(show)
	refused(t, err, 404, "FSS.0404")
	kinds := model.GetFuncDestinationConfigDestinationEnum()
	param := `{"func_urn":"` + b + `:latest"}`
	set := u.set(t, a, &model.UpdateFunctionAsyncInvokeConfigRequestBody{
		MaxAsyncEventAgeInSeconds: ptr(int32(60)), MaxAsyncRetryAttempts: ptr(int32(3)), EnableAsyncStatusLog: ptr(true),
		DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: to(kinds.FUNCTION_GRAPH, param)},
	})
	require.Equal(t, a+":latest", *set.FuncUrn)
	got, err := u.ShowFunctionAsyncInvokeConfig(show)
	require.NoError(t, err)
	require.EqualValues(t, 60, *got.MaxAsyncEventAgeInSeconds)
	require.EqualValues(t, 3, *got.MaxAsyncRetryAttempts)
	require.True(t, *got.EnableAsyncStatusLog)
	require.Equal(t, param, *got.DestinationConfig.OnSuccess.Param)
	require.Nil(t, got.DestinationConfig.OnFailure)
	_, err = u.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: b, ContentType: jsonType,
		Body: &model.UpdateFunctionAsyncInvokeConfigRequestBody{
			DestinationConfig: &model.FuncAsyncDestinationConfig{OnFailure: to(kinds.FUNCTION_GRAPH, `{"func_urn":"`+a+`"}`)},
		}})
	require.Contains(t, refused(t, err, 400, "FSS.0400").ErrorMessage, "each other's destinations")
	list, err := u.ListFunctionAsyncInvokeConfig(&model.ListFunctionAsyncInvokeConfigRequest{FunctionUrn: a, ContentType: jsonType, Limit: ptr("5")})
	require.NoError(t, err)
	require.EqualValues(t, 1, *list.Count)
	require.Equal(t, *set.FuncUrn, (*list.AsyncInvokeConfigs)[0].FuncUrn)
	gone, err := u.DeleteFunctionAsyncInvokeConfig(&model.DeleteFunctionAsyncInvokeConfigRequest{FunctionUrn: a, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	_, err = u.ShowFunctionAsyncInvokeConfig(show)
	refused(t, err, 404, "FSS.0404")

	log, err := u.ShowProjectAsyncStatusLogInfo(&model.ShowProjectAsyncStatusLogInfoRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.Empty(t, *log.GroupId)
	_, err = u.EnableAsyncStatusLog(&model.EnableAsyncStatusLogRequest{ContentType: jsonType})
	require.NoError(t, err)
	log, err = u.ShowProjectAsyncStatusLogInfo(&model.ShowProjectAsyncStatusLogInfoRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.NotEmpty(t, *log.GroupId)
	require.NotEmpty(t, *log.StreamName)
}

// record is what a destination gets (reference 3.2).
type record struct {
	Timestamp time.Time `json:"timestamp"`
	Request   struct {
		ID        string `json:"request_id"`
		URN       string `json:"function_urn"`
		Condition string `json:"condition"`
		Count     int    `json:"approximate_invoke_count"`
	} `json:"request_context"`
	Event    string `json:"request_payload"`
	Response struct {
		Status int    `json:"status_code"`
		Error  string `json:"function_error"`
	} `json:"response_context"`
	Result string `json:"response_payload"`
}

// TestAsyncDestinations sends records to a function, a bucket, a topic and a stream, and calls off a chain of calls.
func TestAsyncDestinations(t *testing.T) {
	posts, objects := make(chan *http.Request, 10), make(chan *http.Request, 10)
	bodies := make(chan []byte, 20)
	catch := func(to chan *http.Request) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Header().Set("ETag", `"x"`)
			bodies <- body
			to <- r
		}))
		t.Cleanup(s.Close)
		return s
	}
	hook, bucket := catch(posts), catch(objects)
	for name, value := range map[string]string{"PATH_STYLE": "true", "ACCESS_KEY": "AK", "SECRET_KEY": "SK"} {
		t.Setenv("HANSHU_S3_"+name, value)
	}
	s := server.Start(t, "--allow-private-code-urls", "127.0.0.1", "--s3-endpoint", bucket.URL)
	u := &user{FunctionGraphClient: newClient(t, s, s.AccessKey, s.SecretKey), server: s, python: server.Runtime(t, "Python3", "Python3.9")}
	work := u.create(t, inline(t, "work", u.python, "def handler(event, context):\n    return {'was': event['n'] / event['by']}\n"))
	next := inline(t, "next", u.python, "import time\n\ndef handler(event, context):\n    time.sleep(60 if '\"by\": 4' in event['request_payload'] or '\"by\":4' in event['request_payload'] else 0)\n    return event\n")
	next.Timeout = 120
	nextURN := u.create(t, next)
	kinds := model.GetFuncDestinationConfigDestinationEnum()

	_, err := u.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{FunctionUrn: work, ContentType: jsonType,
		Body: &model.UpdateFunctionAsyncInvokeConfigRequestBody{
			DestinationConfig: &model.FuncAsyncDestinationConfig{OnFailure: to(kinds.SMN, `{"topic_urn":"urn:smn:t"}`)},
		}})
	require.Contains(t, refused(t, err, 400, "FSS.0400").ErrorMessage, "hanshu queue webhook topic")
	for kind, secret := range map[string]string{"topic": "", "stream": "s3cret"} {
		u.webhook(t, kind, hook.URL, secret)
	}
	read := func(from chan *http.Request) (*http.Request, record) {
		var got record
		var r *http.Request
		select {
		case r = <-from:
		case <-time.After(time.Minute):
			require.Fail(t, "no record came")
		}
		body := <-bodies
		require.NoError(t, json.Unmarshal(body, &got), "%s", body)
		return r, got
	}
	configure := func(success, failure *model.FuncDestinationConfig) {
		u.set(t, work, &model.UpdateFunctionAsyncInvokeConfigRequestBody{
			MaxAsyncRetryAttempts: ptr(int32(0)), DestinationConfig: &model.FuncAsyncDestinationConfig{OnSuccess: success, OnFailure: failure},
		})
	}

	configure(to(kinds.OBS, `{"bucket":"records","prefix":"async","expires":3}`), to(kinds.SMN, `{"topic_urn":"urn:smn:t"}`))
	id := u.enqueue(t, work, map[string]any{"n": 6, "by": 2})
	r, got := read(objects)
	require.Equal(t, http.MethodPut, r.Method)
	require.Contains(t, r.Host+r.URL.Path, "records")
	require.Contains(t, r.URL.Path, "async/default/work/"+id+".json")
	require.Equal(t, id, got.Request.ID)
	require.Equal(t, work+":latest", got.Request.URN)
	require.JSONEq(t, `{"n":6,"by":2}`, got.Event)
	require.JSONEq(t, `{"was":3}`, got.Result)
	require.Equal(t, []any{"", 1, 200, ""}, []any{got.Request.Condition, got.Request.Count, got.Response.Status, got.Response.Error})

	id = u.enqueue(t, work, map[string]any{"n": 6, "by": 0})
	r, got = read(posts)
	require.Equal(t, []string{"topic", "urn:smn:t", ""}, []string{r.Header.Get("X-Hanshu-Kind"), r.Header.Get("X-Hanshu-Name"), r.Header.Get("X-Hanshu-Signature")})
	require.Equal(t, []any{id, "UnhandledInvocationError", 1, 500}, []any{got.Request.ID, got.Request.Condition, got.Request.Count, got.Response.Status})
	require.Contains(t, got.Result, "ZeroDivisionError")
	require.WithinDuration(t, time.Now(), got.Timestamp, time.Minute)

	configure(to(kinds.DIS, `{"stream_name":"events"}`), nil)
	u.enqueue(t, work, map[string]any{"n": 1, "by": 1})
	r, _ = read(posts)
	require.Equal(t, []string{"stream", "events"}, []string{r.Header.Get("X-Hanshu-Kind"), r.Header.Get("X-Hanshu-Name")})
	require.Len(t, r.Header.Get("X-Hanshu-Signature"), 64)

	configure(to(kinds.FUNCTION_GRAPH, `{"func_urn":"`+nextURN+`:latest"}`), nil)
	u.enqueue(t, work, map[string]any{"n": 1, "by": 2})
	u.chained(t, nextURN, "SUCCESS", 1)

	id = u.enqueue(t, work, map[string]any{"n": 1, "by": 4}) // its record keeps the next function busy
	u.chained(t, nextURN, "RUNNING", 1)
	u.stop(t, work, id, ptr(model.GetCancelAsyncInvocationRequestBodyTypeEnum().RECURSIVE))
	page, err := u.ListActiveAsyncInvocations(&model.ListActiveAsyncInvocationsRequest{FunctionUrn: nextURN, ContentType: jsonType})
	require.NoError(t, err)
	child := *(*page.Invocations)[0].RequestId
	u.stop(t, nextURN, child, ptr(model.GetCancelAsyncInvocationRequestBodyTypeEnum().FORCE))
	u.awaitAsync(t, nextURN, child, "DISCARD")
}

// chained waits until a function has so many calls in a status.
func (u *user) chained(t *testing.T, urn, status string, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		page, err := u.ListAsyncInvocations(&model.ListAsyncInvocationsRequest{FunctionUrn: urn, ContentType: jsonType, Status: &status})
		require.NoError(t, err)
		return len(*page.Invocations) == n
	}, time.Minute, 20*time.Millisecond)
}

// webhook sets what stands in for a topic or a stream: hanshu's own operation, with a token.
func (u *user) webhook(t *testing.T, kind, target, secret string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"url": target, "secret": secret})
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPut, u.server.Endpoint+"/admin/v1/projects/"+u.server.ProjectID+"/webhooks/"+kind, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", token(t, u.server))
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 204, res.StatusCode)
}

// token logs in with the password.
func token(t *testing.T, s *server.Server) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": s.User, "password": s.Password, "domain": map[string]any{"name": s.Domain}}}},
		"scope": map[string]any{"project": map[string]any{"id": s.ProjectID}},
	}})
	require.NoError(t, err)
	res, err := http.Post(s.Endpoint+"/v3/auth/tokens", jsonType, bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 201, res.StatusCode)
	return res.Header.Get("X-Subject-Token")
}
