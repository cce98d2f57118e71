package httpkit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener of in-memory connections, so that a stall costs no real time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// serve runs a mux on a server of ours for the length of a synctest bubble.
func serve(t *testing.T, h http.Handler) (dial func() net.Conn, stop func()) {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := NewServer(h, slog.New(slog.DiscardHandler))
	down := make(chan struct{})
	go func() {
		defer close(down)
		_ = server.Serve(Guard(l, time.Minute))
	}()
	dial = func() net.Conn {
		near, far := net.Pipe()
		l.conns <- far
		return near
	}
	return dial, func() {
		require.NoError(t, server.Close())
		<-down
	}
}

func status(t *testing.T, c net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

const head = "POST /echo HTTP/1.1\r\nHost: h\r\nX-Test-User: ada\r\n"

func TestBodyThatStalls(t *testing.T) {
	for name, opening := range map[string]string{
		"nothing of it": head + "Content-Length: 10\r\n\r\n", "a part": head + "Content-Length: 10\r\n\r\nabc",
		"chunks": head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", Handle: echo})
			dial, stop := serve(t, m)
			defer stop()
			c, start := dial(), time.Now()
			defer c.Close()
			_, err := io.WriteString(c, opening)
			require.NoError(t, err)
			require.Equal(t, 400, status(t, c), name)
			require.Equal(t, 30*time.Second, time.Since(start), name)
			require.Zero(t, m.held.Load())
		})
	}
}

func TestBodyThatDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", Handle: echo})
		dial, stop := serve(t, m)
		defer stop()
		c, start := dial(), time.Now()
		defer c.Close()
		_, err := io.WriteString(c, head+"Content-Length: 1000\r\n\r\n")
		require.NoError(t, err)
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for {
				time.Sleep(20 * time.Second)
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
			}
		})
		require.Equal(t, 400, status(t, c))
		require.Equal(t, 5*time.Minute, time.Since(start))
		c.Close()
		dripping.Wait()
	})
}

// A slow body that keeps coming is taken, and its handler may then work for longer than any deadline.
func TestBodyThatIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", Handle: func(w http.ResponseWriter, r *http.Request) error {
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
				return r.Context().Err()
			}
			return echo(w, r)
		}})
		dial, stop := serve(t, m)
		defer stop()
		c := dial()
		defer c.Close()
		_, err := io.WriteString(c, head+"Content-Length: 5\r\n\r\n")
		require.NoError(t, err)
		for range 5 {
			time.Sleep(25 * time.Second)
			_, err := io.WriteString(c, "x")
			require.NoError(t, err)
		}
		require.Equal(t, 200, status(t, c))
		_, err = io.WriteString(c, head+"Content-Length: 1\r\n\r\nx")
		require.NoError(t, err, "the connection is good for more")
		require.Equal(t, 200, status(t, c))
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", Handle: func(w http.ResponseWriter, _ *http.Request) error {
			defer close(ended)
			WriteBytes(w, 200, "text/plain", make([]byte, 1<<20))
			return nil
		}})
		dial, stop := serve(t, m)
		defer stop()
		c, start := dial(), time.Now()
		defer c.Close()
		_, err := io.WriteString(c, head+"\r\n")
		require.NoError(t, err)
		<-ended
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestBodySizes(t *testing.T) {
	m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", MaxBody: 200_000, Handle: func(w http.ResponseWriter, r *http.Request) error {
		WriteBytes(w, 200, "text/plain", BodyOf(r.Context()))
		return nil
	}})
	s := httptest.NewServer(m)
	defer s.Close()
	for _, size := range []int{0, 1, 1000, firstRead, firstRead + 1, 199_999, 200_000, 200_001, 10_000_000} {
		body := bytes.Repeat([]byte("x"), size)
		for _, chunked := range []bool{false, true} {
			var src io.Reader = bytes.NewReader(body)
			if chunked {
				src = io.MultiReader(src)
			}
			r, err := http.NewRequest("POST", s.URL+"/echo", src)
			require.NoError(t, err)
			r.Header.Set("X-Test-User", "ada")
			resp, err := s.Client().Do(r)
			require.NoError(t, err, "%d %v", size, chunked)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			if size > 200_000 {
				require.Equal(t, 413, resp.StatusCode, "%d %v", size, chunked)
				continue
			}
			require.Equal(t, 200, resp.StatusCode, "%d %v", size, chunked)
			require.True(t, bytes.Equal(body, got), "%d %v", size, chunked)
		}
	}
	require.Eventually(t, func() bool { return m.held.Load() == 0 }, time.Second, time.Millisecond)
}

// countingBody says how much was asked of it.
type countingBody struct {
	io.Reader
	read int
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}
func (c *countingBody) Close() error { return nil }

func TestOversizedBodyIsNotRead(t *testing.T) {
	m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", MaxBody: 100, Handle: echo})
	for length, most := range map[int64]int{1000: 0, -1: 101} {
		body := &countingBody{Reader: strings.NewReader(strings.Repeat("x", 1000))}
		r := httptest.NewRequest("POST", "/echo", nil)
		r.Header.Set("X-Test-User", "ada")
		r.Body, r.ContentLength = body, length
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		require.Equal(t, 413, w.Code)
		require.Contains(t, w.Body.String(), "over 100 bytes")
		require.LessOrEqual(t, body.read, most)
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	m := testMux(t, MuxConfig{}, Route{Method: "POST", Path: "/echo", Handle: echo})
	r := httptest.NewRequest("POST", "/echo", strings.NewReader("abc"))
	r.ContentLength = 10
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "broke off")
}

func TestBodiesShareABudget(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	m := testMux(t, MuxConfig{MaxBodiesBytes: 1000}, Route{Method: "POST", Path: "/echo", Handle: func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-Wait") != "" {
			inside <- struct{}{}
			<-leave
		}
		return echo(w, r)
	}})
	first := make(chan int)
	go func() {
		r := httptest.NewRequest("POST", "/echo", strings.NewReader(strings.Repeat("x", 900)))
		r.Header.Set("X-Test-User", "ada")
		r.Header.Set("X-Wait", "1")
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		first <- w.Code
	}()
	<-inside
	require.Equal(t, 429, ask(m, "POST", "/echo", strings.Repeat("x", 101)).Code)
	require.Equal(t, 200, ask(m, "POST", "/echo", strings.Repeat("x", 100)).Code)
	close(leave)
	require.Equal(t, 200, <-first)
	require.Equal(t, 200, ask(m, "POST", "/echo", strings.Repeat("x", 1000)).Code)
	require.Zero(t, m.held.Load())
}

func TestServerBoundsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := testMux(t, MuxConfig{}, Route{Method: "GET", Path: "/", Open: true, Handle: echo})
		dial, stop := serve(t, m)
		defer stop()
		big := dial()
		defer big.Close()
		go func() {
			_, _ = fmt.Fprintf(big, "GET / HTTP/1.1\r\nHost: h\r\nX-A: %s\r\n\r\n", strings.Repeat("a", 80<<10))
		}()
		require.Equal(t, 431, status(t, big))
		slow, start := dial(), time.Now()
		defer slow.Close()
		_, err := io.WriteString(slow, "GET / HTTP/1.1\r\n")
		require.NoError(t, err)
		_, err = slow.Read(make([]byte, 1))
		require.Error(t, err)
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}
