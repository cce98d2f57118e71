package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// script is a server that answers as told: for each connection, the answers to its requests. It closes a connection that has none left.
func script(t *testing.T, connections ...[]string) (address string, requests chan string, closed chan int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	requests, closed = make(chan string, 100), make(chan int, 100)
	go func() {
		for i, answers := range connections {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for _, answer := range answers {
					r, err := http.ReadRequest(in)
					if err != nil {
						break
					}
					_, _ = io.Copy(io.Discard, r.Body)
					requests <- fmt.Sprint(i, " ", r.Method)
					if answer == "" {
						return
					}
					_, _ = io.WriteString(conn, answer)
					if strings.Contains(answer, "Connection: close") {
						return
					}
				}
				_, _ = in.ReadByte()
				closed <- i
			}()
		}
	}()
	return listener.Addr().String(), requests, closed
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"

// TestConnectionsEnd has servers end connections that are kept. What may be made again is made again over a new one; what may not have been
// made once only is told to have failed.
func TestConnectionsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		status int
		seen   []string
	}{
		"a GET is made again":      {"GET", 200, []string{"0 GET", "0 GET", "1 GET"}},
		"a POST is not":            {"POST", 500, []string{"0 POST", "0 POST"}},
		"a GET with a body is not": {"GET body", 500, []string{"0 GET", "0 GET"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, body, _ := strings.Cut(c.method, " ")
			address, requests, _ := script(t, []string{fine, ""}, []string{fine})
			front, _ := newFront(t, address)
			resp, _ := send(t, method, front+"/open", body)
			require.Equal(t, 200, resp.StatusCode)
			resp, _ = send(t, method, front+"/open", body)
			require.Equal(t, c.status, resp.StatusCode)
			var seen []string
			for range c.seen {
				seen = append(seen, <-requests)
			}
			require.Equal(t, c.seen, seen)
			require.Empty(t, requests)
		})
	}
}

// TestConnectionsAreLeft holds that a connection makes no second request when its server says so, or when it is not clean.
func TestConnectionsAreLeft(t *testing.T) {
	for name, answer := range map[string]string{
		"the server closes it":      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine",
		"more comes than an answer": fine + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
		"an answer up to the end":   "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nfine",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests, _ := script(t, []string{answer, ""}, []string{fine})
			front, s := newFront(t, address)
			for range 2 {
				resp, text := send(t, "POST", front+"/open", "x")
				require.Equal(t, 200, resp.StatusCode)
				require.Equal(t, "fine", text)
			}
			require.Equal(t, []string{"0 POST", "1 POST"}, []string{<-requests, <-requests})
			require.EqualValues(t, 2, s.dials.Load())
		})
	}
}

// TestConnectionsExpire holds that an idle connection goes by itself.
func TestConnectionsExpire(t *testing.T) {
	t.Parallel()
	address, _, closed := script(t, []string{fine})
	front, _ := newFront(t, address)
	resp, _ := send(t, "GET", front+"/open", "")
	require.Equal(t, 200, resp.StatusCode)
	require.Zero(t, <-closed)
}

// TestAnswersAreBounded has functions answer with what would take the server's memory.
func TestAnswersAreBounded(t *testing.T) {
	hints := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 50_000)
	for name, answer := range map[string]string{
		"a header without end":    "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2<<20) + "\r\n\r\n",
		"headers without end":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 2000) + "\r\n",
		"early hints without end": hints,
		"an upgrade unasked":      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		"no HTTP":                 "hello\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _, _ := script(t, []string{answer})
			front, s := newFront(t, address)
			r, err := http.NewRequestWithContext(t.Context(), "GET", front+"/open", nil)
			require.NoError(t, err)
			resp, err := (&http.Transport{MaxResponseHeaderBytes: 16 << 20}).RoundTrip(r)
			if err == nil {
				resp.Body.Close()
				require.Equal(t, 500, resp.StatusCode)
			}
			require.Error(t, <-s.ends)
		})
	}
}
