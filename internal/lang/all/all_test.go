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
)

func installs(t testing.TB, l *lang.Language) []lang.Install {
	found := l.Find(t.Context(), lang.SearchDirs(os.Getenv("PATH")))
	if len(found) == 0 {
		t.Skipf("no %s on this host", l.Title)
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
			}
		})
	}
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
	for handler, want := range map[string]map[string]string{
		"index.handler":     {"python": "index.py", "node": "index.js", "php": "index.php"},
		"src/index.handler": {"python": "src/index.py", "node": "src/index.js", "php": "src/index.php"},
		"pkg.mod.handler":   {"python": "pkg/mod.py", "node": "pkg.mod.js", "php": "pkg.mod.php"},
		"main":              {"golang": "main"},
		"bootstrap":         {"golang": "bootstrap", "custom": "bootstrap", "http": "bootstrap"},
	} {
		for _, l := range All() {
			if file := want[l.ID]; file != "" {
				require.NoError(t, l.CheckHandler("handler", handler))
				require.Equal(t, file, l.SourceFile(handler))
			}
		}
	}
}

// Benchmarks run the languages that take source text.
func withSource(sources map[string]map[string]string) []*lang.Language {
	return slices.DeleteFunc(All(), func(l *lang.Language) bool { return sources[l.ID] == nil })
}

func BenchmarkEcho(b *testing.B) {
	event := []byte(`{"data":"` + strings.Repeat("abcdefgh ", 110) + `","n":12345}`)
	sources := map[string]map[string]string{
		"python": {"index.py": "def handler(event, context):\n    return event\n"},
		"node":   {"index.js": "exports.handler = async (event) => event;\n"},
		"php":    {"index.php": "<?php\nfunction handler($event, $context) { return $event; }\n"},
	}
	for _, l := range withSource(sources) {
		b.Run(l.ID, func(b *testing.B) {
			w := langtest.Start(b, l, installs(b, l)[0], langtest.Bootstrap(b, l))
			require.NoError(b, w.Load(langtest.Example(langtest.Write(b, sources[l.ID]))).Err)
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
	}
	for _, l := range withSource(sources) {
		b.Run(l.ID, func(b *testing.B) {
			in, dir, load := installs(b, l)[0], langtest.Bootstrap(b, l), langtest.Example(langtest.Write(b, sources[l.ID]))
			for b.Loop() {
				w := langtest.Start(b, l, in, dir)
				require.NoError(b, w.Load(load).Err)
				w.Close()
			}
		})
	}
}
