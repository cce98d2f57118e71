package huaweigo

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

const pythonEcho = `# -*- coding:utf-8 -*-
import json

def initializer(context):
    context.getLogger().info("initialised")

def handler(event, context):
    print("printed", event.get("n"))
    context.getLogger().info("logged")
    return {"event": event, "name": context.getFunctionName(), "memory": context.getMemorySize(), "mode": context.getUserData("mode")}
`

const nodeEcho = `exports.handler = async (event, context) => {
    console.log("printed", event.n);
    return { event, name: context.getFunctionName(), mode: context.getUserData("mode") };
};
`

// TestLife is the path of every user: create, call, change, read back, call again, delete.
func TestLife(t *testing.T) {
	u := newUser(t)
	tests := []struct {
		name, want string
		body       *model.CreateFunctionRequestBody
	}{
		{"python_inline", `{"event":{"n":1},"name":"python_inline","memory":128,"mode":"test"}`, inline(t, "python_inline", u.python, pythonEcho)},
		{"python_zip", `{"answer":42}`, zipped(t, "python_zip", u.python, map[string]string{
			"index.py":         "from inner import ask\n\ndef handler(event, context):\n    return {'answer': ask.answer()}\n",
			"inner/ask.py":     "import os\n\ndef answer():\n    with open(os.path.join(os.path.dirname(__file__), 'answer.txt')) as f:\n        return int(f.read())\n",
			"inner/answer.txt": "42",
		})},
		{"node_inline", `{"event":{"n":1},"name":"node_inline","mode":"test"}`, inline(t, "node_inline", u.node, nodeEcho)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.body.UserData = ptr(`{"mode":"test"}`)
			urn := u.create(t, tt.body)
			require.JSONEq(t, tt.want, u.answer(t, urn, map[string]any{"n": 1}))
			u.checkCode(t, urn, tt.body)
			u.changeCode(t, urn, tt.body.Runtime.Value())
			u.remove(t, urn)
		})
	}
}

// checkCode reads the code back and compares it with what was sent.
func (u *user) checkCode(t *testing.T, urn string, sent *model.CreateFunctionRequestBody) {
	t.Helper()
	code, err := u.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	data, err := base64.StdEncoding.DecodeString(*sent.FuncCode.File)
	require.NoError(t, err)
	sum := sha512.Sum512(data)
	require.Equal(t, hex.EncodeToString(sum[:]), *code.Digest)
	require.EqualValues(t, len(data), *code.CodeSize)
	require.Equal(t, sent.CodeType.Value(), code.CodeType.Value())
	require.Equal(t, *sent.FuncCode.File, *code.FuncCode.File)
	require.Equal(t, *code.Digest, *u.show(t, urn).Digest)
}

// changeCode gives a function other code, which the next call runs.
func (u *user) changeCode(t *testing.T, urn, runtime string) {
	t.Helper()
	source := "def handler(event, context):\n    return 'second'\n"
	if runtime == u.node {
		source = "exports.handler = async () => 'second';\n"
	}
	before := u.show(t, urn)
	changed, err := u.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{
		FunctionUrn: urn, ContentType: "application/json",
		Body: &model.UpdateFunctionCodeRequestBody{
			CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE,
			FuncCode: &model.FuncCode{File: ptr(encode([]byte(source)))},
		},
	})
	require.NoError(t, err)
	require.NotEqual(t, *before.Digest, *changed.Digest)
	require.Equal(t, `"second"`, u.answer(t, urn, map[string]any{}))
	after := u.show(t, urn)
	require.Equal(t, *changed.Digest, *after.Digest)
	require.Equal(t, *before.UserData, *after.UserData, "a change of code leaves the rest alone")
	require.False(t, time.Time(*after.LastModified).Before(time.Time(*before.LastModified)))
}

// remove deletes a function; nothing of it is left.
func (u *user) remove(t *testing.T, urn string) {
	t.Helper()
	gone, err := u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)

	_, err = u.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn, ContentType: "application/json"})
	refused(t, err, 404, "FSS.1051")
	_, err = u.invoke(urn, map[string]any{})
	refused(t, err, 404, "FSS.1051")
	_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
	refused(t, err, 404, "FSS.1051")
}

// TestInvoke looks at both forms of the answer, the log and the function's own error.
func TestInvoke(t *testing.T) {
	u := newUser(t)
	body := inline(t, "echo", u.python, pythonEcho)
	body.InitializerHandler, body.InitializerTimeout = ptr("index.initializer"), ptr(int32(10))
	body.EnableDynamicMemory = ptr(true) // lets a call choose its memory
	urn := u.create(t, body)

	t.Run("v1 with log", func(t *testing.T) {
		r, err := u.invoke(urn, map[string]any{"n": "één 函数"})
		require.NoError(t, err)
		require.NotEmpty(t, *r.RequestId)
		require.Equal(t, *r.RequestId, *r.XCffRequestId)
		require.Contains(t, *r.Log, "Start invoke request '"+*r.RequestId+"'")
		require.Contains(t, *r.Log, "printed één 函数")
		require.Contains(t, *r.Log, "logged")
		require.Contains(t, *r.Log, "Finish invoke request '"+*r.RequestId+"'")
		require.JSONEq(t, `{"event":{"n":"één 函数"},"name":"echo","memory":128,"mode":null}`, emptyIsNull(t, *r.Result))
	})
	t.Run("v1 without log", func(t *testing.T) {
		r, err := u.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, ContentType: "application/json", XCFFRequestVersion: ptr("v1"), Body: map[string]any{}})
		require.NoError(t, err)
		require.True(t, r.Log == nil || *r.Log == "")
	})
	t.Run("instance memory of one call", func(t *testing.T) {
		r, err := u.InvokeFunction(&model.InvokeFunctionRequest{
			FunctionUrn: urn, ContentType: "application/json", XCFFRequestVersion: ptr("v1"), XCffInstanceMemory: ptr("256"), Body: map[string]any{},
		})
		require.NoError(t, err)
		var result struct{ Memory int }
		require.NoError(t, json.Unmarshal([]byte(*r.Result), &result))
		require.Equal(t, 256, result.Memory)
		require.EqualValues(t, 128, *u.show(t, urn).MemorySize, "the function itself keeps its size")
	})
	t.Run("v0", func(t *testing.T) {
		// The raw result is the body. The SDK decodes it as if it were of form v1, so this function answers in that shape.
		shaped := u.create(t, inline(t, "shaped", u.python, "def handler(event, context):\n    return {'result': 'raw', 'status': 7}\n"))
		r, err := u.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: shaped, ContentType: "application/json", Body: map[string]any{}})
		require.NoError(t, err)
		require.Equal(t, "raw", *r.Result)
		require.EqualValues(t, 7, *r.Status)
		require.NotEmpty(t, *r.XCffRequestId)
	})
}

// emptyIsNull reads a result whose "mode" is the user data of a name that is not set: Python's None or "".
func emptyIsNull(t *testing.T, result string) string {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(result), &o))
	if o["mode"] == "" {
		o["mode"] = nil
	}
	text, err := json.Marshal(o)
	require.NoError(t, err)
	return string(text)
}

// failure is a function's own error, as both forms of the answer carry it.
type failure struct {
	ErrorMessage string   `json:"errorMessage"`
	ErrorType    string   `json:"errorType"`
	StackTrace   []string `json:"stackTrace"`
}

// TestFunctionError calls functions that fail by themselves. With v0 the SDK takes the answer for a service error without
// a code, whose text is the function's own; with v1 it is an answer whose status is not 200.
func TestFunctionError(t *testing.T) {
	u := newUser(t)
	tests := []struct {
		name, kind string
		body       *model.CreateFunctionRequestBody
	}{
		{"python", "ZeroDivisionError", inline(t, "python", u.python, "def handler(event, context):\n    return 1 / 0\n")},
		{"node", "RangeError", inline(t, "node", u.node, "exports.handler = async () => { throw new RangeError('too far'); };\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			urn := u.create(t, tt.body)
			_, err := u.InvokeFunction(&model.InvokeFunctionRequest{FunctionUrn: urn, ContentType: "application/json", Body: map[string]any{}})
			e := refused(t, err, 500, "")
			var v0, v1 failure
			require.NoError(t, json.Unmarshal([]byte(e.ErrorMessage), &v0), e.ErrorMessage)
			require.Equal(t, tt.kind, v0.ErrorType)
			require.NotEmpty(t, v0.ErrorMessage)
			require.Contains(t, fmt.Sprint(v0.StackTrace), "index")

			r, err := u.invoke(urn, map[string]any{})
			require.NoError(t, err)
			require.EqualValues(t, 500, *r.Status)
			require.NoError(t, json.Unmarshal([]byte(*r.Result), &v1), *r.Result)
			require.Equal(t, [2]string{v0.ErrorType, v0.ErrorMessage}, [2]string{v1.ErrorType, v1.ErrorMessage})
			require.NotEmpty(t, v1.StackTrace)
			require.Contains(t, *r.Log, "Finish invoke request")
		})
	}
}
