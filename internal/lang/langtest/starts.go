package langtest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// replaced changes the executable of a load.
func replaced(change func(path string) error) func(*lang.Load) {
	return func(l *lang.Load) {
		if err := change(filepath.Join(l.CodeRoot, l.Handler)); err != nil {
			panic(err) // a folder of the test's own
		}
	}
}

func text(content string) func(*lang.Load) {
	return replaced(func(path string) error { return os.WriteFile(path, []byte(content), 0o755) })
}

func startCases() []Case {
	refused := func(message string) func(*testing.T, *Worker, Reply) {
		return func(t *testing.T, w *Worker, l Reply) {
			failed(t, l, lang.FailLoad, "HandlerNotFound", message)
			w.HangUp()
			require.Equal(t, 0, w.Exit())
		}
	}
	return []Case{
		{
			Name: "executable: missing", Executables: executables, Load: replaced(os.Remove),
			Check: refused("at the root of the package"),
		},
		{
			Name: "executable: not executable", Executables: executables,
			Load:  replaced(func(path string) error { return os.Chmod(path, 0o644) }),
			Check: refused("is not executable; set its mode to 755"),
		},
		{
			Name: "executable: a folder", Executables: executables,
			Load:  replaced(func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }),
			Check: refused("is not a file"),
		},
		{
			Name: "executable: neither program nor script", Executables: executables, Load: text("echo hello\n"),
			Check: refused("neither a Linux executable for this machine nor a script"),
		},
		{
			Name: "executable: for another machine", Executables: executables, Load: text("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 100)),
			Check: refused("neither a Linux executable for this machine nor a script"),
		},
		{
			Name: "executable: script without its interpreter", Executables: executables, Load: text("#!/bin/none -x\n"),
			Check: refused(`its interpreter, "/bin/none -x", is not there`),
		},
		{
			Name: "executable: script written on Windows", Executables: executables, Load: text("#!/bin/sh\r\nexit 0\r\n"),
			Check: refused(`its interpreter, "/bin/sh\r", is not there`),
		},
		{
			Name: "executable: exit at start", Executables: executables,
			Load: func(l *lang.Load) { l.Env["AT_START"] = "exit" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				if w.wired != nil {
					var how *lang.Hangup
					require.ErrorAs(t, l.Err, &how)
					require.Contains(t, how.Before, " before it listened at RUNTIME_API_ADDR (127.0.0.1:")
					require.Equal(t, 4, w.Exit())
				} else {
					failed(t, l, lang.FailExit, "RuntimeExit", "exited with code 4 before it ")
				}
				require.Equal(t, []string{"exit"}, w.Output())
				if w.wired == nil {
					w.HangUp()
					require.Equal(t, 0, w.Exit())
				}
			},
		},
	}
}

func pollCases() []Case {
	return []Case{
		{
			Name: "runtime API: answered twice", Executables: []string{"custom"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{"Do":"twice"}`), `"first"`)
				result(t, w.Call(`1`), `1`)
				require.Contains(t, w.Output(), "200 404 <nil> <nil>")
			},
		},
		{
			Name: "runtime API: answer to a request of nobody's", Executables: []string{"custom"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{"Do":"stranger"}`), `"404 <nil>"`)
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "runtime API: two calls of one id", Executables: []string{"custom"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				w.Begin(`{"Do":"sleep","N":500}`, "same")
				w.Begin(`2`, "same")
				failed(t, w.Receive(), lang.FailException, "DuplicateRequest", "same")
				result(t, w.Receive(), `null`)
			},
		},
		{
			Name: "runtime API: shell script", Sources: sources{"custom": {"bootstrap": `#!/bin/bash
echo starting
while true; do
  head=$(mktemp)
  event=$(curl -sS -LD "$head" "http://$RUNTIME_API_ADDR/v1/runtime/invocation/request")
  id=$(grep -Fi x-cff-request-id "$head" | tr -d '[:space:]' | cut -d: -f2)
  curl -sS "http://$RUNTIME_API_ADDR/v1/runtime/invocation/response/$id" -d "got $event"
done
`}},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 3 {
					result(t, w.Call(`{"a":1}`), `"got {\"a\":1}"`)
				}
				require.Equal(t, []string{"starting"}, w.Output())
			},
		},
	}
}

func siteCases() []Case {
	answer := func(t *testing.T, r Reply) (status int, header map[string]any, body string, coded bool) {
		t.Helper()
		require.NoError(t, r.Err)
		require.Zero(t, r.Fail, "%+v", r.Failure)
		var a struct {
			StatusCode      int
			Headers         map[string]any
			Body            string
			IsBase64Encoded bool
		}
		require.NoError(t, json.Unmarshal(r.Frame.Body, &a))
		return a.StatusCode, a.Headers, a.Body, a.IsBase64Encoded
	}
	site := []string{"http"}
	return []Case{
		{
			Name: "web server: an event is a request, and the answer comes back as one", Executables: site,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				status, header, body, coded := answer(t, w.Call(`{"httpMethod":"PUT","path":"/echo","headers":{"x-mine":"1","host":"example.com","X-Cff-Memory":"9"},
"queryStringParameters":{"a":"b c","n":[1,2]},"body":"aMOpbGxv","isBase64Encoded":true}`))
				require.Equal(t, 418, status)
				require.False(t, coded)
				require.Equal(t, []any{"a=1", "b=2"}, header["Set-Cookie"])
				require.Equal(t, "application/json", header["Content-Type"])
				var heard struct {
					Method, Path, Host, Body string
					Query, Header            map[string][]string
				}
				require.NoError(t, json.Unmarshal([]byte(body), &heard))
				require.Equal(t, "PUT /echo example.com aMOpbGxv", heard.Method+" "+heard.Path+" "+heard.Host+" "+heard.Body)
				require.Equal(t, map[string][]string{"a": {"b c"}, "n": {"1", "2"}}, heard.Query)
				require.Equal(t, []string{"1"}, heard.Header["X-Mine"])
				require.Equal(t, []string{"128"}, heard.Header["X-Cff-Memory"], "a caller cannot say what the platform says")
			},
		},
		{
			Name: "web server: bodies that are no text, and statuses", Executables: site,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				status, _, body, coded := answer(t, w.Call(`{"Do":"binary"}`))
				require.Equal(t, 200, status)
				require.True(t, coded)
				require.Equal(t, "//4A", body)
				status, _, body, _ = answer(t, w.Call(`{"httpMethod":"POST","path":"/","body":"{\"Do\":\"plain\",\"Text\":\"no\"}"}`))
				require.Equal(t, 500, status)
				require.Equal(t, "no", body)
			},
		},
		{
			Name: "web server: events that no request can be made of", Executables: site,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, event := range []string{`{"path":1}`, `{"path":"/","body":"?","isBase64Encoded":true}`, `{"httpMethod":"GE T","path":"/"}`} {
					failed(t, w.Call(event), lang.FailException, "InvalidEvent", "the event cannot be turned into a request")
				}
				r := w.Call(`{"path":"http://other/echo?a=1","httpMethod":null}`)
				require.Zero(t, r.Fail, "%+v", r.Failure)
			},
		},
		{
			Name: "web server: connection broken off", Executables: site,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`{"path":"/abort"}`), lang.FailException, "ConnectionError", "does not answer")
				r := w.Call(`1`)
				require.Zero(t, r.Fail, "%+v", r.Failure)
			},
		},
	}
}
