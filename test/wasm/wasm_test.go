//go:build linux

// Package wasm drives the real program with functions of the WASM runtime, through its API and its sandbox.
//
// It must not know how the runtime is made.
package wasm

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/lang/langtest"
	"github.com/hanshu-faas/hanshu/test/server"
)

type host struct {
	*client.Client
	server *server.Server
}

func start(t *testing.T, o server.Options) *host {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = filepath.Join(t.TempDir(), "data")
	}
	s := server.StartWith(t, o)
	c, err := client.New(client.Config{Endpoint: s.Endpoint, ProjectID: s.ProjectID, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey})
	require.NoError(t, err)
	return &host{c, s}
}

func (h *host) create(ctx context.Context, name string, module []byte, memory, timeout int) (*client.Function, error) {
	return h.CreateFunction(ctx, client.CreateFunctionRequest{
		Name: name, Package: "default", Runtime: "WASM", Handler: "main.wasm", MemorySize: memory, Timeout: timeout,
		CodeType: "inline", Code: &client.Code{File: module},
	})
}

func (h *host) deploy(t *testing.T, name string, module []byte) string {
	t.Helper()
	f, err := h.create(t.Context(), name, module, 128, 3)
	require.NoError(t, err)
	require.Equal(t, "main.wasm", f.CodeFilename)
	return f.URN
}

func (h *host) invoke(t *testing.T, urn, event string) *client.InvokeResult {
	t.Helper()
	r, err := h.Invoke(t.Context(), urn, []byte(event), client.InvokeOptions{})
	require.NoError(t, err)
	return r
}

// TestWASM is the runtime from the API to the sandbox and back, as root or whoever runs the tests.
func TestWASM(t *testing.T) {
	t.Parallel()
	life(t, start(t, server.Options{}))
}

// TestWASMAsOrdinaryUser is the same on a server without privilege, where no prepared worker can take a module.
func TestWASMAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user; the test beside this one has shown it")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "hanshu-wasm-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	data := filepath.Join(dir, "data")
	program, err := os.ReadFile(server.Binary(t))
	require.NoError(t, err)
	binary := filepath.Join(dir, "hanshu")
	require.NoError(t, os.WriteFile(binary, program, 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Chown(data, nobody, nobody))
	life(t, start(t, server.Options{DataDir: data, Binary: binary, User: nobody}))
}

func life(t *testing.T, h *host) {
	echo := h.deploy(t, "echo", langtest.WASMEcho())
	for i := range 10 {
		event := fmt.Sprintf(`{"n":%d,"text":"世界"}`, i)
		r := h.invoke(t, echo, event)
		require.Nil(t, r.Failure)
		require.JSONEq(t, event, string(r.Output))
		require.Equal(t, i == 0, r.Summary.ColdStart)
	}

	// What does not compile is refused, and leaves what there was.
	_, err := h.create(t.Context(), "text", []byte("this is text"), 128, 3)
	refused(t, err, "does not compile")
	_, err = h.UpdateFunctionCode(t.Context(), echo, client.UpdateFunctionCodeRequest{CodeType: "inline", Code: client.Code{File: []byte("this is text")}})
	refused(t, err, "does not compile")
	require.JSONEq(t, `1`, string(h.invoke(t, echo, `1`).Output))
	_, err = h.create(t.Context(), "zip", []byte("PK\x05\x06"+strings.Repeat("\x00", 18)), 128, 3)
	refused(t, err, "the package has no file main.wasm")

	// A call that does not end is ended, and the function lives on.
	loop := h.deploy(t, "loop", langtest.WASMLoop())
	r := h.invoke(t, loop, `{}`)
	require.NotNil(t, r.Failure)
	require.Contains(t, r.Failure.Message, "3 seconds")
	_, err = h.UpdateFunctionCode(t.Context(), loop, client.UpdateFunctionCodeRequest{CodeType: "inline", Code: client.Code{File: langtest.WASMEcho()}})
	require.NoError(t, err)
	require.JSONEq(t, `2`, string(h.invoke(t, loop, `2`).Output))

	// A module as a whole compiler makes it: what it sees, and what it may take.
	world := h.deploy(t, "world", langtest.WASMExample(t))
	for event, want := range map[string]string{
		`{"do":"sleep"}`: `true`,
		`{"do":"read","path":"/tmp/../etc/passwd"}`:   `error`,
		`{"do":"dial","text":"127.0.0.1:80"}`:         `error`,
		`{"do":"write","path":"/tmp/a","text":"x"}`:   `""`,
		`{"do":"environment"}`:                        `"name":"world"`,
		`{"do":"list","path":"/opt/function/code/*"}`: `main.wasm`,
	} {
		r := h.invoke(t, world, event)
		require.Nil(t, r.Failure, "%s: %+v %s", event, r.Failure, r.Log)
		require.Contains(t, string(r.Output), want, event)
	}
	r = h.invoke(t, world, `{"do":"grow"}`)
	require.NotNil(t, r.Failure)
	require.Contains(t, r.Failure.Message, "the module exited with code 2", "it is refused memory, and not ended")
	require.Contains(t, h.invoke(t, world, `{"do":"log"}`).Log, "second")
}

// TestDeploy deploys a module by the command line, which knows the runtime by the file's ending.
func TestDeploy(t *testing.T) {
	t.Parallel()
	h := start(t, server.Options{})
	file := filepath.Join(t.TempDir(), "hello.wasm")
	require.NoError(t, os.WriteFile(file, langtest.WASMEcho(), 0o644))
	_, err := h.server.Run(t.Context(), "--admin-file", filepath.Join(h.server.DataDir, "admin.json"), "deploy", file)
	require.NoError(t, err)
	out, err := h.server.Run(t.Context(), "--admin-file", filepath.Join(h.server.DataDir, "admin.json"), "invoke", "hello", "-d", `{"n":1}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"n":1}`, string(out))
}

func refused(t *testing.T, err error, says string) {
	t.Helper()
	var api *client.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, http.StatusBadRequest, api.Status)
	require.Contains(t, api.Message, says)
}

// TestCompiledOnce shows that one compilation serves every start, also after the server was killed, and that the file that
// another server lost is made again.
func TestCompiledOnce(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	h := start(t, server.Options{DataDir: data})
	urn := h.deploy(t, "world", langtest.WASMExample(t))
	compiled := func() []string {
		found, err := filepath.Glob(filepath.Join(data, "runtime", "compiled", "*", "*", "*"))
		require.NoError(t, err)
		return found
	}
	first := compiled()
	require.Len(t, first, 1)
	cold := h.invoke(t, urn, `{"do":"sleep"}`)
	require.Nil(t, cold.Failure)
	t.Logf("loaded in %v ms", cold.Summary.InitDuration)
	h.deploy(t, "again", langtest.WASMExample(t)) // the same package
	require.Equal(t, first, compiled())
	h.server.Kill()

	require.NoError(t, os.RemoveAll(filepath.Dir(filepath.Dir(first[0]))))
	h = start(t, server.Options{DataDir: data})
	require.Empty(t, compiled())
	require.Nil(t, h.invoke(t, urn, `{"do":"sleep"}`).Failure)
	require.Equal(t, first, compiled())
}

// TestFreshInstanceTime logs what a call costs from the client and back, which holds a fresh instance.
func TestFreshInstanceTime(t *testing.T) {
	h := start(t, server.Options{})
	urn := h.deploy(t, "echo", langtest.WASMEcho())
	h.invoke(t, urn, `{}`)
	const calls = 300
	var whole, run []float64
	for range calls {
		begun := time.Now()
		r := h.invoke(t, urn, `{}`)
		whole, run = append(whole, float64(time.Since(begun).Microseconds())/1000), append(run, r.Summary.Duration)
	}
	slices.Sort(whole)
	slices.Sort(run)
	t.Logf("call %v ms p50, %v p99; of that from the server to the worker and back %v p50, %v p99", whole[calls/2], whole[calls*99/100], run[calls/2], run[calls*99/100])
}
