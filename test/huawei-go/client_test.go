// Package huaweigo drives a real server with the unmodified Huawei Cloud Go SDK, over plain HTTP on loopback, as a user's
// program would.
package huaweigo

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	fgs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

// user is a client with what its tests need to know about the server.
type user struct {
	*fgs.FunctionGraphClient
	server *server.Server
	python string
	node   string
}

// newUser starts a server and makes a client with its first access key.
func newUser(t *testing.T) *user {
	t.Helper()
	s := server.Start(t)
	return &user{
		FunctionGraphClient: newClient(t, s, s.AccessKey, s.SecretKey),
		server:              s,
		python:              server.Runtime(t, "Python3", "Python3.9"),
		node:                server.Runtime(t, "Node.js", "Node.js20.15"),
	}
}

// newClient makes a client that knows its project.
func newClient(t *testing.T, s *server.Server, ak, sk string) *fgs.FunctionGraphClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithProjectId(s.ProjectID).SafeBuild()
	require.NoError(t, err)
	client, err := fgs.FunctionGraphClientBuilder().WithEndpoints([]string{s.Endpoint}).WithCredential(credentials).SafeBuild()
	require.NoError(t, err)
	return fgs.NewFunctionGraphClient(client)
}

// lookUpClient makes a client that asks IAM for its project by the region's name.
func lookUpClient(s *server.Server, ak, sk, regionName string) (*fgs.FunctionGraphClient, error) {
	credentials, err := basic.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithIamEndpointOverride(s.Endpoint).SafeBuild()
	if err != nil {
		return nil, err
	}
	client, err := fgs.FunctionGraphClientBuilder().WithRegion(region.NewRegion(regionName, s.Endpoint)).WithCredential(credentials).SafeBuild()
	if err != nil {
		return nil, err
	}
	return fgs.NewFunctionGraphClient(client), nil
}

func ptr[T any](v T) *T { return &v }

// enum makes a value of one of the SDK's enumerations, whose Go constants lag behind the service's.
func enum[T any, P interface {
	*T
	json.Unmarshaler
}](t *testing.T, value string) T {
	t.Helper()
	var e T
	require.NoError(t, P(&e).UnmarshalJSON([]byte(`"`+value+`"`)))
	return e
}

// inline makes the request for a function of one source file.
func inline(t *testing.T, name, runtime, source string) *model.CreateFunctionRequestBody {
	t.Helper()
	return &model.CreateFunctionRequestBody{
		FuncName: name, Package: "default", Handler: "index.handler", MemorySize: 128, Timeout: 10,
		Runtime:  enum[model.CreateFunctionRequestBodyRuntime](t, runtime),
		CodeType: ptr(model.GetCreateFunctionRequestBodyCodeTypeEnum().INLINE),
		FuncCode: &model.FuncCode{File: ptr(encode([]byte(source)))},
	}
}

// zipped makes the request for a function of several files.
func zipped(t *testing.T, name, runtime string, files map[string]string) *model.CreateFunctionRequestBody {
	t.Helper()
	body := inline(t, name, runtime, "")
	body.CodeType = ptr(model.GetCreateFunctionRequestBodyCodeTypeEnum().ZIP)
	body.CodeFilename = ptr(name + ".zip")
	body.FuncCode = &model.FuncCode{File: ptr(encode(archive(t, files)))}
	return body
}

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, text := range files {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// create makes a function and gives its URN without version.
func (u *user) create(t *testing.T, body *model.CreateFunctionRequestBody) string {
	t.Helper()
	made, err := u.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: body})
	require.NoError(t, err)
	require.Equal(t, 200, made.HttpStatusCode)
	urn, found := strings.CutSuffix(*made.FuncUrn, ":latest")
	require.True(t, found, *made.FuncUrn)
	return urn
}

// show reads a function's configuration.
func (u *user) show(t *testing.T, urn string) *model.ShowFunctionConfigResponse {
	t.Helper()
	config, err := u.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	return config
}

// invoke calls a function the way the SDK's users are told to: answer format v1, with the tail of the log.
func (u *user) invoke(urn string, event map[string]any) (*model.InvokeFunctionResponse, error) {
	return u.InvokeFunction(&model.InvokeFunctionRequest{
		FunctionUrn: urn, ContentType: "application/json", XCffLogType: ptr("tail"), XCFFRequestVersion: ptr("v1"), Body: event,
	})
}

// answer calls a function that is to succeed, and gives the JSON text of its result.
func (u *user) answer(t *testing.T, urn string, event map[string]any) string {
	t.Helper()
	r, err := u.invoke(urn, event)
	require.NoError(t, err)
	require.EqualValues(t, 200, *r.Status)
	return *r.Result
}

// refused holds err to be a service error with a status and a code, which begins a line of docs/COMPATIBILITY.md.
func refused(t *testing.T, err error, status int, code string) *sdkerr.ServiceResponseError {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, status, e.StatusCode, e.Error())
	require.Equal(t, code, e.ErrorCode, e.Error())
	require.NotEmpty(t, e.ErrorMessage)
	require.NotEmpty(t, e.RequestId, "X-Request-Id")
	return e
}
