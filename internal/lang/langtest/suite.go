package langtest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Case is an example function and what must come of it. Every language that has sources for it runs it.
type Case struct {
	Name    string
	Sources map[string]map[string]string // Language.ID -> path -> text
	// Executables are the languages (Language.ID) for which Executable is the function.
	Executables []string
	Load        func(*lang.Load) // changes the load that Example makes; may be nil
	// Check gets a worker that has answered its load with loaded.
	Check func(t *testing.T, w *Worker, loaded Reply)
}

// sources are files by language: Language.ID -> path -> text.
type sources map[string]map[string]string

// source is the Sources of a case with one file, index.py or index.js.
func source(python, node string) sources {
	all := sources{}
	if python != "" {
		all["python"] = map[string]string{"index.py": python}
	}
	if node != "" {
		all["node"] = map[string]string{"index.js": node}
	}
	return all
}

// php adds an index.php.
func (s sources) php(text string) sources {
	s["php"] = map[string]string{"index.php": text}
	return s
}

// Example is the load of a function whose code lies in a folder and whose handler is index.handler.
func Example(root string) lang.Load {
	return lang.Load{
		CodeRoot: root, Handler: "index.handler",
		ProjectID: "project-1", Package: "default", Function: "example", Version: "latest",
		MemoryMB: 128, CPUMillis: 300, TimeoutSec: 30, InitSec: 10,
		UserData:    map[string]string{"colour": "blue", "empty": ""},
		Env:         map[string]string{"RUNTIME_FUNC_NAME": "example", "colour": "blue"},
		MaxResult:   faas.MaxResultBytes,
		Credentials: lang.Credentials{AccessKey: "access-1", SecretKey: "secret-1", SecurityToken: "security-1", AuthToken: "token-1"},
	}
}

// Run holds one install of a language to the suite, or to those of its cases that are named.
func Run(t *testing.T, l *lang.Language, in lang.Install, only ...string) {
	bootstrap := Bootstrap(t, l)
	run(t, l, bootstrap, func(t *testing.T, l *lang.Language) *Worker { return Start(t, l, in, bootstrap) }, only...)
}

// RunCopies holds the copies of a language's template to the suite.
func RunCopies(t *testing.T, l *lang.Language, in lang.Install) {
	bootstrap := Bootstrap(t, l)
	m := newTemplate(t, l, in, bootstrap)
	t.Run("a copy that is not told what to become ends", m.testUntold)
	run(t, l, bootstrap, func(t *testing.T, _ *lang.Language) *Worker { return start(t, nil, m.copy(t)) })
}

func run(t *testing.T, l *lang.Language, bootstrap string, startWorker func(t *testing.T, l *lang.Language) *Worker, only ...string) {
	roots := map[int]string{} // by the place of the case
	for i, c := range Cases() {
		if files, ok := c.Sources[l.ID]; ok && (len(only) == 0 || slices.Contains(only, c.Name)) {
			roots[i] = Write(t, files)
		}
	}
	if l.ID == "java" {
		CompileJava(t, bootstrap, slices.Collect(maps.Values(roots))...)
	}
	ran := 0
	for i, c := range Cases() {
		root, ok := roots[i]
		executable := slices.Contains(c.Executables, l.ID) && len(only) == 0
		if !ok && !executable {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			l, load := l, Example(root)
			if executable {
				l, load = prepareExecutable(t, l)
			}
			if c.Load != nil {
				c.Load(&load)
			}
			if l.ID == "java" {
				javaHandler(&load)
			}
			w := startWorker(t, l)
			c.Check(t, w, w.Load(load))
		})
	}
	require.NotZero(t, ran, "the suite has no example in %s", l.ID)
}

// Cases is the whole suite.
func Cases() []Case {
	shared := concat(resultCases(), failureCases(), loadCases(), contextCases(), outputCases(), lifeCases())
	return concat(withPython27(withJava(shared)), withPython27(pythonCases()), nodeCases(), phpCases(), javaCases(), executableCases(), wasmCases(), withJava(hookCases()), withJava(sharedCases()))
}

func concat(lists ...[]Case) []Case {
	var all []Case
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func loaded(t *testing.T, r Reply) {
	t.Helper()
	require.NoError(t, r.Err)
	require.Zero(t, r.Fail, "%+v", r.Failure)
	require.Equal(t, byte(lang.FrameLoaded), r.Frame.Type)
}

// result holds a reply to a result.
func result(t *testing.T, r Reply, want string) {
	t.Helper()
	require.NoError(t, r.Err)
	require.Zero(t, r.Fail, "%+v", r.Failure)
	require.Equal(t, byte(lang.FrameResult), r.Frame.Type)
	require.JSONEq(t, want, string(r.Frame.Body))
}

// failed holds a reply to a failure of a kind whose type is one of several ("a|b") and whose message contains a text.
func failed(t *testing.T, r Reply, kind byte, types, message string) {
	t.Helper()
	require.NoError(t, r.Err)
	require.Equal(t, string(kind), string(r.Fail), "%s %+v", r.Frame.Body, r.Failure)
	name := r.Failure.Type[strings.LastIndexAny(r.Failure.Type, ".$")+1:] // without a package or a class around
	require.Contains(t, strings.Split(types, "|"), name, "%+v", r.Failure)
	require.Contains(t, r.Failure.Message, message)
	for _, line := range r.Failure.Stack {
		require.NotContains(t, line, "worker.", "a frame of the bootstrap is shown")
	}
}
