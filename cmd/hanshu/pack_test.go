package main

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// write makes files in a new folder; text behind "->" makes a link.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if target, ok := strings.CutPrefix(text, "->"); ok {
			require.NoError(t, os.Symlink(target, file))
			continue
		}
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return dir
}

func pack(t *testing.T, dir string) (*bundle, error) {
	t.Helper()
	ig, err := readIgnore(filepath.Join(dir, ignoreName))
	require.NoError(t, err)
	return packFolder(dir, ig, func(int) {})
}

func TestEqualFoldersPackEqual(t *testing.T) {
	files := map[string]string{"index.py": "a", "lib/b.py": "b", "bin/run": "c", "link": "->lib/b.py"}
	one, two := write(t, files), write(t, files)
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(two, "index.py"), old, old))
	require.NoError(t, os.Chmod(filepath.Join(two, "index.py"), 0o600))
	for _, dir := range []string{one, two} {
		require.NoError(t, os.Chmod(filepath.Join(dir, "bin", "run"), 0o711))
	}
	a, err := pack(t, one)
	require.NoError(t, err)
	b, err := pack(t, two)
	require.NoError(t, err)
	require.Equal(t, a.zip, b.zip)
	require.Equal(t, []string{"bin/run", "index.py", "lib/b.py", "link"}, a.files)

	r, err := zip.NewReader(bytes.NewReader(a.zip), int64(len(a.zip)))
	require.NoError(t, err)
	modes := map[string]fs.FileMode{}
	for _, f := range r.File {
		modes[f.Name] = f.Mode()
	}
	require.Equal(t, map[string]fs.FileMode{"bin/run": 0o755, "index.py": 0o644, "lib/b.py": 0o644, "link": fs.ModeSymlink | 0o777}, modes)

	require.NoError(t, os.WriteFile(filepath.Join(two, "index.py"), []byte("A"), 0o644))
	b, err = pack(t, two)
	require.NoError(t, err)
	require.NotEqual(t, a.zip, b.zip)
}

func TestLeftOut(t *testing.T) {
	dir := write(t, map[string]string{
		"hanshu.json": "{}", ".hanshuignore": "# all logs\n*.log\n\ntests/\n/top.txt\ndocs/*.md\n", ".git/HEAD": "", "a/__pycache__/x.pyc": "",
		"x.log": "", "a/y.log": "", "a/tests/t.py": "", "tests": "a file", "top.txt": "", "a/top.txt": "", "docs/a.md": "", "docs/b/c.md": "",
		"node_modules/m/index.js": "", "a/hanshu.json": "", ".gitignore": "",
	})
	b, err := pack(t, dir)
	require.NoError(t, err)
	require.Equal(t, []string{".gitignore", "a/hanshu.json", "a/top.txt", "docs/b/c.md", "node_modules/m/index.js", "tests"}, b.files)
}

func TestBadPatterns(t *testing.T) {
	for _, line := range []string{"!keep", "[", "a/**/b", "/"} {
		dir := write(t, map[string]string{ignoreName: "ok\n" + line + "\n"})
		_, err := readIgnore(filepath.Join(dir, ignoreName))
		require.ErrorContains(t, err, "line 2", line)
	}
}

func TestPackRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":         {map[string]string{"hanshu.json": "{}"}, "nothing to deploy"},
		"link out":        {map[string]string{"a/b": "->../../x"}, "leads out"},
		"absolute link":   {map[string]string{"a": "->/etc/passwd"}, "leads out"},
		"link to nothing": {map[string]string{"a": "->b"}, ""},
	} {
		_, err := pack(t, write(t, tt.files))
		if tt.want == "" {
			require.NoError(t, err, name)
			continue
		}
		var usage *usageError
		require.ErrorAs(t, err, &usage, name)
		require.ErrorContains(t, err, tt.want, name)
	}
	_, err := openZip(filepath.Join(write(t, map[string]string{"x.zip": "no zip"}), "x.zip"))
	require.ErrorContains(t, err, "not a valid zip")
}

func TestBounded(t *testing.T) {
	var b bounded
	_, err := b.Write(make([]byte, maxPackage))
	require.NoError(t, err)
	_, err = b.Write([]byte{1})
	require.ErrorIs(t, err, errTooLarge)
	require.ErrorContains(t, packError(err), "over 50 MB")
}

func TestSource(t *testing.T) {
	dir := write(t, map[string]string{
		"job.py": "", "f/index.js": "", "both/lib.py": "", "d/hanshu.json": `{"name":"n","runtime":"R","timeout":9,"user_data":{"A":"1"}}`, "d/x": "", "notes.txt": "", "mod.wasm": "", "w/index.wasm": "",
		"bad/hanshu.json": `{"memory":1}`, "two/hanshu.json": `{} {}`,
	})
	read := func(name string) (*source, error) { return readSource(&cli{}, filepath.Join(dir, name)) }
	for name, want := range map[string][3]string{
		"job.py": {"job", "job.handler", "Python"}, "f": {"f", "index.handler", "Node.js"}, "both": {"both", "", ""}, "mod.wasm": {"mod", "mod.wasm", "WASM"}, "w": {"w", "index.wasm", "WASM"}, "d": {"d", "", ""},
	} {
		s, err := read(name)
		require.NoError(t, err, name)
		require.Equal(t, want, [3]string{s.name, s.handler, s.language.prefix}, name)
	}
	for _, name := range []string{"absent", "notes.txt", "bad", "two"} {
		_, err := read(name)
		var usage *usageError
		require.ErrorAs(t, err, &usage, name)
	}

	s, err := read("d")
	require.NoError(t, err)
	w, err := s.settings(manifest{Timeout: 5}, []string{"B=x=y", "C="})
	require.NoError(t, err)
	require.Equal(t, []any{"n", "default", "R", 5}, []any{w.Name, w.Package, w.Runtime, w.Timeout})
	require.Equal(t, map[string]string{"A": "1", "B": "x=y", "C": ""}, w.userData(map[string]string{"OLD": "gone: hanshu.json has all of it"}))
	_, err = s.settings(manifest{}, []string{"novalue"})
	require.ErrorContains(t, err, "NAME=VALUE")
	_, err = s.settings(manifest{Name: "9"}, nil)
	require.ErrorContains(t, err, "cannot name a function")

	w = wanted{env: map[string]string{"A": "2"}}
	require.Equal(t, map[string]string{"A": "2", "B": "1"}, w.userData(map[string]string{"A": "1", "B": "1"}))
	require.Nil(t, (wanted{}).userData(map[string]string{"A": "1"}))
}
