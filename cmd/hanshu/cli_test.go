package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
)

func testCLI(env map[string]string) (*cli, *bytes.Buffer, *bytes.Buffer) {
	var out, notes bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &out, err: &notes, name: "bin/hanshu", started: true}
	c.lookup = func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	return c, &out, &notes
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{errFailed, 1, ""},
		{usagef("wrong"), 2, "hanshu: wrong\n"},
		{fmt.Errorf("deploy: %w", &client.APIError{Status: 404, Code: "FSS.1051", Message: "Not\nfound", RequestID: "id"}), 3, "hanshu: Not found (FSS.1051, request id); 'hanshu ls' shows the functions there are\n"},
		{&client.APIError{Status: 401, Code: "401", Message: "no"}, 3, "hanshu: no (401)\n"},
		{&client.APIError{Status: 429, Code: "FSS.0429", Message: "busy"}, 4, "hanshu: busy (FSS.0429)\n"},
		{&client.APIError{Status: 408, Code: "c", Message: "m"}, 4, "hanshu: m (c)\n"},
		{&client.APIError{Status: 302, Code: "302", Message: "moved"}, 4, "hanshu: moved (302)\n"},
		{&client.APIError{Status: 503, Code: "c", Message: "m"}, 4, "hanshu: m (c)\n"},
		{&url.Error{Op: "Get", URL: "http://h:1/x?secret", Err: errors.New("refused")}, 4, "hanshu: cannot reach http://h:1: refused; is the server running ('hanshu serve')?\n"},
		{&url.Error{Op: "Get", URL: "http://h", Err: context.Canceled}, 130, "hanshu: interrupted\n"},
		{errors.New("disk full"), 4, "hanshu: disk full\n"},
	} {
		c, out, notes := testCLI(nil)
		require.Equal(t, tt.code, c.report(tt.err))
		require.Empty(t, out)
		require.Equal(t, tt.text, notes.String())
		known := false
		for _, e := range exits() {
			known = known || e.code == tt.code
		}
		require.True(t, known, "code %d is not in the table", tt.code)
	}
	c, out, notes := testCLI(nil)
	c.json = true
	require.Equal(t, 3, c.report(&client.APIError{Status: 404, Code: "FSS.1051", Message: "<no>", RequestID: "id"}))
	require.JSONEq(t, `{"error":{"code":"FSS.1051","message":"<no>","status":404,"request_id":"id"}}`, out.String())
	require.Empty(t, notes)
}

// TestCommands walks all commands: what every one of them has, so that none is forgotten.
func TestCommands(t *testing.T) {
	c, _, _ := testCLI(nil)
	root := newRootCommand(c)
	root.InitDefaultCompletionCmd()
	names := map[string]bool{}
	for _, cmd := range root.Commands() {
		names[cmd.Name()] = true
		require.NotEmpty(t, cmd.Short, cmd.Name())
		if !cmd.Runnable() || cmd.Name() == "completion" || cmd.Name() == "help" {
			continue
		}
		require.NotEmpty(t, cmd.Long, cmd.Name())
		require.NotEmpty(t, cmd.Example, cmd.Name())
		require.NotNil(t, cmd.Args, cmd.Name())
		require.Contains(t, cmd.Long, "Exit codes:", cmd.Name())
	}
	for _, name := range []string{"serve", "login", "logout", "token", "new", "deploy", "invoke", "list", "show", "logs", "runs", "queue", "delete", "runtimes",
		"doctor", "version", "exit-codes", "completion", "dependency", "export", "import", "tf"} {
		require.True(t, names[name], name)
	}
}

func TestCommandLineMistakes(t *testing.T) {
	try := func(args ...string) (out, notes string) {
		c, stdout, stderr := testCLI(nil)
		c.started, c.args = false, args
		root := newRootCommand(c)
		root.SetArgs(args)
		require.Equal(t, exitUsage, c.report(root.ExecuteContext(t.Context())), args)
		return stdout.String(), stderr.String()
	}
	for _, args := range [][]string{{"bogus"}, {"list", "--bogus"}, {"list", "more"}, {"show"}, {"invoke", "f", "--memory", "x"}, {"help", "bogus"}} {
		out, notes := try(args...)
		require.Empty(t, out, args)
		require.Equal(t, 1, strings.Count(notes, "\n"), "one line: %q", notes)
		out, notes = try(append(args, "--json")...)
		require.Empty(t, notes, args)
		require.Contains(t, out, `"code": "usage"`, args)
	}
	_, notes := try("list", "--bogus")
	require.Contains(t, notes, "see 'bin/hanshu list --help'")
	_, notes = try("list", "more")
	require.Contains(t, notes, `list takes no arguments, and was given "more"`)
}

// TestNothingPassedOver: what cannot be meant is refused before a server is asked, with the reason.
func TestNothingPassedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "job.py")
	require.NoError(t, os.WriteFile(file, []byte("def handler(event, context): pass\n"), 0o600))
	admin := filepath.Join(dir, "admin.json")
	identity := `{"endpoint":"http://127.0.0.1:1","region":"r","project_id":"p","access_key":"a","secret_key":"s"}`
	require.NoError(t, os.WriteFile(admin, []byte(identity), 0o600))
	folder := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, manifestName), []byte(`{"memory_size":"big"}`), 0o600))
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"deploy", file, "--memory", "0"}, "--memory cannot be 0"},
		{[]string{"deploy", file, "--timeout", "0"}, "--timeout cannot be 0"},
		{[]string{"deploy", file, "--handler", ""}, "--handler cannot be empty"},
		{[]string{"deploy", file, "--runtime", "Node.js20.15"}, `a .py file is for Python, and not for runtime "Node.js20.15"`},
		{[]string{"deploy", folder}, `"memory_size" cannot be a JSON string`},
		{[]string{"user", "create", "ada", "--role", "boss"}, `"boss" is no role`},
	} {
		c, _, notes := testCLI(nil)
		root := newRootCommand(c)
		root.SetArgs(append(tc.args, "--admin-file", admin))
		require.Equal(t, exitUsage, c.report(root.ExecuteContext(t.Context())), tc.args)
		require.Contains(t, notes.String(), tc.want)
	}
}

func TestOnlyHere(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"broker_url", "http_url"}, onlyHere([]byte(`{"broker_url":"mqtts://127.0.0.1:8883","http_url":"http://[::1]:8080"}`)))
	require.Equal(t, []string{"http_url"}, onlyHere([]byte(`{"broker_url":"mqtts://cloud.example:8883","http_url":"http://localhost:8080"}`)))
	require.Equal(t, []string{"http_url"}, onlyHere([]byte(`{"broker_url":"mqtts://cloud.example:8883","http_url":"http://[::]:8080"}`)))
	require.Empty(t, onlyHere([]byte(`{"broker_url":"mqtts://10.0.0.5:8883"}`)))
}

// TestWhichServer: the documented order of search.
func TestWhichServer(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	env := map[string]string{"HANSHU_DATA_DIR": filepath.Join(dir, "server")}
	place := func(name, host string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(`{"endpoint":"http://`+host+`","access_key":"a","secret_key":"s"}`), 0o600))
	}
	c, _, _ := testCLI(env)
	expect := func(host string) {
		t.Helper()
		found, err := c.credentials()
		require.NoError(t, err)
		require.Equal(t, "http://"+host, found.Endpoint)
	}
	_, err := c.credentials()
	require.ErrorContains(t, err, "no server is known")
	place("server/admin.json", "default")
	expect("default")
	place("data/admin.json", "here")
	expect("here")
	require.NoError(t, os.Chmod("data/admin.json", 0o644)) // as a file that came with a repository
	expect("default")
	require.NoError(t, os.Chmod("data/admin.json", 0o600))
	place("config/hanshu/login.json", "saved")
	expect("saved")
	place("env.json", "env")
	env["HANSHU_ADMIN_FILE"] = "env.json"
	expect("env")
	place("flag.json", "flag")
	c.adminFile = "flag.json"
	expect("flag")

	c.endpoint = "http://other"
	server, err := c.client()
	require.NoError(t, err)
	require.Equal(t, "http://other", server.Config().Endpoint)
	c.adminFile = "absent.json"
	_, err = c.credentials()
	var usage *usageError
	require.ErrorAs(t, err, &usage, "a file that was named must be there")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestSave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "login.json")
	want := client.Credentials{Endpoint: "http://h", Region: "r", ProjectID: "p", AccessKey: "a", SecretKey: "s"}
	for range 2 {
		require.NoError(t, save(file, want))
	}
	got, err := client.LoadCredentials(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.True(t, private(file))
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestWords(t *testing.T) {
	c, _, _ := testCLI(nil)
	c.adminFile = "my dir/admin.json"
	require.Equal(t, `bin/hanshu --admin-file 'my dir/admin.json' invoke f -d '{}'`, c.self("invoke", "f", "-d", "{}"))
	require.Equal(t, `'it'\''s'`, quote("it's"))
	require.Equal(t, "''", quote(""))

	require.Equal(t, "a\x1b[2Jb", c.clean("a\x1b[2Jb"), "a pipe gets what was written")
	c.seen = true
	require.Equal(t, "a\uFFFD[2Jb\tc", c.clean("a\x1b[2Jb\tc"))
	require.Equal(t, "x", c.paint(red, "x"))
	c.colourful = true
	require.Equal(t, "\x1b[31mx\x1b[0m", c.paint(red, "x"))

	for n, want := range map[int64]string{0: "0 bytes", 473: "473 bytes", 20480: "20.0 KB", 3 << 20: "3.0 MB"} {
		require.Equal(t, want, size(n))
	}
}

func TestTable(t *testing.T) {
	c, out, _ := testCLI(nil)
	c.table([][]string{{"NAME", "X"}, {"é", ""}, {"long name", "y"}})
	require.Equal(t, "NAME       X\né\nlong name  y\n", out.String())
}

func TestNewestRuntime(t *testing.T) {
	list := []client.Runtime{
		{Name: "Python2.7", Status: "missing"}, {Name: "Python3.9", Status: "exact"}, {Name: "Python3.10", Status: "exact"},
		{Name: "Python3.12", Status: "served"}, {Name: "Python3.14", Status: "missing"}, {Name: "Node.js18.15", Status: "served"}, {Name: "Node.jsx", Status: "exact"},
	}
	require.Equal(t, "Python3.10", newestRuntime(list, "Python"))
	require.Equal(t, "Node.js18.15", newestRuntime(list, "Node.js"))
	require.Empty(t, newestRuntime(list, "PHP"))
}

func TestLogLines(t *testing.T) {
	log := "Start invoke request 'id', version: latest\n2026-01-02T03:04:05.000Z id INFO one id two\n\ncut off\nFinish invoke request 'id', duration: 1ms\n"
	require.Equal(t, []string{"2026-01-02T03:04:05.000Z INFO one id two", "cut off"}, logLines(log, "id"))
}

func TestAbsentHandler(t *testing.T) {
	for handler, fits := range map[string]bool{
		"index.handler": true, "src/a.run": true, "src.a.run": true, "pack.handler": true, "./index.handler": true, "main": true,
		"indx.handler": false, "inde.handler": false, "src.b.run": false,
	} {
		warning := absentHandler(handler, []string{"index.py", "src/a.mjs", "pack/__init__.py"})
		require.Equal(t, fits, warning == "", "%s: %s", handler, warning)
	}
}

func TestMemory(t *testing.T) {
	require.Equal(t, "9.9 of 128 MB", memory(9.87, 128))
	require.Equal(t, "? of 128 MB", memory(0, 128))
}

func TestReadEvent(t *testing.T) {
	dir := write(t, map[string]string{"e.json": `{"a":1}`})
	for data, want := range map[string]string{`{"b":2}`: `{"b":2}`, "@" + filepath.Join(dir, "e.json"): `{"a":1}`, "@-": "from in", "": ""} {
		event, err := readEvent(strings.NewReader("from in"), data)
		require.NoError(t, err)
		require.Equal(t, want, string(event))
	}
	_, err := readEvent(nil, "@"+dir+"/absent")
	require.Error(t, err)
	event, err := readEvent(io.LimitReader(zeroes{}, 2*maxEvent), "@-")
	require.NoError(t, err)
	require.Len(t, event, maxEvent+1)
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// TestAsking: delete asks a person, and only y is a yes.
func TestAsking(t *testing.T) {
	for answer, code := range map[string]int{"y\n": exitServer, "Yes\n": exitServer, "n\n": exitOK, "": exitOK} {
		file := filepath.Join(t.TempDir(), "admin.json")
		require.NoError(t, save(file, client.Credentials{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "s"}))
		c, _, notes := testCLI(nil)
		c.asks, c.in, c.adminFile = true, strings.NewReader(answer), file
		root := newRootCommand(c)
		root.SetArgs([]string{"delete", "f", "--admin-file", file})
		require.Equal(t, code, c.report(root.ExecuteContext(t.Context())), "%q: %s", answer, notes)
		require.Contains(t, notes.String(), "[y/N]")
	}
}

// TestMeter: a bar for big work where somebody watches, and nothing anywhere else.
func TestMeter(t *testing.T) {
	for _, tt := range []struct {
		total         int64
		watched, json bool
		shown         bool
	}{
		{2 * bigWork, true, false, true}, {1000, true, false, false}, {2 * bigWork, false, false, false}, {2 * bigWork, true, true, false},
	} {
		c, out, notes := testCLI(nil)
		c.watched, c.json = tt.watched, tt.json
		m := newMeter(c, "sending", tt.total)
		m.add(1000)
		require.Equal(t, tt.shown, m.bar != nil, "%+v", tt)
		m.end()
		require.True(t, tt.shown || notes.Len() == 0, "%+v", tt)
		require.Empty(t, out)
	}
}
