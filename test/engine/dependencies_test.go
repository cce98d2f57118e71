//go:build linux

package engine

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// packed is a zip of files, with the mode of programs.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range files {
		head := &zip.FileHeader{Name: name, Method: zip.Store} // packing large ones takes seconds under the race detector
		head.SetMode(0o755)
		f, err := w.CreateHeader(head)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// dependency makes a version and gives its id.
func (h *host) dependency(t *testing.T, name string, pkg []byte) string {
	t.Helper()
	a := h.ask(t, http.MethodPost, "/v2/"+h.ProjectID+"/fgs/dependencies/version", map[string]string{
		"name": name, "runtime": "Python3.9", "depend_type": "zip", "depend_file": base64.StdEncoding.EncodeToString(pkg),
	})
	var made struct{ ID string }
	require.NoError(t, json.Unmarshal(a.body, &made))
	return made.ID
}

// javaClasses compiles sources, file name -> text, and gives the classes, file name -> bytes.
func javaClasses(t *testing.T, classPath string, sources map[string]string) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		need.Skip(t, "javac compiles the example: apt install default-jdk-headless")
	}
	from, to := t.TempDir(), t.TempDir()
	args := []string{"-Xlint:-options", "--release", "8", "-cp", classPath, "-d", to}
	for name, text := range sources {
		require.NoError(t, os.WriteFile(filepath.Join(from, name), []byte(text), 0o644))
		args = append(args, filepath.Join(from, name))
	}
	said, err := exec.CommandContext(t.Context(), "javac", args...).CombinedOutput()
	require.NoError(t, err, "%s", said)
	classes := map[string]string{}
	found, err := filepath.Glob(filepath.Join(to, "*.class"))
	require.NoError(t, err)
	for _, path := range found {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		classes[filepath.Base(path)] = string(text)
	}
	return classes
}

// dependent is a function that wants what its dependencies bring.
type dependent struct {
	language     string // as the names of its runtimes begin
	handler      string
	code         map[string]string
	dependencies []map[string]string
	answer       string
}

// dependents are in two languages, with the order of two dependencies that hold the same file, and one that is executed.
func dependents(t *testing.T) []dependent {
	program, err := executable()
	require.NoError(t, err, "%s", program)
	return []dependent{
		{
			language: python, handler: "index.handler",
			code: map[string]string{"index.py": "import first, shared\nfrom deep.pkg import word\ndef handler(event, context):\n    return [first.NAME, shared.NAME, word.NAME]\n", "shared.py": "NAME = 'code'\n"},
			dependencies: []map[string]string{
				{"first.py": "NAME = 'first'\n", "shared.py": "NAME = 'first'\n", "deep/pkg/__init__.py": "", "deep/pkg/word.py": "NAME = 'first'\n"},
				{"shared.py": "NAME = 'second'\n", "deep/pkg/word.py": "NAME = 'second'\n"},
			},
			answer: `["first","second","second"]`,
		},
		{
			language: node, handler: "src/index.handler",
			code: map[string]string{"src/index.js": "const a = require('a'), b = require('@scope/b');\nexports.handler = async () => [a.name, b.name];\n"},
			dependencies: []map[string]string{
				{"node_modules/a/index.js": "exports.name = 'a';\n"},
				{"node_modules/@scope/b/package.json": `{"main":"lib.js"}`, "node_modules/@scope/b/lib.js": "exports.name = 'b' + require('a').name;\n"},
			},
			answer: `["a","ba"]`,
		},
		{
			language: "Custom", handler: "bootstrap",
			code:         map[string]string{"settings.txt": "x"},
			dependencies: []map[string]string{{"bootstrap": string(program)}}, answer: `{"n":1}`,
		},
	}
}

// otherDependents are in the other languages. They find their files in the same folder, so that one kind of sandbox is enough.
func otherDependents(t *testing.T) []dependent {
	program, err := executable()
	require.NoError(t, err, "%s", program)
	lib := javaClasses(t, ".", map[string]string{"Lib.java": "public class Lib { public static String name() { return \"jar\"; } }"})
	work := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(work, "lib.jar"), packed(t, lib), 0o644))
	index := javaClasses(t, filepath.Join(work, "lib.jar"), map[string]string{"Index.java": "public class Index { public String handler(Object event) { return Lib.name(); } }"})
	return []dependent{
		{
			language: "PHP", handler: "index.handler",
			code:         map[string]string{"index.php": "<?php\nrequire 'vendor/autoload.php';\nfunction handler($event, $context) { return Vendor\\name(); }\n"},
			dependencies: []map[string]string{{"vendor/autoload.php": "<?php\nnamespace Vendor;\nfunction name() { return 'vendor'; }\n"}},
			answer:       `"vendor"`,
		},
		{
			language: "Java", handler: "Index.handler", code: index,
			dependencies: []map[string]string{{"lib/lib.jar": string(packed(t, lib))}}, answer: `"jar"`,
		},
		{
			language: "Go1.x", handler: "bin/main",
			code:         map[string]string{"settings.txt": "x"},
			dependencies: []map[string]string{{"bin/main": string(program)}}, answer: `{"n":1}`,
		},
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	h := newPlace(t, 0).start(t)
	testDependencies(t, h, append(dependents(t), otherDependents(t)...))
	testDependenciesShared(t, h)
}

func TestDependenciesAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	asNobody(t)
	testDependencies(t, newPlace(t, nobody).start(t), dependents(t))
}

func TestDependenciesWithoutSandbox(t *testing.T) {
	t.Parallel()
	testDependencies(t, newPlace(t, 0, "--sandbox=none").start(t), dependents(t))
}

func TestDependenciesUnderAnOCIRuntime(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("runc")
	if err != nil {
		need.Skip(t, "runc starts sandboxes: apt install runc")
	}
	if os.Geteuid() != 0 {
		t.Skip("runc is for root here")
	}
	testDependencies(t, newPlace(t, 0, "--sandbox=oci", "--oci-runtime="+path).start(t), dependents(t))
}

// testDependencies calls each function twice, the second time in another instance: where workers wait prepared, that is one of them.
func testDependencies(t *testing.T, h *host, functions []dependent) {
	for _, d := range functions {
		runtime, err := h.runtime(t.Context(), d.language)
		require.NoError(t, err)
		var ids []string
		for i, files := range d.dependencies {
			ids = append(ids, h.dependency(t, fmt.Sprintf("%s-%d", d.language, i), packed(t, files)))
		}
		name := strings.NewReplacer(".", "").Replace(d.language)
		request := h.request(function{name: name})
		withZip(packed(t, d.code))(request)
		request["runtime"], request["handler"], request["depend_version_list"] = runtime, d.handler, ids
		a, err := h.post(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", d.language, a.body)
		for _, description := range []string{"one", "two"} {
			a, err := h.invoke(t.Context(), name, []byte(`{"n":1}`))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.status, "%s: %s", d.language, a.body)
			require.JSONEq(t, d.answer, string(a.body), d.language)
			h.ask(t, http.MethodPut, h.function(name)+"/config", map[string]any{"description": description}) // outdates the instance
		}
	}
}

// testDependenciesShared looks at what lies on the disk, and that what a function must not write it cannot.
func testDependenciesShared(t *testing.T, h *host) {
	pkg := packed(t, map[string]string{"big.py": "NAME = '" + strings.Repeat("x", 1<<20) + "'\n"})
	id := h.dependency(t, "big", pkg)
	const source = "import big, os\ndef handler(event, context):\n    denied = 0\n    for name in ('big.py', 'other.py'):\n        try:\n            open(name, 'w')\n        except OSError:\n            denied += 1\n    return [len(big.NAME), denied, os.stat('big.py').st_ino]\n"
	var inodes []string
	for _, name := range []string{"one", "two", "three"} {
		h.createWith(t, function{name: name, runtime: python, source: source + "# " + name + "\n"}, map[string]any{"depend_version_list": []string{id}})
		a, err := h.invoke(t.Context(), name, []byte(`{}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.True(t, strings.HasPrefix(string(a.body), "[1048576,2,") || strings.HasPrefix(string(a.body), "[1048576, 2, "), "%s", a.body)
		inodes = append(inodes, string(a.body))
	}
	require.Len(t, slices.Compact(inodes), 1, "the functions share one file")

	a, err := h.do(t.Context(), http.MethodDelete, "/v2/"+h.ProjectID+"/fgs/dependencies/none/version/1", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, a.status)
}
