package langtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// executables are the languages whose functions are executables, and supervised those of them beside whose process a worker stays.
var (
	executables = []string{"golang", "custom", "http"}
	supervised  = []string{"custom", "http"}
)

var example struct {
	once sync.Once
	text []byte
	err  error
}

// Executable builds the example of every language whose functions are executables, as a static program, and gives its bytes. Called
// bootstrap it is a function of Custom or http, and called otherwise one of Go.
func Executable(t testing.TB) []byte {
	t.Helper()
	example.once.Do(func() {
		out := filepath.Join(os.TempDir(), fmt.Sprintf("hanshu-function-%d", os.Getpid()))
		defer os.Remove(out)
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "github.com/hanshu-faas/hanshu/internal/lang/langtest/testdata/function")
		build.Env = append(build.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			example.err = fmt.Errorf("%w: %s", err, said)
			return
		}
		example.text, example.err = os.ReadFile(out)
	})
	require.NoError(t, example.err)
	return example.text
}

// nameOf is what the executable of a language is called.
func nameOf(language string) string {
	if language == "golang" {
		return "main"
	}
	return "bootstrap"
}

// prepareExecutable lays the example down and gives the load that runs it. A function that serves HTTP gets a port of its own,
// as nothing keeps this host's ports apart here.
func prepareExecutable(t testing.TB, l *lang.Language) (*lang.Language, lang.Load) {
	t.Helper()
	name := nameOf(l.ID)
	load := Example(Write(t, map[string]string{name: string(Executable(t))}))
	load.Handler = name
	load.Region = "home"
	if !l.HTTP {
		return l, load
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	load.Env["port"] = port
	moved := *l
	moved.Command = func(in lang.Install, dir string) []string {
		args := slices.Clone(l.Command(in, dir))
		args[len(args)-1] = port
		return args
	}
	return &moved, load
}

// do makes a call of the example and gives what it answered: of a web server, the body.
func do(t *testing.T, w *Worker, event string) (Reply, string) {
	t.Helper()
	r := w.Call(event)
	if r.Err != nil || r.Fail != 0 || w.language != "http" {
		return r, string(r.Frame.Body)
	}
	var answer struct {
		StatusCode int
		Body       string
	}
	require.NoError(t, json.Unmarshal(r.Frame.Body, &answer), "%s", r.Frame.Body)
	return r, answer.Body
}

func executableCases() []Case {
	return slices.Concat(answerCases(), endCases(), startCases(), pollCases(), siteCases())
}

func answerCases() []Case {
	return []Case{
		{
			Name: "executable: echo", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 3 {
					for _, event := range []string{`{"a":[1,2.5,null,true,{}],"b":"x"}`, `"text"`, `null`, `{"text":"héllo 世界 😀 \u0000 \""}`} {
						r, answer := do(t, w, event)
						require.NoError(t, r.Err)
						require.Zero(t, r.Fail, "%+v", r.Failure)
						require.JSONEq(t, event, answer)
						require.Equal(t, w.wired == nil, r.PeakKiB > 1<<10, "%d KiB", r.PeakKiB)
					}
				}
				require.Empty(t, strings.Join(w.Output(), ""))
			},
		},
		{
			Name: "executable: answers that are no JSON", Executables: []string{"golang", "custom"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{"Do":"text","Text":"plain <text>\n"}`), `"plain <text>\n"`)
				result(t, w.Call(`{"Do":"text","Text":""}`), `""`)
				result(t, w.Call(`{"Do":"text","Text":" {\"a\": 1} "}`), `{"a":1}`)
				failed(t, w.Call(`{"Do":"binary"}`), lang.FailResult, "ValueError", "neither JSON nor text")
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "executable: 6 MB both ways", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, size := range []int{1000, 65536, 200_000, faas.MaxEventBytes - 4096, 1000} {
					event := `"` + strings.Repeat("x", size-2) + `"`
					r, answer := do(t, w, event)
					require.NoError(t, r.Err)
					require.Zero(t, r.Fail, "%+v", r.Failure)
					require.True(t, event == answer, "%d bytes came back as %d", size, len(answer))
				}
			},
		},
		{
			Name: "executable: result over its limit", Executables: executables,
			Load: func(l *lang.Load) { l.MaxResult = 100_000 },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`{"Do":"long","N":100001}`), lang.FailTooLarge, "ResponseTooLarge", "over its limit of 100000")
				failed(t, w.Call(`{"Do":"long","N":3000000}`), lang.FailTooLarge, "ResponseTooLarge", "over its limit of 100000")
				r, _ := do(t, w, `1`)
				require.Zero(t, r.Fail, "%+v", r.Failure)
			},
		},
		{
			Name: "executable: failures", Executables: []string{"golang", "custom"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{"Do":"fail"}`)
				failed(t, r, lang.FailException, "FunctionReturnError", "out of cheese")
				require.Equal(t, []string{"main.go:1"}, r.Failure.Stack)
				failed(t, w.Call(`{"Do":"plain","Text":"plainly wrong"}`), lang.FailException, "Error", "plainly wrong")
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "executable: failure told by a status", Executables: []string{"golang"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`{"Do":"plain","Text":"status:555"}`), lang.FailException, "panic", "told by status")
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "executable: environment", Executables: executables,
			Load: func(l *lang.Load) { l.Env["bad=name"] = "x"; l.Env["nul"] = "a\x00b" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				_, text := do(t, w, `{"Do":"env"}`)
				env := map[string]string{}
				require.NoError(t, json.Unmarshal([]byte(text), &env))
				require.Equal(t, "blue", env["colour"])
				require.Equal(t, "example", env["RUNTIME_FUNC_NAME"])
				require.Equal(t, "/tmp", env["HOME"])
				require.NotContains(t, env, "nul")
				require.NotContains(t, env, "bad")
				require.FileExists(t, filepath.Join(env["cwd"], nameOf(w.language)))
				if w.language == "http" {
					require.NotContains(t, env, "RUNTIME_API_ADDR")
				} else {
					require.Regexp(t, `^127\.0\.0\.1:[0-9]+$`, env["RUNTIME_API_ADDR"])
				}
			},
		},
		{
			Name: "executable: headers", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, extra := range []lang.CallExtra{{Alias: "prod", WorkflowID: "w1"}, {}} {
					r := w.CallWith(`{"Do":"header"}`, time.Now().Add(time.Minute), "id-7", extra)
					require.NoError(t, r.Err)
					text := string(r.Frame.Body)
					require.Contains(t, text, "id-7")
					require.Equal(t, extra.Alias != "", strings.Contains(text, "!prod"), text)
					require.Equal(t, extra.WorkflowID != "", strings.Contains(text, "w1"), text)
					for _, secret := range []string{"access-1", "secret-1", "security-1", "token-1"} {
						require.Equal(t, w.language != "http", strings.Contains(text, secret), "%s in %s", secret, text)
					}
					if w.language == "http" {
						for _, want := range []string{"X-Cff-Memory", "X-Cff-Timeout", "X-Cff-Func-Version", "X-Cff-Func-Name", "X-Cff-Project-Id", "X-Cff-Package", "X-Cff-Region", "home"} {
							require.Contains(t, text, want)
						}
					}
				}
			},
		},
		{
			Name: "executable: renewed credentials", Executables: executables,
			Load: func(l *lang.Load) { l.AuthInHeader = true },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for i, extra := range []lang.CallExtra{{}, {Credentials: &renewed}, {}} {
					r := w.CallWith(`{"Do":"header"}`, time.Now().Add(time.Minute), "id-7", extra)
					require.NoError(t, r.Err)
					text := string(r.Frame.Body)
					for _, secret := range []string{"access-", "secret-", "security-", "token-"} {
						require.Equal(t, i == 0, strings.Contains(text, secret+"1"), "%s in %s", secret, text)
						require.Equal(t, i > 0, strings.Contains(text, secret+"2"), "%s in %s", secret, text)
					}
				}
			},
		},
		{
			Name: "executable: what is printed comes before the answer", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				w.Output()
				for range 20 {
					r, _ := do(t, w, `{"Do":"print"}`)
					require.Zero(t, r.Fail)
					require.Equal(t, []string{"one", "two", "unfinished"}, w.Output())
				}
			},
		},
		{
			Name: "executable: peak memory", Executables: supervised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				before := w.Call(`0`).PeakKiB
				r, _ := do(t, w, `{"Do":"alloc","N":64}`)
				require.GreaterOrEqual(t, r.PeakKiB, before+60<<10)
			},
		},
		{
			Name: "executable: several calls at once", Executables: executables,
			Load: func(l *lang.Load) { l.Env["pollers"] = "4" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				slow := w.Begin(`{"Do":"sleep","N":300}`, "slow")
				quick := w.Begin(`"quick"`, "quick")
				first, second := w.Receive(), w.Receive()
				require.Equal(t, []uint32{quick, slow}, []uint32{first.Frame.Seq, second.Frame.Seq}, "%+v %+v", first, second)
				require.Contains(t, string(first.Frame.Body), "quick")
			},
		},
	}
}

// ended holds a reply to the end of the function's process. Where that is the worker, the server sees it end.
func ended(t *testing.T, w *Worker, r Reply, how string, code int) {
	t.Helper()
	if w.wired == nil {
		failed(t, r, lang.FailExit, "RuntimeExit", how)
		return
	}
	require.ErrorIs(t, r.Err, io.EOF)
	require.Equal(t, code, w.Exit())
}

func endCases() []Case {
	return []Case{
		{
			Name: "executable: exit in mid-call", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				ended(t, w, w.Call(`{"Do":"exit","N":3}`), "exited with code 3", 3)
				require.Contains(t, w.Output(), "bye")
				ended(t, w, w.Call(`1`), "exited with code 3", 3) // a call that was on its way
				if w.wired == nil {
					w.HangUp()
					require.Equal(t, 0, w.Exit())
				}
			},
		},
		{
			Name: "executable: killed in mid-call", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				ended(t, w, w.Call(`{"Do":"kill"}`), "ended by a signal: killed", -1)
			},
		},
		{
			Name: "executable: killed between calls", Executables: supervised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				_, text := do(t, w, `{"Do":"env"}`)
				require.NotEmpty(t, text)
				for _, child := range childrenOf(t, w.Pid()) {
					require.NoError(t, syscall.Kill(child, syscall.SIGKILL))
				}
				require.Equal(t, 128+9, w.Exit(), "a worker without a function is no use")
			},
		},
		{
			Name: "executable: end of the stream", Executables: supervised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				w.HangUp()
				require.Equal(t, 0, w.Exit())
			},
		},
		{
			Name: "executable: frame of an unknown kind", Executables: supervised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Error(t, w.exchange(lang.AppendFrame(nil, lang.Frame{Type: lang.FrameReady}), 0).Err)
				require.Equal(t, 1, w.Exit())
			},
		},
		{
			Name: "executable: daemon left behind, then an exit", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				_, text := do(t, w, `{"Do":"daemon"}`)
				pid, err := strconv.Atoi(text)
				require.NoError(t, err)
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
				ended(t, w, w.Call(`{"Do":"exit","N":0}`), "exited with code 0", 0)
			},
		},
		{
			Name: "executable: a child holds the connection", Executables: []string{"golang"},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				ended(t, w, w.Call(`{"Do":"hold","N":5}`), "exited with code 5", 5)
			},
		},
		{
			Name: "executable: everything closed", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{"Do":"close"}`)
				if w.wired != nil {
					require.ErrorIs(t, r.Err, io.EOF)
					return
				}
				require.NoError(t, r.Err)
				require.Contains(t, []byte{lang.FailExit, lang.FailException}, r.Fail, "%+v", r)
			},
		},
		{
			Name: "executable: no descriptor of the worker", Executables: executables,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				_, text := do(t, w, `{"Do":"descriptors"}`)
				require.JSONEq(t, `[]`, text)
			},
		},
		{
			Name: "executable: signals to the worker", Executables: supervised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 3 {
					r, _ := do(t, w, `{"Do":"signals"}`)
					require.NoError(t, r.Err)
					require.Zero(t, r.Fail, "%+v", r.Failure)
				}
			},
		},
	}
}

// childrenOf gives the processes whose parent is pid. The worker's threads may each have started one.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	var all []int
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		require.NoError(t, err)
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			all = append(all, child)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// StartExecutable starts a worker of the example.
func StartExecutable(t testing.TB, l *lang.Language, in lang.Install) (*Worker, Reply) {
	t.Helper()
	l, load := prepareExecutable(t, l)
	w := Start(t, l, in, Bootstrap(t, l))
	return w, w.Load(load)
}
