// Package server starts the real program for tests that look at it from outside, and stops it again.
//
// It knows the fixed interfaces only: flags, /healthz, admin.json. It must not know any package under internal.
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Bounds of a start and a stop. Both take a fraction of a second; the bounds are for a machine under load.
const (
	startTime = 60 * time.Second
	stopTime  = 30 * time.Second
)

// Admin is admin.json: the first identity of a server and where to find it.
type Admin struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	ProjectID string `json:"project_id"`
	Domain    string `json:"domain"`
	User      string `json:"user"`
	Password  string `json:"password"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Server is a running server.
type Server struct {
	Admin
	DataDir string
	Binary  string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	out  output
}

// Binary gives the program under test: $HANSHU_BIN, or bin/hanshu of this repository. Where there is none the test is
// skipped, or fails when HANSHU_TEST_NO_SKIP is 1.
func Binary(t testing.TB) string {
	t.Helper()
	name := os.Getenv("HANSHU_BIN")
	if name == "" {
		name = filepath.Join(root(t), "bin", "hanshu")
	}
	if _, err := os.Stat(name); err != nil {
		if os.Getenv("HANSHU_TEST_NO_SKIP") == "1" {
			t.Fatalf("no program to test: %v; run `make build`", err)
		}
		t.Skipf("no program to test: %v; run `make build`", err)
	}
	return name
}

// root is the folder that holds go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.mod above the test")
		dir = parent
	}
}

// Start starts a server on a free port with a data directory of its own, and waits until it is ready. It is stopped when
// the test ends; what it printed is shown when the test failed. args are further flags of `hanshu serve`.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// StartIn is Start with a data directory that may hold an earlier server's data.
func StartIn(t testing.TB, dataDir string, args ...string) *Server {
	t.Helper()
	return StartWith(t, Options{DataDir: dataDir, Args: args})
}

// Options of a start. DataDir must be given.
type Options struct {
	DataDir string   // may hold an earlier server's data
	Args    []string // further flags of `hanshu serve`
	Env     []string // beside the environment of the test
	Dir     string   // working directory; "" for the test's own
	Binary  string   // "" for Binary(t)
	User    uint32   // user and group that the server runs as; 0 for the test's own. Only root may choose
}

// StartWith is Start with everything chosen.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{DataDir: o.DataDir, Binary: o.Binary, done: make(chan struct{})}
	if s.Binary == "" {
		s.Binary = Binary(t)
	}
	address := freeAddress(t)
	s.cmd = exec.Command(s.Binary, append([]string{"serve", "--listen", address, "--data-dir", o.DataDir}, o.Args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.Dir, s.cmd.Env = o.Dir, append(os.Environ(), o.Env...)
	if o.User != 0 {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.User, Gid: o.User}}
	}
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended shows in its output and in Stop
	}()
	t.Cleanup(func() {
		s.Stop(t)
		if t.Failed() {
			t.Logf("the server printed:\n%s", s.out.String())
		}
	})
	s.await(t, "http://"+address+"/healthz")
	text, err := os.ReadFile(filepath.Join(o.DataDir, "admin.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &s.Admin))
	s.Endpoint = "http://" + address
	return s
}

// PID is the process id of the server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Output is what the server printed so far.
func (s *Server) Output() string { return s.out.String() }

// Stop asks the server to end and waits for it. A server that is gone already is left in peace.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.done:
		return
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Logf("SIGTERM: %v", err)
	}
	select {
	case <-s.done:
	case <-time.After(stopTime):
		s.Kill()
		t.Errorf("the server did not stop within %v of SIGTERM", stopTime)
	}
}

// Kill ends the server as a power cut would, and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // fails only when it is gone already
	<-s.done
}

// Run runs a command of the program as its user, against this server, and gives what it printed on standard output. The
// error holds standard error.
func (s *Server) Run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("hanshu %v: %w\n%s", args, err, stderr.String())
	}
	return out, nil
}

// await polls for readiness, which is defined as an answer of 200.
func (s *Server) await(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, url) {
			return
		}
		select {
		case <-tick.C:
		case <-s.done:
			t.Fatalf("the server ended before it was ready:\n%s", s.out.String())
		case <-ctx.Done():
			t.Fatalf("the server was not ready within %v:\n%s", startTime, s.out.String())
		}
	}
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

// freeAddress finds a port that was free a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// Runtime gives a runtime name that the program serves on this host: preferred when it does, else the last one listed
// whose name begins with prefix ("Python3", "Node.js"). Where the program cannot tell, it is preferred.
func Runtime(t testing.TB, prefix, preferred string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	list, err := exec.CommandContext(ctx, Binary(t), "runtimes", "--local", "--json").Output()
	if err != nil {
		t.Logf("hanshu runtimes: %v; taking %s", err, preferred)
		return preferred
	}
	return pick(list, prefix, preferred)
}

// pick chooses from the JSON of `hanshu runtimes --local --json`.
func pick(list []byte, prefix, preferred string) string {
	var runtimes []struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	if json.Unmarshal(list, &runtimes) != nil {
		return preferred
	}
	found := preferred
	for _, r := range runtimes {
		if !strings.HasPrefix(r.Name, prefix) || r.Status == "missing" {
			continue
		}
		if r.Name == preferred {
			return preferred
		}
		found = r.Name
	}
	return found
}

// output collects what a process prints, for readers at any time.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
