//go:build linux

package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// listedTemplate is a template as the server lists it.
type listedTemplate struct {
	ID       string `json:"id"`
	Runtime  string `json:"runtime"`
	Handler  string `json:"handler"`
	Code     []byte `json:"code"`
	Kind     string `json:"code_type"`
	Timeout  int    `json:"timeout"`
	Memory   int    `json:"memory_size"`
	UserData string `json:"user_data"`
	Detail   struct{ Input, Output, Warning string }
}

// TestTemplates makes a function of each template, as the template says, and calls it with its own example.
func TestTemplates(t *testing.T) {
	t.Parallel()
	h := start(t)
	a, err := h.do(t.Context(), http.MethodGet, "/v2/"+h.ProjectID+"/fgs/templates", nil)
	require.NoError(t, err)
	var list struct {
		Templates []json.RawMessage `json:"func_templates"`
	}
	require.NoError(t, json.Unmarshal(a.body, &list))
	require.Len(t, list.Templates, 10)
	for _, raw := range list.Templates {
		var one listedTemplate
		require.NoError(t, json.Unmarshal(bytes.Replace(raw, []byte(`"temp_detail"`), []byte(`"detail"`), 1), &one))
		t.Run(one.ID, func(t *testing.T) {
			request := map[string]any{
				"func_name": one.ID, "package": "default", "runtime": one.Runtime, "handler": one.Handler, "memory_size": one.Memory, "timeout": one.Timeout,
				"user_data": one.UserData, "code_type": one.Kind, "func_code": map[string]any{"file": one.Code},
			}
			if one.Detail.Warning != "" {
				request["code_type"], request["code_filename"], request["func_code"] = build(t, one)
			}
			a, err := h.post(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			a, err = h.invoke(t.Context(), one.ID, []byte(one.Detail.Input))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			require.JSONEq(t, one.Detail.Output, outputOf(t, one, a.body))
		})
	}
}

// outputOf is what a function answers; of a web server, its body.
func outputOf(t *testing.T, one listedTemplate, body []byte) string {
	t.Helper()
	if one.Runtime != "http" {
		return string(body)
	}
	var site struct {
		Body     string
		IsBase64 bool `json:"isBase64Encoded"`
	}
	require.NoError(t, json.Unmarshal(body, &site))
	if site.IsBase64 {
		text, err := base64.StdEncoding.DecodeString(site.Body)
		require.NoError(t, err)
		return string(text)
	}
	return site.Body
}

// build compiles a template by the command in its warning, and gives the fields of what is sent.
func build(t *testing.T, one listedTemplate) (kind, filename string, code map[string]any) {
	t.Helper()
	dir := t.TempDir()
	source, product := "Hello.java", "hello.jar"
	if one.Runtime == "Go1.x" {
		source, product = "main.go", "main"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, source), one.Code, 0o600))
	command, _, ok := bytes.Cut([]byte(one.Detail.Warning), []byte(" makes the "))
	require.True(t, ok)
	sh := exec.CommandContext(t.Context(), "sh", "-c", string(command))
	sh.Dir = dir
	said, err := sh.CombinedOutput()
	require.NoError(t, err, "%s: %s", command, said)
	data, err := os.ReadFile(filepath.Join(dir, product))
	require.NoError(t, err)
	if one.Runtime == "Go1.x" {
		return "zip", "function.zip", map[string]any{"file": modeless(t, product, data)}
	}
	return "jar", product, map[string]any{"file": data}
}
