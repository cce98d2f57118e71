//go:build linux

package engine

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// executable builds the example function of the language suite, once for all tests.
var executable = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hanshu-engine-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "function")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "../../internal/lang/langtest/testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return said, err
	}
	return os.ReadFile(out)
})

// modeless is a zip as it is made on systems without modes.
func modeless(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}) // packing it takes seconds under the race detector
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// nodeSite is a web server as customers write one.
const nodeSite = `#!/usr/bin/env node
require('http').createServer((req, res) => {
  let body = '';
  req.on('data', (part) => { body += part; });
  req.on('end', () => { console.log('asked for', req.url); res.setHeader('X-Id', req.headers['x-cff-request-id']); res.end('node got ' + body); });
}).listen(8000, '127.0.0.1');
`

func TestExecutables(t *testing.T) {
	t.Parallel()
	testExecutables(t, newPlace(t, 0).start(t))
}

func TestExecutablesAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	asNobody(t)
	testExecutables(t, newPlace(t, nobody).start(t))
}

// A Go function has the place of its worker, and ends with the server as that does.
func TestGoFunctionEndsWithTheServer(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0)
	h := p.start(t)
	h.callGo(t)
	require.NotEmpty(t, p.sandboxed(t))
	h.Kill()
	require.Eventually(t, func() bool { return len(p.sandboxed(t)) == 0 }, 10*time.Second, 5*time.Millisecond, "orphans of the killed server")
}

// callGo makes a Go function and calls it: by a worker that starts for it and, behind an end, by others that may have waited.
func (h *host) callGo(t *testing.T) {
	t.Helper()
	program, err := executable()
	require.NoError(t, err, "%s", program)
	request := h.request(function{name: "go", timeout: 60})
	withZip(modeless(t, "main", program))(request)
	request["runtime"], request["handler"] = "Go1.x", "main"
	a, err := h.post(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	for range 3 {
		a, err := h.invoke(t.Context(), "go", []byte(`{"a":1}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.JSONEq(t, `{"a":1}`, string(a.body))
		a, err = h.invoke(t.Context(), "go", []byte(`{"Do":"exit","N":1}`))
		require.NoError(t, err)
		require.Contains(t, string(a.body), "exited with code 1")
	}
	a, err = h.invoke(t.Context(), "go", []byte(`2`))
	require.NoError(t, err)
	require.Equal(t, "2", string(a.body))
}

// A socket of the sandbox reaches the server at every level.
func TestGoFunctionAtOtherLevels(t *testing.T) {
	t.Parallel()
	t.Run("none", func(t *testing.T) { newPlace(t, 0, "--sandbox=none").start(t).callGo(t) })
	t.Run("oci", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("runc is for root here")
		}
		newPlace(t, 0, "--sandbox=oci", "--oci-runtime=/usr/sbin/runc").start(t).callGo(t)
	})
}

func testExecutables(t *testing.T, h *host) {
	program, err := executable()
	require.NoError(t, err, "%s", program)
	make := func(name, runtime, handler string, timeout int, pkg []byte) answer {
		request := h.request(function{name: name, timeout: timeout})
		withZip(pkg)(request)
		request["runtime"], request["handler"] = runtime, handler
		a, err := h.post(t.Context(), request)
		require.NoError(t, err)
		return a
	}
	call := func(name, event string) answer {
		a, err := h.invoke(t.Context(), name, []byte(event))
		require.NoError(t, err)
		return a
	}
	for _, c := range []struct{ name, runtime, handler string }{{"go", "Go1.x", "main"}, {"custom", "Custom", "bootstrap"}, {"http", "http", "bootstrap"}} {
		pkg, brief := modeless(t, c.handler, program), c.name+"-brief"
		require.Equal(t, http.StatusOK, make(c.name, c.runtime, c.handler, 60, pkg).status)
		require.Equal(t, http.StatusOK, make(brief, c.runtime, c.handler, 3, pkg).status)
		output := func(event string) string {
			a := call(c.name, event)
			require.Equal(t, http.StatusOK, a.status, "%s: %s", c.runtime, a.body)
			if c.runtime != "http" {
				return string(a.body)
			}
			var answer struct{ Body string }
			require.NoError(t, json.Unmarshal(a.body, &answer))
			return answer.Body
		}
		require.JSONEq(t, `{"a":"é"}`, output(`{"a":"é"}`))
		require.NotContains(t, output(`{"Do":"parent"}`), "true", "the function can look into its worker")
		require.JSONEq(t, `[]`, output(`{"Do":"descriptors"}`))
		for _, f := range []struct{ name, event, kind, says string }{
			{c.name, `{"Do":"exit","N":3}`, runtimeExit, "exited with code 3"},
			{c.name, `{"Do":"kill"}`, runtimeExit, "ended by a signal: killed"},
			{c.name, `{"Do":"alloc","N":1000}`, outOfMemory, "more memory than its 256 MB"},
			{brief, `{"Do":"sleep","N":60000}`, timedOut, "did not finish within 3 seconds"},
		} {
			if f.event == `{"Do":"kill"}` && c.name == "go" {
				require.Equal(t, `""`, output(f.event), "the first process of a sandbox lives on when it kills itself")
				continue
			}
			a := call(f.name, f.event)
			require.Equal(t, http.StatusInternalServerError, a.status, "%s %s: %s", c.runtime, f.event, a.body)
			require.Equal(t, f.kind, a.failure(t).Type, "%s %s: %s", c.runtime, f.event, a.body)
			require.Contains(t, a.failure(t).Message, f.says)
			require.Equal(t, "1", output("1"))
		}
		big := `"` + strings.Repeat("x", 5<<20) + `"`
		require.True(t, big == output(big))
	}

	require.Equal(t, http.StatusOK, make("node", "http", "bootstrap", 60, modeless(t, "bootstrap", []byte(nodeSite))).status)
	a := call("node", `{"httpMethod":"POST","path":"/page","body":"words"}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Contains(t, string(a.body), "node got words")

	for _, c := range []struct{ runtime, handler, says string }{
		{"Custom", "index.handler", "must be bootstrap"}, {"http", "index.handler", "must be bootstrap"}, {"Go1.x", "../main", "must name the executable"},
		{"Go1.8", "plugin.Handler", "Go1.8 is not available"},
	} {
		a := make("refused", c.runtime, c.handler, 60, modeless(t, "bootstrap", program))
		require.Equal(t, http.StatusBadRequest, a.status, "%s", a.body)
		require.Contains(t, string(a.body), c.says)
	}
}
