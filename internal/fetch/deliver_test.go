package fetch

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestPost(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte("{}"))
	want := hex.EncodeToString(mac.Sum(nil))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case r.Header.Get("X-Hanshu-Signature") != want || r.Header.Get("X-Kind") != "topic" || string(body) != "{}":
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(s.Close)
	open, err := New(Config{Allow: []string{"127.0.0.1"}})
	require.NoError(t, err)
	closed, err := New(Config{})
	require.NoError(t, err)
	post := func(f *Fetcher, url string) error {
		return f.Post(t.Context(), url, map[string]string{"X-Kind": "topic"}, []byte("s3cret"), []byte("{}"))
	}
	require.NoError(t, post(open, s.URL))
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(post(open, s.URL+"/broken")))
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(post(open, "http://127.0.0.1:1/")))
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(post(closed, s.URL)), "the server's own network")
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(post(open, "::")))
}

func TestPut(t *testing.T) {
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("records"))
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	f, err := New(Config{Endpoints: []Endpoint{{URL: s.URL, AccessKey: "AK", SecretKey: "SK", PathStyle: true, Buckets: []string{"records", "none"}}}})
	require.NoError(t, err)
	require.NoError(t, f.CheckBucket("records"))
	require.NoError(t, f.Put(t.Context(), "records", "a/b.json", []byte("{}"), time.Now().Add(time.Hour)))
	object, err := backend.GetObject("records", "a/b.json", nil)
	require.NoError(t, err)
	text, err := io.ReadAll(object.Contents)
	require.NoError(t, err)
	require.Equal(t, "{}", string(text))
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(f.CheckBucket("other")))
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(f.Put(t.Context(), "none", "a", nil, time.Time{})))
	bare, err := New(Config{})
	require.NoError(t, err)
	require.Equal(t, faas.CodeUnsupported, faas.CodeOf(bare.CheckBucket("records")))
}
