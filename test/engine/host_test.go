//go:build linux

// Package engine drives the real program with functions, requests and accidents that mean it ill, and shows what is left
// standing: the server, the neighbours, the data.
//
// It speaks HTTP and looks at /proc and /sys, as an operator would, and must not know any package of the server but its
// client. The figures it sees are logged: run it with -v.
package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/test/server"
)

// nobody is the ordinary user of the tests that root runs as someone else.
const nobody = 65534

// TestMain lets more tests run at a time than there are processors: several of them only wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// place is a data directory of the test's own, reachable by every user, and how a server is started on it.
type place struct {
	server.Options
	mark string // part of the directory's path that nothing else on the host has
}

// newPlace makes a place for a server that runs as a user, 0 for the test's own.
func newPlace(t *testing.T, user uint32, args ...string) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "hanshu-engine-")
	require.NoError(t, err)
	t.Cleanup(func() { removeAll(t, dir) })
	dir, err = filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	p := &place{mark: filepath.Base(dir), Options: server.Options{DataDir: filepath.Join(dir, "data"), Args: args, User: user}}
	if user != 0 {
		require.NoError(t, os.Chmod(dir, 0o755))
		require.NoError(t, os.Mkdir(p.DataDir, 0o700))
		require.NoError(t, os.Chown(p.DataDir, int(user), int(user)))
		p.Binary = filepath.Join(dir, "hanshu")
		program, err := os.ReadFile(server.Binary(t))
		require.NoError(t, err)
		syscall.ForkLock.RLock() // a process born meanwhile would hold the program open, which could not be started then
		err = os.WriteFile(p.Binary, program, 0o755)
		syscall.ForkLock.RUnlock()
		require.NoError(t, err)
	}
	return p
}

// removeAll also removes folders that were made read-only, which stops everyone but root.
func removeAll(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
}

// host is a running server and a caller that is its administrator.
type host struct {
	*server.Server
	place    *place
	client   *http.Client
	runtimes map[string]string // by language
}

func (p *place) start(t *testing.T) *host {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	h := &host{Server: server.StartWith(t, p.Options), place: p, client: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
	h.runtimes = map[string]string{}
	for _, language := range []string{python, node} {
		name, err := h.runtime(t.Context(), language)
		require.NoError(t, err)
		h.runtimes[language] = name
	}
	return h
}

// start starts a server in a place of its own.
func start(t *testing.T, args ...string) *host {
	t.Helper()
	return newPlace(t, 0, args...).start(t)
}

// asNobody skips where the test cannot choose a user: without root every other test here runs as an ordinary user already.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user; the test beside this one has shown it")
	}
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do signs and sends a request. An error means that no whole answer came.
func (h *host) do(ctx context.Context, method, path string, body []byte, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client.Sign(req, body, h.AccessKey, h.SecretKey, time.Now())
	resp, err := h.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text}, err
}

func (h *host) functions() string { return "/v2/" + h.ProjectID + "/fgs/functions" }

func (h *host) function(name string) string {
	return h.functions() + "/urn:fss:" + h.Region + ":" + h.ProjectID + ":function:default:" + name
}

// invoke calls a function with the event and asks for the end of its log.
func (h *host) invoke(ctx context.Context, name string, event []byte) (answer, error) {
	return h.do(ctx, http.MethodPost, h.function(name)+"/invocations", event, "X-Cff-Log-Type", "tail")
}

// function describes a function to create. Source is one file.
type function struct {
	name, runtime, source string // runtime is a language
	memoryMB              int    // 0 for 256
	timeout               int    // seconds; 0 for 10
	concurrency           int    // instances; 0 for no limit
}

// The languages that the tests use, as the names of their runtimes begin. The server is asked which version it has.
const (
	python = "Python3.1" // 3.10 or newer: workers of 3.6 are not copied from a template
	node   = "Node.js"
)

// runtime gives the first runtime of a language that this host serves.
func (h *host) runtime(ctx context.Context, language string) (string, error) {
	a, err := h.do(ctx, http.MethodGet, "/admin/v1/runtimes", nil)
	if err != nil {
		return "", err
	}
	var list struct {
		Runtimes []struct{ Name, Status string }
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		return "", err
	}
	for _, r := range list.Runtimes {
		if strings.HasPrefix(r.Name, language) && r.Status != "missing" {
			return r.Name, nil
		}
	}
	return "", fmt.Errorf("no runtime of %s on this host", language)
}

// request is the body of CreateFunction.
func (h *host) request(f function) map[string]any {
	or := func(n, def int) int {
		if n == 0 {
			return def
		}
		return n
	}
	return map[string]any{
		"func_name": f.name, "package": "default", "runtime": h.runtimes[f.runtime], "handler": "index.handler",
		"memory_size": or(f.memoryMB, 256), "timeout": or(f.timeout, 10), "code_type": "inline",
		"func_code":       map[string]string{"file": base64.StdEncoding.EncodeToString([]byte(f.source))},
		"strategy_config": map[string]int{"concurrency": or(f.concurrency, -1)},
	}
}

func (h *host) post(ctx context.Context, request map[string]any) (answer, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer{}, err
	}
	return h.do(ctx, http.MethodPost, h.functions(), body)
}

// create makes a function, which has to succeed.
func (h *host) create(t *testing.T, f function) {
	t.Helper()
	a, err := h.post(t.Context(), h.request(f))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
}

// names lists all functions of the project.
func (h *host) names(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for marker := int64(0); ; {
		a, err := h.do(t.Context(), http.MethodGet, fmt.Sprintf("%s?marker=%d&maxitems=100", h.functions(), marker), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		var page struct {
			Functions []struct {
				Name string `json:"func_name"`
			}
			Next int64 `json:"next_marker"`
		}
		require.NoError(t, json.Unmarshal(a.body, &page), "%s", a.body)
		for _, f := range page.Functions {
			all[f.Name] = true
		}
		if len(page.Functions) < 100 || page.Next <= marker {
			return all
		}
		marker = page.Next
	}
}

// echo sources give back the number they are called with.
const (
	pythonEcho = "def handler(event, context):\n    return {'n': event['n']}\n"
	nodeEcho   = "exports.handler = async (event) => ({n: event.n});\n"
)

// checkEcho says what is wrong with an echo's answer, "" for nothing.
func checkEcho(a answer, n int) string {
	var got struct{ N *int }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.N == nil || *got.N != n {
		return fmt.Sprintf("call %d was answered %d %.300s", n, a.status, a.body)
	}
	return ""
}

func event(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

// failure is a function's own failure as FunctionGraph writes it.
type failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (a answer) failure(t *testing.T) failure {
	t.Helper()
	var f failure
	require.NoError(t, json.Unmarshal(a.body, &f), "%.300s", a.body)
	return f
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return strings.TrimSpace(string(text)) + "\n"
}
