package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	wasisys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// module is a compiled module, ready for instances; or, when it was compiled for others, the folder that holds the outcome.
type module struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	lock     sync.Mutex // guards base
	base     wazero.ModuleConfig
	ctx      context.Context // carries the allocator of memories
	limit    int             // bytes of a result
	together bool            // calls come at the same time

	archive *io.PipeReader // of Load.Compile: what next has not given yet
}

// entry is the function that a WASI command begins with.
const entry = "_start"

// reservedPages are the part of a function's memory, in pages of 64 KiB, that no module gets: the engine's, and the least that
// compiled code takes.
const reservedPages = 32 << 20 / pageBytes

const pageBytes = 64 << 10

// maxPages is the most memory that an instance may have, in pages; the engine's own limit is 4 GiB.
func maxPages(memoryMB int) uint32 {
	return uint32(min(max(memoryMB*(1<<20/pageBytes)-reservedPages, 1), 1<<16))
}

func loadModule(l *lang.Load) (*module, *lang.Failure) {
	code, err := os.ReadFile(filepath.Join(l.CodeRoot, filepath.FromSlash(l.Handler)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &lang.Failure{Type: "ModuleNotFound", Message: fmt.Sprintf("the package has no file %s", l.Handler)}
	}
	if err != nil {
		return nil, &lang.Failure{Type: "ModuleNotFound", Message: err.Error()}
	}
	m := &module{limit: l.MaxResult, together: l.Concurrency > 1}
	if l.Compile {
		return m, m.compile(l, code)
	}
	cache, err := openCompiled(l.Compiled)
	if err == nil {
		if failure := m.build(l, code, cache); failure == nil {
			return m, nil
		}
		// What was compiled before does not fit this engine or this processor.
	}
	return m, m.build(l, code, nil)
}

var errNotCompiled = errors.New("nothing was compiled before")

// openCompiled reads what Load.Compile made for the same module before.
func openCompiled(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return nil, errNotCompiled
	}
	return wazero.NewCompilationCacheWithDir(dir)
}

// build compiles the module and prepares what all its instances share.
func (m *module) build(l *lang.Load, code []byte, cache wazero.CompilationCache) *lang.Failure {
	memory := &memories{}
	m.ctx = experimental.WithMemoryAllocator(context.Background(), memory)
	cfg := wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(maxPages(l.MemoryMB))
	if cache != nil {
		cfg = cfg.WithCompilationCache(cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(m.ctx, cfg)
	wasi, err := wasi_snapshot_preview1.NewBuilder(m.runtime).Compile(m.ctx)
	if err == nil {
		_, err = m.runtime.InstantiateModule(m.ctx, wasi, wazero.NewModuleConfig())
	}
	if err != nil {
		return &lang.Failure{Type: "EngineError", Message: err.Error()}
	}
	if m.compiled, err = m.runtime.CompileModule(m.ctx, code); err != nil {
		return &lang.Failure{Type: "CompileError", Message: fmt.Sprintf("%s does not compile: %v", l.Handler, err)}
	}
	if why := linkFault(m.compiled, wasi); why != "" {
		return &lang.Failure{Type: "LinkError", Message: fmt.Sprintf("%s cannot be run: %s", l.Handler, why)}
	}
	m.base = baseConfig(l)
	if len(code) > largeModule {
		debug.FreeOSMemory() // what reading it took
	}
	memory.budget = int64(l.MemoryMB)<<20 - newPeakReader().resident() - working
	return nil
}

const (
	largeModule = 1 << 20  // bytes
	working     = 24 << 20 // what events, results and garbage may take, in bytes
)

// linkFault tells why a module is not a WASI command, or wants what nothing here gives; "" for one that can run.
func linkFault(m, wasi wazero.CompiledModule) string {
	given := wasi.ExportedFunctions()
	for _, f := range m.ImportedFunctions() {
		from, name, _ := f.Import()
		has, ok := given[name]
		switch {
		case from != wasi_snapshot_preview1.ModuleName || !ok:
			return fmt.Sprintf("it imports %s.%s, and only WASI preview 1 (%s) is given", from, name, wasi_snapshot_preview1.ModuleName)
		case !slices.Equal(has.ParamTypes(), f.ParamTypes()) || !slices.Equal(has.ResultTypes(), f.ResultTypes()):
			return fmt.Sprintf("it imports %s.%s with another signature than WASI preview 1 gives it", from, name)
		}
	}
	if len(m.ImportedMemories()) > 0 {
		return "it imports a memory, and none is given"
	}
	start, ok := m.ExportedFunctions()[entry]
	if !ok || len(start.ParamTypes()) > 0 || len(start.ResultTypes()) > 0 {
		return "it is not a WASI command: it exports no function " + entry + " without parameters and results"
	}
	return ""
}

// baseConfig is what all instances have in common: real clocks and randomness, the code for reading, /tmp for writing.
func baseConfig(l *lang.Load) wazero.ModuleConfig {
	files := wazero.NewFSConfig().(sysfs.FSConfig).
		WithSysFSMount(&sysfs.ReadFS{FS: sysfs.DirFS(l.CodeRoot)}, lang.CodeRoot).(sysfs.FSConfig).
		WithSysFSMount(noLinks{sysfs.DirFS(os.TempDir())}, "/tmp")
	cfg := wazero.NewModuleConfig().WithName("").WithArgs(path.Base(l.Handler)).WithFSConfig(files).
		WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime().WithSysNanosleep()
	env := map[string]string{
		"PWD": lang.CodeRoot, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8",
		"RUNTIME_ACCESS_KEY": l.AccessKey, "RUNTIME_SECRET_KEY": l.SecretKey, "RUNTIME_SECURITY_TOKEN": l.SecurityToken, "RUNTIME_AUTH_TOKEN": l.AuthToken,
	}
	for name, value := range l.Env {
		env[name] = value
	}
	env["RUNTIME_CODE_ROOT"] = lang.CodeRoot
	for name, value := range env {
		if value != "" && validName(name) && !strings.ContainsRune(value, 0) {
			cfg = cfg.WithEnv(name, value)
		}
	}
	return cfg
}

// renew puts credentials in the place of those in the load; nil leaves them.
func (m *module) renew(c *lang.Credentials) {
	if c == nil {
		return
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	m.base = m.base.WithEnv("RUNTIME_ACCESS_KEY", c.AccessKey).WithEnv("RUNTIME_SECRET_KEY", c.SecretKey).
		WithEnv("RUNTIME_SECURITY_TOKEN", c.SecurityToken).WithEnv("RUNTIME_AUTH_TOKEN", c.AuthToken)
}

func (m *module) config() wazero.ModuleConfig {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.base
}

// validName holds a variable's name to what an environment can carry.
func validName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

// noLinks is a folder in which no symbolic link can be made: one that leads out would be followed by this process.
type noLinks struct{ wasisys.FS }

// Symlink implements wasisys.FS.
func (noLinks) Symlink(string, string) wasisys.Errno { return wasisys.EPERM }

// attemptText gives the number of an attempt; "" for none.
func attemptText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// run gives a call a fresh instance. The failure, if there is one, is of the kind given.
func (m *module) run(h head, event []byte) (output []byte, kind byte, failure *lang.Failure) {
	out, log := &result{limit: m.limit}, linesOf(os.Stderr, h.seq, m.together)
	cfg := m.config().WithStdin(bytes.NewReader(event)).WithStdout(out).WithStderr(log).
		WithEnv("RUNTIME_REQUEST_ID", h.requestID).WithEnv("RUNTIME_DEADLINE_MS", strconv.FormatUint(h.deadline, 10))
	for _, more := range [][2]string{
		{"RUNTIME_FUNC_ALIAS", h.extra.Alias}, {"RUNTIME_WORKFLOW_ID", h.extra.WorkflowID},
		{"RUNTIME_WORKFLOW_RUN_ID", h.extra.WorkflowRunID}, {"RUNTIME_WORKFLOW_STATE_ID", h.extra.WorkflowStateID},
		{"RUNTIME_WORKFLOW_ATTEMPT", attemptText(h.extra.WorkflowAttempt)},
	} {
		if more[1] != "" {
			cfg = cfg.WithEnv(more[0], more[1])
		}
	}
	instance, err := m.runtime.InstantiateModule(m.ctx, m.compiled, cfg)
	if instance != nil {
		_ = instance.Close(m.ctx)
	}
	log.end()
	if err != nil {
		return nil, lang.FailException, ended(err)
	}
	return finish(out)
}

// finish judges what a module has written as its result.
func finish(out *result) ([]byte, byte, *lang.Failure) {
	text := bytes.TrimSpace(out.kept)
	switch {
	case out.total > out.limit:
		return nil, lang.FailTooLarge, &lang.Failure{Type: "ResponseTooLarge", Message: fmt.Sprintf("the result has %d bytes, over the limit of %d", out.total, out.limit)}
	case len(text) == 0:
		return []byte("null"), 0, nil
	case !json.Valid(text):
		return nil, lang.FailResult, &lang.Failure{Type: "ValueError", Message: fmt.Sprintf("the result is not JSON: the module wrote %.100q to its standard output", text)}
	}
	return text, 0, nil
}

// ended tells how an instance ended that did not end well.
func ended(err error) *lang.Failure {
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return &lang.Failure{Type: "Exit", Message: fmt.Sprintf("the module exited with code %d", exit.ExitCode())}
	}
	text := err.Error()
	if _, rest, ok := strings.Cut(text, "failed: "); ok {
		text = rest
	}
	message, trace, _ := strings.Cut(text, "\nwasm stack trace:\n")
	trace, _, _ = strings.Cut(trace, "\n\n") // below it: what the engine itself was doing
	f := &lang.Failure{Type: "Trap", Message: strings.TrimPrefix(message, "wasm error: ")}
	for line := range strings.SplitSeq(trace, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			f.Stack = append(f.Stack, line)
		}
	}
	slices.Reverse(f.Stack) // innermost last
	return f
}
