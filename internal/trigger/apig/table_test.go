package apig_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger/apig"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

func newKind(t testing.TB) *apig.Kind {
	at, err := url.Parse("http://gw.example:8081")
	require.NoError(t, err)
	return apig.New(apig.Config{URL: at})
}

func put(t testing.TB, k *apig.Kind, name, method, path, mode, domain string) error {
	t.Helper()
	one := &faas.Trigger{ID: name, Kind: apig.Code}
	text := fmt.Sprintf(`{"name":%q,"path":%q,"auth":"NONE","req_method":%q,"match_mode":%q,"sl_domain":%q}`, name, path, method, mode, domain)
	if _, err := k.Check(one, triggertest.Decode(t, text), nil); err != nil {
		return err
	}
	one.Data = text
	require.NoError(t, k.Put(one, nil))
	return nil
}

func TestTheMoreDefiniteRouteWins(t *testing.T) {
	k := newKind(t)
	require.NoError(t, put(t, k, "all", "ANY", "/", "SWA", ""))
	require.NoError(t, put(t, k, "tree", "ANY", "/a", "SWA", ""))
	require.NoError(t, put(t, k, "get", "GET", "/a", "SWA", ""))
	require.NoError(t, put(t, k, "exact", "GET", "/a/b", "NORMAL", ""))
	require.NoError(t, put(t, k, "param", "GET", "/a/{x}", "NORMAL", ""))
	require.NoError(t, put(t, k, "host", "ANY", "/a", "SWA", "one.example"))
	for _, c := range []struct{ host, method, path, want string }{
		{"h", "GET", "/", "all"}, {"h", "PUT", "/x/y", "all"}, {"h", "PUT", "/a", "tree"}, {"h", "GET", "/a", "get"}, {"h", "GET", "/a/b", "exact"},
		{"h", "GET", "/a/b/", "exact"}, {"h", "GET", "/a/c", "param"}, {"h", "GET", "/a/c/d", "get"}, {"h", "DELETE", "/a/b", "tree"},
		{"one.example", "GET", "/a/b", "host"}, {"ONE.example", "GET", "/a/b", "host"}, {"one.example", "GET", "/b", "all"},
	} {
		route, _, ok := k.Find(c.host, c.method, c.path)
		require.True(t, ok, "%+v", c)
		require.Equal(t, c.want, route.Name, "%+v", c)
	}
	k.Drop("exact")
	route, params, _ := k.Find("h", "GET", "/a/b")
	require.Equal(t, "param", route.Name)
	require.Equal(t, map[string]string{"x": "b"}, params)
}

func TestRoutesThatNobodyCouldTellApart(t *testing.T) {
	k := newKind(t)
	require.NoError(t, put(t, k, "one", "GET", "/a/{x}", "NORMAL", ""))
	err := put(t, k, "two", "GET", "/{y}/b", "NORMAL", "")
	require.Equal(t, faas.CodeExists, faas.CodeOf(err), "%v", err)
	require.NoError(t, put(t, k, "post", "POST", "/{y}/b", "NORMAL", ""), "another method is another route")
	require.NoError(t, put(t, k, "one", "GET", "/a/{z}", "NORMAL", ""), "a trigger does not stand in its own way")
}

// Equal routes have equal unique texts, however they are written.
func TestUnique(t *testing.T) {
	k := newKind(t)
	unique := func(text string) string {
		d, err := k.Check(&faas.Trigger{Kind: apig.Code}, triggertest.Decode(t, text), nil)
		require.NoError(t, err)
		return d.Unique
	}
	base := unique(`{"name":"a","path":"/a/{x}","auth":"NONE"}`)
	require.Equal(t, base, unique(`{"name":"b","path":"/a/{y}/","auth":"IAM","req_method":"ANY","match_mode":"NORMAL"}`))
	require.Equal(t, base, unique(`{"name":"b","path":"/%61/{y}","auth":"NONE"}`))
	for _, other := range []string{
		`{"name":"a","path":"/a/{x}","auth":"NONE","req_method":"GET"}`, `{"name":"a","path":"/a/{x}","auth":"NONE","match_mode":"SWA"}`,
		`{"name":"a","path":"/a/{x}","auth":"NONE","sl_domain":"h.example"}`, `{"name":"a","path":"/a/x","auth":"NONE"}`,
	} {
		require.NotEqual(t, base, unique(other), other)
	}
}

func BenchmarkFind(b *testing.B) {
	k := newKind(b)
	for i := range 10_000 {
		one := &faas.Trigger{ID: fmt.Sprint(i), Kind: apig.Code, Data: fmt.Sprintf(`{"name":"n","path":"/p%d/{x}","auth":"NONE","req_method":"GET"}`, i)}
		require.NoError(b, k.Put(one, nil))
	}
	k.Find("h", "GET", "/p5000/y")
	for b.Loop() {
		if _, _, ok := k.Find("h", "GET", "/p5000/y"); !ok {
			b.Fatal("not found")
		}
	}
}
