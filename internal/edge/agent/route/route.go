// Package route finds where a message on a gateway goes.
//
// It must not know how a message is carried.
package route

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Match tells whether a topic lies under a filter, in which "+" stands for one level and "#" at the end for all below (MQTT
// 3.1.1, section 4.7).
func Match(filter, topic string) bool {
	for {
		f, moreF, deeperF := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, moreT, deeperT := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !deeperF || !deeperT {
			return deeperF == deeperT || deeperF && moreF == "#" // "a/#" matches "a"
		}
		filter, topic = moreF, moreT
	}
}

// Route is one route with its counts since the agent started.
type Route struct {
	wire.Route
	Hits, Dropped atomic.Int64
}

// Table is an immutable set of routes.
type Table struct{ routes []*Route }

// NewTable makes a table in the order of Route.Order and then of the list. A route that old has too goes on counting.
func NewTable(routes []wire.Route, old *Table) *Table {
	t := &Table{}
	for _, r := range routes {
		one := &Route{Route: r}
		if before := old.Find(r.ID); before != nil {
			one.Hits.Store(before.Hits.Load())
			one.Dropped.Store(before.Dropped.Load())
		}
		t.routes = append(t.routes, one)
	}
	slices.SortStableFunc(t.routes, func(a, b *Route) int { return a.Order - b.Order })
	return t
}

// Find gives a route by its id, nil for none.
func (t *Table) Find(id int64) *Route {
	if t == nil {
		return nil
	}
	for _, r := range t.routes {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// All gives the routes in their order.
func (t *Table) All() []*Route { return t.routes }

// For gives the routes that a message takes: each one whose source and filter fit.
func (t *Table) For(from, fromID, topic string) []*Route {
	var fit []*Route
	for _, r := range t.routes {
		if r.From == from && (r.FromID == "" || r.FromID == fromID) && Match(r.Filter, topic) {
			fit = append(fit, r)
		}
	}
	return fit
}
