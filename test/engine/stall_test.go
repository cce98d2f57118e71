//go:build linux

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
)

// TestStalledRequest sends half a request and no more. The server must let go of it.
func TestStalledRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds, which is how long the server waits for a body")
	}
	t.Parallel()
	h := start(t)
	h.create(t, function{name: "echo", runtime: python, source: pythonEcho})
	body, err := json.Marshal(h.request(function{name: "half", runtime: python, source: pythonEcho}))
	require.NoError(t, err)
	head := func(path string, body []byte) []byte {
		req, err := http.NewRequest(http.MethodPost, h.Endpoint+path, bytes.NewReader(body))
		require.NoError(t, err)
		client.Sign(req, body, h.AccessKey, h.SecretKey, time.Now())
		var text bytes.Buffer
		require.NoError(t, req.Write(&text))
		return text.Bytes()[:text.Len()-len(body)]
	}
	creation, call := head(h.functions(), body), head(h.function("echo")+"/invocations", event(1))
	for _, c := range []struct {
		name   string
		sent   []byte
		within time.Duration
		says   string // "" when the connection is only closed
	}{
		{"half a head", creation[:len(creation)/2], 15 * time.Second, ""},
		{"half a body", append(creation, body[:len(body)/2]...), 35 * time.Second, "did not arrive in time"},
		{"half an event", append(call, '{'), 35 * time.Second, "did not arrive in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(h.Endpoint, "http://"))
			require.NoError(t, err)
			defer func() { require.NoError(t, conn.Close()) }()
			_, err = conn.Write(c.sent)
			require.NoError(t, err)
			begun := time.Now()
			require.NoError(t, conn.SetReadDeadline(begun.Add(c.within)))
			said, err := io.ReadAll(conn)
			require.NoError(t, err, "not closed in time")
			require.Contains(t, string(said), c.says)
			if c.says != "" {
				require.Contains(t, string(said), "HTTP/1.1 400")
				require.Contains(t, string(said), "FSS.0400")
			}
			t.Logf("answered and closed after %v: %.12q", time.Since(begun).Round(time.Millisecond), said)
			require.False(t, h.names(t)["half"])
		})
	}
}

// endless serves code that never ends.
type endless struct {
	*httptest.Server
	begun chan string // path of each request
	ended chan string
}

func newEndless(t *testing.T) *endless {
	e := &endless{begun: make(chan string, 10), ended: make(chan string, 10)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.begun <- r.URL.Path
		defer func() { e.ended <- r.URL.Path }()
		_, _ = w.Write([]byte("PK\x03\x04"))
		_ = http.NewResponseController(w).Flush()
		switch r.URL.Path {
		case "/stream":
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case "/trickle":
			drip := time.NewTicker(50 * time.Millisecond)
			defer drip.Stop()
			for {
				select {
				case <-drip.C:
					_, _ = w.Write([]byte{0})
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		default: // silence
			<-r.Context().Done()
		}
	}))
	t.Cleanup(e.CloseClientConnections)
	return e
}

// TestEndlessCode has the server pull code from a URL that streams without end, falls silent, or trickles.
func TestEndlessCode(t *testing.T) {
	t.Parallel()
	e := newEndless(t)
	h := start(t, "--allow-private-code-urls", "127.0.0.1")
	before := h.kept(t)
	pull := func(ctx context.Context, path string) (answer, error) {
		r := h.request(function{name: "pulled", runtime: python, source: ""})
		r["code_type"], r["code_url"], r["func_code"] = "obs", e.URL+path, nil
		return h.post(ctx, r)
	}
	for _, c := range []struct {
		path, code string
		status     int
		within     time.Duration
		slow       bool
	}{
		{"/stream", "FSS.1071", http.StatusRequestEntityTooLarge, 20 * time.Second, false},
		{"/silence", "FSS.0503", http.StatusServiceUnavailable, 30 * time.Second, true},
	} {
		t.Run(c.path[1:], func(t *testing.T) {
			if c.slow && testing.Short() {
				t.Skip("takes 20 seconds, which is how long the server waits for a byte")
			}
			begun := time.Now()
			a, err := pull(t.Context(), c.path)
			require.NoError(t, err)
			took := time.Since(begun)
			requireRefused(t, a, c.status, c.code, "")
			require.Less(t, took, c.within)
			require.Equal(t, c.path, <-e.ended)
			require.Empty(t, h.names(t))
			require.Equal(t, before, h.kept(t))
			t.Logf("%s after %v; server at its peak %.0f MiB", a.body, took.Round(time.Millisecond), h.memory(t, "VmHWM"))
		})
	}
	t.Run("trickle, and the client leaves", func(t *testing.T) {
		for len(e.begun) > 0 {
			<-e.begun
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := pull(ctx, "/trickle")
			left <- err
		}()
		require.Equal(t, "/trickle", <-e.begun)
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		require.Eventually(t, func() bool { return len(e.ended) == 1 }, 5*time.Second, 10*time.Millisecond, "the server pulls on for nobody")
		require.Empty(t, h.names(t))
	})
	require.Less(t, h.memory(t, "VmHWM"), 1000.0, "MiB of the server; a pulled package may have 300")
}
