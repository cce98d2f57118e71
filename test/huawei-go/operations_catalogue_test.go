package huaweigo

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

func plain(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	return data
}

func tagChapter(t *testing.T, l *ledger) {
	body := inline(t, "tagged", l.python, pythonEcho)
	body.Tags = ptr(`[{"key":"team","value":"edge"}]`)
	urn := l.create(t, body) + ":latest"
	items := func(pairs ...string) *[]model.KvItem {
		var all []model.KvItem
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, model.KvItem{Key: &pairs[i], Value: &pairs[i+1]})
		}
		return &all
	}
	list := func() *[]model.KvItem {
		r, err := l.ListFunctionTags(&model.ListFunctionTagsRequest{ResourceType: "functions", ResourceId: urn, ContentType: jsonType})
		require.NoError(t, err)
		return r.Tags
	}
	require.Equal(t, items("team", "edge"), list())
	l.did(t, "ListFunctionTags", "the tag that CreateFunction set")
	made, err := l.CreateTags(&model.CreateTagsRequest{ResourceType: "functions", ResourceId: urn, ContentType: jsonType,
		Body: &model.UpdateFunctionTagsRequestBody{Action: ptr("create"), Tags: items("stage", "prod", "team", "core")}})
	require.NoError(t, err)
	require.Equal(t, 204, made.HttpStatusCode)
	require.Equal(t, items("stage", "prod", "team", "core"), list())
	l.did(t, "CreateTags", "204, one added and one replaced")

	all, err := l.ShowProjectTagsList(&model.ShowProjectTagsListRequest{ResourceType: "functions", ContentType: jsonType})
	require.NoError(t, err)
	values := map[string][]string{}
	for _, i := range *all.Tags {
		values[*i.Key] = *i.Values
	}
	require.Equal(t, []string{"prod"}, values["stage"])
	l.did(t, "ShowProjectTagsList", "keys with their values")
	search := func(action string, body *model.ListEnterpriseResourceRequestBody) *model.ShowResInstanceInfoResponse {
		r, err := l.ShowResInstanceInfo(&model.ShowResInstanceInfoRequest{ResourceType: "functions", Action: action, ContentType: jsonType, Body: body})
		require.NoError(t, err)
		return r
	}
	found := search("filter", &model.ListEnterpriseResourceRequestBody{Matches: items("stage", "prod"), Limit: ptr("10"), Offset: ptr("0")})
	require.EqualValues(t, 1, *found.TotalCount)
	require.Equal(t, urn, *(*found.Resources)[0].ResourceId)
	require.EqualValues(t, 1, *search("count", &model.ListEnterpriseResourceRequestBody{Matches: items("resource_name", "tagge")}).TotalCount)
	l.did(t, "ShowResInstanceInfo", "found by tag, counted by name")

	gone, err := l.DeleteTags(&model.DeleteTagsRequest{ResourceType: "functions", ResourceId: urn, ContentType: jsonType,
		Body: &model.UpdateFunctionTagsRequestBody{Action: ptr("delete"), Tags: items("stage", "prod")}})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	require.Equal(t, items("team", "core"), list())
	l.did(t, "DeleteTags", "204, the other stays")
}

func eventChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "tried", l.python, pythonEcho))
	made, err := l.CreateEvent(&model.CreateEventRequest{FunctionUrn: urn, ContentType: jsonType,
		Body: &model.CreateEventRequestBody{Name: "event-1", Content: encode([]byte(`{"n": 7}`))}})
	require.NoError(t, err)
	require.Equal(t, "event-1", *made.Name)
	l.did(t, "CreateEvent", "an id")
	show := func() *model.ShowEventResponse {
		r, err := l.ShowEvent(&model.ShowEventRequest{FunctionUrn: urn, EventId: *made.Id, ContentType: jsonType})
		require.NoError(t, err)
		return r
	}
	require.JSONEq(t, `{"event":{"n":7},"name":"tried","memory":128,"mode":null}`,
		l.answer(t, urn, decoded(t, *show().Content).(map[string]any)))
	l.did(t, "ShowEvent", "the content as it was sent; the function can be called with it")
	changed, err := l.UpdateEvent(&model.UpdateEventRequest{FunctionUrn: urn, EventId: *made.Id, ContentType: jsonType,
		Body: &model.UpdateEventRequestBody{Content: encode([]byte(`{"n": 8}`))}})
	require.NoError(t, err)
	require.Equal(t, *made.Id, *changed.Id)
	require.JSONEq(t, `{"n": 8}`, string(plain(t, *show().Content)))
	l.did(t, "UpdateEvent", "the same id, other content")
	list := func() []model.ListEventsResult {
		r, err := l.ListEvents(&model.ListEventsRequest{FunctionUrn: urn, ContentType: jsonType})
		require.NoError(t, err)
		return *r.Events
	}
	require.Equal(t, "event-1", *list()[0].Name)
	l.did(t, "ListEvents", "the one")
	gone, err := l.DeleteEvent(&model.DeleteEventRequest{FunctionUrn: urn, EventId: *made.Id, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, 204, gone.HttpStatusCode)
	require.Empty(t, list())
	l.did(t, "DeleteEvent", "204, and none is listed")
}

func templateChapter(t *testing.T, l *ledger) {
	page, err := l.ListFunctionTemplate(&model.ListFunctionTemplateRequest{Ispublic: ptr("true"), Runtime: &l.python, ContentType: jsonType})
	require.NoError(t, err)
	require.NotEmpty(t, *page.FuncTemplates)
	l.did(t, "ListFunctionTemplate", "%d for %s", len(*page.FuncTemplates), l.python)
	one, err := l.ShowFunctionTemplate(&model.ShowFunctionTemplateRequest{TemplateId: "python-hello", ContentType: jsonType})
	require.NoError(t, err)
	body := inline(t, "from_template", *one.Runtime, "")
	body.Handler, body.UserData, body.FuncCode = *one.Handler, one.UserData, &model.FuncCode{File: one.Code}
	urn := l.create(t, body)
	require.JSONEq(t, *one.TempDetail.Output, l.answer(t, urn, decodedText(t, *one.TempDetail.Input)))
	l.did(t, "ShowFunctionTemplate", "its code answers its own example")

	apps, err := l.ListAppTemplates(&model.ListAppTemplatesRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.Positive(t, *apps.Count)
	l.did(t, "ListAppTemplates", "%d", *apps.Count)
	template, err := l.ShowAppTemplate(&model.ShowAppTemplateRequest{Id: "http-site", ContentType: jsonType})
	require.NoError(t, err)
	require.JSONEq(t, `{"GREETING":"Hello"}`, *template.Params)
	l.did(t, "ShowAppTemplate", "its parameters")
	made, err := l.CreateFunctionApp(&model.CreateFunctionAppRequest{ContentType: jsonType, Body: &model.CreateFunctionAppRequestBody{
		Name: ptr("site"), TemplateId: ptr("http-site"), Description: ptr("a site"), Params: map[string]string{"GREETING": "Hi"},
	}})
	require.NoError(t, err)
	l.did(t, "CreateFunctionApp", "an id")
	shown, err := l.ShowFunctionApp(&model.ShowFunctionAppRequest{Id: *made.ApplicationId, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, "success", *shown.Status)
	require.True(t, strings.HasSuffix(*shown.ApigUrl, "/site"), *shown.ApigUrl)
	site := "urn:fss:" + l.server.Region + ":" + l.server.ProjectID + ":function:default:site"
	require.JSONEq(t, `{"message":"Hi, Ada!"}`, bodyOf(t, l.answer(t, site, map[string]any{"httpMethod": "GET", "path": "/Ada"})))
	l.did(t, "ShowFunctionApp", "success, with a route to a function that answers")
	list, err := l.ListFunctionApplications(&model.ListFunctionApplicationsRequest{ContentType: jsonType})
	require.NoError(t, err)
	require.EqualValues(t, 1, *list.Count)
	l.did(t, "ListFunctionApplications", "the one")
	_, err = l.DeleteFunctionApp(&model.DeleteFunctionAppRequest{Id: *made.ApplicationId, ContentType: jsonType})
	require.NoError(t, err)
	_, err = l.ShowFunctionApp(&model.ShowFunctionAppRequest{Id: *made.ApplicationId, ContentType: jsonType})
	refused(t, err, 404, "FSS.0404")
	_, err = l.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: site, ContentType: jsonType})
	refused(t, err, 404, "FSS.1051")
	l.did(t, "DeleteFunctionApp", "200, then neither application nor function")
}

func refusalChapter(t *testing.T, l *ledger) {
	urn := l.create(t, inline(t, "bounded", l.python, pythonEcho))
	no := func(operation string, err error) {
		t.Helper()
		e := refused(t, err, 400, "FSS.0400")
		require.Contains(t, e.ErrorMessage, operation+" is not supported here: ")
		l.did(t, operation, "refused, 400 FSS.0400: %s", strings.TrimPrefix(e.ErrorMessage, operation+" is not supported here: "))
	}
	_, err := l.ShowTracing(&model.ShowTracingRequest{FunctionUrn: urn, ContentType: jsonType})
	no("ShowTracing", err)
	_, err = l.UpdateTracing(&model.UpdateTracingRequest{FunctionUrn: urn, ContentType: jsonType, Body: &model.UpdateTracingRequestBody{TracingAk: ptr("a"), TracingSk: ptr("s")}})
	no("UpdateTracing", err)
	_, err = l.CreateVpcEndpoint(&model.CreateVpcEndpointRequest{ContentType: jsonType, Body: &model.CreateVpcEndpointRequestBody{VpcId: "v", SubnetId: "s"}})
	no("CreateVpcEndpoint", err)
	_, err = l.DeleteVpcEndpoint(&model.DeleteVpcEndpointRequest{VpcId: "v", SubnetId: "s", ContentType: jsonType})
	no("DeleteVpcEndpoint", err)
	_, err = l.ListBridgeFunctions(&model.ListBridgeFunctionsRequest{FunctionUrn: urn, ContentType: jsonType})
	no("ListBridgeFunctions", err)
	_, err = l.ListBridgeVersions(&model.ListBridgeVersionsRequest{Type: "rds", ContentType: jsonType})
	no("ListBridgeVersions", err)
}
