package pool_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang/langtest"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/test/need"
)

// executable makes a function of the example that langtest has for a runtime.
func (h *house) executable(t *testing.T, runtime string) *faas.Function {
	t.Helper()
	f := h.function(t, "")
	f.Spec.Runtime, f.Spec.Handler = runtime, "bootstrap"
	if runtime == "Go1.x" {
		f.Spec.Handler = "main"
	}
	require.NoError(t, os.WriteFile(filepath.Join(h.dir, f.ID, f.Spec.Handler), langtest.Executable(t), 0o755))
	return f
}

// site is a client of a function that serves HTTP: it keeps connections by instance, as the data plane does.
type site struct {
	h         *house
	f         *faas.Function
	transport *http.Transport
	dials     chan struct{} // one for each

	mu       sync.Mutex
	backends map[string]faas.Backend
}

func newSite(t *testing.T, h *house) *site {
	s := &site{h: h, f: h.executable(t, "http"), backends: map[string]faas.Backend{}, dials: make(chan struct{}, 1000)}
	s.transport = &http.Transport{MaxIdleConnsPerHost: 10, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		b := s.backends[host]
		s.mu.Unlock()
		s.dials <- struct{}{}
		return b.Dial(ctx)
	}}
	t.Cleanup(s.transport.CloseIdleConnections)
	return s
}

// exchange has talk make requests to the function.
func (s *site) exchange(ctx context.Context, talk func(get func(path, body string) (*http.Response, error)) error) (*faas.Result, error) {
	call := faas.Invocation{ID: "request-1", QueueBy: time.Now().Add(30 * time.Second), Deadline: time.Now().Add(33*time.Second + s.f.Spec.Timeout)}
	return s.h.Exchange(ctx, s.f, call, func(b faas.Backend) error {
		s.mu.Lock()
		s.backends[b.ID()] = b
		s.mu.Unlock()
		return talk(func(path, body string) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.ID()+path, strings.NewReader(body))
			if err != nil {
				return nil, err
			}
			for name, value := range b.Header() {
				req.Header.Set(name, value)
			}
			return s.transport.RoundTrip(req)
		})
	})
}

// fetch is an exchange of one request; the answer is the body.
func (s *site) fetch(ctx context.Context, path, body string) (answer string, res *faas.Result, err error) {
	res, err = s.exchange(ctx, func(get func(path, body string) (*http.Response, error)) error {
		r, err := get(path, body)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		answer = string(text)
		return err
	})
	return answer, res, err
}

func TestExchange(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.Region = "home" })
	s := newSite(t, h)
	answer, res, err := s.fetch(t.Context(), "/", `{"Do":"header"}`)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	require.True(t, res.Cold)
	require.Positive(t, res.Init)
	var header http.Header
	require.NoError(t, json.Unmarshal([]byte(answer), &header))
	require.Equal(t, []string{"request-1", "128", "3", "latest", s.f.Name, "p", "default", "home"}, []string{
		header.Get("X-CFF-Request-Id"), header.Get("X-CFF-Memory"), header.Get("X-CFF-Timeout"), header.Get("X-CFF-Func-Version"),
		header.Get("X-CFF-Func-Name"), header.Get("X-CFF-Project-Id"), header.Get("X-CFF-Package"), header.Get("X-CFF-Region")})

	answer, res, err = s.fetch(t.Context(), "/", `{"Do":"print"}`)
	require.NoError(t, err)
	require.Equal(t, "null", answer)
	require.False(t, res.Cold)
	require.Positive(t, res.MemoryPeak)
	require.Len(t, res.Logs, 3)
	require.Len(t, s.dials, 1, "the connection was not kept")

	require.Contains(t, string(h.call(t, s.f, `"an event"`).Output), "an event", "the same instance takes events too")
	_, res, err = s.fetch(t.Context(), "/", `1`)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	require.Len(t, s.dials, 1)
}

// A stream comes as it is written: what follows the first part is written only when that has come.
func TestExchangeStreams(t *testing.T) {
	s := newSite(t, newHouse(t, nil))
	_, err := s.exchange(t.Context(), func(get func(path, body string) (*http.Response, error)) error {
		r, err := get("/stream", "")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		lines := bufio.NewReader(r.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			if err != nil || line != fmt.Sprintf("part %d\n", i) {
				return fmt.Errorf("%q %w", line, err)
			}
			if i < 2 {
				other, err := get("/next", "") // at the same time, over a connection of its own
				if err != nil {
					return err
				}
				other.Body.Close()
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Len(t, s.dials, 2)
}

func TestExchangeUpgrades(t *testing.T) {
	s := newSite(t, newHouse(t, nil))
	res, err := s.exchange(t.Context(), func(get func(path, body string) (*http.Response, error)) error {
		r, err := get("/upgrade", "")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		both, ok := r.Body.(io.ReadWriter)
		if r.StatusCode != http.StatusSwitchingProtocols || !ok {
			return fmt.Errorf("status %d", r.StatusCode)
		}
		for _, word := range []string{"one\n", "two\n"} {
			if _, err := io.WriteString(both, word); err != nil {
				return err
			}
			back := make([]byte, len(word))
			if _, err := io.ReadFull(both, back); err != nil || string(back) != word {
				return fmt.Errorf("%q %w", back, err)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Nil(t, res.Failure)
}

func TestExchangeFails(t *testing.T) {
	h := newHouse(t, nil)
	s := newSite(t, h)
	failure := func(path, body string) *faas.Failure {
		t.Helper()
		_, res, err := s.fetch(t.Context(), path, body)
		require.NoError(t, err)
		require.NotNil(t, res.Failure, "%s %s", path, body)
		return res.Failure
	}
	require.Equal(t, faas.CodeExit, failure("/", `{"Do":"exit","N":3}`).Code)
	require.Equal(t, faas.CodeExit, failure("/", `{"Do":"kill"}`).Code)
	require.Equal(t, faas.CodeMemory, failure("/", `{"Do":"alloc","N":1000}`).Code)
	f := failure("/abort", "")
	require.Equal(t, faas.CodeException, f.Code)
	require.Equal(t, "ConnectionError", f.Type)
	began := time.Now()
	require.Equal(t, faas.CodeTimeout, failure("/", `{"Do":"sleep","N":60000}`).Code)
	require.Less(t, time.Since(began), 10*time.Second)
	_, res, err := s.fetch(t.Context(), "/", `1`)
	require.NoError(t, err)
	require.Nil(t, res.Failure, "the next instance serves")

	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(100*time.Millisecond, cancel)
	defer stop.Stop()
	_, _, err = s.fetch(ctx, "/", `{"Do":"sleep","N":500}`)
	require.Equal(t, faas.CodeCancelled, faas.CodeOf(err))
	_, res, err = s.fetch(t.Context(), "/", `1`)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	require.False(t, res.Cold, "a caller who goes away ends no instance")

	_, err = h.Exchange(t.Context(), h.function(t, echo), faas.Invocation{}, func(faas.Backend) error { return errors.New("never") })
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err))
}

// What was dialled ends with its instance, whoever keeps it.
func TestConnectionsEndWithTheirInstance(t *testing.T) {
	h := newHouse(t, nil)
	s := newSite(t, h)
	var kept net.Conn
	call := faas.Invocation{ID: "r", QueueBy: time.Now().Add(30 * time.Second), Deadline: time.Now().Add(time.Minute)}
	var backend faas.Backend
	_, err := h.Exchange(t.Context(), s.f, call, func(b faas.Backend) (err error) {
		backend = b
		kept, err = b.Dial(t.Context())
		return err
	})
	require.NoError(t, err)
	h.FunctionChanged(s.f.Key())
	_ = kept.SetDeadline(time.Now().Add(10 * time.Second)) // fails when it is closed by now
	_, err = kept.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = backend.Dial(t.Context())
	require.Error(t, err)
}

// Whatever an executable does to its own process, the reason is told and the next call is served.
func TestExecutablesEnd(t *testing.T) {
	h := newHouse(t, nil)
	for _, runtime := range []string{"Go1.x", "Custom", "http"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			f := h.executable(t, runtime)
			for _, c := range []struct {
				event string
				code  faas.Code
				says  string
			}{
				{`{"Do":"exit","N":3}`, faas.CodeExit, "exited with code 3"},
				{`{"Do":"kill"}`, faas.CodeExit, "ended by a signal: killed"},
				{`{"Do":"alloc","N":1000}`, faas.CodeMemory, "128 MB"},
				{`{"Do":"sleep","N":60000}`, faas.CodeTimeout, "within 3 seconds"},
			} {
				res := h.call(t, f, c.event)
				if c.event == `{"Do":"kill"}` && runtime == "Go1.x" {
					require.Nil(t, res.Failure, "the first process of a sandbox lives on when it kills itself")
					continue
				}
				require.NotNil(t, res.Failure, c.event)
				require.Equal(t, c.code, res.Failure.Code, "%s: %+v", c.event, res.Failure)
				require.Contains(t, res.Failure.Message, c.says)
				require.Nil(t, h.call(t, f, `1`).Failure)
			}
			other := h.executable(t, runtime)
			require.NoError(t, os.Remove(filepath.Join(h.dir, other.ID, other.Spec.Handler)))
			res := h.call(t, other, `1`)
			require.Equal(t, faas.CodeLoad, res.Failure.Code)
		})
	}
}

// The worker shares its user with the function, which must not be able to look into it, or to take its control socket.
func TestExecutablesCannotReachTheirWorker(t *testing.T) {
	h := newHouse(t, nil)
	for _, runtime := range []string{"Go1.x", "Custom", "http"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			f := h.executable(t, runtime)
			output := func(event string) string {
				res := h.call(t, f, event)
				require.Nil(t, res.Failure, "%s: %+v", event, res.Failure)
				if runtime != "http" {
					return string(res.Output)
				}
				var answer struct{ Body string }
				require.NoError(t, json.Unmarshal(res.Output, &answer))
				return answer.Body
			}
			works := map[string]bool{}
			require.NoError(t, json.Unmarshal([]byte(output(`{"Do":"parent"}`)), &works))
			require.Len(t, works, 6)
			for what, possible := range works {
				require.False(t, possible, what)
			}
			require.JSONEq(t, `[]`, output(`{"Do":"descriptors"}`))
			if runtime == "Go1.x" {
				return // it is the first process, and has no worker to send signals to
			}
			output(`{"Do":"signals"}`)
			require.False(t, h.call(t, f, `1`).Cold, "signals ended the worker")
		})
	}
}

// TestExchangeThaws talks to an instance that has been frozen: over a connection that was kept, and over a new one.
func TestExchangeThaws(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.FreezeAfter = 20 * time.Millisecond })
	if !h.driver.Capabilities().Freeze {
		need.Skip(t, "this host has no cgroup tree to freeze in")
	}
	s := newSite(t, h)
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		answer, res, err := s.fetch(ctx, "/", `1`)
		cancel()
		require.NoError(t, err)
		require.Equal(t, "1", answer)
		require.Nil(t, res.Failure)
		require.Equal(t, i == 0, res.Cold)
		if i == 1 {
			s.transport.CloseIdleConnections()
		}
		<-time.After(1500 * time.Millisecond) // time itself must pass: the instance idles
	}
	require.Len(t, s.dials, 2)
}
