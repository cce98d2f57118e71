package wasm

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor/adaptorbin"
	"github.com/hanshu-faas/hanshu/internal/lang/langtest"
)

// start gives a worker that has loaded a module, or the failure to.
func start(t testing.TB, module []byte, change func(*lang.Load)) (*langtest.Worker, langtest.Reply) {
	t.Helper()
	l := Language(adaptorbin.Files(adaptorbin.WASM))
	found := l.Find(t.Context(), nil)
	require.NotEmpty(t, found, "the worker is not built: run `make build`")
	load := langtest.Example(langtest.Write(t, map[string]string{"index.wasm": string(module), "data.txt": "data"}))
	load.Handler = "index.wasm"
	if change != nil {
		change(&load)
	}
	w := langtest.Start(t, l, found[0], langtest.Bootstrap(t, l))
	return w, w.Load(load)
}

func TestWorld(t *testing.T) {
	t.Parallel()
	w, r := start(t, langtest.WASMExample(t), nil)
	require.NoError(t, r.Err)
	require.Zero(t, r.Fail, "%+v", r.Failure)
	langtest.WASMWorld(t, w, "data.txt")
}

// What one worker has compiled another one loads, and much faster; damaged, it is passed over.
func TestCompiledAhead(t *testing.T) {
	t.Parallel()
	module := langtest.WASMExample(t)
	w, r := start(t, module, func(l *lang.Load) { l.Compile, l.MemoryMB = true, 1024 })
	require.Zero(t, r.Fail, "%+v", r.Failure)
	var archive bytes.Buffer
	for {
		r := w.Call(`{}`)
		require.NoError(t, r.Err)
		if len(r.Frame.Body) == 0 {
			break
		}
		archive.Write(r.Frame.Body)
	}
	dir, size := t.TempDir(), archive.Len()
	for files := tar.NewReader(&archive); ; {
		h, err := files.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
			continue
		}
		data, err := io.ReadAll(files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	time1, time2 := loadTime(t, module, ""), loadTime(t, module, dir)
	t.Logf("a module of %d bytes, compiled %d: loaded in %v, and in %v when compiled ahead", len(module), size, time1, time2)
	require.Less(t, 3*time2, time1)

	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, os.WriteFile(found[0], []byte("WAZEVO\x07v1.12.0 and no more"), 0o644))
	loadTime(t, module, dir)
}

func loadTime(t *testing.T, module []byte, compiled string) time.Duration {
	t.Helper()
	begun := time.Now()
	w, r := start(t, module, func(l *lang.Load) { l.Compiled = compiled })
	took := time.Since(begun)
	require.NoError(t, r.Err)
	require.Zero(t, r.Fail, "%+v", r.Failure)
	require.Zero(t, w.Call(`{"do":"sleep"}`).Fail)
	return took
}

func TestCheckHandler(t *testing.T) {
	for _, h := range []string{"main.wasm", "build/app.v1.wasm", "文件.wasm", "a-b_c.wasm"} {
		require.NoError(t, checkHandler("handler", h), h)
	}
	for _, h := range []string{"", ".wasm", "index.handler", "/main.wasm", "../main.wasm", "a/../main.wasm", "a//main.wasm", "main.wasm/", "a b.wasm", "main.wasm\n", strings.Repeat("a", 124) + ".wasm"} {
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(checkHandler("handler", h)), "%q", h)
	}
	require.ErrorContains(t, checkHandler("initializer_handler", "init.wasm"), "must be empty")
}

// The version that people are shown is that of the engine in go.mod.
func TestEngineVersion(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), "github.com/tetratelabs/wazero v"+engineVersion+"\n")
}

func BenchmarkFresh(b *testing.B) {
	w, r := start(b, langtest.WASMEcho(), nil)
	require.Zero(b, r.Fail, "%+v", r.Failure)
	event, deadline := []byte(`{"data":"`+strings.Repeat("abcdefgh ", 110)+`"}`), time.Now().Add(time.Hour)
	for b.Loop() {
		f, err := w.Echo(event, deadline)
		if err != nil || f.Type != lang.FrameResult {
			b.Fatal(f, err)
		}
	}
}
