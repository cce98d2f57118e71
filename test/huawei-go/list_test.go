package huaweigo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// TestListFunctions pages through functions as SDK users do: by next_marker, until count is reached.
func TestListFunctions(t *testing.T) {
	u := newUser(t)
	var all []string
	for i := range 7 {
		name := fmt.Sprintf("fn_%d", i)
		body := inline(t, name, u.python, pythonEcho)
		if i%2 == 1 {
			body.Package = "odd"
		}
		u.create(t, body)
		all = append(all, name)
	}
	u.create(t, inline(t, "Another", u.python, pythonEcho))

	require.Equal(t, append(slices.Clone(all), "Another"), sorted(all, u.listNames(t, 3, model.ListFunctionsRequest{})))
	require.Equal(t, []string{"fn_1", "fn_3", "fn_5"}, sorted(all, u.listNames(t, 2, model.ListFunctionsRequest{PackageName: ptr("odd")})))
	require.Equal(t, []string{"fn_4"}, u.listNames(t, 2, model.ListFunctionsRequest{FuncName: ptr("n_4")}), "any part of the name")
	require.Equal(t, []string{"Another"}, u.listNames(t, 2, model.ListFunctionsRequest{FuncName: ptr("another")}), "letter case does not count")
	require.Empty(t, u.listNames(t, 2, model.ListFunctionsRequest{FuncName: ptr("fn_4"), PackageName: ptr("odd")}))

	page := u.list(t, model.ListFunctionsRequest{FuncName: ptr("fn_0")})
	f := (*page.Functions)[0]
	require.Equal(t, "urn:fss:"+u.server.Region+":"+u.server.ProjectID+":function:default:fn_0:latest", f.FuncUrn)
	require.Equal(t, u.python, f.Runtime.Value())
	require.EqualValues(t, 300, f.Cpu)
	require.Equal(t, *u.show(t, f.FuncUrn).Digest, f.Digest)

	_, err := u.ListFunctions(&model.ListFunctionsRequest{ContentType: "application/json", Maxitems: ptr("-1")})
	require.ErrorContains(t, err, "FSS.")
}

// listNames pages to the end and gives the names in the order of the listing.
func (u *user) listNames(t *testing.T, size int, request model.ListFunctionsRequest) []string {
	t.Helper()
	request.Maxitems = ptr(strconv.Itoa(size))
	var names []string
	for range 20 {
		page := u.list(t, request)
		require.LessOrEqual(t, len(*page.Functions), size)
		for _, f := range *page.Functions {
			require.NotContains(t, names, f.FuncName, "a function came twice")
			names = append(names, f.FuncName)
		}
		if len(names) == int(*page.Count) {
			return names
		}
		require.NotEmpty(t, *page.Functions, "an empty page before count is reached")
		request.Marker = ptr(strconv.Itoa(int(*page.NextMarker)))
	}
	t.Fatal("the listing has no end")
	return nil
}

func (u *user) list(t *testing.T, request model.ListFunctionsRequest) *model.ListFunctionsResponse {
	t.Helper()
	request.ContentType = "application/json"
	page, err := u.ListFunctions(&request)
	require.NoError(t, err)
	return page
}

// sorted gives names in the order of first, and the rest behind.
func sorted(first, names []string) []string {
	out := slices.Clone(names)
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

func TestListQuotas(t *testing.T) {
	u := newUser(t)
	used := func() map[string]int32 {
		r, err := u.ListQuotas(&model.ListQuotasRequest{ContentType: "application/json"})
		require.NoError(t, err)
		m := map[string]int32{}
		for _, q := range r.Quotas.Resources {
			require.NotNil(t, q.Quota)
			m[q.Type.Value()] = *q.Used
		}
		return m
	}
	before := used()
	require.Contains(t, before, "fgs_func_num")
	require.Contains(t, before, "fgs_func_code_size")
	u.create(t, inline(t, "counted", u.python, pythonEcho))
	require.Equal(t, before["fgs_func_num"]+1, used()["fgs_func_num"])
}

// TestCollectState pins a function and lets it go again.
func TestCollectState(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "starred", u.python, pythonEcho))
	for _, state := range []string{"true", "false"} {
		r, err := u.UpdateFunctionCollectState(&model.UpdateFunctionCollectStateRequest{FuncUrn: urn, State: state, ContentType: "application/json"})
		require.NoError(t, err)
		require.Equal(t, 200, r.HttpStatusCode)
	}
	_, err := u.UpdateFunctionCollectState(&model.UpdateFunctionCollectStateRequest{FuncUrn: urn, State: "perhaps", ContentType: "application/json"})
	require.ErrorContains(t, err, "FSS.")
	_, err = u.UpdateFunctionCollectState(&model.UpdateFunctionCollectStateRequest{FuncUrn: urn + "x", State: "true", ContentType: "application/json"})
	refused(t, err, 404, "FSS.1051")
}

// TestCreateRefusals sends what must not be stored, each with the code that says why.
func TestCreateRefusals(t *testing.T) {
	u := newUser(t)
	u.create(t, inline(t, "taken", u.python, pythonEcho))
	tests := []struct {
		name   string
		status int
		code   string
		change func(*model.CreateFunctionRequestBody)
	}{
		{"name taken", 409, "FSS.1061", func(b *model.CreateFunctionRequestBody) { b.FuncName = "taken" }},
		{"name with a dot", 400, "FSS.1002", func(b *model.CreateFunctionRequestBody) { b.FuncName = "a.b" }},
		{"name too long", 400, "FSS.1002", func(b *model.CreateFunctionRequestBody) { b.FuncName = strings.Repeat("n", 61) }},
		{"handler", 400, "FSS.1003", func(b *model.CreateFunctionRequestBody) { b.Handler = "nodot" }},
		{"runtime", 400, "FSS.1005", func(b *model.CreateFunctionRequestBody) {
			b.Runtime = enum[model.CreateFunctionRequestBodyRuntime](t, "Fortran77")
		}},
		{"runtime of another major version", 400, "FSS.1005", func(b *model.CreateFunctionRequestBody) {
			b.Runtime = model.GetCreateFunctionRequestBodyRuntimeEnum().NODE_JS6_10
		}},
		{"memory", 400, "FSS.1007", func(b *model.CreateFunctionRequestBody) { b.MemorySize = 100 }},
		{"timeout", 400, "FSS.1008", func(b *model.CreateFunctionRequestBody) { b.Timeout = 2 }},
		{"user data", 400, "FSS.1009", func(b *model.CreateFunctionRequestBody) { b.UserData = ptr("[]") }},
		{"base64", 400, "FSS.1011", func(b *model.CreateFunctionRequestBody) { b.FuncCode = &model.FuncCode{File: ptr("???")} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := inline(t, "refused", u.python, pythonEcho)
			tt.change(body)
			_, err := u.CreateFunction(&model.CreateFunctionRequest{ContentType: "application/json", Body: body})
			refused(t, err, tt.status, tt.code)
		})
	}
	require.EqualValues(t, 1, *u.list(t, model.ListFunctionsRequest{}).Count, "nothing of them is stored")
}
