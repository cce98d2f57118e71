package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestGuardPermits(t *testing.T) {
	g, err := newGuard([]string{"10.9.0.0/16", "192.168.7.7", "::ffff:172.16.0.1", "packages.internal"})
	require.NoError(t, err)
	refused := []string{
		"127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "::", "10.0.0.1", "172.31.0.1", "192.168.7.8", "169.254.169.254",
		"100.64.0.1", "100.100.100.200", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "224.0.0.1",
		"240.0.0.1", "255.255.255.255", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
		"2002:7f00:1::", "2001::1", "198.18.0.1", "192.0.0.192",
	}
	for _, a := range refused {
		require.False(t, g.permits(netip.MustParseAddr(a)), a)
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "10.9.1.2", "192.168.7.7", "172.16.0.1"} {
		require.True(t, g.permits(netip.MustParseAddr(a)), a)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, allow := range []string{"", "10.0.0.0/99", "host:80", "http://host"} {
		_, err := New(Config{Allow: []string{allow}})
		require.Error(t, err, allow)
	}
	_, err := New(Config{Endpoints: []Endpoint{{URL: "obs.example.com"}}})
	require.Error(t, err)
}

// site answers each path in its own way; blocked is closed when the test ends.
func site(t *testing.T) *httptest.Server {
	blocked := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("package")) })
	mux.HandleFunc("/gone", http.NotFound)
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/hop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/inward", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/trickle", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("/stall", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		select {
		case <-blocked:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("x"))
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20)) // the other side may have left
		_ = z.Close()
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { close(blocked); s.Close() })
	return s
}

func TestFetch(t *testing.T) {
	s := site(t)
	f, err := New(Config{Allow: []string{"127.0.0.0/8"}})
	require.NoError(t, err)
	hasty, err := New(Config{Allow: []string{"127.0.0.0/8"}, Timeout: 500 * time.Millisecond})
	require.NoError(t, err)
	impatient, err := New(Config{Allow: []string{"127.0.0.0/8"}, Stall: 200 * time.Millisecond})
	require.NoError(t, err)

	for _, path := range []string{"/ok", "/hop"} {
		data, err := f.Fetch(t.Context(), s.URL+path, 7)
		require.NoError(t, err, path)
		require.Equal(t, "package", string(data))
	}
	data, err := f.Fetch(t.Context(), s.URL+"/gzip", 64<<10)
	require.NoError(t, err)
	require.Less(t, len(data), 64<<10, "what was sent is kept as it is, and not inflated")

	cases := []struct {
		url  string
		code faas.Code
		says string
	}{
		{s.URL + "/gone", faas.CodeInvalid, "404"},
		{s.URL + "/broken", faas.CodeUnavailable, "502"},
		{s.URL + "/loop", faas.CodeInvalid, "redirects more than 5"},
		{s.URL + "/inward", faas.CodeInvalid, "not allowed by this server's configuration"},
		{s.URL + "/file", faas.CodeInvalid, "redirects from http to file"},
		{s.URL + "/endless", faas.CodeTooLarge, "over 1048576 bytes"},
		{s.URL + "/trickle", faas.CodeUnavailable, "too slowly"},
		{s.URL + "/stall", faas.CodeUnavailable, "too slowly"},
		{s.URL + "/cut", faas.CodeUnavailable, "could not be read"},
		{"http://127.0.0.1:1/", faas.CodeUnavailable, "could not be read"},
		{"", faas.CodeInvalid, "1 to 2048"},
		{"http://" + strings.Repeat("a", 3000), faas.CodeInvalid, "1 to 2048"},
		{"/ok", faas.CodeInvalid, "is not a URL"},
		{"ftp://example.com/a.zip", faas.CodeInvalid, "http or https"},
		{"file:///etc/passwd", faas.CodeInvalid, "is not a URL"},
		{"http://user:secret@example.com/a", faas.CodeInvalid, "user name"},
	}
	for _, c := range cases {
		by := f
		switch c.url {
		case s.URL + "/trickle":
			by = hasty
		case s.URL + "/stall":
			by = impatient
		}
		_, err := by.Fetch(t.Context(), c.url, 1<<20)
		require.Error(t, err, c.url)
		require.Equal(t, c.code, faas.CodeOf(err), "%.80s: %v", c.url, err)
		require.Contains(t, err.(*faas.Error).Message, c.says)
		require.Equal(t, "code_url", err.(*faas.Error).Field)
	}
}

func TestFetchRefusesItsOwnNetwork(t *testing.T) {
	s := site(t)
	f, err := New(Config{})
	require.NoError(t, err)
	port := strings.TrimPrefix(s.URL, "http://127.0.0.1")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"} {
		_, err := f.Fetch(t.Context(), "http://"+host+port+"/ok", 100)
		require.Error(t, err, host)
		require.NotContains(t, err.(*faas.Error).Message, "127.0.0.1", "the answer tells nothing about this network")
	}
	byName, err := New(Config{Allow: []string{"LocalHost"}})
	require.NoError(t, err)
	_, err = byName.Fetch(t.Context(), "http://localhost"+port+"/ok", 100)
	require.NoError(t, err)
	_, err = byName.Fetch(t.Context(), s.URL+"/ok", 100)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), "the name is allowed, its address is not")
}

func TestFetchEndsWithItsCaller(t *testing.T) {
	s := site(t)
	f, err := New(Config{Allow: []string{"127.0.0.1"}, Parallel: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	f.slots <- struct{}{} // another fetch is under way
	cancel()
	_, err = f.Fetch(ctx, s.URL+"/stall", 100)
	require.Equal(t, faas.CodeCancelled, faas.CodeOf(err))
}

func TestFetchFromBucket(t *testing.T) {
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("code"))
	require.NoError(t, backend.CreateBucket("secret"))
	want := bytes.Repeat([]byte("zip"), 100_000)
	_, err := backend.PutObject("code", "team/fn.zip", map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, bytes.NewReader(want), int64(len(want)), nil)
	require.NoError(t, err)
	signed := make(chan bool, 64)
	fake := gofakes3.New(backend).Server()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case signed <- strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AK/"):
		default:
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	f, err := New(Config{Endpoints: []Endpoint{{URL: s.URL, AccessKey: "AK", SecretKey: "SK", PathStyle: true, Buckets: []string{"code", "none"}}}})
	require.NoError(t, err)

	data, err := f.Fetch(t.Context(), s.URL+"/code/team/fn.zip", 1<<20)
	require.NoError(t, err)
	require.Equal(t, want, data)
	require.True(t, <-signed)

	for path, code := range map[string]faas.Code{
		"/code/team/other.zip": faas.CodeInvalid,
		"/none/fn.zip":         faas.CodeInvalid,
		"/secret/fn.zip":       faas.CodeInvalid, // not a bucket that functions may be read from
		"/code":                faas.CodeInvalid, // no key: read as the public would, and refused by the guard
	} {
		_, err := f.Fetch(t.Context(), s.URL+path, 1<<20)
		require.Equal(t, code, faas.CodeOf(err), "%s: %v", path, err)
	}
	_, err = f.Fetch(t.Context(), s.URL+"/code/team/fn.zip", 1000)
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
}

func TestLocate(t *testing.T) {
	s, err := newStore(Endpoint{URL: "https://obs.example.com"}, time.Second)
	require.NoError(t, err)
	cases := map[string][2]string{
		"https://code.obs.example.com/a/b.zip":    {"code", "a/b.zip"},
		"https://CODE.obs.example.com/a%20b.zip":  {"code", "a b.zip"},
		"https://obs.example.com/code/a/b.zip":    {"code", "a/b.zip"},
		"http://code.obs.example.com/a.zip":       {},
		"https://code.obs.example.com/":           {},
		"https://obs.example.com/code":            {},
		"https://evilobs.example.com/a.zip":       {},
		"https://code.obs.example.com/a?Sign=abc": {},
	}
	for text, want := range cases {
		u, err := url.Parse(text)
		require.NoError(t, err)
		bucket, key, ok := s.locate(u)
		require.Equal(t, want[0] != "", ok, text)
		if ok {
			require.Equal(t, want, [2]string{bucket, key}, text)
		}
	}
}
