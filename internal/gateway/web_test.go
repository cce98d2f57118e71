package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

const patience = time.Minute

// site is a function that serves HTTP: a server of its own, and what came of its calls.
type site struct {
	address string
	dials   atomic.Int64
	writes  atomic.Int64  // to the function
	failure *faas.Failure // to answer with in place of an exchange
	ends    chan error    // of each exchange, as talk saw it
	heard   chan invoke.Request
	quietly bool // nobody listens at heard and ends
}

func (s *site) ID() string { return "instance-7" }

func (s *site) Dial(ctx context.Context) (net.Conn, error) {
	s.dials.Add(1)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	return counted{conn.(*net.TCPConn), &s.writes}, nil
}

// counted counts what is written in one piece.
type counted struct {
	*net.TCPConn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(p)
}

func (c counted) ReadFrom(r io.Reader) (int64, error) {
	c.writes.Add(1)
	return c.TCPConn.ReadFrom(r)
}

func (s *site) Header() map[string]string {
	return faas.CallHeader("local-1", "p", "default", "f", "latest", 128, 3, "request-1")
}

func (s *site) exchange(ctx context.Context, r invoke.Request, talk func(faas.Backend) error) (*faas.Result, error) {
	if s.quietly {
		return &faas.Result{}, talk(s)
	}
	s.heard <- r
	if s.failure != nil {
		return &faas.Result{Failure: s.failure}, nil
	}
	err := talk(s)
	s.ends <- err
	switch {
	case err == nil:
		return &faas.Result{}, nil
	case ctx.Err() != nil:
		return nil, faas.Errorf(faas.CodeCancelled, "", "the caller went away")
	}
	return &faas.Result{Failure: &faas.Failure{Code: faas.CodeException, Message: "secret of the owner"}}, nil
}

// newSite puts a data plane in front of a function.
func newSite(t *testing.T, h http.HandlerFunc) (front string, s *site) {
	t.Helper()
	back := httptest.NewServer(h)
	t.Cleanup(back.Close)
	return newFront(t, back.Listener.Addr().String())
}

// newFront is newSite for a server that listens already.
func newFront(t *testing.T, address string) (front string, s *site) {
	t.Helper()
	b := newBench(t, "/gateway")
	s = &site{address: address, ends: make(chan error, 100), heard: make(chan invoke.Request, 100)}
	b.runtime, b.site = "http", s
	plane := httptest.NewServer(b)
	t.Cleanup(plane.Close)
	return plane.URL + "/gateway", s
}

func send(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func TestWebPassesThrough(t *testing.T) {
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for name, values := range r.Header {
			w.Header().Add("Got", name+"="+strings.Join(values, "|"))
		}
		w.Header().Set("X-Request-Id", "the function's own")
		w.Header().Set("Link", "</early.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.RequestURI, body)
	})
	host := strings.TrimPrefix(strings.TrimSuffix(front, "/gateway"), "http://")
	resp, text := send(t, "POST", front+"/tree/a%2Fb/c?x=1&x=%20", "words",
		"X-CFF-Request-Id", "forged", "x_cff_project_id", "forged", "X-Forwarded-For", "10.0.0.1", "X-Mine", "kept", "X-Real-IP", "10.0.0.1")
	require.Equal(t, http.StatusTeapot, resp.StatusCode)
	require.Equal(t, "POST "+host+" /tree/a%2Fb/c?x=1&x=%20 words", text)
	got := strings.Join(resp.Header["Got"], "\n")
	require.Contains(t, got, "X-Cff-Request-Id=request-1")
	require.Contains(t, got, "X-Cff-Project-Id=p")
	require.Contains(t, got, "X-Mine=kept")
	require.Contains(t, got, "X-Forwarded-For=127.0.0.1")
	require.Contains(t, got, "X-Real-Ip=127.0.0.1")
	require.NotContains(t, got, "forged")
	require.NotContains(t, got, "10.0.0.1")
	require.Len(t, resp.Header["X-Request-Id"], 1)
	require.Equal(t, (<-s.heard).Call.ID, resp.Header.Get("X-Request-Id"))
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "sandbox", "an early hint takes nothing away")

	for range 10 {
		_, text = send(t, "GET", front+"/open", "")
		require.Equal(t, "GET "+host+" /open ", text)
	}
	require.EqualValues(t, 1, s.dials.Load(), "connections are kept")
}

// TestWebWritesOnce sends a small request to the function in one piece: each further one wakes it in vain.
func TestWebWritesOnce(t *testing.T) {
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	for i, body := range []string{"", "words", strings.Repeat("long ", 200)} {
		_, text := send(t, "POST", front+"/open", body)
		require.Equal(t, body, text)
		require.EqualValues(t, i+1, s.writes.Load())
	}
}

func TestWebAuthAndLimits(t *testing.T) {
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, r.Header["X-Auth-Token"], r.Header["Authorization"], r.Header["X-Apig-Appcode"])
	})
	resp, _ := send(t, "GET", front+"/iam", "")
	require.Equal(t, 401, resp.StatusCode)
	resp, text := send(t, "GET", front+"/iam", "", "X-Auth-Token", "good", "Authorization", "secret")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "0 [] [] []", text)
	_, text = send(t, "GET", front+"/app", "", "X-Apig-AppCode", appCode)
	require.Equal(t, "0 [] [] []", text)

	_, text = send(t, "PUT", front+"/open", strings.Repeat("x", 6<<20))
	require.Equal(t, "6291456 [] [] []", text)
	resp, text = send(t, "PUT", front+"/open", strings.Repeat("x", 6<<20+1))
	require.Equal(t, 413, resp.StatusCode)
	require.Contains(t, text, "over 6291456 bytes")

	resp, text = send(t, "GET", front+"/later", "")
	require.Equal(t, 202, resp.StatusCode, "a later call is an event: %s", text)
	s.failure = &faas.Failure{Code: faas.CodeTimeout, Message: "secret of the owner"}
	resp, text = send(t, "GET", front+"/open", "")
	require.Equal(t, 500, resp.StatusCode)
	require.Contains(t, text, "APIG.0202")
	require.NotContains(t, text, "secret")
}

// TestWebStreams reads the first piece of an answer while the function waits for the reader to have it.
func TestWebStreams(t *testing.T) {
	more := make(chan struct{})
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-more:
			fmt.Fprintln(w, "second")
		case <-r.Context().Done():
		}
	})
	resp, err := http.Get(front + "/open")
	require.NoError(t, err)
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "first", lines.Text())
	close(more)
	require.True(t, lines.Scan())
	require.Equal(t, "second", lines.Text())
	require.NoError(t, resp.Body.Close())
	require.NoError(t, <-s.ends)
}

// TestWebHeaderGoesAhead gives the client the header of an answer whose body is not there yet.
func TestWebHeaderGoesAhead(t *testing.T) {
	more := make(chan struct{})
	front, _ := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-more
		fmt.Fprint(w, "late")
	})
	resp, err := http.Get(front + "/open")
	close(more)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "late", string(text))
	require.NoError(t, resp.Body.Close())
}

// TestWebClientGone shows that a client's going reaches the function, before its answer has begun and after.
func TestWebClientGone(t *testing.T) {
	told, came := make(chan struct{}, 1), make(chan struct{}, 1)
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_ = http.NewResponseController(w).Flush()
		}
		came <- struct{}{}
		<-r.Context().Done()
		told <- struct{}{}
	})
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, method, front+"/open", nil)
		require.NoError(t, err)
		go func() {
			<-came
			cancel()
		}()
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		require.ErrorIs(t, err, context.Canceled)
		select {
		case <-told:
		case <-time.After(patience):
			t.Fatal("the function was not told")
		}
		require.Error(t, <-s.ends)
	}
}

// TestWebBreaksOff shows that half an answer does not look like a whole one, and that none is an error.
func TestWebBreaksOff(t *testing.T) {
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	r, err := http.NewRequest(http.MethodPut, front+"/open", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.Error(t, err)
	require.Equal(t, "half", string(text))
	require.NoError(t, resp.Body.Close())
	require.Error(t, <-s.ends)

	resp, body := send(t, "POST", front+"/open", "words")
	require.Equal(t, 500, resp.StatusCode)
	require.Contains(t, body, "APIG.0202")
	require.Error(t, <-s.ends)

	resp, body = send(t, "GET", front+"/open", "")
	require.Equal(t, 500, resp.StatusCode, body)
}

// TestWebTimeout holds a route's time to the beginning of an answer.
func TestWebTimeout(t *testing.T) {
	front, s := newSite(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	resp, text := send(t, "GET", front+"/hurry", "")
	require.Equal(t, 504, resp.StatusCode)
	require.Contains(t, text, "APIG.0203")
	require.Error(t, <-s.ends)
}

func TestWebSocket(t *testing.T) {
	closed := make(chan error, 10)
	front, s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			closed <- err
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if err != nil {
				closed <- err
				return
			}
			if err := c.WriteMessage(kind, append([]byte(r.Header.Get("X-Cff-Request-Id")+" "), message...)); err != nil {
				closed <- err
				return
			}
		}
	})
	address := "ws" + strings.TrimPrefix(front, "http") + "/open"
	talk := func() *websocket.Conn {
		c, _, err := websocket.DefaultDialer.DialContext(t.Context(), address, nil)
		require.NoError(t, err)
		for _, m := range []string{"one", strings.Repeat("long ", 20_000)} {
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(m)))
			_, answer, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "request-1 "+m, string(answer))
		}
		return c
	}
	c := talk()
	require.NoError(t, c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	_, _, err := c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), "%v", err)
	require.NoError(t, c.Close())
	require.NoError(t, <-s.ends)
	require.True(t, websocket.IsCloseError(<-closed, websocket.CloseNormalClosure))

	require.NoError(t, talk().Close(), "without a word")
	select {
	case err := <-closed:
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF) || websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%v", err)
	case <-time.After(patience):
		t.Fatal("the function was not told")
	}
	require.NoError(t, <-s.ends, "a client that goes is nobody's failure")

	resp, body := send(t, "GET", front+"/open", "", "Connection", "Upgrade", "Upgrade", "websocket")
	require.Equal(t, 400, resp.StatusCode, "the function itself refuses a bad handshake: %s", body)
}
