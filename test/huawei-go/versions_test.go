package huaweigo

import (
	"fmt"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// answers is a function that answers a number, and tells what it knows of itself.
func answers(n int) string {
	return fmt.Sprintf("def handler(event, context):\n    return [%d, context.getVersion(), context.getAlias()]\n", n)
}

// publish makes a version of a function.
func (u *user) publish(t *testing.T, urn, name string) *model.CreateFunctionVersionResponse {
	t.Helper()
	made, err := u.CreateFunctionVersion(&model.CreateFunctionVersionRequest{
		FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateFunctionVersionRequestBody{Version: ptr(name), Description: ptr("this is " + name)},
	})
	require.NoError(t, err)
	require.Equal(t, 200, made.HttpStatusCode)
	require.Equal(t, name, *made.Version)
	require.Equal(t, "this is "+name, *made.VersionDescription)
	require.Equal(t, urn+":"+name, *made.FuncUrn)
	return made
}

// change gives a function other source.
func (u *user) change(t *testing.T, urn, source string) {
	t.Helper()
	_, err := u.UpdateFunctionCode(&model.UpdateFunctionCodeRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.UpdateFunctionCodeRequestBody{
		CodeType: model.GetUpdateFunctionCodeRequestBodyCodeTypeEnum().INLINE, FuncCode: &model.FuncCode{File: ptr(encode([]byte(source)))},
	}})
	require.NoError(t, err)
}

// TestVersions publishes two versions, calls each of them and latest, reads them back, and deletes one.
func TestVersions(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "versions", u.python, answers(1)))
	before := u.show(t, urn)
	made, err := u.CreateFunctionVersion(&model.CreateFunctionVersionRequest{
		FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateFunctionVersionRequestBody{Digest: before.Digest},
	})
	require.NoError(t, err)
	require.Regexp(t, `^v\d{8}-\d{6}$`, *made.Version)
	auto := *made.Version
	u.publish(t, urn, "v1")
	u.change(t, urn, answers(2))
	_, err = u.CreateFunctionVersion(&model.CreateFunctionVersionRequest{
		FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateFunctionVersionRequestBody{Digest: before.Digest},
	})
	refused(t, err, 428, "FSS.0428")
	u.publish(t, urn, "v2")
	u.change(t, urn, answers(3))
	for qualifier, want := range map[string]string{
		"": `[3,"latest",""]`, ":latest": `[3,"latest",""]`, ":v1": `[1,"v1",""]`, ":v2": `[2,"v2",""]`, ":" + auto: `[1,"` + auto + `",""]`,
	} {
		require.JSONEq(t, want, u.answer(t, urn+qualifier, nil), qualifier)
	}
	_, err = u.invoke(urn+":v9", nil)
	refused(t, err, 404, "FSS.1052")

	list, err := u.ListFunctionVersions(&model.ListFunctionVersionsRequest{FunctionUrn: urn, ContentType: "application/json", Marker: ptr("0"), Maxitems: ptr("100")})
	require.NoError(t, err)
	require.EqualValues(t, 4, *list.Count)
	require.EqualValues(t, 4, *list.NextMarker)
	var names []string
	for _, v := range *list.Versions {
		names = append(names, v.Version)
	}
	require.Equal(t, []string{"latest", auto, "v1", "v2"}, names)
	require.Equal(t, *before.Digest, *u.show(t, urn+":v1").Digest)
	code, err := u.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn + ":v2", ContentType: "application/json"})
	require.NoError(t, err)
	require.Equal(t, encode([]byte(answers(2))), *code.FuncCode.File)

	_, err = u.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: urn + ":v1", ContentType: "application/json", Body: &model.UpdateFunctionConfigRequestBody{
		FuncName: "versions", Handler: "index.handler", MemorySize: 256, Timeout: 5,
		Runtime: enum[model.UpdateFunctionConfigRequestBodyRuntime](t, u.python),
	}})
	refused(t, err, 400, "FSS.1015")
	remove := func(urn string) error {
		_, err := u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn, ContentType: "application/json"})
		return err
	}
	refused(t, remove(urn+":latest"), 400, "FSS.1015")
	require.NoError(t, remove(urn+":v1"))
	refused(t, remove(urn+":v1"), 404, "FSS.1052")
	_, err = u.invoke(urn+":v1", nil)
	refused(t, err, 404, "FSS.1052")
	require.JSONEq(t, `[2,"v2",""]`, u.answer(t, urn+":v2", nil))
	require.NoError(t, remove(urn))
	_, err = u.invoke(urn+":v2", nil)
	refused(t, err, 404, "FSS.1051")
}

// TestAliases makes, calls, switches and deletes aliases, with a share of the calls and with rules.
func TestAliases(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "aliases", u.python, answers(1)))
	u.publish(t, urn, "v1")
	u.change(t, urn, answers(2))
	u.publish(t, urn, "v2")
	made, err := u.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateVersionAliasRequestBody{
		Name: "prod", Version: "v1", Description: ptr("what people call"), AdditionalVersionWeights: map[string]int32{"v2": 30},
	}})
	require.NoError(t, err)
	require.Equal(t, urn+":!prod", *made.AliasUrn)
	require.Equal(t, map[string]int32{"v2": 30}, made.AdditionalVersionWeights)
	ran := map[string]int{}
	for range 100 {
		ran[u.answer(t, urn+":!prod", nil)]++
	}
	require.Equal(t, map[string]int{`[1,"v1","prod"]`: 70, `[2,"v2","prod"]`: 30}, ran)
	again, err := u.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateVersionAliasRequestBody{Name: "prod", Version: "v2"}})
	require.Nil(t, again)
	refused(t, err, 409, "FSS.1063")

	changed, err := u.UpdateVersionAlias(&model.UpdateVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: "application/json", Body: &model.UpdateVersionAliasRequestBody{Version: "v2"}})
	require.NoError(t, err)
	require.Equal(t, "v2", *changed.Version)
	require.Equal(t, "what people call", *changed.Description)
	require.Empty(t, changed.AdditionalVersionWeights)
	require.JSONEq(t, `[2,"v2","prod"]`, u.answer(t, urn+":!prod", nil), "the very next call")

	strategy := map[string]model.VersionStrategy{"v2": {
		CombineType: ptr(model.GetVersionStrategyCombineTypeEnum().AND),
		Rules: &[]model.VersionStrategyRules{{
			RuleType: ptr(enum[model.VersionStrategyRulesRuleType](t, "header")), Param: ptr("X-Project-Id"),
			Op: ptr(enum[model.VersionStrategyRulesOp](t, "in")), Value: ptr("nobody," + u.server.ProjectID),
		}},
	}}
	_, err = u.CreateVersionAlias(&model.CreateVersionAliasRequest{FunctionUrn: urn, ContentType: "application/json", Body: &model.CreateVersionAliasRequestBody{
		Name: "by-rule", Version: "v1", AdditionalVersionStrategy: strategy,
	}})
	require.NoError(t, err)
	shown, err := u.ShowVersionAlias(&model.ShowVersionAliasRequest{FunctionUrn: urn, AliasName: "by-rule", ContentType: "application/json"})
	require.NoError(t, err)
	require.Equal(t, strategy, shown.AdditionalVersionStrategy)
	require.JSONEq(t, `[2,"v2","by-rule"]`, u.answer(t, urn+":!by-rule", nil), "the SDK names its project in a header")

	list, err := u.ListVersionAliases(&model.ListVersionAliasesRequest{FunctionUrn: urn, ContentType: "application/json"})
	require.NoError(t, err)
	var names []string
	for _, a := range *list.Body {
		names = append(names, a.Name+" "+a.Version)
	}
	require.Equal(t, []string{"by-rule v1", "prod v2"}, names)

	config := u.show(t, urn+":!prod")
	require.Equal(t, "v2", *config.Version)
	u.aliasEverywhere(t, urn)
	_, err = u.DeleteVersionAlias(&model.DeleteVersionAliasRequest{FunctionUrn: urn, AliasName: "by-rule", ContentType: "application/json"})
	require.NoError(t, err)
	_, err = u.invoke(urn+":!by-rule", nil)
	refused(t, err, 404, "FSS.1053")
}

// aliasEverywhere hands the URN of an alias to the other operations that take one.
func (u *user) aliasEverywhere(t *testing.T, urn string) {
	t.Helper()
	prod := urn + ":!prod"
	accepted, err := u.AsyncInvokeFunction(&model.AsyncInvokeFunctionRequest{FunctionUrn: prod, ContentType: "application/json", Body: map[string]any{}})
	require.NoError(t, err)
	require.Equal(t, 202, accepted.HttpStatusCode)
	set, err := u.UpdateFunctionAsyncInvokeConfig(&model.UpdateFunctionAsyncInvokeConfigRequest{
		FunctionUrn: prod, ContentType: "application/json", Body: &model.UpdateFunctionAsyncInvokeConfigRequestBody{MaxAsyncRetryAttempts: ptr(int32(2))},
	})
	require.NoError(t, err)
	require.Equal(t, prod, *set.FuncUrn)
	made, err := u.CreateFunctionTrigger(&model.CreateFunctionTriggerRequest{FunctionUrn: prod, ContentType: "application/json", Body: &model.CreateFunctionTriggerRequestBody{
		TriggerTypeCode: enum[model.CreateFunctionTriggerRequestBodyTriggerTypeCode](t, "TIMER"),
		EventData:       &model.TriggerEventDataRequestBody{Name: ptr("tick"), ScheduleType: ptr(enum[model.TriggerEventDataRequestBodyScheduleType](t, "Rate")), Schedule: ptr("60m")},
	}})
	require.NoError(t, err)
	require.NotEmpty(t, *made.TriggerId)
	_, err = u.DeleteVersionAlias(&model.DeleteVersionAliasRequest{FunctionUrn: urn, AliasName: "prod", ContentType: "application/json"})
	refused(t, err, 403, "FSS.1154")
	_, err = u.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: urn + ":v2", ContentType: "application/json", Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 1},
	})
	require.NoError(t, err)
	_, err = u.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
		FunctionUrn: prod, ContentType: "application/json", Body: &model.UpdateFunctionReservedInstancesCountRequestBody{Count: 2},
	})
	require.NoError(t, err)
	kept, err := u.ListReservedInstanceConfigs(&model.ListReservedInstanceConfigsRequest{FunctionUrn: ptr(urn), Limit: ptr("100"), Marker: ptr("0"), ContentType: "application/json"})
	require.NoError(t, err)
	var found []string
	for _, one := range *kept.ReservedInstances {
		found = append(found, fmt.Sprint(*one.QualifierType, " ", *one.QualifierName, " ", *one.MinCount))
	}
	require.Equal(t, []string{"version v2 1", "alias prod 2"}, found)
	sums, err := u.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: prod, Period: "60", ContentType: "application/json"})
	require.NoError(t, err)
	count := 0.0
	for _, point := range *sums.Count {
		count += max(0, float64(*point.Value))
	}
	require.GreaterOrEqual(t, count, 101.0)
	_, err = u.DeleteFunction(&model.DeleteFunctionRequest{FunctionUrn: urn + ":v2", ContentType: "application/json"})
	require.Error(t, err, "by-rule has it as its second version")
	refused(t, err, 403, "FSS.1094")
}
