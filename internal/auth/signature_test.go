package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// vectors are requests as real clients sent them; testdata/signatures.json.
type vectors struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	ProjectID string `json:"project_id"`
	DomainID  string `json:"domain_id"`
	Requests  []struct {
		Client, Method, Target, Host, Body string
		Header                             map[string]string
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/signatures.json")
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}

func TestSignaturesOfRealClients(t *testing.T) {
	v := readVectors(t)
	w := newWorld(t, false)
	u := faas.User{ID: newID(), DomainID: v.DomainID, Name: "u"}
	require.NoError(t, w.store.CreateUser(t.Context(), u))
	require.NoError(t, w.store.CreateProject(t.Context(), faas.Project{ID: v.ProjectID, DomainID: v.DomainID, Name: "p"}))
	require.NoError(t, w.store.CreateAccessKey(t.Context(), faas.AccessKey{ID: v.AccessKey, UserID: u.ID, SealedSecret: w.sealer.Seal(keyLabel(v.AccessKey), []byte(v.SecretKey))}))
	require.NoError(t, w.store.CreateDomain(t.Context(), faas.Domain{ID: v.DomainID, Name: "d"}))
	require.NotEmpty(t, v.Requests)
	for _, q := range v.Requests {
		r := httptest.NewRequest(q.Method, q.Target, nil)
		r.Host = q.Host
		for name, value := range q.Header {
			r.Header.Set(name, value)
		}
		var err error
		w.clock, err = time.Parse(signDateForm, q.Header[headerDate])
		require.NoError(t, err)
		p, err := w.Authenticate(r, []byte(q.Body))
		require.NoError(t, err, "%s: %s %s", q.Client, q.Method, q.Target)
		require.Equal(t, v.DomainID, p.DomainID)
		require.Equal(t, q.Header[headerProject], p.ProjectID)
		if r.Header.Get(headerBodyHash) == "" {
			_, err = w.Authenticate(r, []byte(q.Body+" "))
			requireRefused(t, err, faas.CodeUnauthenticated, "verify aksk signature fail")
		}
	}
}

// signed gives a request of the owner, signed by the project's own client.
func (w *world) signed(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client.Sign(r, []byte(body), w.owner.AccessKey, w.owner.SecretKey, w.clock)
	return r
}

func TestSignatureOfOurClient(t *testing.T) {
	w := newWorld(t, false)
	for _, target := range []string{"/", "/v2/p/fgs/functions", "/a/urn%3Afss:x/", "/a%2Fb/%20+!?q=%20+&q=1&a&b=%26", "/%E5%90%8D?%E5%90%8D=%E5%90%8D"} {
		r := w.signed("POST", target, "body", "Content-Type", "application/json", headerProject, w.owner.ProjectID, "X-Many", "b")
		r.Header.Add("X-Unsigned", "x")
		p, err := w.Authenticate(r, []byte("body"))
		require.NoError(t, err, target)
		require.Equal(t, w.owner.ProjectID, p.ProjectID)
		require.Equal(t, "admin", p.UserName)
	}
}

func TestSignatureTampered(t *testing.T) {
	w := newWorld(t, false)
	for name, change := range map[string]func(r *http.Request){
		"method":        func(r *http.Request) { r.Method = "GET" },
		"path":          func(r *http.Request) { r.URL.Path = "/b" },
		"query":         func(r *http.Request) { r.URL.RawQuery = "q=2" },
		"more query":    func(r *http.Request) { r.URL.RawQuery += "&r=1" },
		"bad query":     func(r *http.Request) { r.URL.RawQuery += "&%" },
		"host":          func(r *http.Request) { r.Host = "other" },
		"signed header": func(r *http.Request) { r.Header.Set("X-A", "2") },
		"second value":  func(r *http.Request) { r.Header.Add("X-A", "2") },
		"header gone":   func(r *http.Request) { r.Header.Del("X-A") },
		"date":          func(r *http.Request) { r.Header.Set(headerDate, w.clock.Add(time.Second).Format(signDateForm)) },
		"two dates":     func(r *http.Request) { r.Header.Add(headerDate, r.Header.Get(headerDate)) },
		"no date":       func(r *http.Request) { r.Header.Del(headerDate) },
		"odd date":      func(r *http.Request) { r.Header.Set(headerDate, "yesterday") },
		"list":          func(r *http.Request) { edit(r, "content-type;host", "content-type;accept;host") },
		"unknown key":   func(r *http.Request) { edit(r, "Access=", "Access=X") },
		"unsigned":      func(r *http.Request) { r.Header.Set(headerBodyHash, unsignedBody) },
		"other hash":    func(r *http.Request) { r.Header.Set(headerBodyHash, strings.Repeat("0", 64)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := w.signed("POST", "/a?q=1", "{}", "Content-Type", "application/json", "X-A", "1")
			change(r)
			_, err := w.Authenticate(r, []byte("{}"))
			requireRefused(t, err, faas.CodeUnauthenticated, "Incorrect IAM authentication information: verify aksk signature fail")
			require.NotContains(t, err.Error(), "locked")
			w.badKeys.passed(w.owner.AccessKey, w.clock)
		})
	}
	r := w.signed("POST", "/a", "{}")
	_, err := w.Authenticate(r, []byte("{ }"))
	requireRefused(t, err, faas.CodeUnauthenticated, "verify aksk signature fail")
}

func edit(r *http.Request, old, now string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, now, 1))
}

// A body without proof is taken only where the SDK sends one: see appendBodyHash.
func TestUnsignedBody(t *testing.T) {
	for kind, ok := range map[string]bool{
		"application/octet-stream": true, "multipart/form-data; boundary=x": true,
		"application/json": false, "Application/JSON;charset=utf-8": false, "application/merge-patch+json": false, "application/bson": false, "": false,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set(headerBodyHash, unsignedBody)
		r.Header.Set("Content-Type", kind)
		out, err := appendBodyHash(nil, r, []byte("any"))
		require.Equal(t, ok, err == nil, kind)
		require.Equal(t, ok, string(out) == unsignedBody, kind)
	}
	r := httptest.NewRequest("POST", "/", nil)
	plain, err := appendBodyHash(nil, r, []byte("any"))
	require.NoError(t, err)
	r.Header.Set(headerBodyHash, string(plain))
	_, err = appendBodyHash(nil, r, []byte("any"))
	require.NoError(t, err)
	_, err = appendBodyHash(nil, r, []byte("other"))
	require.Error(t, err)
}

func TestSignatureWindow(t *testing.T) {
	w := newWorld(t, false)
	r := w.signed("GET", "/", "")
	start := w.clock
	for _, age := range []time.Duration{signWindow, -signWindow, 0} {
		w.clock = start.Add(age)
		_, err := w.Authenticate(r, nil)
		require.NoError(t, err, age)
	}
	for _, age := range []time.Duration{signWindow + time.Second, -signWindow - time.Second} {
		w.clock = start.Add(age)
		_, err := w.Authenticate(r, nil)
		requireRefused(t, err, faas.CodeUnauthenticated, "expired")
	}
}

func TestSignatureLocks(t *testing.T) {
	w := newWorld(t, false)
	wrong := func() error {
		r := w.signed("GET", "/", "")
		r.Method = "PUT"
		_, err := w.Authenticate(r, nil)
		return err
	}
	right := func() error {
		_, err := w.Authenticate(w.signed("GET", "/", ""), nil)
		return err
	}
	for range lockFailures - 1 {
		require.Error(t, wrong())
	}
	require.NoError(t, right(), "a right one clears the count")
	for range lockFailures {
		require.NotContains(t, wrong().Error(), "locked")
	}
	requireRefused(t, right(), faas.CodeUnauthenticated, "locked")
	w.clock = w.clock.Add(lockTime - time.Second)
	require.Error(t, wrong(), "a wrong one does not make it longer")
	requireRefused(t, right(), faas.CodeUnauthenticated, "locked")
	w.clock = w.clock.Add(time.Second)
	require.NoError(t, right())
}

func TestKeyEndsWithItsUser(t *testing.T) {
	w := newWorld(t, false)
	_, err := w.Authenticate(w.signed("GET", "/", ""), nil)
	require.NoError(t, err)
	w.store.Remove(w.owner.UserID)
	w.clock = w.clock.Add(fresh)
	_, err = w.Authenticate(w.signed("GET", "/", ""), nil)
	requireRefused(t, err, faas.CodeUnauthenticated, "verify aksk signature fail")
}

func TestParseSignature(t *testing.T) {
	mac := strings.Repeat("ab", 32)
	ok := "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=" + mac
	s, err := parseSignature(ok)
	require.NoError(t, err)
	require.Equal(t, "AK", s.access)
	require.Equal(t, []string{"host", "x-sdk-date"}, s.headers)
	for _, bad := range []string{
		"", "SDK-HMAC-SHA256", "SDK-HMAC-SHA256 ", "SDK-HMAC-SM3 Access=AK, SignedHeaders=x-sdk-date, Signature=" + mac,
		strings.Replace(ok, "x-sdk-date", "accept", 1), strings.Replace(ok, "host", "Host", 1), strings.Replace(ok, "AK", "", 1),
		strings.Replace(ok, "AK", strings.Repeat("A", 65), 1), ok[:len(ok)-2], ok + "zz", ok + ", Extra=1", strings.Replace(ok, "host", strings.Repeat("a;", 200), 1),
	} {
		_, err := parseSignature(bad)
		require.Error(t, err, bad)
	}
}

func FuzzSignature(f *testing.F) {
	v := readVectors(f)
	for _, q := range v.Requests {
		f.Add(q.Header["Authorization"], q.Target, q.Header[headerDate], q.Body)
	}
	f.Add("SDK-HMAC-SHA256 Access=,,SignedHeaders=;;=,Signature=%", "/%zz?%;&=", "", "")
	f.Fuzz(func(t *testing.T, header, target, date, body string) {
		r, err := http.NewRequest("POST", "http://h"+target, nil)
		if err != nil {
			return
		}
		r.Header[headerDate] = []string{date}
		_, _ = signedAt(r)
		s, err := parseSignature(header)
		if err != nil {
			s = signature{headers: strings.Split(header, ";"), list: header}
		}
		first, err := s.canonicalRequest(r, []byte(body))
		again, errAgain := s.canonicalRequest(r, []byte(body))
		if string(first) != string(again) || (err == nil) != (errAgain == nil) {
			t.Fatal("the canonical request is not stable")
		}
		if s.matches(r, []byte(body), []byte("secret")) {
			t.Fatal("a signature nobody made was taken")
		}
	})
}

func BenchmarkSignature(b *testing.B) {
	w := newWorld(b, false)
	body := strings.Repeat("x", 1024)
	r := w.signed("POST", "/v2/0123456789abcdef0123456789abcdef/fgs/functions/urn:fss:local-1:0123:function:default:f/invocations?a=1",
		body, "Content-Type", "application/json", headerProject, w.owner.ProjectID)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Authenticate(r, []byte(body)); err != nil {
			b.Fatal(err)
		}
	}
}
