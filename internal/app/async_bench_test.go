package app

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/config"
)

// BenchmarkAccept measures AsyncInvokeFunction by 64 callers with a 1 KB event, client included, over loopback. It is for profiles; `make
// bench` is for figures.
func BenchmarkAccept(b *testing.B) {
	cfg := config.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Path = "127.0.0.1:0", filepath.Join(b.TempDir(), "data"), os.Getenv("PATH")
	s, err := New(b.Context(), cfg, "bench", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil && strings.Contains(err.Error(), "make build") {
		b.Skip(err)
	}
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); require.NoError(b, <-done) }()
	at, err := url.Parse(s.admin.Endpoint)
	require.NoError(b, err)

	head := func(method, path, more string, body string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", method, path, at.Host, more, len(body), body)
	}
	once := func(request string) (*http.Response, string) {
		conn, err := net.Dial("tcp", at.Host)
		require.NoError(b, err)
		defer conn.Close()
		_, err = io.WriteString(conn, request)
		require.NoError(b, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(b, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(b, err)
		require.Equal(b, 2, resp.StatusCode/100, string(text))
		return resp, string(text)
	}
	resp, _ := once(head("POST", "/v3/auth/tokens", "", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q,"domain":{"name":%q}}}},"scope":{"project":{"id":%q}}}}`,
		s.admin.User, s.admin.Password, s.admin.Domain, s.admin.ProjectID)))
	token := "X-Auth-Token: " + resp.Header.Get("X-Subject-Token") + "\r\n"
	source := base64.StdEncoding.EncodeToString([]byte("import time\ndef handler(event, context):\n    time.sleep(20)\n"))
	functions := "/v2/" + s.admin.ProjectID + "/fgs/functions"
	_, text := once(head("POST", functions, token, fmt.Sprintf(`{"func_name":"held","package":"default","runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":30,"code_type":"inline","func_code":{"file":%q}}`, source)))
	urn := text[strings.Index(text, `"urn:fss`)+1:]
	urn = urn[:strings.Index(urn, `"`)]
	once(head("PUT", functions+"/"+urn+"/config-max-instance", token, `{"max_instance_num":1}`))
	request := []byte(head("POST", functions+"/"+urn+"/invocations-async", token, fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1000))))
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		answer := make([]byte, 4096)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if n, err := conn.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 202") {
				b.Errorf("%v %s", err, answer[:n])
				return
			}
		}
	})
}
