package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/route"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

func TestMatch(t *testing.T) {
	for filter, topics := range map[string]map[string]bool{
		"/a/b":   {"/a/b": true, "/a": false, "/a/b/c": false, "a/b": false},
		"/a/+":   {"/a/b": true, "/a/": true, "/a": false, "/a/b/c": false},
		"/a/#":   {"/a/b": true, "/a": true, "/a/b/c": true, "/ab": false},
		"#":      {"/a": true, "": true, "a/b": true},
		"/+/x/#": {"/a/x": true, "/a/x/y/z": true, "/a/y": false},
		"+":      {"a": true, "/a": false},
	} {
		for topic, want := range topics {
			require.Equal(t, want, route.Match(filter, topic), "%s %s", filter, topic)
		}
	}
}

func TestTable(t *testing.T) {
	first := route.NewTable([]wire.Route{
		{ID: 1, From: wire.PlaceLocal, Filter: "#", To: wire.PlaceCloud, Order: 2}, {ID: 2, From: wire.PlaceLocal, FromID: "d", Filter: "/a", To: wire.PlaceApp, Order: 1},
		{ID: 3, From: wire.PlaceCloud, Filter: "#", To: wire.PlaceLocal},
	}, nil)
	ids := func(rs []*route.Route) (all []int64) {
		for _, r := range rs {
			all = append(all, r.ID)
		}
		return all
	}
	require.Equal(t, []int64{2, 1}, ids(first.For(wire.PlaceLocal, "d", "/a")))
	require.Equal(t, []int64{1}, ids(first.For(wire.PlaceLocal, "e", "/a")))
	first.Find(1).Hits.Add(3)
	second := route.NewTable([]wire.Route{{ID: 1, From: wire.PlaceApp, Filter: "#"}}, first)
	require.EqualValues(t, 3, second.Find(1).Hits.Load())
	require.Nil(t, second.Find(3))
}

func FuzzMatch(f *testing.F) {
	f.Add("/a/+/#", "/a/b/c")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		route.Match(filter, topic)
		require.True(t, route.Match("#", topic))
	})
}
