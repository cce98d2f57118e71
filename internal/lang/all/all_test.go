package all

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// The preferred, the newest and the oldest install of every language on this host pass the suite; with -short only the first does.
func TestLanguages(t *testing.T) {
	for _, l := range All() {
		t.Run(l.ID, func(t *testing.T) {
			found := installs(t, l)
			if testing.Short() {
				found = found[:1]
			}
			for _, in := range found {
				t.Run(in.Version, func(t *testing.T) {
					t.Parallel()
					langtest.Run(t, l, in)
				})
			}
		})
	}
}

func BenchmarkEcho(b *testing.B) {
	event := []byte(`{"data":"` + strings.Repeat("abcdefgh ", 110) + `","n":12345}`)
	sources := map[string]map[string]string{
		"python": {"index.py": "def handler(event, context):\n    return event\n"},
		"node":   {"index.js": "exports.handler = async (event) => event;\n"},
	}
	for _, l := range All() {
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

// BenchmarkStart is the time from starting a process to a loaded function, without a sandbox.
func BenchmarkStart(b *testing.B) {
	sources := map[string]map[string]string{
		"python": {"index.py": "def handler(event, context):\n    return event\n"},
		"node":   {"index.js": "exports.handler = async (event) => event;\n"},
	}
	for _, l := range All() {
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
