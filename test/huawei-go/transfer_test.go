package huaweigo

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/httphandler"
	fgs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// export asks for an export. The SDK's own answer has no place for it, so its handler of answers keeps the bytes.
func (u *user) export(t *testing.T, request model.ExportFunctionRequest) ([]byte, error) {
	t.Helper()
	var body []byte
	keep := func(resp http.Response) {
		var err error
		body, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
	}
	credentials, err := basic.NewCredentialsBuilder().WithAk(u.server.AccessKey).WithSk(u.server.SecretKey).WithProjectId(u.server.ProjectID).SafeBuild()
	require.NoError(t, err)
	client, err := fgs.FunctionGraphClientBuilder().WithEndpoints([]string{u.server.Endpoint}).WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpHandler(httphandler.NewHttpHandler().AddResponseHandler(keep))).SafeBuild()
	require.NoError(t, err)
	request.ContentType = "application/json"
	answer, err := fgs.NewFunctionGraphClient(client).ExportFunction(&request)
	if err != nil {
		return nil, err
	}
	require.Equal(t, 200, answer.HttpStatusCode)
	var made struct {
		FileCode []byte `json:"file_code"`
	}
	require.NoError(t, json.Unmarshal(body, &made))
	return made.FileCode, nil
}

// TestExportImport exports a function with a dependency, removes it, and imports an equal one that runs.
func TestExportImport(t *testing.T) {
	u := newUser(t)
	lib := u.dependency(t, "lib", "Python3.9", map[string]string{"lib.py": "NAME = 'lib'\n"})
	body := inline(t, "moving", u.python, "import lib\ndef handler(event, context):\n    return [lib.NAME, context.getUserData('k')]\n")
	body.DependVersionList, body.UserData, body.Description = &[]string{*lib.Id}, ptr(`{"k": "v"}`), ptr("on the way")
	urn := u.create(t, body)
	before := u.show(t, urn)

	code, err := u.export(t, model.ExportFunctionRequest{FunctionUrn: urn, Type: ptr("code")})
	require.NoError(t, err)
	require.Contains(t, unpacked(t, code), "code/index.py")
	_, err = u.export(t, model.ExportFunctionRequest{FunctionUrn: urn})
	refused(t, err, 400, "FSS.0400")
	all, err := u.export(t, model.ExportFunctionRequest{FunctionUrn: urn, Code: ptr(true), Config: ptr(true)})
	require.NoError(t, err)
	require.Contains(t, unpacked(t, all), "moving.yaml")

	take := func(name string, data []byte) (*model.ImportFunctionResponse, error) {
		return u.ImportFunction(&model.ImportFunctionRequest{ContentType: "application/json", Body: &model.ImportFunctionRequestBody{
			FuncName: name, FileName: name + ".zip", FileType: "zip", FileCode: encode(data), Package: ptr("default"),
		}})
	}
	_, err = take("moving", all)
	refused(t, err, 409, "FSS.1061")
	_, err = take("moving", []byte("PK"))
	refused(t, err, 400, "FSS.1013")
	_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	made, err := take("moving", all)
	require.NoError(t, err)
	require.Equal(t, *before.Digest, *made.Digest)
	require.Equal(t, []string{*lib.Id}, *made.DependVersionList)
	after := u.show(t, urn)
	before.FuncId, before.ResourceId, before.ImageName, before.LastModified = after.FuncId, after.ResourceId, after.ImageName, after.LastModified
	require.Equal(t, before, after)
	require.JSONEq(t, `["lib","v"]`, u.answer(t, urn, map[string]any{}))
}
