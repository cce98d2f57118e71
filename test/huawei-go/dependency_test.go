package huaweigo

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

func (u *user) dependency(t *testing.T, name, runtime string, files map[string]string) *model.CreateDependencyVersionResponse {
	t.Helper()
	made, err := u.CreateDependencyVersion(&model.CreateDependencyVersionRequest{ContentType: "application/json", Body: &model.CreateDependencyRequestBody{
		Name: name, DependType: "zip", DependFile: ptr(encode(archive(t, files))), Description: ptr("of " + name),
		Runtime: enum[model.CreateDependencyRequestBodyRuntime](t, runtime),
	}})
	require.NoError(t, err)
	require.Equal(t, 200, made.HttpStatusCode)
	return made
}

// TestDependencies takes a dependency through all five operations, and a function through the use of it.
func TestDependencies(t *testing.T) {
	u := newUser(t)
	first := u.dependency(t, "lib", "Python3.9", map[string]string{"lib/__init__.py": "NAME = 'one'\n"})
	second := u.dependency(t, "lib", "Python3.9", map[string]string{"lib/__init__.py": "NAME = 'two'\n"})
	other := u.dependency(t, "other", "Node.js18.15", map[string]string{"node_modules/o/index.js": "module.exports = 'o';\n"})
	require.Equal(t, *first.DepId, *second.DepId)
	require.NotEqual(t, *first.Id, *second.Id)
	require.EqualValues(t, 2, *second.Version)
	require.Equal(t, "lib.zip", *second.FileName)
	require.Len(t, *second.Etag, 32)

	list, err := u.ListDependencies(&model.ListDependenciesRequest{ContentType: "application/json"})
	require.NoError(t, err)
	require.EqualValues(t, 2, *list.Count)
	require.Equal(t, *first.DepId, (*list.Dependencies)[0].Id)
	require.EqualValues(t, 2, *(*list.Dependencies)[0].Version)
	list, err = u.ListDependencies(&model.ListDependenciesRequest{
		ContentType: "application/json", Name: ptr("othe"), Runtime: ptr("Node.js18.15"), DependencyType: ptr("private"), Marker: ptr("0"), Maxitems: ptr("1"),
	})
	require.NoError(t, err)
	require.Len(t, *list.Dependencies, 1)
	require.Equal(t, *other.Etag, (*list.Dependencies)[0].Etag)
	list, err = u.ListDependencies(&model.ListDependenciesRequest{ContentType: "application/json", Ispublic: ptr("true")})
	require.NoError(t, err)
	require.Empty(t, *list.Dependencies)

	versions, err := u.ListDependencyVersion(&model.ListDependencyVersionRequest{ContentType: "application/json", DependId: *first.DepId, Marker: ptr("1"), Maxitems: ptr("1")})
	require.NoError(t, err)
	require.EqualValues(t, 2, *versions.Count)
	require.EqualValues(t, 2, *versions.NextMarker)
	require.Equal(t, *second.Id, (*versions.Dependencies)[0].Id)

	shown, err := u.ShowDependencyVersion(&model.ShowDependencyVersionRequest{ContentType: "application/json", DependId: *first.DepId, Version: "1"})
	require.NoError(t, err)
	require.Equal(t, *first.Id, *shown.Id)
	require.Equal(t, "of lib", *shown.Description)
	require.False(t, *shown.IsShared)
	require.Equal(t, map[string]string{"lib/__init__.py": "NAME = 'one'\n"}, unpacked(t, u.get(t, *shown.DownloadLink)))
	_, err = u.ShowDependencyVersion(&model.ShowDependencyVersionRequest{ContentType: "application/json", DependId: *first.DepId, Version: "3"})
	refused(t, err, 404, "FSS.1056")

	body := inline(t, "uses", u.python, "import lib\ndef handler(event, context):\n    return lib.NAME\n")
	body.DependVersionList = &[]string{"no-such-id"}
	_, err = u.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: body})
	refused(t, err, 404, "FSS.1056")
	body.DependVersionList = &[]string{*other.Id, *first.Id}
	urn := u.create(t, body)
	require.Equal(t, *body.DependVersionList, *u.show(t, urn).DependVersionList, "read back as it was sent")
	require.Equal(t, *first.Etag, (*u.show(t, urn).Dependencies)[1].Etag)
	require.Equal(t, `"one"`, u.answer(t, urn, map[string]any{}))
	_, err = u.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE, FuncCode: &model.FuncCode{}, DependVersionList: &[]string{*second.Id},
	}})
	require.NoError(t, err)
	require.Equal(t, `"two"`, u.answer(t, urn, map[string]any{}))

	_, err = u.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE,
		FuncCode: &model.FuncCode{File: ptr(encode([]byte("import lib\ndef handler(event, context):\n    return 'still ' + lib.NAME\n")))},
	}})
	require.NoError(t, err)
	require.Equal(t, `"still two"`, u.answer(t, urn, map[string]any{}), "other code leaves the dependencies")

	remove := func(version string) error {
		r, err := u.DeleteDependencyVersion(&model.DeleteDependencyVersionRequest{ContentType: "application/json", DependId: *first.DepId, Version: version})
		if err == nil {
			require.Equal(t, 204, r.HttpStatusCode)
		}
		return err
	}
	refused(t, remove("2"), 412, "FSS.1033")
	require.NoError(t, remove("1"))
	refused(t, remove("1"), 404, "FSS.1056")
	_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	require.NoError(t, remove("2"))
	_, err = u.ListDependencyVersion(&model.ListDependencyVersionRequest{ContentType: "application/json", DependId: *first.DepId})
	refused(t, err, 404, "FSS.1056")
}

// get reads an address of the server with a token, as a user's script would.
func (u *user) get(t *testing.T, address string) []byte {
	t.Helper()
	login := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": u.server.User, "password": u.server.Password, "domain": map[string]string{"name": u.server.Domain}},
		}},
		"scope": map[string]any{"project": map[string]string{"name": u.server.Region}},
	}}
	body, err := json.Marshal(login)
	require.NoError(t, err)
	resp, err := http.Post(u.server.Endpoint+"/v3/auth/tokens", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", resp.Header.Get("X-Subject-Token"))
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode, "%s", data)
	return data
}

func unpacked(t *testing.T, data []byte) map[string]string {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range in.File {
		r, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		files[f.Name] = string(text)
	}
	return files
}
