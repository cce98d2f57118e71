// Package seeds replays the example requests of two FunctionGraph documents as they are printed there, and compares the
// answers with the printed ones wherever these are determined.
//
// Apart from host, project, credentials and the runtime's version (the examples name Python 2.7) nothing of a request is
// changed. It speaks plain HTTP, as the documents do, and must not know any package of the server.
package seeds

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
)

// documented is the runtime that the examples name.
const documented = "Python2.7"

// caller speaks to a server as the manual does: with a token.
type caller struct {
	*server.Server
	token   string
	runtime string
	client  http.Client
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// newCaller starts a server and fetches a token with the manual's own request ("Making an API request").
func newCaller(t *testing.T) *caller {
	t.Helper()
	c := &caller{
		Server:  server.Start(t),
		runtime: server.Runtime(t, "Python3", "Python3.9"),
		client:  http.Client{Timeout: time.Minute},
	}
	c.login(t)
	return c
}

// login sends the manual's own request.
func (c *caller) login(t *testing.T) {
	t.Helper()
	body := replaced(t, "manual/token-request.json",
		`"username"`, quote(c.User), `"********"`, quote(c.Password),
		`"domainname"`, quote(c.Domain), `"xxxxxxxxxxxxxxxxxx"`, quote(c.Region))
	r := c.do(t, http.MethodPost, "/v3/auth/tokens", body)
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	c.token = r.header.Get("X-Subject-Token")
	require.NotEmpty(t, c.token)

	var answer struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Methods   []string
			Catalog   []struct {
				Endpoints []struct {
					RegionID string `json:"region_id"`
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(r.body, &answer), "%s", r.body)
	require.Equal(t, []string{"password"}, answer.Token.Methods)
	require.True(t, answer.Token.ExpiresAt.After(time.Now()))
	require.NotEmpty(t, answer.Token.Catalog)
	require.NotEmpty(t, answer.Token.Catalog[0].Endpoints)
	require.Equal(t, c.Region, answer.Token.Catalog[0].Endpoints[0].RegionID)
}

// do sends a request as the manual prints it: Content-Type, and X-Auth-Token once there is one.
func (c *caller) do(t *testing.T, method, path string, body []byte) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.Endpoint+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	}
	resp, err := c.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{status: resp.StatusCode, header: resp.Header, body: answer}
}

// functions is the path of the functions of the caller's project.
func (c *caller) functions() string { return "/v2/" + c.ProjectID + "/fgs/functions" }

// function is the path of one function; the URN stands in it as the documents print it, or percent-encoded.
func (c *caller) function(urn string) string { return c.functions() + "/" + urn }

// TestCreateFunctionPage replays the page "Creating a function": its request, and its conflict.
func TestCreateFunctionPage(t *testing.T) {
	c := newCaller(t)
	request := replaced(t, "create-function/request.json", documented, c.runtime)

	r := c.do(t, http.MethodPost, c.functions(), request)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got, example, sent := object(t, r.body), object(t, replaced(t, "create-function/answer.json")), object(t, request)
	// The page's answer is that of another function with the same code. What the code and the defaults determine is
	// compared with it, the rest with the request.
	same(t, example, got, "package", "memory_size", "cpu", "code_type", "code_size", "digest", "version")
	same(t, sent, got, "func_name", "handler", "timeout", "runtime", "memory_size", "code_type", "package")
	c.checkIdentity(t, got, "test")
	require.Equal(t, "test.py", got["code_filename"])
	require.EqualValues(t, -1, got["strategy_config"].(map[string]any)["concurrency"])

	again := c.do(t, http.MethodPost, c.functions(), request)
	require.Equal(t, http.StatusConflict, again.status, "%s", again.body)
	require.Equal(t, object(t, replaced(t, "create-function/conflict.json")), object(t, again.body))

	// The page stops at the creation; that the function stands shows in its answer.
	ran := c.do(t, http.MethodPost, c.function(got["func_urn"].(string))+"/invocations", []byte(`{"name": "page"}`))
	require.Equal(t, http.StatusOK, ran.status, "%s", ran.body)
	require.JSONEq(t, `"Hello message: {\"name\": \"page\"}"`, string(ran.body))
}

// TestManual replays "Downloading a file from OBS with a function": create, configure, invoke.
func TestManual(t *testing.T) {
	c := newCaller(t)
	urn := c.manualCreate(t)
	c.manualConfig(t, urn)
	c.manualInvoke(t, urn)
}

// manualCreate is step 1. The code goes in as code_type inline, though it is a zip.
func (c *caller) manualCreate(t *testing.T) string {
	t.Helper()
	request := replaced(t, "manual/create-request.json", documented, c.runtime)
	r := c.do(t, http.MethodPost, c.functions(), request)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got := object(t, r.body)
	c.checkAnswer(t, got, "manual/create-answer.json")
	return got["func_urn"].(string)
}

// manualConfig is step 2. Step 1's fields that the request leaves out keep their values.
func (c *caller) manualConfig(t *testing.T, urn string) {
	t.Helper()
	request := replaced(t, "manual/config-request.json", documented, c.runtime)
	r := c.do(t, http.MethodPut, c.function(urn)+"/config", request)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got := object(t, r.body)
	c.checkAnswer(t, got, "manual/config-answer.json")
	// user_data comes back as it was sent. The manual's answer lacks the blank of its request (" xxx"), and names an
	// app_xrole that nothing in it set; neither is followed.
	same(t, object(t, request), got, "user_data", "xrole")

	read := c.do(t, http.MethodGet, c.function(url.PathEscape(urn))+"/config", nil)
	require.Equal(t, http.StatusOK, read.status, "%s", read.body)
	same(t, got, object(t, read.body), "func_urn", "user_data", "xrole", "memory_size", "timeout", "handler", "digest", "last_modified")
}

// manualInvoke is step 3. The manual's function imports com.obs, a library that only the vendor's own image holds, so here
// the call has to end in the function's error that names the missing module, and not in an answer.
func (c *caller) manualInvoke(t *testing.T, urn string) {
	t.Helper()
	r := c.do(t, http.MethodPost, c.function(urn)+"/invocations", replaced(t, "manual/invoke-request.json"))
	require.Equal(t, http.StatusInternalServerError, r.status, "%s", r.body)
	require.Equal(t, "true", r.header.Get("X-Is-Func-Err"))
	require.NotEmpty(t, r.header.Get("X-Cff-Request-Id"))
	got := object(t, r.body)
	require.NotContains(t, got, "error_code", "the fault is the function's, not the platform's")
	require.Contains(t, string(r.body), "ModuleNotFoundError")
	require.Contains(t, got["errorMessage"], "No module named 'com'")
}

// checkAnswer compares an answer with the manual's printed one: every field that is neither a placeholder of the document
// nor a matter of time or chance. StrategyConfig is an empty twin of strategy_config in the document, and app_xrole is
// spoken of in manualConfig.
func (c *caller) checkAnswer(t *testing.T, got map[string]any, printed string) {
	t.Helper()
	want := object(t, replaced(t, printed, documented, c.runtime, "{project_name}", c.Region, "{project_id}", c.ProjectID))
	same(t, want, got, "func_urn", "func_name", "namespace", "package", "runtime", "timeout", "handler", "memory_size", "cpu",
		"code_type", "code_filename", "code_size", "digest", "version", "enterprise_project_id")
	c.checkIdentity(t, got, want["func_name"].(string))
	require.EqualValues(t, -1, got["strategy_config"].(map[string]any)["concurrency"])
}

// checkIdentity holds the fields that every answer about a function has, whatever was asked.
func (c *caller) checkIdentity(t *testing.T, got map[string]any, name string) {
	t.Helper()
	require.Equal(t, "urn:fss:"+c.Region+":"+c.ProjectID+":function:default:"+name+":latest", got["func_urn"])
	require.Equal(t, c.ProjectID, got["namespace"])
	require.Equal(t, c.Region, got["project_name"])
	require.NotEmpty(t, got["domain_id"])
	require.Regexp(t, `^latest-[0-9a-z@]+$`, got["image_name"])
	modified, err := time.Parse(time.RFC3339, got["last_modified"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), modified, time.Minute)
}

// TestPrintedDigests shows that the documents' digests are the SHA-512 of the decoded code, and code_size its length.
func TestPrintedDigests(t *testing.T) {
	for request, answer := range map[string]string{
		"create-function/request.json": "create-function/answer.json",
		"manual/create-request.json":   "manual/create-answer.json",
	} {
		sent, printed := object(t, replaced(t, request)), object(t, replaced(t, answer))
		code, err := base64.StdEncoding.DecodeString(sent["func_code"].(map[string]any)["file"].(string))
		require.NoError(t, err)
		sum := sha512.Sum512(code)
		require.Equal(t, printed["digest"], hex.EncodeToString(sum[:]), request)
		require.EqualValues(t, printed["code_size"], len(code), request)
	}
}

// replaced reads a text of testdata and puts values in the place of what the document has.
func replaced(t *testing.T, name string, oldnew ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	require.NoError(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		require.Contains(t, string(text), oldnew[i], "the document has nothing to replace")
	}
	return []byte(strings.NewReplacer(oldnew...).Replace(string(text)))
}

// quote makes a JSON string.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string always has a JSON form
	return string(text)
}

// object reads a JSON object.
func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal(text, &o), "%s", text)
	return o
}

// same holds got to want in the fields named, all of which want must have.
func same(t *testing.T, want, got map[string]any, fields ...string) {
	t.Helper()
	for _, field := range fields {
		require.Contains(t, want, field)
		require.Equal(t, want[field], got[field], field)
	}
}
