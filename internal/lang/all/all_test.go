package all

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/langtest"
	"github.com/hanshu-faas/hanshu/test/need"
)

func installs(t testing.TB, l *lang.Language) []lang.Install {
	found := l.Find(t.Context(), lang.SearchDirs(os.Getenv("PATH")))
	if len(found) == 0 {
		need.Skip(t, "no "+l.Title+" on this host ("+l.ID+")")
	}
	return found
}

// The newest, the oldest and the system's own install of every language pass the suite; with -short only the first does.
func TestLanguages(t *testing.T) {
	for _, l := range All() {
		if l.ID == "image" {
			continue // what it runs is an image, which test/huawei-go builds
		}
		t.Run(l.ID, func(t *testing.T) {
			found := installs(t, l)
			for i, in := range found {
				chosen := i == 0 || i == len(found)-1 || filepath.Dir(in.Path) == "/usr/bin"
				if !chosen || i > 0 && testing.Short() {
					continue
				}
				t.Run(in.Version, func(t *testing.T) {
					t.Parallel()
					langtest.Run(t, l, in)
				})
				if l.Template == nil || l.Template(in, "") == nil {
					continue
				}
				t.Run(in.Version+" copied", func(t *testing.T) { langtest.RunCopies(t, l, in) })
			}
		})
	}
}

// Node.js keeps the contract of callbacks too, in every version that is here.
func TestCallbacks(t *testing.T) {
	for _, l := range All() {
		if l.ID != "node" {
			continue
		}
		for _, in := range installs(t, l) {
			t.Run(in.Version, func(t *testing.T) {
				t.Parallel()
				langtest.Callbacks(t, l, in)
				t.Run("requests", func(t *testing.T) { langtest.CallbackRequests(t, l, in) })
			})
		}
	}
}

// Python 2.7 by Jython, also where the machine has a python2.7. It takes seconds to start, so a part of the suite must do; of
// the rest all passes but the cases that fork, raise in a signal handler, close descriptors by number, or send half of a
// surrogate pair, none of which Jython has.
func TestJython(t *testing.T) {
	for _, l := range All() {
		for _, in := range l.Find(t.Context(), []string{"/usr/bin"}) {
			if in.Title == "Jython" {
				langtest.Run(t, l, in, "echo", "unicode is sent as UTF-8", "peak memory", "6 MB both ways", "result over its limit",
					"context methods", "exception with stack", "odd things thrown", "missing module", "initializer", "handler in a folder",
					"working folder and environment", "logging module", "standard error", "end of the stream", "children do not get the socket")
				return
			}
		}
	}
	need.Skip(t, "no Jython on this host; install jython")
}

// Every runtime name of FunctionGraph (reference, "Conventions") is served or refused with a reason, and none is unknown.
func TestNames(t *testing.T) {
	c := lang.NewCatalogue(t.Context(), lang.SearchDirs(os.Getenv("PATH")), All()...)
	listed := map[string]lang.Info{}
	for _, i := range c.List() {
		listed[i.Name] = i
	}
	for _, name := range strings.Split("Java8,Java11,Java17,Python2.7,Python3.6,Python3.9,Python3.10,Go1.8,Go1.x,Node.js6.10,Node.js8.10,"+
		"Node.js10.16,Node.js12.13,Node.js14.18,Node.js16.17,Node.js18.15,C#(.NET Core 2.0),C#(.NET Core 2.1),C#(.NET Core 3.1),"+
		"C#(.NET Core 6.0),Custom,PHP7.3,PHP8.3,Cangjie1.0,http,Custom Image,Java21,Python3.12,Node.js20.15", ",") {
		r, err := c.Resolve(name)
		require.Contains(t, listed, name)
		if err != nil {
			require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err), name)
			require.Equal(t, lang.StatusMissing, listed[name].Status)
			continue
		}
		require.Equal(t, listed[name].Path, r.Install.Path)
		require.NotEmpty(t, r.Install.Version)
	}
}

func TestSourceFile(t *testing.T) {
	for handler, want := range map[string][3]string{
		"index.handler":     {"index.py", "index.js", "index.php"},
		"src/index.handler": {"src/index.py", "src/index.js", "src/index.php"},
		"pkg.mod.handler":   {"pkg/mod.py", "pkg.mod.js", "pkg.mod.php"},
	} {
		for _, l := range All() {
			if i := slices.Index([]string{"python", "node", "php"}, l.ID); i >= 0 {
				require.NoError(t, l.CheckHandler("handler", handler))
				require.Equal(t, want[i], l.SourceFile(handler))
			}
		}
	}
}

// example is the load of a function with some files, compiled where the language wants it.
func example(b *testing.B, l *lang.Language, bootstrap string, files map[string]string) lang.Load {
	load := langtest.Example(langtest.Write(b, files))
	if l.ID == "java" {
		langtest.CompileJava(b, bootstrap, load.CodeRoot)
		load.Handler = "Index.handler"
	}
	return load
}

func BenchmarkEcho(b *testing.B) {
	event := []byte(`{"data":"` + strings.Repeat("abcdefgh ", 110) + `","n":12345}`)
	sources := map[string]map[string]string{
		"python": {"index.py": "def handler(event, context):\n    return event\n"},
		"node":   {"index.js": "exports.handler = async (event) => event;\n"},
		"php":    {"index.php": "<?php\nfunction handler($event, $context) { return $event; }\n"},
		"java":   {"Index.java": "public class Index { public Object handler(Object event) { return event; } }\n"},
	}
	for _, l := range All() {
		if sources[l.ID] == nil {
			continue
		}
		b.Run(l.ID, func(b *testing.B) {
			dir := langtest.Bootstrap(b, l)
			w := langtest.Start(b, l, installs(b, l)[0], dir)
			require.NoError(b, w.Load(example(b, l, dir, sources[l.ID])).Err)
			deadline := time.Now().Add(time.Hour)
			call := func() {
				f, err := w.Echo(event, deadline)
				if err != nil || f.Type != lang.FrameResult {
					b.Fatal(f, err)
				}
			}
			for range 5000 { // until compilers have settled
				call()
			}
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				call()
			}
		})
	}
}

// BenchmarkExecutables is BenchmarkEcho over the example program, whose part is in the figure.
func BenchmarkExecutables(b *testing.B) {
	event := []byte(`{"data":"` + strings.Repeat("abcdefgh ", 110) + `","n":12345}`)
	for _, l := range All() {
		if len(l.Names) == 0 || l.Prefix != "" {
			continue
		}
		b.Run(l.ID, func(b *testing.B) {
			w, r := langtest.StartExecutable(b, l, installs(b, l)[0])
			require.NoError(b, r.Err)
			deadline := time.Now().Add(time.Hour)
			for b.Loop() {
				f, err := w.Echo(event, deadline)
				if err != nil || f.Type != lang.FrameResult {
					b.Fatal(f, err)
				}
			}
		})
	}
}

// BenchmarkStart is the time from starting a process to a loaded function, without a sandbox.
func BenchmarkStart(b *testing.B) {
	sources := map[string]map[string]string{
		"python": {"index.py": "def handler(event, context):\n    return event\n"},
		"node":   {"index.js": "exports.handler = async (event) => event;\n"},
		"php":    {"index.php": "<?php\nfunction handler($event, $context) { return $event; }\n"},
		"java":   {"Index.java": "public class Index { public Object handler(Object event) { return event; } }\n"},
	}
	for _, l := range All() {
		if sources[l.ID] == nil {
			continue
		}
		b.Run(l.ID, func(b *testing.B) {
			in, dir := installs(b, l)[0], langtest.Bootstrap(b, l)
			load := example(b, l, dir, sources[l.ID])
			for b.Loop() {
				w := langtest.Start(b, l, in, dir)
				require.NoError(b, w.Load(load).Err)
				w.Close()
			}
		})
	}
}
