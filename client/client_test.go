package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// exchange is what a server saw, and what it answers.
type exchange struct {
	method, uri string
	header      http.Header
	body        string

	status int
	answer string
	extra  http.Header
}

// serve answers one request after the other as told, and keeps what it saw.
func serve(t *testing.T, answers ...*exchange) *Client {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n >= len(answers) {
			t.Errorf("request %d was not expected: %s %s", n+1, r.Method, r.RequestURI)
			return
		}
		e := answers[n]
		n++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.method, e.uri, e.header, e.body = r.Method, r.RequestURI, r.Header, string(body)
		for name, values := range e.extra {
			w.Header()[name] = values
		}
		if e.status != 0 {
			w.WriteHeader(e.status)
		}
		_, _ = io.WriteString(w, e.answer)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.Equal(t, len(answers), n, "requests") })
	c, err := New(Config{Endpoint: server.URL + "/", ProjectID: "p1", Region: "r1", AccessKey: "AK", SecretKey: "SK"})
	require.NoError(t, err)
	return c
}

const urn = "urn:fss:r1:p1:function:default:f"

func TestOperations(t *testing.T) {
	ctx, empty := t.Context(), ""
	tests := []struct {
		name   string
		call   func(c *Client) (any, error)
		method string
		uri    string
		body   string // as JSON; "" for none
		answer string
		want   any
	}{
		{
			"create", func(c *Client) (any, error) {
				f, err := c.CreateFunction(ctx, CreateFunctionRequest{Name: "f", Package: "default", Runtime: "Python3.9", Handler: "index.handler",
					MemorySize: 128, Timeout: 3, CodeType: "zip", CodeFilename: "f.zip", Code: &Code{File: []byte("PK")}})
				return f.URN, err
			}, "POST", "/v2/p1/fgs/functions",
			`{"func_name":"f","package":"default","runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":3,"code_type":"zip","code_filename":"f.zip","func_code":{"file":"UEs="}}`,
			`{"func_urn":"` + urn + `:latest"}`, urn + ":latest",
		}, {
			"update code", func(c *Client) (any, error) {
				f, err := c.UpdateFunctionCode(ctx, urn, UpdateFunctionCodeRequest{CodeType: "obs", CodeURL: "http://x/y"})
				return f.Digest, err
			}, "PUT", "/v2/p1/fgs/functions/" + urn + "/code", `{"code_type":"obs","code_url":"http://x/y","func_code":{}}`, `{"digest":"d"}`, "d",
		}, {
			"update config clears", func(c *Client) (any, error) {
				f, err := c.UpdateFunctionConfig(ctx, urn, UpdateFunctionConfigRequest{Name: "f", Runtime: "r", Handler: "a.b", MemorySize: 128, Timeout: 3, UserData: &empty})
				return f.Timeout, err
			}, "PUT", "/v2/p1/fgs/functions/" + urn + "/config", `{"func_name":"f","runtime":"r","handler":"a.b","memory_size":128,"timeout":3,"user_data":""}`, `{"timeout":3}`, 3,
		}, {
			"show", func(c *Client) (any, error) {
				f, err := c.ShowFunctionConfig(ctx, urn+":!al/ias")
				return string(f.Raw), err
			}, "GET", "/v2/p1/fgs/functions/" + urn + ":%21al%2Fias/config", "", `{"func_name":"f","more":1}`, `{"func_name":"f","more":1}`,
		}, {
			"delete", func(c *Client) (any, error) { return nil, c.DeleteFunction(ctx, urn) },
			"DELETE", "/v2/p1/fgs/functions/" + urn, "", "", nil,
		}, {
			"publish", func(c *Client) (any, error) {
				f, err := c.PublishVersion(ctx, urn, PublishVersionRequest{Version: "v1", Description: "d"})
				return f.VersionDescription, err
			}, "POST", "/v2/p1/fgs/functions/" + urn + "/versions", `{"version":"v1","description":"d"}`, `{"version":"v1","version_description":"d"}`, "d",
		}, {
			"versions", func(c *Client) (any, error) {
				list, err := c.ListVersions(ctx, urn)
				return len(list), err
			}, "GET", "/v2/p1/fgs/functions/" + urn + "/versions?marker=0&maxitems=400", "", `{"versions":[{"version":"latest"}],"count":1}`, 1,
		}, {
			"create alias", func(c *Client) (any, error) {
				a, err := c.CreateAlias(ctx, urn, Alias{Name: "a", Version: "v1", Weights: map[string]int{"v2": 10}})
				return a.Weights["v2"], err
			}, "POST", "/v2/p1/fgs/functions/" + urn + "/aliases", `{"name":"a","version":"v1","additional_version_weights":{"v2":10}}`,
			`{"name":"a","additional_version_weights":{"v2":10}}`, 10,
		}, {
			"update alias", func(c *Client) (any, error) {
				a, err := c.UpdateAlias(ctx, urn, Alias{Name: "a/b", Version: "v2", Description: &empty})
				return a.Version, err
			}, "PUT", "/v2/p1/fgs/functions/" + urn + "/aliases/a%2Fb", `{"name":"a/b","version":"v2","description":""}`, `{"version":"v2"}`, "v2",
		}, {
			"aliases", func(c *Client) (any, error) {
				list, err := c.ListAliases(ctx, urn)
				return len(list), err
			}, "GET", "/v2/p1/fgs/functions/" + urn + "/aliases", "", `[{"name":"a"},{"name":"b"}]`, 2,
		}, {
			"delete alias", func(c *Client) (any, error) { return nil, c.DeleteAlias(ctx, urn, "a") },
			"DELETE", "/v2/p1/fgs/functions/" + urn + "/aliases/a", "", "", nil,
		}, {
			"logs", func(c *Client) (any, error) {
				page, err := c.Logs(ctx, Ref{Package: "default", Name: "f"}, LogsOptions{After: 7, Before: 9, Limit: 2, Wait: 3 * time.Second})
				return len(page.Runs), err
			}, "GET", "/admin/v1/projects/p1/functions/default/f/runs?after=7&before=9&limit=2&wait=3", "", `{"runs":[{"seq":8,"begun":"2026-01-02T03:04:05.6Z"}]}`, 1,
		}, {
			"logs of another project", func(c *Client) (any, error) {
				page, err := c.Logs(ctx, Ref{Project: "p2", Package: "g", Name: "f"}, LogsOptions{})
				return len(page.Runs), err
			}, "GET", "/admin/v1/projects/p2/functions/g/f/runs", "", `{"runs":[]}`, 0,
		}, {
			"runs", func(c *Client) (any, error) {
				page, err := c.Runs(ctx, RunsOptions{
					Package: "g", Function: "f", Version: "v1", Source: "api", Status: "failed", From: time.Unix(0, 0), To: time.Unix(1, 5000), Before: 9, Limit: 2,
				})
				return page.Next, err
			}, "GET", "/admin/v1/projects/p1/runs?before=9&from=1970-01-01T00%3A00%3A00Z&function=f&limit=2&package=g&source=api&status=failed" +
				"&to=1970-01-01T00%3A00%3A01.000005Z&version=v1", "", `{"runs":[],"next":8}`, int64(8),
		}, {
			"run", func(c *Client) (any, error) {
				runs, err := c.Run(ctx, "a/b")
				return len(runs), err
			}, "GET", "/admin/v1/projects/p1/runs/a%2Fb", "", `{"runs":[{"id":"a/b"}]}`, 1,
		}, {
			"replay", func(c *Client) (any, error) { return c.Replay(ctx, "r1") },
			"POST", "/admin/v1/projects/p1/runs/r1/replay", "", `{"id":"r2","of":"r1","status":"ok","output":"7"}`,
			Replayed{ID: "r2", Of: "r1", Status: "ok", Output: "7"},
		}, {
			"runtimes", func(c *Client) (any, error) { return c.Runtimes(ctx) },
			"GET", "/admin/v1/runtimes", "", `{"runtimes":[{"name":"Python3.9","status":"exact"}]}`, []Runtime{{Name: "Python3.9", Status: RuntimeExact}},
		}, {
			"status", func(c *Client) (any, error) {
				s, err := c.Status(ctx)
				return s.Sandbox.Level, err
			}, "GET", "/admin/v1/status", "", `{"sandbox":{"level":"good"}}`, "good",
		}, {
			"projects", func(c *Client) (any, error) { return c.Projects(ctx) },
			"GET", "/v3/projects", "", `{"projects":[{"id":"p1","name":"r1"}]}`, []Project{{"p1", "r1"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &exchange{answer: tt.answer}
			got, err := tt.call(serve(t, e))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.method+" "+tt.uri, e.method+" "+e.uri)
			require.Contains(t, e.header.Get("Authorization"), "SDK-HMAC-SHA256 Access=AK, ")
			if tt.body == "" {
				require.Empty(t, e.body)
			} else {
				require.JSONEq(t, tt.body, e.body)
			}
		})
	}
}

func TestAPIError(t *testing.T) {
	for body, want := range map[string]APIError{
		`{"error_code":"FSS.1051","error_msg":"Not found the function"}`:  {404, "FSS.1051", "Not found the function", "id1"},
		`{"error":{"code":"invalid","message":"after must be a number"}}`: {400, "invalid", "after must be a number", "id1"},
		`{"error":{"code":401,"message":"wrong","title":"Unauthorized"}}`: {401, "401", "wrong", "id1"},
		`<html>proxy</html>`: {502, "502", "the server answered 502 Bad Gateway", "id1"},
		``:                   {302, "302", "the server answered 302 Found", "id1"},
		`{"error_code":"APIGW.0301","error_msg":"no","request_id":"in the body"}`: {401, "APIGW.0301", "no", "id1"},
	} {
		c := serve(t, &exchange{status: want.Status, answer: body, extra: http.Header{"X-Request-Id": {"id1"}, "Location": {"http://elsewhere.invalid/"}}})
		_, err := c.ShowFunctionConfig(t.Context(), urn)
		var got *APIError
		require.ErrorAs(t, err, &got, body)
		require.Equal(t, want, *got)
	}
}

func TestListFunctionsGoesThroughPages(t *testing.T) {
	page := func(next int, names ...string) *exchange {
		list := []map[string]string{}
		for _, name := range names {
			list = append(list, map[string]string{"func_name": name})
		}
		text, err := json.Marshal(map[string]any{"functions": list, "next_marker": next, "count": 3})
		require.NoError(t, err)
		return &exchange{answer: string(text)}
	}
	first, second := page(2, "a", "b"), page(3, "c")
	var names []string
	for f, err := range serve(t, first, second).ListFunctions(t.Context(), ListOptions{Package: "g", Name: "x"}) {
		require.NoError(t, err)
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Equal(t, "/v2/p1/fgs/functions?func_name=x&marker=0&maxitems=400&package_name=g", first.uri)
	require.Contains(t, second.uri, "marker=2")

	for f, err := range serve(t, page(2, "a", "b")).ListFunctions(t.Context(), ListOptions{}) { // who stops asks for no more
		require.NoError(t, err)
		require.Equal(t, "a", f.Name)
		break
	}
	for _, err := range serve(t, &exchange{status: 500}).ListFunctions(t.Context(), ListOptions{}) {
		require.Error(t, err)
	}
	for f, err := range serve(t, page(0, "a")).ListFunctions(t.Context(), ListOptions{}) { // a marker that does not move ends it
		require.NoError(t, err)
		require.Equal(t, "a", f.Name)
	}
}

func TestInvoke(t *testing.T) {
	log := base64.StdEncoding.EncodeToString([]byte("a line\n"))
	headers := func(failed string) http.Header {
		return http.Header{
			"X-Cff-Request-Id": {"id1"}, "X-Is-Func-Err": {failed}, "X-Cff-Function-Log": {log},
			"X-Cff-Invoke-Summary": {`{"duration":1.5,"memorySize":128,"memoryUsed":9.5,"coldStart":true,"initDuration":4}`},
		}
	}
	good := &exchange{answer: `{"a":1}`, extra: headers("false")}
	r, err := serve(t, good).Invoke(t.Context(), urn, nil, InvokeOptions{MemoryMB: 256})
	require.NoError(t, err)
	require.Equal(t, &InvokeResult{RequestID: "id1", Status: 200, Output: []byte(`{"a":1}`), Log: "a line\n",
		Summary: InvokeSummary{Duration: 1.5, MemorySizeMB: 128, MemoryUsedMB: 9.5, ColdStart: true, InitDuration: 4}}, r)
	require.Equal(t, "POST /v2/p1/fgs/functions/"+urn+"/invocations", good.method+" "+good.uri)
	require.Equal(t, "{}", good.body)
	require.Equal(t, "256", good.header.Get("X-Cff-Instance-Memory"))
	require.Equal(t, "tail", good.header.Get("X-Cff-Log-Type"))

	r, err = serve(t, &exchange{status: 500, extra: headers("true"), answer: `{"errorMessage":"m","errorType":"T","stackTrace":["s"]}`}).
		Invoke(t.Context(), urn, []byte("1"), InvokeOptions{})
	require.NoError(t, err)
	require.Nil(t, r.Output)
	require.Equal(t, &FunctionError{"m", "T", []string{"s"}}, r.Failure)
	require.Equal(t, "T: m", r.Failure.Error())

	_, err = serve(t, &exchange{status: 503, extra: headers("false"), answer: `{"error_code":"FSS.0503","error_msg":"later"}`}).
		Invoke(t.Context(), urn, []byte("1"), InvokeOptions{})
	var refused *APIError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "id1", refused.RequestID)
}

// TestPassword: without a key, the client asks for a token once and sends it.
func TestPassword(t *testing.T) {
	login := &exchange{status: 201, extra: http.Header{"X-Subject-Token": {"tok"}},
		answer: `{"token":{"expires_at":"` + time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z") + `"}}`}
	one, two := &exchange{answer: "{}"}, &exchange{answer: "{}"}
	cfg := serve(t, login, one, two).Config()
	cfg.AccessKey, cfg.SecretKey, cfg.Domain, cfg.User, cfg.Password = "", "", "d", "u", "pw"
	c, err := New(cfg)
	require.NoError(t, err)
	for range 2 {
		_, err = c.Status(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, "POST /v3/auth/tokens?nocatalog=true", login.method+" "+login.uri)
	require.JSONEq(t, `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"u","password":"pw","domain":{"name":"d"}}}},
		"scope":{"domain":{"name":"d"}}}}`, login.body, "all that the user may do, not one project")
	require.Empty(t, login.header.Get("Authorization"))
	require.Equal(t, "tok", two.header.Get("X-Auth-Token"))

	_, err = serve(t).Token(t.Context())
	require.ErrorContains(t, err, "access key")
}

// TestRedirect: credentials go to the named server only.
func TestRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	_, err := serve(t, &exchange{status: 307, extra: http.Header{"Location": {elsewhere.URL}}}).Status(t.Context())
	require.Error(t, err)
}

func TestBadAnswers(t *testing.T) {
	_, err := serve(t, &exchange{answer: "no JSON"}).Status(t.Context())
	require.ErrorContains(t, err, "not what it should be")
	_, err = serve(t, &exchange{answer: strings.Repeat(" ", maxAnswer+1)}).Status(t.Context())
	require.ErrorContains(t, err, "more than")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = serve(t).Status(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNew(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no scheme":   {Endpoint: "127.0.0.1:8080", AccessKey: "a", SecretKey: "s"},
		"scheme":      {Endpoint: "ftp://h", AccessKey: "a", SecretKey: "s"},
		"credentials": {Endpoint: "http://u:p@h", AccessKey: "a", SecretKey: "s"},
		"query":       {Endpoint: "http://h?x=1", AccessKey: "a", SecretKey: "s"},
		"nobody":      {Endpoint: "http://h"},
		"half a key":  {Endpoint: "http://h", AccessKey: "a"},
		"no password": {Endpoint: "http://h", User: "u"},
	} {
		_, err := New(cfg)
		require.Error(t, err, name)
	}
}

func TestLoadCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin.json")
	_, err := LoadCredentials(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	for text, want := range map[string]string{
		`{"endpoint":"http://h","access_key":"a","secret_key":"s","region":"r","project_id":"p","other":1}`: "",
		`{"endpoint":"http://h"}`: "access key",
		`{`:                       "holds no credentials",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		c, err := LoadCredentials(file)
		if want != "" {
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, file)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, Config{Endpoint: "http://h", ProjectID: "p", Region: "r", AccessKey: "a", SecretKey: "s"}, c.Config())
	}
}

func TestParseRef(t *testing.T) {
	c, err := New(Config{Endpoint: "http://h", ProjectID: "p", Region: "r", AccessKey: "a", SecretKey: "s"})
	require.NoError(t, err)
	for text, want := range map[string]string{
		"f":                                "urn:fss:r:p:function:default:f",
		"g:f":                              "urn:fss:r:p:function:g:f",
		"f:!prod":                          "urn:fss:r:p:function:default:f:!prod",
		"g:f:!prod":                        "urn:fss:r:p:function:g:f:!prod",
		"urn:fss:r2:p2:function:g:f":       "urn:fss:r2:p2:function:g:f",
		"urn:fss:r2:p2:function:g:f:v1":    "urn:fss:r2:p2:function:g:f:v1",
		"urn:fss:r2:p2:function:g:f:!prod": "urn:fss:r2:p2:function:g:f:!prod",
	} {
		ref, err := ParseRef(text)
		require.NoError(t, err)
		require.Equal(t, want, c.URN(ref))
	}
	for _, text := range []string{"", ":", "g:", ":f", "a:b:c", "urn", "urn:f", "urn:fss:r:p:workflow:g:f", "urn:fss:r:p:function:g:", "urn:fss:r:p:function:g:f:"} {
		_, err := ParseRef(text)
		require.Error(t, err, text)
	}
}
