package seeds

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
)

// TestDependencies replays the manual's requests of dependencies, in both ways of sending a package, and both lists. What it prints
// as "xxx" and in braces is filled in.
func TestDependencies(t *testing.T) {
	var pkg bytes.Buffer
	w := zip.NewWriter(&pkg)
	_, err := w.Create("node_modules/lib/index.js")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	bucket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pkg.Bytes()) }))
	t.Cleanup(bucket.Close)
	c := &caller{Server: server.Start(t, "--allow-private-code-urls", "127.0.0.0/8"), client: http.Client{Timeout: time.Minute}}
	c.login(t)
	path := "/v2/" + c.ProjectID + "/fgs/dependencies"

	answers := map[string]map[string]any{}
	link := strings.TrimSuffix(bucket.URL, "/") + "/depends/"
	for name, request := range map[string][]byte{
		"zipped": replaced(t, "dependencies/zip-request.json", `"depend_file" : "xxx"`, fmt.Sprintf(`"depend_file" : %q`, base64.StdEncoding.EncodeToString(pkg.Bytes())), `"name" : "xxx"`, `"name" : "zipped"`),
		"pulled": replaced(t, "dependencies/obs-request.json", "https://{bucket}.{obs_endpoint}/depends/****/", link, `"name" : "xxx"`, `"name" : "pulled"`),
	} {
		r := c.do(t, http.MethodPost, path, request)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		got := object(t, r.body)
		for field := range object(t, replaced(t, "dependencies/answer.json")) {
			require.Contains(t, got, field)
		}
		same(t, object(t, request), got, "name", "runtime")
		require.EqualValues(t, pkg.Len(), got["size"])
		require.Regexp(t, "^[0-9a-f]{32}$", got["etag"])
		answers[name] = got
	}
	require.Equal(t, link+"4f4ae4eb-dcdc-4dd3-bffd-79600bd972b3.zip", answers["pulled"]["link"])
	require.Equal(t, "4f4ae4eb-dcdc-4dd3-bffd-79600bd972b3.zip", answers["pulled"]["file_name"])
	require.Equal(t, "zipped.zip", answers["zipped"]["file_name"])

	for _, list := range []string{path, path + "/" + answers["zipped"]["id"].(string) + "/version"} {
		r := c.do(t, http.MethodGet, list, nil)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		got, want := object(t, r.body), object(t, replaced(t, "dependencies/list.json"))
		require.Equal(t, got["count"], got["next_marker"], "as the manual prints the last page")
		for field := range want {
			require.Contains(t, got, field)
		}
		for field := range want["dependencies"].([]any)[0].(map[string]any) {
			require.Contains(t, got["dependencies"].([]any)[0], field)
		}
	}
}
