package functiongraph_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

const functions = "/v2/" + project + "/fgs/functions"

func (b *bench) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", "scoped")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	return w
}

func createBody(file string) string {
	return `{"func_name":"test","package":"default","handler":"index.handler","memory_size":128,"timeout":3,` +
		`"runtime":"Python3.9","code_type":"inline","func_code":{"file":"` + file + `"}}`
}

func wantCode(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var body struct {
		Code string `json:"error_code"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), "%.200s", w.Body)
	require.Equal(t, status, w.Code, "%.200s", w.Body)
	require.Equal(t, code, body.Code)
}

func TestSizesOfCode(t *testing.T) {
	b := newBench(t, faas.Quota{Functions: 4, CodeBytes: 1 << 30})
	wantCode(t, b.send("POST", functions, createBody(strings.Repeat("A", 73<<20))), 413, "FSS.0413")
	for _, r := range functiongraph.New(functiongraph.Config{}).Routes {
		if r.Operation == "CreateFunction" || r.Operation == "UpdateFunctionCode" {
			require.Greater(t, r.MaxBody, int64(base64.StdEncoding.EncodedLen(faas.MaxPackageBytes))+1<<20, "the largest package fits")
		}
	}

	large := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789"), 200_000))
	require.Equal(t, 200, b.send("POST", functions, createBody(large)).Code)
	var answer struct {
		FuncCode struct{ File string } `json:"func_code"`
	}
	w := b.send("GET", functions+"/test/code", "")
	require.Equal(t, 200, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.True(t, answer.FuncCode.File == large, "the code comes back as it was sent")
}

func TestSizesOfCodeQuota(t *testing.T) {
	b := newBench(t, faas.Quota{Functions: 4, CodeBytes: 10})
	wantCode(t, b.send("POST", functions, createBody("MDEyMzQ1Njc4OTA=")), 403, "FSS.1042")
}

func TestEvents(t *testing.T) {
	b := newBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	call := func(event string) *httptest.ResponseRecorder {
		return b.send("POST", functions+"/test/invocations", event)
	}
	fill := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, event := range []string{"{}", "null", "5", `"text"`, "[1,2]", ` {"a":"]]]\"[[["} `, fill(faas.MaxEventBytes), nest(400), `"[` + strings.Repeat("[", 500) + `"`} {
		require.Equal(t, 200, call(event).Code, "%.40s", event)
		require.True(t, event == string(b.invoker.heard.Call.Event), "the event arrives as it was sent")
	}
	require.Equal(t, 200, call("").Code)
	require.Equal(t, "{}", string(b.invoker.heard.Call.Event))

	wantCode(t, call(fill(faas.MaxEventBytes+1)), 413, "FSS.0413")
	for _, event := range []string{nest(401), nest(3 << 20), "{", "{'a':1}", "\"\xff\"", "NaN", "\xef\xbb\xbf{}", `{"a":1}}`} {
		wantCode(t, call(event), 400, "FSS.0400")
	}
}

func TestInvokeHandsTheCallOn(t *testing.T) {
	b := newBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	w := b.send("POST", functions+"/default:test/invocations", `{"a":1}`, "X-Cff-Instance-Memory", "256", "X-CFF-Request-Version", "v1")
	require.Equal(t, 200, w.Code)
	heard := b.invoker.heard
	require.Equal(t, faas.FunctionKey{Project: project, Package: "default", Name: "test", Version: "latest"}, heard.Key)
	require.Equal(t, w.Header().Get("X-Cff-Request-Id"), heard.Call.ID)
	require.Equal(t, w.Header().Get("X-Request-Id"), heard.Call.ID)
	require.Equal(t, 256, heard.Call.MemoryMB)
	require.Equal(t, faas.SourceAPI, heard.Call.Source)
	require.True(t, heard.Call.Deadline.IsZero(), "the deadline is the invoker's to set")

	b.send("POST", functions+"/"+project+":default:test:!prod/invocations", `{}`)
	require.Equal(t, "prod", b.invoker.heard.Alias)
	require.Empty(t, b.invoker.heard.Key.Version)
}

func TestCodeThatIsGone(t *testing.T) {
	b := newBench(t, faas.DefaultQuota)
	w := b.send("POST", functions, createBody("eA=="))
	var made struct{ Digest string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
	b.pkgs.Remove(made.Digest)
	w = b.send("GET", functions+"/test/code", "")
	wantCode(t, w, 500, "FSS.0500")
	require.NotContains(t, w.Body.String(), "package")
}

func TestSecretsAreNeverShown(t *testing.T) {
	b := newBench(t, faas.DefaultQuota)
	body := strings.Replace(createBody("eA=="), `{"func_name"`, `{"encrypted_user_data":"{\"key\":\"s3cret\"}","func_name"`, 1)
	answers := []*httptest.ResponseRecorder{
		b.send("POST", functions, body),
		b.send("GET", functions+"/test/config", ""),
		b.send("PUT", functions+"/test/config", `{"encrypted_user_data":"{\"key\":\"s3cret\",\"bad key\":\"s3cret\"}"}`),
		b.send("PUT", functions+"/test/config", `{"encrypted_user_data":"{\"key\":{\"s3cret\":1}}"}`),
		b.send("GET", functions, ""),
	}
	for _, w := range answers {
		require.NotContains(t, w.Body.String(), "s3cret")
	}
}

// TestAsyncEvent holds asynchronous calls to their limit, and shows what is enqueued.
func TestAsyncEvent(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	fill := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	require.Equal(t, 202, b.send("POST", functions+"/test/invocations-async", fill(faas.MaxAsyncEventBytes)).Code)
	wantCode(t, b.send("POST", functions+"/test/invocations-async", fill(faas.MaxAsyncEventBytes+1)), 413, "FSS.0413")
	require.Len(t, b.jobs.heard, 1)
	job := b.jobs.heard[0]
	require.Len(t, job.Event, faas.MaxAsyncEventBytes)
	require.Equal(t, []string{project, "default", "test", faas.SourceAPI}, []string{job.Key.Project, job.Key.Package, job.Key.Name, job.Source})

	b.send("GET", functions+"/test/async-invocations?marker=7", "")
	require.EqualValues(t, 7, b.jobs.filter.Skip)
	require.WithinDuration(t, time.Now().Add(-time.Hour), b.jobs.filter.From, time.Minute)
	b.send("GET", functions+"/test/async-invocations?marker=20&limit=10&request_id=a", "")
	require.Equal(t, []string{"a"}, b.jobs.filter.IDs)
	require.True(t, b.jobs.filter.From.IsZero())
}

// TestAsyncRecord is the record as the reference has it (3.2).
func TestAsyncRecord(t *testing.T) {
	j := faas.JobStatus{Attempts: 2}
	j.ID, j.Event = "r1", []byte(`{"k":"v"}`)
	j.Key = faas.FunctionKey{Project: "p", Package: "default", Name: "test", Version: "latest"}
	at := time.Date(2020, 6, 3, 16, 22, 20, 123e6, time.UTC)
	for name, c := range map[string]struct {
		end  functiongraph.AsyncEnd
		want string
	}{
		"success": {functiongraph.AsyncEnd{Result: &faas.Result{Output: []byte(`"ok"`)}}, `{"condition":"","status":200,"error":"","result":"\"ok\""}`},
		"failure": {functiongraph.AsyncEnd{Code: faas.CodeException, Result: &faas.Result{Failure: &faas.Failure{Code: faas.CodeException, Type: "E", Message: "m"}}},
			`{"condition":"UnhandledInvocationError","status":500,"error":"UnhandledInvocationError","result":"{\n    \"errorMessage\": \"function invocation exception, error: m\",\n    \"errorType\": \"E\",\n    \"stackTrace\": []\n}"}`},
		"too old": {functiongraph.AsyncEnd{Code: faas.CodeQueueTimeout, Message: "old"}, `{"condition":"EventAgeExceeded","status":429,"error":"EventAgeExceeded","result":"old"}`},
		"gone":    {functiongraph.AsyncEnd{Code: faas.CodeNotFound, Message: "gone"}, `{"condition":"InvocationError","status":404,"error":"InvocationError","result":"gone"}`},
	} {
		c.end.Job, c.end.At = j, at
		var want struct {
			Condition, Error, Result string
			Status                   int
		}
		require.NoError(t, json.Unmarshal([]byte(c.want), &want))
		text, err := json.Marshal(map[string]any{
			"timestamp":        "2020-06-03T16:22:20.123Z",
			"request_context":  map[string]any{"request_id": "r1", "function_urn": "urn:fss:local:p:function:default:test:latest", "condition": want.Condition, "approximate_invoke_count": 2},
			"request_payload":  `{"k":"v"}`,
			"response_context": map[string]any{"status_code": want.Status, "function_error": want.Error},
			"response_payload": want.Result,
		})
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(functiongraph.AsyncRecord("local", c.end)), name)
	}
	huge := functiongraph.AsyncEnd{Job: j, At: at, Result: &faas.Result{Output: []byte(`"` + strings.Repeat("x", faas.MaxResultBytes) + `"`)}}
	require.Less(t, len(functiongraph.AsyncRecord("local", huge)), 1000, "no event is larger than a function takes")
}

func TestOperations(t *testing.T) {
	require.ElementsMatch(t, []string{
		"CreateFunction", "ListFunctions", "ShowFunctionConfig", "UpdateFunctionConfig", "ShowFunctionCode", "UpdateFunctionCode",
		"UpdateFunctionMaxInstanceConfig", "DeleteFunction", "UpdateFunctionCollectState",
		"UpdateFunctionReservedInstancesCount", "ListReservedInstanceConfigs", "ListFunctionReservedInstances", "ListQuotas", "InvokeFunction",
		"AsyncInvokeFunction", "ListAsyncInvocations", "ListActiveAsyncInvocations", "CancelAsyncInvocation",
		"UpdateFunctionAsyncInvokeConfig", "ShowFunctionAsyncInvokeConfig", "DeleteFunctionAsyncInvokeConfig", "ListFunctionAsyncInvokeConfig",
		"EnableAsyncStatusLog", "ShowProjectAsyncStatusLogInfo",
		"ListFunctionAsMetric", "ListStatistics", "ListFunctionStatistics", "ShowFunctionMetrics", "ShowLtsLogDetails", "EnableLtsLogs",
		"CreateFunctionTrigger", "ListFunctionTriggers", "ShowFunctionTrigger", "UpdateTrigger", "DeleteFunctionTrigger",
		"BatchDeleteFunctionTriggers", "ListTriggers", "ListTriggerTypes",
		"ListEvents", "CreateEvent", "ShowEvent", "UpdateEvent", "DeleteEvent",
		"CreateTags", "DeleteTags", "ListFunctionTags", "ShowProjectTagsList", "ShowResInstanceInfo",
		"UpdateFuncSnapshot", "ShowFuncSnapshotState", "ShowFuncReservedInstanceMetrics",
		"ListFunctionTemplate", "ShowFunctionTemplate", "ListAppTemplates", "ShowAppTemplate", "ListFunctionApplications", "CreateFunctionApp",
		"ShowFunctionApp", "DeleteFunctionApp", "ListRuntimeTypes", "ListServiceTrustedAgencies", "ListLogStream", "ShowFeature",
		"ShowTracing", "UpdateTracing", "CreateVpcEndpoint", "DeleteVpcEndpoint", "ListBridgeFunctions", "ListBridgeVersions",
		"CreateFunctionVersion", "ListFunctionVersions", "CreateVersionAlias", "ListVersionAliases", "ShowVersionAlias", "UpdateVersionAlias",
		"DeleteVersionAlias",
		"ListDependencies", "CreateDependencyVersion", "ListDependencyVersion", "ShowDependencyVersion", "DeleteDependencyVersion",
		"DownloadDependencyVersion", "CreateDependency", "ShowDependency", "UpdateDependency", "DeleteDependency", "ExportFunction", "ImportFunction",
		"CreateWorkflow", "ListWorkflow", "ShowWorkFlow", "UpdateWorkFlow", "BatchDeleteWorkflows", "StartWorkflowExecution",
		"StartSyncWorkflowExecution", "ListWorkflowExecutions", "ShowWorkflowExecution", "ShowWorkflowExecutionForPage", "StopWorkFlow",
		"RetryWorkFlow", "CreateCallbackWorkflow", "ShowTenantMetric", "ShowWorkFlowMetric",
	}, functiongraph.Operations())
	for _, r := range functiongraph.New(functiongraph.Config{}).Routes {
		require.False(t, r.Open, r.Operation)
	}
}

// FuzzCreateBody holds every body to: an answer in the dialect, and nothing stored of what was refused.
func FuzzCreateBody(f *testing.F) {
	f.Add(createBody("eA=="))
	f.Add(`{"func_vpc":{"vpc_id":1},"user_data":"{\"a\":[","strategy_config":{"concurrency":null}}`)
	f.Add(strings.Replace(createBody("UEsDBA=="), `"timeout":3`, `"timeout":3e0,"lts_custom_tag":{"a":"b"},"tags":""`, 1))
	f.Add(`{"func_code":{"file":"\u0050\/-_ \n"},"mount_config":{"func_mounts":[{}]},"custom_image":[]}`)
	f.Fuzz(func(t *testing.T, body string) {
		b := newBench(t, faas.DefaultQuota)
		w := b.send(http.MethodPost, functions, body)
		require.True(t, json.Valid(w.Body.Bytes()), "%q", w.Body)
		list := b.send(http.MethodGet, functions, "").Body.Bytes()
		switch w.Code {
		case 200:
			require.True(t, bytes.Contains(list, []byte(`"count":1`)))
		case 400, 404, 413:
			require.True(t, bytes.Contains(list, []byte(`"count":0`)))
			require.True(t, bytes.Contains(w.Body.Bytes(), []byte(`"error_code":"FSS.`)))
		default:
			t.Fatalf("%q was answered with %d %s", body, w.Code, w.Body)
		}
	})
}

// BenchmarkInvoke is the face's own share of a warm call.
func BenchmarkInvoke(b *testing.B) {
	bench := newBench(b, faas.DefaultQuota)
	bench.send("POST", functions, createBody("eA=="))
	b.ReportAllocs()
	for b.Loop() {
		if w := bench.send("POST", functions+"/test/invocations", `{"a":1}`); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
