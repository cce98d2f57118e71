package huaweigo

import (
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// absent tells that a server has no such operation yet, of which the table then says that it was not called.
func (l *ledger) absent(t *testing.T, operation string) bool {
	t.Helper()
	return strings.HasSuffix(l.probe(t, operation), " APIGW.0101")
}

// answering is a function that answers a number.
func answering(t *testing.T, l *ledger, name, number string) string {
	t.Helper()
	return l.create(t, inline(t, name, l.python, "def handler(event, context):\n    return "+number+"\n"))
}

func versionChapter(t *testing.T, l *ledger) {
	if l.absent(t, "CreateFunctionVersion") {
		return
	}
	urn := answering(t, l, "published", "1")
	publish := func(name string) {
		made, err := l.CreateFunctionVersion(&model.CreateFunctionVersionRequest{FunctionUrn: urn, ContentType: jsonType,
			Body: &model.CreateFunctionVersionRequestBody{Version: &name}})
		require.NoError(t, err)
		require.Equal(t, urn+":"+name, *made.FuncUrn)
	}
	publish("v1")
	_, err := l.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: jsonType, Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE,
		FuncCode: &model.FuncCode{File: ptr(encode([]byte("def handler(event, context):\n    return 2\n")))},
	}})
	require.NoError(t, err)
	require.Equal(t, "1", l.answer(t, urn+":v1", nil))
	l.did(t, "CreateFunctionVersion", "v1, which answers as before a change of the code")
	publish("v2")
	list, err := l.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.EqualValues(t, 3, *list.Count)
	l.did(t, "ListFunctionVersions", "latest and two others")

	made, err := l.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, ContentType: jsonType, Body: &model.CreateVersionAliasRequestBody{
		Name: "prod", Version: "v1", AdditionalVersionWeights: map[string]int32{"v2": 50},
	}})
	require.NoError(t, err)
	require.Equal(t, urn+":!prod", *made.AliasUrn)
	ran := map[string]int{}
	for range 100 {
		ran[l.answer(t, urn+":!prod", nil)]++
	}
	require.Equal(t, map[string]int{"1": 50, "2": 50}, ran)
	l.did(t, "CreateVersionAlias", "half of 100 calls each")
	shown, err := l.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, map[string]int32{"v2": 50}, shown.AdditionalVersionWeights)
	l.did(t, "ShowVersionAlias", "the weights as they were sent")
	_, err = l.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: jsonType,
		Body: &model.UpdateVersionAliasRequestBody{Version: "v2"}})
	require.NoError(t, err)
	require.Equal(t, "2", l.answer(t, urn+":!prod", nil))
	l.did(t, "UpdateVersionAlias", "the next call goes elsewhere")
	all, err := l.ListVersionAliases(&model.ListVersionAliasesRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Len(t, *all.Body, 1)
	l.did(t, "ListVersionAliases", "a bare array of one")
	gone, err := l.DeleteVersionAlias(&model.DeleteVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	_, err = l.invoke(urn+":!prod", nil)
	refused(t, err, 404, "FSS.1053")
	l.did(t, "DeleteVersionAlias", "204, then 404 FSS.1053")
}

func dependencyChapter(t *testing.T, l *ledger) {
	if l.absent(t, "CreateDependencyVersion") {
		return
	}
	layer := func(name string) *model.CreateDependencyVersionResponse {
		made, err := l.CreateDependencyVersion(&model.CreateDependencyVersionRequest{ContentType: jsonType, Body: &model.CreateDependencyRequestBody{
			Name: "layer", DependType: "zip", DependFile: ptr(encode(archive(t, map[string]string{"layer.py": "NAME = '" + name + "'\n"}))),
			Runtime: enum[model.CreateDependencyRequestBodyRuntime](t, l.python),
		}})
		require.NoError(t, err)
		return made
	}
	one, two := layer("one"), layer("two")
	body := inline(t, "layered", l.python, "import layer\n\ndef handler(event, context):\n    return layer.NAME\n")
	body.DependVersionList = &[]string{*one.Id}
	urn := l.create(t, body)
	require.Equal(t, `"one"`, l.answer(t, urn, nil))
	l.did(t, "CreateDependencyVersion", "a function imports it")
	all, err := l.ListDependencies(&model.ListDependenciesRequest{ContentType: jsonType, Name: ptr("layer")})
	require.NoError(t, err)
	require.EqualValues(t, 1, *all.Count)
	l.did(t, "ListDependencies", "one, by its name")
	versions, err := l.ListDependencyVersion(&model.ListDependencyVersionRequest{ContentType: jsonType, DependId: *one.DepId})
	require.NoError(t, err)
	require.EqualValues(t, 2, *versions.Count)
	l.did(t, "ListDependencyVersion", "both")
	shown, err := l.ShowDependencyVersion(&model.ShowDependencyVersionRequest{ContentType: jsonType, DependId: *one.DepId, Version: "2"})
	require.NoError(t, err)
	require.Equal(t, *two.Id, *shown.Id)
	l.did(t, "ShowDependencyVersion", "the second by its number")
	gone, err := l.DeleteDependencyVersion(&model.DeleteDependencyVersionRequest{ContentType: jsonType, DependId: *one.DepId, Version: "2"})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	_, err = l.DeleteDependencyVersion(&model.DeleteDependencyVersionRequest{ContentType: jsonType, DependId: *one.DepId, Version: "1"})
	refused(t, err, 412, "FSS.1033")
	l.did(t, "DeleteDependencyVersion", "204; the one in use stays, 412 FSS.1033")
}

func transferChapter(t *testing.T, l *ledger) {
	if l.absent(t, "ExportFunction") {
		return
	}
	urn := answering(t, l, "leaving", "7")
	l.mu.Lock()
	l.last = nil
	l.mu.Unlock()
	_, err := l.ExportFunction(&model.ExportFunctionRequest{FunctionUrn: urn, ContentType: jsonType, Code: ptr(true), Config: ptr(true)})
	require.NoError(t, err)
	l.mu.Lock()
	export := decodedText(t, string(l.last))
	l.mu.Unlock()
	file, ok := export["file_code"].(string)
	require.True(t, ok, "%v", export)
	l.did(t, "ExportFunction", "%d bytes of zip, in base64", len(plain(t, file)))
	made, err := l.ImportFunction(&model.ImportFunctionRequest{ContentType: jsonType, Body: &model.ImportFunctionRequestBody{
		FuncName: "arriving", FileName: "leaving.zip", FileType: "zip", FileCode: file,
	}})
	require.NoError(t, err)
	require.Equal(t, "7", l.answer(t, *made.FuncUrn, nil))
	l.did(t, "ImportFunction", "a function that answers the same")
}
