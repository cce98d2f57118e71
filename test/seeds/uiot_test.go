package seeds

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
)

// uiot replays the calls of the document on functions of gateways.
type uiot struct {
	*server.Server
	t     *testing.T
	token string
}

// call makes one of the document's calls; sample names its answer in testdata/uiot.
func (u *uiot) call(path string, body map[string]any) map[string]any {
	u.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(u.t, err)
	req, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, u.Endpoint+"/api/v1/"+path, strings.NewReader(string(text)))
	require.NoError(u.t, err)
	req.Header.Set("Content-Type", "application/json")
	if u.token != "" {
		req.Header.Set("Authorization", u.token)
		req.Header.Set("ProjectName", u.Region)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(u.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(u.t, err)
	require.Equal(u.t, http.StatusOK, resp.StatusCode, "%s", answer)
	return object(u.t, answer)
}

// like makes a call and holds the answer to the document's sample: the same names, the same kinds of values, and the same values but for
// those that are the server's own.
func (u *uiot) like(path, sample string, body map[string]any) map[string]any {
	u.t.Helper()
	got := u.call(path, body)
	want := object(u.t, replaced(u.t, "uiot/"+sample+".json"))
	require.Equal(u.t, u.steady(want), u.steady(got), path)
	return got
}

var signature = regexp.MustCompile(`^https?://[^/]+(/data/file/edge/function/[^?]+\?Signature=).+$`)

// steady puts a word in the place of what is the server's own.
func (u *uiot) steady(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			switch name {
			case "FunctionID", "ProjectID", "CreatedTime":
				out[name] = fmt.Sprintf("%T", value)
			case "CodeURL":
				out[name] = signature.ReplaceAllString(value.(string), "$1")
			default:
				out[name] = u.steady(value)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, value := range v {
			out = append(out, u.steady(value))
		}
		return out
	}
	return v
}

// TestEdgeFunctionPage replays the page "函数计算": its eleven calls, with answers as its samples.
func TestEdgeFunctionPage(t *testing.T) {
	u := &uiot{Server: server.Start(t), t: t}
	login := u.call("user/login", map[string]any{"Username": u.User, "Password": u.Password})
	u.token = login["Data"].(map[string]any)["Token"].(string)
	require.Equal(t, 2, strings.Count(u.token, "."), "a web token, sent as it is")

	const product, gateway = "n38a64am69obeo5q", "abcdefg1h"
	u.call("product/create", map[string]any{"ProductName": "bobo_test2", "Description": "", "ProductType": "gateway", "ProductSN": product})
	u.call("device/create", map[string]any{"ProductSN": product, "DeviceSN": gateway, "Description": "test info"})

	// The samples' code is the text 你好世界, which is what their checksum and size are of.
	const code, described = "5L2g5aW95LiW55WM", "dwasdwa1dddddddddddd"
	create := func(name string) map[string]any {
		return map[string]any{"FunctionName": name, "Runtime": "Python3", "Handler": "index.handler", "FunctionCode": code, "Description": described}
	}
	place := func(name string) map[string]any {
		return map[string]any{"FunctionName": name, "GatewaySN": gateway, "ProductSN": product}
	}
	u.like("function/create", "create", create("function3"))
	listed := u.like("function/list", "list", map[string]any{"FunctionName": "function", "Limit": 10, "Offset": 0})
	u.download(listed)
	u.like("function/bind", "bind", place("function3"))
	u.call("function/create", create("function2"))
	u.call("function/bind", place("function2"))
	u.like("function/bind/list", "bind-list", map[string]any{"GatewaySN": gateway, "ProductSN": product, "Limit": 10})
	u.call("function/create", create("function1"))
	u.like("function/unbind/list", "unbind-list", map[string]any{"GatewaySN": gateway, "ProductSN": product, "FunctionName": "1"})
	u.call("function/create", create("fdwadd"))
	u.like("function/info", "info", map[string]any{"FunctionName": "fdwadd"})
	config := place("function3")
	config["Cron"], config["CronEnable"], config["Config"] = "*/5 * * * *", true, "eyJhIjoxfQ=="
	u.like("function/config", "config", config)
	bound := u.call("function/bind/list", place("function3"))["Data"].(map[string]any)["functionList"].([]any)[0].(map[string]any)
	same(t, config, bound, "Cron", "CronEnable", "Config")
	u.like("function/update", "update", map[string]any{"FunctionName": "function3", "Runtime": "python3.6", "FunctionCode": code})
	u.like("function/unbind", "unbind", place("function3"))
	u.like("function/delete", "delete", map[string]any{"FunctionName": "function3"})
}

// download follows the address in a list: it needs no token, and leads to the code that the checksum is of.
func (u *uiot) download(listed map[string]any) {
	u.t.Helper()
	item := listed["Data"].(map[string]any)["FunctionList"].([]any)[0].(map[string]any)
	req, err := http.NewRequestWithContext(u.t.Context(), http.MethodGet, item["CodeURL"].(string), nil)
	require.NoError(u.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(u.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(u.t, err)
	require.Equal(u.t, "你好世界", string(body))
	require.EqualValues(u.t, len(body), item["CodeSize"])
}

// TestFunctionOfEitherFace: a function is the same whichever dialect made it.
func TestFunctionOfEitherFace(t *testing.T) {
	c := newCaller(t)
	u := &uiot{Server: c.Server, t: t}
	u.token = u.call("user/login", map[string]any{"Username": u.User, "Password": u.Password})["Data"].(map[string]any)["Token"].(string)
	const code = "ZGVmIGhhbmRsZXIoZXZlbnQsIGNvbnRleHQpOgogICAgcmV0dXJuIFtldmVudCwgY29udGV4dFsiZnVuY3Rpb25OYW1lIl1dCg==" // return [event, context["functionName"]]
	u.call("function/create", map[string]any{"FunctionName": "edgy", "Runtime": "python3", "FunctionCode": code})
	ran := c.do(t, http.MethodPost, c.function("urn:fss:"+c.Region+":"+c.ProjectID+":function:default:edgy")+"/invocations", []byte(`{"a":1}`))
	require.Equal(t, http.StatusOK, ran.status, "%s", ran.body)
	require.JSONEq(t, `[{"a":1},"edgy"]`, string(ran.body))

	made := c.do(t, http.MethodPost, c.functions(), replaced(t, "create-function/request.json", documented, c.runtime))
	require.Equal(t, http.StatusOK, made.status, "%s", made.body)
	list := u.call("function/list", map[string]any{"FunctionName": "test"})["Data"].(map[string]any)
	require.EqualValues(t, 1, list["Count"])
	u.call("product/create", map[string]any{"ProductName": "p", "Description": "", "ProductType": "gateway", "ProductSN": "pp"})
	u.call("function/bind", map[string]any{"FunctionName": "test", "ProductSN": "pp"})
	gone := c.do(t, http.MethodDelete, c.function("urn:fss:"+c.Region+":"+c.ProjectID+":function:default:test"), nil)
	require.Equal(t, http.StatusConflict, gone.status, "bound functions stay, whatever face asks: %s", gone.body)
}
