package gateway_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// BenchmarkPass is a POST of 1 KiB to a function that serves HTTP and its answer, all but what runs the function: what is allocated
// is this side's, and of the time two writes and reads are the ends'.
func BenchmarkPass(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer listener.Close()
	payload := strings.Repeat("x", 1024)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 20:41:23 GMT\r\n"+
				"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 1024\r\n\r\n"+payload)
		}
	}()
	_ = faas.Backend(nil)
	_ = invoke.Request{}
	plane := newBench(b, "/gateway")
	plane.runtime, plane.site = "http", &site{address: listener.Addr().String(), quietly: true}
	server := httptest.NewServer(plane)
	defer server.Close()
	request := []byte("POST /gateway/open HTTP/1.1\r\nHost: 127.0.0.1:41329\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + payload)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := make([]byte, 8192)
		for p.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			n := 0
			for {
				k, err := conn.Read(in[n:])
				if err != nil {
					b.Error(err)
					return
				}
				n += k
				if bytes.HasSuffix(in[:n], []byte("xxxx")) && bytes.Contains(in[:n], []byte(payload)) {
					break
				}
			}
		}
	})
	_ = http.MethodPost
}

func echo(conn net.Conn, answer string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := in.Discard(1024); err != nil {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}
