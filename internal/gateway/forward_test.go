package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both are two Connection headers that say the same. The second names a header that nobody sends, and so takes the way of requests that
// say more about their connection.
var both = [2]string{"keep-alive", "keep-alive, X-Nobody"}

// TestPlainRequestsAreLikeOthers holds the short way of a request to the long one, by httputil.ReverseProxy: the function sees the same.
func TestPlainRequestsAreLikeOthers(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"query":     "GET /gateway/open?x=1&x=%20&y HTTP/1.1\r\nHost: a.example:80\r\n",
		"bare":      "GET /gateway/open? HTTP/1.1\r\nHost: a.example\r\n",
		"ambiguous": "GET /gateway/open?a=1;b=2&c=%zz&d=3 HTTP/1.1\r\nHost: a.example\r\n",
		"head":      "HEAD /gateway/open HTTP/1.1\r\nHost: a.example\r\n",
		"delete":    "DELETE /gateway/open HTTP/1.1\r\nHost: a.example\r\n",
		"escaped":   "POST /gateway/tree/a%2Fb/%E4%BD%A0/c%20d HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n",
		"chunked":   "POST /gateway/open HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n",
		"empty":     "POST /gateway/open HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n",
		"absolute":  "GET http://a.example/gateway/open HTTP/1.1\r\nHost: other.example\r\n",
		"headers": "GET /gateway/open HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nx-one: 2\r\nCookie: a=1; b=2\r\nUser-Agent: me\r\nAccept-Encoding: gzip\r\n" +
			"X-Empty:\r\nX-Wide: \u4f60\r\n",
		"forged": "GET /gateway/open HTTP/1.1\r\nHost: a.example\r\nX-CFF-Request-Id: forged\r\nx_cff-memory: forged\r\nX-Forwarded-For: 10.0.0.1\r\n" +
			"X-Forwarded-Host: forged\r\nX-Forwarded-Proto: forged\r\nForwarded: for=forged\r\nX-Real-Ip: forged\r\nX-Request-Id: forged\r\n",
		"hops": "GET /gateway/open HTTP/1.1\r\nHost: a.example\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\n" +
			"Proxy-Authenticate: x\r\n",
		"trailers": "GET /gateway/open HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\n",
		"expects":  "POST /gateway/open HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen [2]string
			for i, connection := range both {
				body := ""
				if strings.Contains(request, "chunked") {
					body = "5\r\nwords\r\n0\r\n\r\n"
				} else if strings.Contains(request, "Length: 5") {
					body = "words"
				}
				seen[i], _ = exchanged(t, request+"Connection: "+connection+"\r\n\r\n"+body, fine)
			}
			require.Equal(t, seen[1], seen[0])
			require.NotContains(t, seen[0], "forged")
			require.NotContains(t, seen[0], "secret")
		})
	}
}

// TestPlainAnswersAreLikeOthers is alike for what the client sees.
func TestPlainAnswersAreLikeOthers(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"length":      ok + "Content-Type: a/b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 4\r\n\r\nfine",
		"untyped":     ok + "Content-Length: 4\r\n\r\nfine",
		"nothing":     ok + "Content-Length: 0\r\n\r\n",
		"chunked":     ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n",
		"until end":   ok + "Content-Type: text/plain\r\n\r\nfine",
		"announced":   ok + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nX-Sum: 1\r\n\r\n",
		"unannounced": ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nX-Sum: 1\r\n\r\n",
		"only trails": ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
		"hops":        ok + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nfine",
		"own":         ok + "X-Request-Id: own\r\nContent-Security-Policy: default-src 'self'\r\nContent-Length: 4\r\n\r\nfine",
		"none":        "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
		"unchanged":   "HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 4\r\n\r\n",
		"early":       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + fine,
		"processing":  "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + fine,
		"old":         "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
		"failure":     "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nfine",
		"short":       ok + "Content-Length: 5\r\n\r\nfine",
		"no HTTP":     "hello\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"GET", "HEAD"} {
				var got [2]string
				for i, connection := range both {
					_, got[i] = exchanged(t, method+" /gateway/open HTTP/1.1\r\nHost: a.example\r\nConnection: "+connection+"\r\n\r\n", answer)
				}
				require.Equal(t, got[1], got[0], method)
			}
		})
	}
}

// exchanged sends a request to a function that has one answer, and gives what it saw and what the client got.
func exchanged(t *testing.T, request, answer string) (seen, got string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	saw := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		saw <- readText(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, answer)
	}()
	front, s := newFront(t, listener.Addr().String())
	s.quietly = true
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(front, "/gateway"), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	in := bufio.NewReader(conn)
	for status := 100; status < 200; {
		r, err := http.ReadResponse(in, &http.Request{Method: method})
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		status = r.StatusCode
		if status == http.StatusInternalServerError && len(body) > 4 {
			body = body[:40] // a message of ours names the request
		}
		r.Header.Del("Date")
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") && !strings.Contains(answer, "Content-Type") && !strings.Contains(request, both[0]+"\r\n") {
			r.Header.Del("Content-Type") // ReverseProxy has net/http guess one, or not, as it comes; what is refused is told in JSON
		}
		if r.Header.Get("X-Request-Id") != "" {
			r.Header.Set("X-Request-Id", fmt.Sprint(len(r.Header["X-Request-Id"]), len(r.Header.Get("X-Request-Id"))))
		}
		got += fmt.Sprintln(r.Status, r.ContentLength, r.TransferEncoding, r.Close, r.Header, string(body), err, r.Trailer)
	}
	return <-saw, got
}

// readText reads a request as it stands on the wire, but for the order of its header and what changes from one to the next.
func readText(in *bufio.Reader) string {
	text := textproto.NewReader(in)
	first, err := text.ReadLine()
	if err != nil {
		return err.Error()
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return err.Error()
	}
	if header.Get("X-Request-Id") != "" {
		header.Set("X-Request-Id", fmt.Sprint(len(header["X-Request-Id"]), len(header.Get("X-Request-Id"))))
	}
	all := []string{first}
	for name, values := range header {
		all = append(all, fmt.Sprintf("%s: %q", name, values))
	}
	slices.Sort(all[1:])
	if header.Get("Content-Length") == "5" {
		body := make([]byte, 5)
		_, err = io.ReadFull(in, body)
		all = append(all, string(body), fmt.Sprint(err))
	}
	return strings.Join(all, "\n")
}
