package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/auth/authtest"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

var _ Store = (*authtest.Store)(nil)

// world is a server's identities with a clock that stands still.
type world struct {
	*Auth
	store *authtest.Store
	owner *Credentials
	clock time.Time
}

// Authenticate is Auth's, with a body that is there already.
func (w *world) Authenticate(r *http.Request, body []byte) (faas.Principal, error) {
	return w.Auth.Authenticate(r, func() ([]byte, error) { return body, nil })
}

func newWorld(t testing.TB, dev bool) *world {
	t.Helper()
	w := &world{store: &authtest.Store{}, clock: time.Date(2026, 11, 21, 3, 13, 8, 0, time.UTC)}
	sealer, err := NewSealer(filepath.Join(t.TempDir(), "key"), true)
	require.NoError(t, err)
	w.owner, err = EnsureOwner(t.Context(), w.store, sealer, DefaultRegion)
	require.NoError(t, err)
	w.Auth, err = New(Config{Store: w.store, Sealer: sealer, Dev: dev, Now: func() time.Time { return w.clock }})
	require.NoError(t, err)
	return w
}

func (w *world) password() Proof {
	return Proof{UserName: w.owner.User, DomainName: w.owner.Domain, Password: w.owner.Password}
}

func (w *world) login(t testing.TB, scope Scope) Token {
	t.Helper()
	token, err := w.Login(t.Context(), w.password(), scope, "here")
	require.NoError(t, err)
	return token
}

func withToken(text string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(headerToken, text)
	return r
}

func requireRefused(t testing.TB, err error, code faas.Code, text string) {
	t.Helper()
	require.Equal(t, code, faas.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, text)
}

func TestTokenLife(t *testing.T) {
	w := newWorld(t, false)
	token := w.login(t, Scope{})
	require.Equal(t, w.owner.ProjectID, token.Project.ID, "the only project is the default scope")
	require.Equal(t, 24*time.Hour, token.ExpiresAt.Sub(token.IssuedAt))
	p, err := w.Authenticate(withToken(token.Text), nil)
	require.NoError(t, err)
	require.Equal(t, faas.Principal{UserID: w.owner.UserID, UserName: "admin", DomainID: w.owner.DomainID, Domain: "hanshu",
		ProjectID: w.owner.ProjectID, Project: "local-1"}, p)

	w.clock = token.ExpiresAt.Add(-time.Nanosecond)
	_, err = w.Authenticate(withToken(token.Text), nil)
	require.NoError(t, err)
	w.clock = token.ExpiresAt
	_, err = w.Authenticate(withToken(token.Text), nil)
	requireRefused(t, err, faas.CodeUnauthenticated, "Incorrect IAM authentication information: token expires, expires_at: 2026-11-22T")
}

func TestTokenThatIsNone(t *testing.T) {
	w := newWorld(t, false)
	text := w.login(t, Scope{}).Text
	flipped := []byte(text)
	flipped[len(text)/2] ^= 1
	for _, bad := range []string{"x", "ä", string(flipped), text[1:], text + "AAAA", strings.Repeat("A", 5000), newWorld(t, false).login(t, Scope{}).Text} {
		_, err := w.Authenticate(withToken(bad), nil)
		requireRefused(t, err, faas.CodeUnauthenticated, "decrypt token fail")
	}
	_, err := w.Authenticate(httptest.NewRequest("GET", "/", nil), nil)
	requireRefused(t, err, faas.CodeUnauthenticated, "Incorrect IAM authentication information: x-auth-token not found")
}

func TestTokenEndsWithItsPeople(t *testing.T) {
	for name, end := range map[string]func(*world){
		"user":    func(w *world) { w.store.Remove(w.owner.UserID) },
		"project": func(w *world) { w.store.Remove(w.owner.ProjectID) },
		"password": func(w *world) {
			_, err := ResetOwner(context.Background(), w.store, w.sealer, DefaultRegion)
			require.NoError(t, err)
		},
	} {
		w := newWorld(t, false)
		r := withToken(w.login(t, Scope{}).Text)
		_, err := w.Authenticate(r, nil)
		require.NoError(t, err, name)
		end(w)
		w.clock = w.clock.Add(fresh)
		_, err = w.Authenticate(r, nil)
		requireRefused(t, err, faas.CodeUnauthenticated, "no more")
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t, false)
	second := faas.Project{ID: newID(), DomainID: w.owner.DomainID, Name: "second"}
	alien := faas.Project{ID: newID(), DomainID: newID(), Name: "alien"}
	require.NoError(t, w.store.CreateProject(t.Context(), second))
	require.NoError(t, w.store.CreateProject(t.Context(), alien))
	for _, c := range []struct {
		scope   Scope
		project string
		code    faas.Code
	}{
		{Scope{}, "", ""}, // two projects: the domain
		{Scope{ProjectName: "second"}, second.ID, ""},
		{Scope{ProjectID: second.ID}, second.ID, ""},
		{Scope{ProjectID: second.ID, ProjectName: "local-1"}, "", faas.CodeForbidden},
		{Scope{ProjectName: "second", DomainName: "hanshu"}, second.ID, ""},
		{Scope{ProjectName: "second", DomainName: "other"}, "", faas.CodeForbidden},
		{Scope{DomainName: "hanshu"}, "", ""},
		{Scope{DomainID: w.owner.DomainID}, "", ""},
		{Scope{DomainID: alien.DomainID}, "", faas.CodeForbidden},
		{Scope{ProjectID: alien.ID}, "", faas.CodeForbidden},
		{Scope{ProjectName: "alien"}, "", faas.CodeForbidden},
		{Scope{ProjectID: "none"}, "", faas.CodeForbidden},
	} {
		token, err := w.Login(t.Context(), w.password(), c.scope, "here")
		if c.code != "" {
			requireRefused(t, err, c.code, noRight)
			continue
		}
		require.NoError(t, err, "%+v", c.scope)
		require.Equal(t, c.project, token.Project.ID, "%+v", c.scope)
	}

	wide, narrow := w.login(t, Scope{DomainName: "hanshu"}).Text, w.login(t, Scope{ProjectID: second.ID}).Text
	for _, c := range []struct{ token, header, want string }{
		{wide, "", ""}, {wide, second.ID, second.ID}, {wide, alien.ID, "no"}, {wide, "none", "no"},
		{narrow, "", second.ID}, {narrow, second.ID, second.ID}, {narrow, w.owner.ProjectID, "no"},
	} {
		r := withToken(c.token)
		r.Header.Set(headerProject, c.header)
		p, err := w.Authenticate(r, nil)
		if c.want == "no" {
			requireRefused(t, err, faas.CodeForbidden, "X-Project-Id")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, p.ProjectID)
	}
	r := withToken(wide)
	r.Header.Set(headerDomain, "other")
	_, err := w.Authenticate(r, nil)
	requireRefused(t, err, faas.CodeForbidden, "X-Domain-Id")
}

func TestCan(t *testing.T) {
	w := newWorld(t, false)
	alien := faas.Project{ID: newID(), DomainID: newID(), Name: "alien"}
	second := faas.Project{ID: newID(), DomainID: w.owner.DomainID, Name: "second"}
	require.NoError(t, w.store.CreateProject(t.Context(), alien))
	require.NoError(t, w.store.CreateProject(t.Context(), second))
	wide := faas.Principal{UserID: w.owner.UserID, DomainID: w.owner.DomainID}
	narrow := faas.Principal{UserID: w.owner.UserID, DomainID: w.owner.DomainID, ProjectID: second.ID}
	for _, c := range []struct {
		name    string
		who     faas.Principal
		project string
		ok      bool
	}{
		{"wide own", wide, w.owner.ProjectID, true}, {"wide second", wide, second.ID, true},
		{"wide alien", wide, alien.ID, false}, {"wide none", wide, "none", false}, {"wide empty", wide, "", false},
		{"narrow own", narrow, second.ID, true}, {"narrow other", narrow, w.owner.ProjectID, false},
		{"narrow alien", narrow, alien.ID, false}, {"nobody", faas.Principal{}, w.owner.ProjectID, false}, {"nobody, nothing", faas.Principal{}, "", false},
	} {
		err := w.Can(t.Context(), c.who, ActionWrite, Resource{ProjectID: c.project})
		if c.ok {
			require.NoError(t, err, c.name)
		} else {
			require.Equal(t, faas.CodeForbidden, faas.CodeOf(err), c.name)
		}
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t, false)
	o := w.owner
	for _, c := range []struct {
		name  string
		proof Proof
		code  faas.Code
	}{
		{"by name", w.password(), ""},
		{"by name and domain id", Proof{UserName: "admin", DomainID: o.DomainID, Password: o.Password}, ""},
		{"by id", Proof{UserID: o.UserID, Password: o.Password}, ""},
		{"wrong password", Proof{UserID: o.UserID, Password: "x"}, faas.CodeUnauthenticated},
		{"unknown user", Proof{UserName: "eve", DomainName: "hanshu", Password: o.Password}, faas.CodeUnauthenticated},
		{"unknown domain", Proof{UserName: "admin", DomainName: "x", Password: o.Password}, faas.CodeUnauthenticated},
		{"unknown id", Proof{UserID: "x", Password: o.Password}, faas.CodeUnauthenticated},
		{"long password", Proof{UserID: o.UserID, Password: strings.Repeat(o.Password, 20)}, faas.CodeUnauthenticated},
		{"no domain", Proof{UserName: "admin", Password: o.Password}, faas.CodeInvalid},
		{"no password", Proof{UserID: o.UserID}, faas.CodeInvalid},
		{"nothing", Proof{}, faas.CodeInvalid},
		{"bad token", Proof{Token: "x"}, faas.CodeUnauthenticated},
	} {
		_, err := w.Login(t.Context(), c.proof, Scope{}, c.name)
		if c.code == "" {
			require.NoError(t, err, c.name)
		} else {
			require.Equal(t, c.code, faas.CodeOf(err), c.name)
		}
	}
}

func TestTokenFromTokenDoesNotLiveLonger(t *testing.T) {
	w := newWorld(t, false)
	first := w.login(t, Scope{})
	w.clock = w.clock.Add(time.Hour)
	second, err := w.Login(t.Context(), Proof{Token: first.Text}, Scope{DomainName: "hanshu"}, "here")
	require.NoError(t, err)
	require.Equal(t, first.ExpiresAt, second.ExpiresAt)
	require.Equal(t, []string{"token"}, second.Methods)
	require.Empty(t, second.Project.ID)
}

func TestLoginLocks(t *testing.T) {
	w := newWorld(t, false)
	wrong := w.password()
	wrong.Password = "wrong"
	for range lockFailures {
		_, err := w.Login(t.Context(), wrong, Scope{}, "there")
		requireRefused(t, err, faas.CodeUnauthenticated, wrongPassword)
	}
	_, err := w.Login(t.Context(), w.password(), Scope{}, "there")
	requireRefused(t, err, faas.CodeOverload, "try again")
	w.login(t, Scope{}) // from another source
	w.clock = w.clock.Add(lockTime)
	_, err = w.Login(t.Context(), w.password(), Scope{}, "there")
	require.NoError(t, err)
}

func TestDevMode(t *testing.T) {
	w := newWorld(t, true)
	for _, c := range []struct {
		name, remote, host string
		header             [2]string
		ok                 bool
	}{
		{"plain", "127.0.0.1:9", "127.0.0.1:8080", [2]string{}, true},
		{"v6", "[::1]:9", "[::1]:8080", [2]string{}, true},
		{"mapped", "[::ffff:127.0.0.1]:9", "localhost:8080", [2]string{}, true},
		{"own page", "127.0.0.1:9", "localhost:8080", [2]string{"Origin", "http://localhost:8080"}, true},
		{"from outside", "10.0.0.1:9", "127.0.0.1:8080", [2]string{}, false},
		{"rebound name", "127.0.0.1:9", "evil.example:8080", [2]string{}, false},
		{"other page", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"Origin", "https://evil.example"}, false},
		{"null page", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"Origin", "null"}, false},
		{"image of a page", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"Sec-Fetch-Site", "cross-site"}, false},
		{"proxy", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"X-Forwarded-For", "10.0.0.1"}, false},
		{"bad token", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"X-Auth-Token", "x"}, false},
		{"other scheme", "127.0.0.1:9", "127.0.0.1:8080", [2]string{"Authorization", "Bearer x"}, false},
	} {
		for dev, a := range map[bool]*Auth{true: w.Auth, false: newWorld(t, false).Auth} {
			r := httptest.NewRequest("POST", "/", nil)
			r.RemoteAddr, r.Host = c.remote, c.host
			if c.header[0] != "" {
				r.Header.Set(c.header[0], c.header[1])
			}
			p, err := a.Authenticate(r, nil)
			if c.ok && dev {
				require.NoError(t, err, c.name)
				require.Equal(t, w.owner.UserID, p.UserID)
			} else {
				require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(err), c.name)
			}
		}
	}
}

func TestOwner(t *testing.T) {
	w := newWorld(t, false)
	require.Regexp(t, `^[A-Z0-9]{20}$`, w.owner.AccessKey)
	require.Regexp(t, `^[A-Za-z0-9]{40}$`, w.owner.SecretKey)
	require.Regexp(t, `^[A-Za-z0-9]{24}$`, w.owner.Password)
	for _, id := range []string{w.owner.DomainID, w.owner.ProjectID, w.owner.UserID} {
		require.Regexp(t, `^[0-9a-f]{32}$`, id)
	}
	again, err := EnsureOwner(t.Context(), w.store, w.sealer, DefaultRegion)
	require.NoError(t, err)
	require.Nil(t, again)

	old := w.owner
	w.owner, err = ResetOwner(t.Context(), w.store, w.sealer, DefaultRegion)
	require.NoError(t, err)
	require.Equal(t, old.ProjectID, w.owner.ProjectID)
	w.login(t, Scope{})
	_, err = w.Login(t.Context(), Proof{UserID: old.UserID, Password: old.Password}, Scope{}, "here")
	requireRefused(t, err, faas.CodeUnauthenticated, wrongPassword)
	_, err = w.store.AccessKey(t.Context(), old.AccessKey)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))

	_, err = ResetOwner(t.Context(), w.store, w.sealer, "elsewhere")
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
	has, err := HasOwner(t.Context(), &authtest.Store{})
	require.NoError(t, err)
	require.False(t, has)
	_, err = ResetOwner(t.Context(), &authtest.Store{}, w.sealer, DefaultRegion)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
}

func TestCacheIsBounded(t *testing.T) {
	now := time.Now()
	c := newCache[int, int](100)
	for i := range 1000 {
		c.put(i, i, now, now.Add(time.Duration(i)*time.Second))
		require.LessOrEqual(t, len(c.entries), 100)
		got, ok := c.get(i, now.Add(-time.Hour))
		require.True(t, ok)
		require.Equal(t, i, got)
	}
	_, ok := c.get(999, now.Add(999*time.Second))
	require.False(t, ok, "an entry ends")
	c.drop(999)
	_, ok = c.get(999, now)
	require.False(t, ok)
}

func TestManyAtATime(t *testing.T) {
	w := newWorld(t, false)
	text := w.login(t, Scope{}).Text
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 50 {
				r := w.signed("GET", "/", "")
				if i%2 == 0 {
					r = withToken(text)
				}
				r.Header.Set(headerProject, w.owner.ProjectID)
				if i%10 == 0 {
					r = withToken("wrong")
				}
				if _, err := w.Authenticate(r, nil); (err != nil) != (i%10 == 0) {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkToken(b *testing.B) {
	w := newWorld(b, false)
	r := withToken(w.login(b, Scope{}).Text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Authenticate(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}
