// Package server starts the real hanshu program for the tests of this module, and stops it again.
//
// It is a short twin of test/server: this module stands alone, so that the large SDK stays out of hanshu's own go.sum.
package server

import (
	"bytes"
	"context"
	"encoding/json"
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

// patience bounds a start and a stop. Both take a fraction of a second; it is for a machine under load.
const patience = 60 * time.Second

// Server is a running server; its fields are those of admin.json.
type Server struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	ProjectID string `json:"project_id"`
	Domain    string `json:"domain"`
	User      string `json:"user"`
	Password  string `json:"password"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	DataDir   string `json:"-"`
}

// binary is the program under test: $HANSHU_BIN, or bin/hanshu of the repository.
func binary(t testing.TB) string {
	t.Helper()
	name := os.Getenv("HANSHU_BIN")
	if name == "" {
		name = filepath.Join("..", "..", "bin", "hanshu")
	}
	name, err := filepath.Abs(name)
	require.NoError(t, err)
	if _, err := os.Stat(name); err != nil {
		if os.Getenv("HANSHU_TEST_NO_SKIP") == "1" {
			t.Fatalf("no program to test: %v; run `make build`", err)
		}
		t.Skipf("no program to test: %v; run `make build`", err)
	}
	return name
}

// Start starts a server on a free port with a data directory of its own, waits until it is ready, and stops it when the
// test ends. What it printed is shown when the test failed. args are further flags of `hanshu serve`.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())

	dir := filepath.Join(t.TempDir(), "data")
	var out output
	cmd := exec.Command(binary(t), append([]string{"serve", "--listen", address, "--data-dir", dir}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended shows in its output
	}()
	t.Cleanup(func() {
		stop(t, cmd, done)
		if t.Failed() {
			t.Logf("the server printed:\n%s", out.String())
		}
	})
	await(t, "http://"+address+"/healthz", done, &out)
	text, err := os.ReadFile(filepath.Join(dir, "admin.json"))
	require.NoError(t, err)
	s := &Server{DataDir: dir}
	require.NoError(t, json.Unmarshal(text, s))
	return s
}

// await polls for readiness, which is defined as an answer of 200.
func await(t testing.TB, url string, done <-chan struct{}, out *output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			require.NoError(t, resp.Body.Close())
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-done:
			t.Fatalf("the server ended before it was ready:\n%s", out.String())
		case <-ctx.Done():
			t.Fatalf("the server was not ready within %v:\n%s", patience, out.String())
		}
	}
}

func stop(t testing.TB, cmd *exec.Cmd, done <-chan struct{}) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // fails only when it is gone already
	select {
	case <-done:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-done
		t.Errorf("the server did not stop within %v of SIGTERM", patience)
	}
}

// Runtime gives a runtime name that the program serves on this host: preferred when it does, else the last one listed
// whose name begins with prefix. Where the program cannot tell, it is preferred.
func Runtime(t testing.TB, prefix, preferred string) string {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), binary(t), "runtimes", "--local", "--json").Output()
	var runtimes []struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	if err != nil || json.Unmarshal(list, &runtimes) != nil {
		t.Logf("hanshu runtimes --json: %v %.200s; taking %s", err, list, preferred)
		return preferred
	}
	found := preferred
	for _, r := range runtimes {
		switch {
		case !strings.HasPrefix(r.Name, prefix), r.Status == "missing":
		case r.Name == preferred:
			return preferred
		default:
			found = r.Name
		}
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
