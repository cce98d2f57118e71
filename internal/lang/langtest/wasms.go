package langtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// wasmCase is a case with a module as index.wasm.
func wasmCase(name, module string, check func(*testing.T, *Worker, Reply)) Case {
	return Case{
		Name: name, Sources: sources{"wasm": {"index.wasm": module}},
		Load:  func(l *lang.Load) { l.Handler = "index.wasm" },
		Check: check,
	}
}

// loading adds to what a case changes of its load.
func (c Case) loading(more func(*lang.Load)) Case {
	first := c.Load
	c.Load = func(l *lang.Load) { first(l); more(l) }
	return c
}

func wasmCases() []Case {
	return concat(wasmResults(), wasmFailures(), wasmLoads(), wasmLives())
}

func wasmResults() []Case {
	const written, refused = "written\n", `"refused"`
	counter := join(store(500_000, join(load(500_000), number(1), []byte{opAdd})), load(500_000), number(1),
		[]byte{opEqual, opIf, noResult}, say(1, "true"), []byte{opEnd})
	return []Case{
		wasmCase("echo in WASM", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for _, event := range []string{`{"a":[1,2.5,null,true,{}],"b":"x"}`, `"text"`, `null`, `0`, `[]`, ` { "spaced" : 1 } `, `{"世":"界 \u0000"}`} {
				result(t, w.Call(event), event)
			}
			require.Empty(t, w.Output())
		}),
		wasmCase("6 MB both ways in WASM", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for _, size := range []int{1000, 65536, faas.MaxEventBytes} {
				event := `"` + strings.Repeat("x", size-2) + `"`
				r := w.Call(event)
				require.NoError(t, r.Err)
				require.True(t, event == string(r.Frame.Body), "%d bytes came back as %d", size, len(r.Frame.Body))
				require.Greater(t, r.PeakKiB, int64(1000))
			}
		}),
		wasmCase("nothing written is null", wasmModule{}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.Call(`{}`), `null`)
		}),
		wasmCase("exit with code 0", wasmModule{text: `{"a":1}`, body: join(say(1, `{"a":1}`), number(0), []byte{opCall, 2})}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.Call(`{}`), `{"a":1}`)
		}),
		wasmCase("standard error in WASM", wasmModule{text: written, body: join(say(2, written), say(2, "writ"))}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.Call(`{}`), `null`)
			result(t, w.Call(`{}`), `null`)
			require.Equal(t, []string{"written", "writ", "written", "writ"}, w.Output())
		}),
		wasmCase("every call has a fresh instance", wasmModule{text: "true", pages: 10, body: counter}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 20 {
				result(t, w.Call(`{}`), `true`)
			}
		}),
		wasmCase("every call has a fresh instance, large", wasmModule{text: "true", pages: 40, body: counter}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 20 {
				result(t, w.Call(`{}`), `true`)
			}
		}),
		wasmCase("memory over the limit is refused to the module", wasmModule{text: refused, body: join(
			number(2000), []byte{opGrow, 0}, number(-1), []byte{opEqual, opIf, noResult}, say(1, refused), []byte{opEnd},
		)}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.Call(`{}`), refused)
		}),
	}
}

func wasmFailures() []Case {
	const words = "not JSON"
	return []Case{
		wasmCase("trap", wasmModule{body: []byte{opUnreachable}}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 2 {
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "Trap", "unreachable")
				require.NotEmpty(t, r.Failure.Stack)
			}
		}),
		wasmCase("memory out of bounds", wasmModule{body: join(load(-4), []byte{opDrop})}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			failed(t, w.Call(`{}`), lang.FailException, "Trap", "out of bounds memory access")
		}),
		wasmCase("endless recursion in WASM", wasmModule{body: []byte{opCall, 3}}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 3 {
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "Trap", "stack overflow")
				require.Less(t, len(r.Failure.Stack), 200)
			}
		}),
		wasmCase("exit with another code", wasmModule{body: join(number(3), []byte{opCall, 2})}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 2 { // it ends the instance and not the worker
				failed(t, w.Call(`{}`), lang.FailException, "Exit", "the module exited with code 3")
			}
		}),
		wasmCase("result that is not JSON in WASM", wasmModule{text: words, body: say(1, words)}.bytes(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			failed(t, w.Call(`{}`), lang.FailResult, "ValueError", `the result is not JSON: the module wrote "not JSON"`)
		}),
		wasmCase("result over its limit in WASM", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			text := func(n int) string { return `"` + strings.Repeat("y", n-2) + `"` }
			result(t, w.Call(text(100_000)), text(100_000))
			failed(t, w.Call(text(100_001)), lang.FailTooLarge, "ResponseTooLarge", "100001 bytes")
			result(t, w.Call(`1`), `1`)
		}).loading(func(l *lang.Load) { l.MaxResult = 100_000 }),
	}
}

func wasmLoads() []Case {
	refused := func(types, message string) func(*testing.T, *Worker, Reply) {
		return func(t *testing.T, w *Worker, l Reply) { failed(t, l, lang.FailLoad, types, message) }
	}
	return []Case{
		wasmCase("missing module in WASM", wasmEcho(), refused("ModuleNotFound", "the package has no file other.wasm")).
			loading(func(l *lang.Load) { l.Handler = "other.wasm" }),
		wasmCase("text for a module", "this is text", refused("CompileError", "index.wasm does not compile: invalid magic number")),
		wasmCase("module that breaks off", wasmEcho()[:60], refused("CompileError", "index.wasm does not compile")),
		wasmCase("module that no validator passes", wasmModule{body: []byte{opDrop}}.bytes(), refused("CompileError", "index.wasm does not compile")),
		wasmCase("module without a beginning", wasmModule{start: "handler"}.bytes(), refused("LinkError", "exports no function _start")),
		wasmCase("module that wants other functions", wasmModule{imports: "env"}.bytes(), refused("LinkError", "it imports env.fd_read, and only WASI preview 1")),
		wasmCase("module that wants more memory than there is", wasmModule{pages: 2000}.bytes(), refused("CompileError", "over limit of 1536 pages (96 Mi)")),
		wasmCase("compiled once, loaded later", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			var archive []byte
			for {
				r := w.Call(`{}`)
				require.NoError(t, r.Err)
				require.Zero(t, r.Fail)
				if len(r.Frame.Body) == 0 {
					break
				}
				archive = append(archive, r.Frame.Body...)
			}
			require.Contains(t, string(archive[:100]), "wazero-v1.12.0-")
		}).loading(func(l *lang.Load) { l.Compile = true }),
		wasmCase("module that does not compile, compiled ahead", "text", refused("CompileError", "does not compile")).
			loading(func(l *lang.Load) { l.Compile = true }),
		wasmCase("folder that holds nothing compiled", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			result(t, w.Call(`1`), `1`)
		}).loading(func(l *lang.Load) { l.Compiled = "/proc/self/nothing" }),
	}
}

func wasmLives() []Case {
	return []Case{
		wasmCase("end of the stream in WASM", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			w.HangUp()
			require.Equal(t, 0, w.Exit())
		}),
		wasmCase("frame of an unknown kind in WASM", wasmEcho(), func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			require.Error(t, w.exchange(lang.AppendFrame(nil, lang.Frame{Type: lang.FrameReady}), 0).Err)
			require.Equal(t, 1, w.Exit())
		}),
	}
}

// WASMWorld checks what a module built by Go sees of the world. It stands apart from the cases, as its module has to be built.
func WASMWorld(t *testing.T, w *Worker, codeFile string) {
	t.Helper()
	do := func(do, path, text string) Reply {
		return w.Call(fmt.Sprintf(`{"do":%q,"path":%q,"text":%q}`, do, path, text))
	}
	says := func(r Reply, text string) {
		t.Helper()
		require.NoError(t, r.Err)
		require.Zero(t, r.Fail, "%+v", r.Failure)
		require.Contains(t, string(r.Frame.Body), text)
	}
	result(t, w.CallWith(`{"do":"environment"}`, time.Now().Add(time.Minute), "request-7", lang.CallExtra{Alias: "live"}),
		`{"arg0":"index.wasm","colour":"blue","name":"example","request":"request-7","alias":"live","key":"access-1"}`)
	result(t, w.CallWith(`{"do":"deadline"}`, time.UnixMilli(1234567890123), "id", lang.CallExtra{}), `"1234567890123"`)
	result(t, do("sleep", "", ""), `true`)
	require.NotEqual(t, string(do("random", "", "").Frame.Body), string(do("random", "", "").Frame.Body))

	// The code can be read, by its full path and from where the module begins, and not changed.
	full := lang.CodeRoot + "/" + codeFile
	content := string(do("read", full, "").Frame.Body)
	require.NotContains(t, content, "error")
	require.Equal(t, content, string(do("read", codeFile, "").Frame.Body))
	says(do("write", full, "x"), "error")

	// /tmp is written, and leads nowhere else.
	name := fmt.Sprintf("wasm-world-%d", time.Now().UnixNano())
	t.Cleanup(func() { _ = os.Remove("/tmp/" + name) })
	result(t, do("write", "/tmp/"+name, "kept"), `""`)
	result(t, do("read", "/tmp/"+name, ""), `"kept"`)
	for _, path := range []string{"/etc/passwd", "/tmp/../etc/passwd", "/tmp/../../etc/passwd", "/proc/self/mem", "../../../etc/passwd"} {
		says(do("read", path, ""), "error")
	}
	for _, target := range []string{"/etc/passwd", "../etc/passwd", "../proc/self/mem"} {
		says(do("symlink", "/tmp/"+name+"-link", target), "error")
	}
	says(do("rename", "/tmp/"+name, "/tmp/../"+name), "error")
	says(do("dial", "", "127.0.0.1:80"), "error")

	r := do("panic", "", "out of cheese")
	failed(t, r, lang.FailException, "Exit", "the module exited with code 2")
	require.Contains(t, strings.Join(w.Output(), "\n"), "panic: out of cheese")
	result(t, do("log", "", ""), `null`)
	require.Equal(t, []string{"first", "second", "last without an end"}, w.Output())
	r = do("grow", "", "")
	failed(t, r, lang.FailException, "Exit|Trap", "")
	require.Contains(t, strings.Join(w.Output(), "\n"), "out of memory")
	result(t, do("sleep", "", ""), `true`)
}
