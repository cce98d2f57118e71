package uiot_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/uiot"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

var update = flag.Bool("update", false, "write the answers of golden files anew")

// bench is the face over the real stores and identities, without a broker.
type bench struct {
	packages *blob.Disk
	links    *uiot.Links
	mux      http.Handler
	db       *store.DB
	project  string
	words    map[string]string // what stands in {braces} in a request
	clock    time.Time
	changed  []faas.GatewayID
}

func (b *bench) GatewayChanged(id faas.GatewayID) { b.changed = append(b.changed, id) }
func (b *bench) GatewayBarred(faas.GatewayID)     {}

// Refresh plays the service.
func (b *bench) Refresh(context.Context, faas.GatewayID) (uint64, error) { return 7, nil }

func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	db := freshtest.Open(t)
	packages, err := blob.OpenDisk(filepath.Join(dir, "packages"))
	require.NoError(t, err)
	sealer, err := auth.NewSealer(filepath.Join(dir, "key"), true)
	require.NoError(t, err)
	owner, err := auth.EnsureOwner(t.Context(), db, sealer, "local")
	require.NoError(t, err)
	b := &bench{db: db, project: owner.ProjectID, clock: time.Date(2020, 11, 9, 10, 48, 9, 145e6, time.UTC)}
	now := func() time.Time { return b.clock }
	identities, err := auth.New(auth.Config{Store: db, Sealer: sealer, Now: now})
	require.NoError(t, err)
	functions := control.NewFunctions(control.FunctionsConfig{
		Store: db, Packages: packages, Sealer: sealer, Changes: &controltest.Changes{}, Fetcher: controltest.Fetcher{}, Runtimes: controltest.Runtimes{},
		Quota: faas.Quota{Functions: 50, CodeBytes: 1 << 30}, Region: "local", Now: now,
	})
	placed := control.NewGateways(control.GatewaysConfig{Store: db, Functions: functions, Packages: packages, Sealer: sealer, Changes: b, Now: now})
	key, err := sealer.Derive("links")
	require.NoError(t, err)
	b.packages, b.links = packages, uiot.NewLinks(key, now)
	api := uiot.New(uiot.Config{
		Functions: functions, Placed: placed, Gateways: b, Packages: packages, Access: identities, Logins: identities, Links: b.links,
		Domain: auth.OwnerDomain, Runtime: func() string { return "Python3.9" }, Now: now,
	})
	b.mux, err = httpkit.NewMux(httpkit.MuxConfig{Authenticator: identities, Log: slog.New(slog.DiscardHandler), NotFound: uiot.NotFound}, api.Face())
	require.NoError(t, err)
	b.words = map[string]string{"{password}": owner.Password, "{project}": "local"}
	var login struct{ Data struct{ Token string } }
	require.NoError(t, json.Unmarshal(b.send(t, "POST /api/v1/user/login\nAuthorization: none\n\n{\"Username\":\"admin\",\"Password\":\"{password}\"}").Body.Bytes(), &login))
	require.NotEmpty(t, login.Data.Token)
	b.words["{token}"] = login.Data.Token
	return b
}

// unsteady is what differs from run to run.
func unsteady() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		`Signature=<signed>`: regexp.MustCompile(`Signature=[\w.-]+`), `"Token": "<signed>"`: regexp.MustCompile(`"Token": "[\w.-]+"`),
		`"ProjectID": 1`: regexp.MustCompile(`"ProjectID": \d+`),
		`"<secret>"`:     regexp.MustCompile(`"[a-z2-7]{16}"`),
	}
}

// send sends a request written as text: method and path, headers, an empty line, the body. The token is added where there is no
// Authorization; "Authorization: none" is none.
func (b *bench) send(t testing.TB, text string) *httptest.ResponseRecorder {
	t.Helper()
	for word, value := range b.words {
		text = strings.ReplaceAll(text, word, value)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := bufio.NewScanner(strings.NewReader(head))
	require.True(t, lines.Scan())
	method, target, ok := strings.Cut(lines.Text(), " ")
	require.True(t, ok, text)
	r := httptest.NewRequest(method, target, strings.NewReader(strings.TrimSpace(body)))
	r.Header.Set("Authorization", b.words["{token}"])
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		require.True(t, ok, lines.Text())
		r.Header.Set(name, value)
	}
	if r.Header.Get("Authorization") == "none" {
		r.Header.Del("Authorization")
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	return w
}

func pretty(w *httptest.ResponseRecorder) string {
	var indented bytes.Buffer
	if json.Indent(&indented, w.Body.Bytes(), "", "  ") != nil {
		indented = *w.Body
	}
	out := fmt.Sprintf("%d\n%s\n\n%s\n", w.Code, w.Header().Get("Content-Type"), indented.String())
	for word, pattern := range unsteady() {
		out = pattern.ReplaceAllString(out, word)
	}
	return out
}

// TestGolden sends the requests of each file in order and compares the answers. A file is a list of exchanges, parted by "====":
// the request, "----", the answer. Each exchange is a second after the one before. "go test -update" writes the answers anew.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			b := newBench(t)
			var fresh []string
			for exchange := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n====\n") {
				request, answer, _ := strings.Cut(exchange, "\n----\n")
				request = strings.TrimSuffix(request, "\n")
				got := strings.TrimSuffix(pretty(b.send(t, request)), "\n")
				fresh = append(fresh, request+"\n----\n"+got)
				if !*update {
					require.Equal(t, answer, got, request)
				}
				b.clock = b.clock.Add(time.Second)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(fresh, "\n====\n")+"\n"), 0o644))
			}
		})
	}
}

// TestErrorsAreWhole has an answer for every expected failure.
func TestErrorsAreWhole(t *testing.T) {
	for _, code := range faas.Codes {
		require.Contains(t, uiot.Mapped(), code)
	}
}

// TestCodeURL holds the address of a package to its signature and its time, and goes on with a download that broke.
func TestCodeURL(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"function1", "function2"} {
		require.Equal(t, 200, b.send(t, "POST /api/v1/function/create\n\n{\"FunctionName\":\""+name+"\",\"Runtime\":\"python3\",\"FunctionCode\":\"5L2g5aW95LiW55WM\"}").Code)
	}
	var list struct {
		Data struct {
			FunctionList []struct{ CodeURL, CodeChecksum string }
		}
	}
	require.NoError(t, json.Unmarshal(b.send(t, "POST /api/v1/function/list\n\n{}").Body.Bytes(), &list))
	path := strings.TrimPrefix(list.Data.FunctionList[0].CodeURL, "http://example.com")
	require.True(t, strings.HasPrefix(path, "/data/file/edge/function/function1.zip?Signature=ey"), path)
	get := func(path, headers string) *httptest.ResponseRecorder {
		return b.send(t, "GET "+path+"\nAuthorization: none"+headers)
	}
	whole := get(path, "")
	require.Equal(t, []any{200, "你好世界", "12"}, []any{whole.Code, whole.Body.String(), whole.Header().Get("Content-Length")})
	rest := get(path, "\nRange: bytes=6-\nIf-Range: "+whole.Header().Get("ETag"))
	require.Equal(t, []any{206, "世界", "bytes 6-11/12"}, []any{rest.Code, rest.Body.String(), rest.Header().Get("Content-Range")})
	require.Equal(t, 200, get(path, "\nRange: bytes=6-\nIf-Range: \"other\"").Code)
	require.Equal(t, 200, get(path, "\nRange: bytes=99-").Code)
	require.Equal(t, 403, get(strings.Replace(path, "function1", "function2", 1), "").Code)
	require.Equal(t, 403, get(path+"x", "").Code)
	require.Equal(t, 403, get("/data/file/edge/function/function1.zip", "").Code)
	b.clock = b.clock.Add(uiot.LinkLife + time.Second)
	require.Equal(t, 403, get(path, "").Code)
}

// TestProgramURL is the same for a program of the gateways' agent.
func TestProgramURL(t *testing.T) {
	b := newBench(t)
	pkg, err := b.packages.Add(t.Context(), []byte("\x7fELF and more"))
	require.NoError(t, err)
	path, err := b.links.ProgramPath("v2", faas.ReleaseProgram{Arch: "arm64", Digest: pkg.Digest, Size: pkg.Size})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(path, "/data/file/edge/function/hanshu-edge-v2-arm64?Signature=ey"), path)
	get := func(path, headers string) *httptest.ResponseRecorder {
		return b.send(t, "GET "+path+"\nAuthorization: none"+headers)
	}
	require.Equal(t, "\x7fELF and more", get(path, "").Body.String())
	rest := get(path, "\nRange: bytes=4-")
	require.Equal(t, []any{206, " and more"}, []any{rest.Code, rest.Body.String()})
	require.Equal(t, 403, get(strings.Replace(path, "-v2-", "-v3-", 1), "").Code)
	require.Equal(t, 403, get(strings.Replace(path, "arm64?", "arm64.zip?", 1), "").Code)
	b.clock = b.clock.Add(uiot.LinkLife + time.Second)
	require.Equal(t, 403, get(path, "").Code)
}

// TestTokens refuses what is no token of this server.
func TestTokens(t *testing.T) {
	b := newBench(t)
	status := func(token string) int {
		return b.send(t, "POST /api/v1/function/list\nAuthorization: "+token+"\n\n{}").Code
	}
	good := b.words["{token}"]
	require.Equal(t, 200, status(good))
	head, rest, _ := strings.Cut(good, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	for name, bad := range map[string]string{
		"cut": good[:len(good)-2], "without a signature": head + "." + claims + ".", "of no algorithm": "eyJhbGciOiJub25lIn0." + claims + ".",
		"with other claims": head + ".eyJ1IjoxfQ." + signature, "bearer": "Bearer " + good,
	} {
		require.Equal(t, 401, status(bad), name)
	}
	b.clock = b.clock.Add(24*time.Hour + time.Second)
	require.Equal(t, 401, status(good))
}

func FuzzCreate(f *testing.F) {
	f.Add(`{"FunctionName":"f1","Runtime":"python3","Handler":"index.handler","FunctionCode":"5L2g5aW95LiW55WM","Config":"e30="}`)
	f.Add(`{"FunctionName":1}`)
	f.Fuzz(func(t *testing.T, body string) {
		b := newBench(t)
		w := b.send(t, "POST /api/v1/function/create\n\n"+body)
		require.True(t, json.Valid(w.Body.Bytes()), "%q", w.Body)
		require.Contains(t, []int{200, 400, 413}, w.Code, "%q", w.Body)
	})
}
