package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func testTitles(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "fn-1")
	f.Title = "测试"
	create(t, db, f)
	name, err := db.NameOfTitle(t.Context(), "p", "default", "测试")
	require.NoError(t, err)
	require.Equal(t, "fn-1", name)
	for _, other := range [][3]string{{"q", "default", "测试"}, {"p", "staging", "测试"}, {"p", "default", "other"}, {"p", "default", "\xff"}} {
		_, err := db.NameOfTitle(t.Context(), other[0], other[1], other[2])
		requireError(t, err, faas.CodeNotFound, "function")
	}
	taken := function("p", "fn-2")
	taken.Title = "测试"
	requireError(t, db.CreateFunction(t.Context(), taken, faas.DefaultQuota), faas.CodeExists, "title")
	requireUsage(t, db, "p", 1, 100)

	rename := func(title string) error {
		_, err := db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(f *faas.Function) error { f.Title = title; return nil })
		return err
	}
	require.NoError(t, rename("新"))
	_, err = db.NameOfTitle(t.Context(), "p", "default", "测试")
	requireError(t, err, faas.CodeNotFound, "function")
	create(t, db, taken)
	requireError(t, rename("测试"), faas.CodeExists, "title")
	name, err = db.NameOfTitle(t.Context(), "p", "default", "新")
	require.NoError(t, err, "a refused change leaves all as it was")
	require.Equal(t, "fn-1", name)
	require.NoError(t, rename(""))
	require.NoError(t, db.DeleteFunction(t.Context(), taken.Key()))
	_, err = db.NameOfTitle(t.Context(), "p", "default", "测试")
	requireError(t, err, faas.CodeNotFound, "function")
}

func testGrants(t *testing.T, url string) {
	db := Open(t, url)
	c := faas.OAuthClient{ID: "c", ProjectID: "p", UserID: "u", SecretHash: []byte{0, 1, 255}}
	require.NoError(t, db.CreateClient(t.Context(), c))
	requireError(t, db.CreateClient(t.Context(), c), faas.CodeExists, "client")
	got, err := db.Client(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, c, got)
	_, err = db.Client(t.Context(), "d")
	requireError(t, err, faas.CodeNotFound, "client")

	at := time.UnixMicro(1_780_000_000_000_000).UTC()
	grant := func(hash, family string) faas.Grant {
		return faas.Grant{Hash: hash, Kind: faas.GrantAccess, ClientID: "c", UserID: "u", Family: family, ExpiresAt: at}
	}
	require.NoError(t, db.AddGrants(t.Context(), []faas.Grant{grant("a", "1"), grant("b", "1"), grant("x", "2")}, at))
	g, err := db.Grant(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, grant("a", "1"), g)

	// Of many that use one grant, one succeeds, and its family goes.
	var all sync.WaitGroup
	won := make(chan bool, 8)
	for i := range cap(won) {
		all.Go(func() {
			err := db.UseGrant(t.Context(), grant("a", "1"), []faas.Grant{grant(string(rune('k'+i)), "3")})
			if err != nil && faas.CodeOf(err) != faas.CodeNotFound {
				t.Error(err)
			}
			won <- err == nil
		})
	}
	all.Wait()
	close(won)
	n := 0
	for ok := range won {
		if ok {
			n++
		}
	}
	require.Equal(t, 1, n)
	for _, hash := range []string{"a", "b"} {
		_, err = db.Grant(t.Context(), hash)
		requireError(t, err, faas.CodeNotFound, "grant")
	}
	_, err = db.Grant(t.Context(), "x")
	require.NoError(t, err)
	require.NoError(t, db.AddGrants(t.Context(), nil, at.Add(time.Second)))
	_, err = db.Grant(t.Context(), "x")
	requireError(t, err, faas.CodeNotFound, "grant")
}

func testCalls(t *testing.T, url string) {
	db := Open(t, url)
	key := faas.FunctionKey{Project: "p", Package: "default", Name: "f"}
	at := func(n int64) time.Time { return time.UnixMicro(1_780_000_000_000_000 + n).UTC() }
	full := faas.CallRecord{
		ID: "a", Number: 1, Function: key, Source: "sdk", Async: true, State: faas.CallRunning, CreatedAt: at(1), StartedAt: at(2), EndedAt: at(3),
		MemoryPeak: 5, Code: faas.CodeException, Log: "line\n",
	}
	b, c := full, full
	b.ID, b.Number, b.Source, b.State, b.CreatedAt = "b", 2, "timer", faas.CallDone, at(10)
	c.ID, c.Number, c.Async, c.CreatedAt, c.StartedAt, c.EndedAt = "c", 3, false, at(20), time.Time{}, time.Time{}
	other := full
	other.ID, other.Number, other.Function.Name = "d", 4, "g"
	require.NoError(t, db.SaveCalls(t.Context(), []faas.CallRecord{full, b, c, other}))
	yes, no := true, false
	for name, x := range map[string]struct {
		filter faas.CallFilter
		want   []faas.CallRecord
		total  int64
	}{
		"all":     {faas.CallFilter{Limit: 10}, []faas.CallRecord{c, b, full}, 3},
		"page":    {faas.CallFilter{Limit: 1, Offset: 1}, []faas.CallRecord{b}, 3},
		"source":  {faas.CallFilter{Limit: 10, Sources: []string{"timer", "moon"}}, []faas.CallRecord{b}, 1},
		"none":    {faas.CallFilter{Limit: 10, Sources: []string{}}, nil, 0},
		"state":   {faas.CallFilter{Limit: 10, States: []faas.CallState{faas.CallDone}}, []faas.CallRecord{b}, 1},
		"async":   {faas.CallFilter{Limit: 10, Async: &yes}, []faas.CallRecord{b, full}, 2},
		"waiting": {faas.CallFilter{Limit: 10, Async: &no}, []faas.CallRecord{c}, 1},
		"times":   {faas.CallFilter{Limit: 10, From: at(10), To: at(19)}, []faas.CallRecord{b}, 1},
	} {
		x.filter.Function = key
		got, total, err := db.Calls(t.Context(), x.filter)
		require.NoError(t, err, name)
		require.Equal(t, x.want, got, name)
		require.Equal(t, x.total, total, name)
	}

	later := full
	later.State, later.Number, later.CreatedAt, later.MemoryPeak = faas.CallFailed, 99, at(99), 7
	require.NoError(t, db.SaveCalls(t.Context(), []faas.CallRecord{later, full})) // the second is older news
	got, err := db.Call(t.Context(), "p", 1)
	require.NoError(t, err)
	want := later
	want.Number, want.CreatedAt = 1, at(1)
	require.Equal(t, want, got)
	_, err = db.Call(t.Context(), "q", 1)
	requireError(t, err, faas.CodeNotFound, "job")

	more, err := db.ForgetCalls(t.Context(), at(15), 1)
	require.NoError(t, err)
	require.True(t, more)
	_, err = db.ForgetCalls(t.Context(), at(15), 10)
	require.NoError(t, err)
	_, total, err := db.Calls(t.Context(), faas.CallFilter{Function: key, Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
}
