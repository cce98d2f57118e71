//go:build linux

package engine

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// entry is a file of a zip; head changes its header as a liar would.
type entry struct {
	name, body string
	mode       fs.FileMode
	head       func(*zip.FileHeader)
}

func zipOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644 | e.mode)
		if e.head == nil {
			f, err := w.CreateHeader(h)
			require.NoError(t, err)
			_, err = f.Write([]byte(e.body))
			require.NoError(t, err)
			continue
		}
		h.Method, h.CompressedSize64, h.UncompressedSize64 = zip.Store, uint64(len(e.body)), uint64(len(e.body))
		e.head(h)
		f, err := w.CreateRaw(h)
		require.NoError(t, err)
		_, err = f.Write([]byte(e.body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// refused is a request to create a function that has to be refused whole.
type refused struct {
	name   string
	change func(request map[string]any)
	body   func(request []byte) []byte // instead of change
	status int
	code   string
	says   string
}

// withZip puts an archive in.
func withZip(data []byte) func(map[string]any) {
	return func(r map[string]any) {
		r["code_type"], r["func_code"] = "zip", map[string]string{"file": base64.StdEncoding.EncodeToString(data)}
	}
}

func with(field string, value any) func(map[string]any) {
	return func(r map[string]any) { r[field] = value }
}

func badZips(t *testing.T) []refused {
	good := zipOf(t, entry{name: "index.py", body: strings.Repeat(pythonEcho, 20)})
	shape := func(entries ...entry) func(map[string]any) { return withZip(zipOf(t, entries...)) }
	bad := func(name string, change func(map[string]any), says string) refused {
		return refused{name: name, change: change, status: http.StatusBadRequest, code: "FSS.1011", says: says}
	}
	bomb := strings.Repeat("\x00", 32<<20)
	return []refused{
		bad("truncated zip", withZip(good[:len(good)-20]), "cut short"),
		bad("zip without its end", withZip(good[:60]), "cut short"),
		bad("no zip", withZip([]byte("no zip at all")), "not a zip"),
		bad("encrypted zip", shape(entry{name: "index.py", body: "x", head: func(h *zip.FileHeader) { h.Flags |= 1 }}), "encrypted"),
		{"bomb", shape(entry{name: "a", body: bomb}, entry{name: "b", body: bomb}, entry{name: "c", body: bomb}), nil, http.StatusRequestEntityTooLarge, "FSS.1071", ""},
		{"size of 4 EB", shape(entry{name: "a", body: "x", head: func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 62 }}), nil, http.StatusRequestEntityTooLarge, "FSS.1071", ""},
		bad("lying size", shape(entry{name: "a", body: "four", head: func(h *zip.FileHeader) { h.UncompressedSize64 = 5 }}), "size"),
		bad("slip", shape(entry{name: "../../evil.py", body: "x"}), `".."`),
		bad("absolute slip", shape(entry{name: "/etc/evil", body: "x"}), "absolute"),
		bad("link out", shape(entry{name: "l", body: "/etc", mode: fs.ModeSymlink}), "absolute"),
		bad("write through a link", shape(entry{name: "l", body: "d", mode: fs.ModeSymlink}, entry{name: "l/x", body: "x"}), "not a folder"),
		bad("duplicate names", shape(entry{name: "index.py", body: "x"}, entry{name: "index.py", body: "y"}), "two entries"),
	}
}

func badRequests() []refused {
	return []refused{
		{"invalid base64", with("func_code", map[string]string{"file": "%%%"}), nil, 400, "FSS.1011", "base64"},
		{"no code", with("func_code", map[string]string{"file": ""}), nil, 400, "FSS.1012", ""},
		{"handler without a dot", with("handler", "handler"), nil, 400, "FSS.1003", ""},
		{"unknown runtime", with("runtime", "COBOL85"), nil, 400, "FSS.1005", "COBOL85"},
		{"runtime of another major", with("runtime", "Node.js6.10"), nil, 400, "FSS.1005", "Node.js"},
		{"memory between sizes", with("memory_size", 100), nil, 400, "FSS.1007", ""},
		{"timeout of nothing", with("timeout", 0), nil, 400, "FSS.1008", ""},
		{"name with a slash", with("func_name", "a/b"), nil, 400, "FSS.1002", ""},
		{"wrong type", with("timeout", "ten"), nil, 400, "", "timeout"},
		{"deep JSON", nil, func([]byte) []byte { return []byte(strings.Repeat(`{"a":`, 100_000)) }, 400, "", "nests deeper"},
		{"deep arrays", nil, func([]byte) []byte { return bytes.Repeat([]byte("["), 1<<20) }, 400, "", "nests deeper"},
		{"half a JSON", nil, func(r []byte) []byte { return r[:len(r)/2] }, 400, "", "JSON"},
		{"nothing", nil, func([]byte) []byte { return nil }, 400, "", "empty"},
		{"a private URL", func(r map[string]any) {
			r["code_type"], r["code_url"], r["func_code"] = "obs", "http://169.254.169.254/latest/meta-data", nil
		}, nil, 400, "FSS.1010", ""},
		{"a file URL", func(r map[string]any) {
			r["code_type"], r["code_url"], r["func_code"] = "obs", "file:///etc/passwd", nil
		}, nil, 400, "FSS.1010", "not a URL"},
	}
}

// TestBadInput sends what must not be stored, and looks that nothing of it is.
func TestBadInput(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.create(t, function{name: "echo", runtime: python, source: pythonEcho})
	before := h.kept(t)
	for _, c := range append(badZips(t), badRequests()...) {
		t.Run(c.name, func(t *testing.T) {
			request := h.request(function{name: "bad", runtime: python, source: pythonEcho})
			if c.change != nil {
				c.change(request)
			}
			body, err := json.Marshal(request)
			require.NoError(t, err)
			if c.body != nil {
				body = c.body(body)
			}
			a, err := h.do(t.Context(), http.MethodPost, h.functions(), body)
			require.NoError(t, err)
			requireRefused(t, a, c.status, c.code, c.says)
			absent, err := h.do(t.Context(), http.MethodGet, h.function("bad")+"/config", nil)
			require.NoError(t, err)
			requireRefused(t, absent, http.StatusNotFound, "FSS.1051", "")
			require.Equal(t, before, h.kept(t), "nothing is half stored")
		})
	}
	require.Equal(t, map[string]bool{"echo": true}, h.names(t))
	h.badEvents(t)
	t.Logf("server: %.0f MiB at its peak", h.memory(t, "VmHWM"))
	require.Less(t, h.memory(t, "VmHWM"), 400.0, "MiB of the server")
}

// requireRefused holds an error to the dialect. code "" stands for any of FunctionGraph's.
func requireRefused(t *testing.T, a answer, status int, code, says string) {
	t.Helper()
	require.Equal(t, status, a.status, "%.300s", a.body)
	var e struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
	}
	require.NoError(t, json.Unmarshal(a.body, &e), "%.300s", a.body)
	require.True(t, strings.HasPrefix(e.Code, "FSS.") && (code == "" || e.Code == code), "%s %s", e.Code, e.Message)
	require.NotEmpty(t, e.Message)
	require.Contains(t, e.Message, says)
	require.Less(t, len(e.Message), 1000)
}

// badEvents are refused before any function sees them.
func (h *host) badEvents(t *testing.T) {
	deepest := strings.Repeat(`[`, 400) + strings.Repeat(`]`, 400)
	for _, c := range []struct {
		name   string
		event  []byte
		status int
	}{
		{"6 MB", fmt.Appendf(nil, `{"n":1,"x":"%s"}`, strings.Repeat("x", 6<<20-14)), http.StatusOK},
		{"6 MB and a byte", fmt.Appendf(nil, `{"n":1,"x":"%s"}`, strings.Repeat("x", 6<<20-13)), http.StatusRequestEntityTooLarge},
		{"deep", fmt.Appendf(nil, `{"n":1,"x":%s}`, strings.Repeat("[", 100_000)), http.StatusBadRequest},
		{"as deep as may be", fmt.Appendf(nil, `{"n":1,"x":%s}`, deepest[1:len(deepest)-1]), http.StatusOK},
		{"no JSON", []byte("{n:1}"), http.StatusBadRequest},
		{"no UTF-8", []byte("\"\xff\""), http.StatusBadRequest},
	} {
		t.Run("event of "+c.name, func(t *testing.T) {
			a, err := h.invoke(t.Context(), "echo", c.event)
			require.NoError(t, err)
			if c.status == http.StatusOK {
				require.Empty(t, checkEcho(a, 1))
				return
			}
			requireRefused(t, a, c.status, "", "")
			require.NotEqual(t, "true", a.header.Get("X-Is-Func-Err"))
		})
	}
}

// kept lists the files of the packages directory.
func (h *host) kept(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(h.DataDir, "packages"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	require.NoError(t, err)
	slices.Sort(files)
	return files
}
