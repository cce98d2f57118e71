package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/config"
)

// BenchmarkWarmInvoke measures InvokeFunction of a warm Python echo function with a 1 KB event, client included, over
// loopback. It is for profiles; `make bench` is for figures.
func BenchmarkWarmInvoke(b *testing.B) {
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

	post := func(path string, body []byte) (int, []byte) {
		req, err := http.NewRequest(http.MethodPost, s.admin.Endpoint+path, bytes.NewReader(body))
		require.NoError(b, err)
		req.Header.Set("Content-Type", "application/json")
		client.Sign(req, body, s.admin.AccessKey, s.admin.SecretKey, time.Now())
		resp, err := http.DefaultClient.Do(req)
		require.NoError(b, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(b, err)
		return resp.StatusCode, answer
	}
	source := base64.StdEncoding.EncodeToString([]byte("def handler(event, context):\n    return event\n"))
	create, err := json.Marshal(map[string]any{
		"func_name": "echo", "package": "default", "runtime": "Python3.9", "handler": "index.handler", "memory_size": 1792,
		"timeout": 10, "code_type": "inline", "func_code": map[string]string{"file": source},
	})
	require.NoError(b, err)
	functions := "/v2/" + s.admin.ProjectID + "/fgs/functions"
	status, answer := post(functions, create)
	require.Equal(b, http.StatusOK, status, string(answer))
	var function struct {
		URN string `json:"func_urn"`
	}
	require.NoError(b, json.Unmarshal(answer, &function))
	event := []byte(fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1000)))
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if status, answer := post(functions+"/"+function.URN+"/invocations", event); status != http.StatusOK || !bytes.Equal(answer, event) {
				b.Errorf("%d %.200s", status, answer)
				return
			}
		}
	})
}
