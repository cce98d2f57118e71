package huaweigo

import (
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

func versionChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "published", l.python, answers(1)))
	l.publish(t, urn, "v1")
	l.change(t, urn, answers(2))
	require.JSONEq(t, `[1,"v1",""]`, l.answer(t, urn+":v1", nil))
	l.did(t, "CreateFunctionVersion", "v1, which answers as before a change of the code")
	l.publish(t, urn, "v2")
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
	for range 10 {
		ran[l.answer(t, urn+":!prod", nil)]++
	}
	require.Equal(t, map[string]int{`[1,"v1","prod"]`: 5, `[2,"v2","prod"]`: 5}, ran)
	l.did(t, "CreateVersionAlias", "half of 10 calls each")
	shown, err := l.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, map[string]int32{"v2": 50}, shown.AdditionalVersionWeights)
	l.did(t, "ShowVersionAlias", "the weights as they were sent")
	_, err = l.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: jsonType,
		Body: &model.UpdateVersionAliasRequestBody{Version: "v2"}})
	require.NoError(t, err)
	require.JSONEq(t, `[2,"v2","prod"]`, l.answer(t, urn+":!prod", nil))
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
