package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var someTime = time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)

// trigger makes one of a function's Latest version.
func trigger(f *faas.Function, unique string) *faas.Trigger {
	return &faas.Trigger{
		ID: uuid.NewString(), Key: f.Key(), Kind: "TIMER", Active: true, Data: `{"name":"函数"}`, Sealed: []byte{0, 0xff}, Unique: unique,
		Since: someTime.Add(time.Second), CreatedAt: someTime, ModifiedAt: someTime.Add(time.Minute),
	}
}

func list(t *testing.T, db *store.DB, filter faas.TriggerFilter) []*faas.Trigger {
	t.Helper()
	found, err := db.ListTriggers(t.Context(), filter)
	require.NoError(t, err)
	return found
}

func addTrigger(t *testing.T, db *store.DB, one *faas.Trigger) {
	t.Helper()
	require.NoError(t, db.CreateTrigger(t.Context(), one, 100))
}

func testTriggers(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "f")
	create(t, db, f)
	one := trigger(f, "u1")
	addTrigger(t, db, one)
	require.Equal(t, int64(1), one.Revision)
	require.Equal(t, []*faas.Trigger{one}, list(t, db, faas.TriggerFilter{Project: "p", ID: one.ID}), "given back whole")

	alias := trigger(f, "")
	alias.Key.Version, alias.Alias, alias.Sealed, alias.CreatedAt = "", "prod", nil, someTime.Add(time.Hour)
	requireError(t, db.CreateTrigger(t.Context(), alias, 100), faas.CodeNotFound, "alias")
	addAlias(t, db, f.Key(), "prod", faas.Latest)
	addTrigger(t, db, alias)
	require.Equal(t, []*faas.Trigger{alias}, list(t, db, faas.TriggerFilter{Project: "p", Package: "default", Name: "f", Qualifier: "!prod"}))
	require.Equal(t, []*faas.Trigger{one, alias}, list(t, db, faas.TriggerFilter{Project: "p"}), "oldest first")
	for _, filter := range []faas.TriggerFilter{
		{Project: "q"}, {Project: "p", Package: "default", Name: "g"}, {Project: "p", Package: "other", Name: "f"},
		{Project: "p", Package: "default", Name: "f", Qualifier: "v1"}, {Project: "q", ID: one.ID}, {Project: "p\x00"},
	} {
		require.Empty(t, list(t, db, filter), "%+v", filter)
	}

	requireError(t, db.CreateTrigger(t.Context(), trigger(f, "u1"), 100), faas.CodeExists, "trigger")
	requireError(t, db.CreateTrigger(t.Context(), trigger(f, "u2"), 1), faas.CodeQuota, "triggers")
	missing := trigger(function("p", "g"), "")
	requireError(t, db.CreateTrigger(t.Context(), missing, 100), faas.CodeNotFound, "function")
	missing = trigger(f, "")
	missing.Key.Version = "v1"
	requireError(t, db.CreateTrigger(t.Context(), missing, 100), faas.CodeNotFound, "version")
}

func testTriggerUpdates(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "f")
	create(t, db, f)
	one, two := trigger(f, "u1"), trigger(f, "u2")
	addTrigger(t, db, one)
	addTrigger(t, db, two)
	changed, err := db.UpdateTrigger(t.Context(), "p", one.ID, func(x *faas.Trigger) error {
		require.Equal(t, one, x)
		x.Active, x.Data, x.Sealed, x.Unique, x.Since, x.ModifiedAt = false, `{}`, nil, "u3", someTime.Add(time.Hour), someTime.Add(2*time.Hour)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, int64(2), changed.Revision)
	require.Equal(t, []*faas.Trigger{changed}, list(t, db, faas.TriggerFilter{Project: "p", ID: one.ID}))

	no := errors.New("no")
	for _, c := range []struct {
		project, id string
		change      func(*faas.Trigger) error
		code        faas.Code
	}{
		{"p", one.ID, func(*faas.Trigger) error { return no }, faas.CodeInternal},
		{"p", one.ID, func(x *faas.Trigger) error { x.Unique = "u2"; return nil }, faas.CodeExists},
		{"p", one.ID, func(x *faas.Trigger) error { x.Kind = "APIG"; return nil }, faas.CodeInternal},
		{"q", one.ID, func(*faas.Trigger) error { return nil }, faas.CodeNotFound},
		{"p", uuid.NewString(), func(*faas.Trigger) error { return nil }, faas.CodeNotFound},
	} {
		_, err := db.UpdateTrigger(t.Context(), c.project, c.id, c.change)
		require.Equal(t, c.code, faas.CodeOf(err), "%v", err)
	}
	require.Equal(t, []*faas.Trigger{changed}, list(t, db, faas.TriggerFilter{Project: "p", ID: one.ID}), "nothing has changed")

	// The unique text that went is free again.
	four := trigger(f, "u1")
	addTrigger(t, db, four)
	deleted, err := db.DeleteTriggers(t.Context(), faas.TriggerFilter{Project: "p", ID: four.ID})
	require.NoError(t, err)
	require.EqualValues(t, 1, deleted)
	addTrigger(t, db, trigger(f, "u1"))
}

func testTriggersGoWithFunctions(t *testing.T, url string) {
	db := Open(t, url)
	f, g := function("p", "f"), function("p", "g")
	version := function("p", "f")
	version.Version = "v1"
	for _, each := range []*faas.Function{f, g, version} {
		create(t, db, each)
	}
	for range 2 {
		addTrigger(t, db, trigger(f, ""))
		addTrigger(t, db, trigger(version, ""))
	}
	other := trigger(g, "")
	addTrigger(t, db, other)
	deleted, err := db.DeleteTriggers(t.Context(), faas.TriggerFilter{Project: "p", Package: "default", Name: "f", Qualifier: "v1"})
	require.NoError(t, err)
	require.EqualValues(t, 2, deleted)
	require.Len(t, list(t, db, faas.TriggerFilter{Project: "p"}), 3)
	require.NoError(t, db.DeleteFunction(t.Context(), f.Key()))
	require.Equal(t, []*faas.Trigger{other}, list(t, db, faas.TriggerFilter{Project: "p"}))
	_, err = db.DeleteTriggers(t.Context(), faas.TriggerFilter{Project: "p"})
	require.Error(t, err, "all triggers of a project are never meant")
	create(t, db, f)
	require.Empty(t, list(t, db, faas.TriggerFilter{Project: "p", Package: "default", Name: "f"}), "a new function of that name has none")
}

// changes follows the numbered changes from the beginning, a page at a time, as a server does.
func changes(t *testing.T, db *store.DB, after int64, limit int) (all []faas.TriggerChange, last int64) {
	t.Helper()
	for last = after; ; {
		page, err := db.TriggerChanges(t.Context(), last, limit)
		require.NoError(t, err)
		for _, c := range page {
			require.Greater(t, c.Seq, last)
			last = c.Seq
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, last
		}
	}
}

func testTriggerChanges(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "f")
	create(t, db, f)
	var made []*faas.Trigger
	for range 7 {
		made = append(made, trigger(f, ""))
		addTrigger(t, db, made[len(made)-1])
	}
	all, last := changes(t, db, 0, 3)
	require.Len(t, all, 7)
	for i, c := range all {
		require.Equal(t, made[i], c.Trigger)
		require.False(t, c.Gone)
	}
	_, err := db.UpdateTrigger(t.Context(), "p", made[0].ID, func(x *faas.Trigger) error { x.Active = false; return nil })
	require.NoError(t, err)
	_, err = db.DeleteTriggers(t.Context(), faas.TriggerFilter{Project: "p", ID: made[1].ID})
	require.NoError(t, err)
	all, last = changes(t, db, last, 100)
	require.Len(t, all, 2)
	require.Equal(t, made[0].ID, all[0].Trigger.ID)
	require.False(t, all[0].Trigger.Active)
	require.Equal(t, made[1].ID, all[1].Trigger.ID)
	require.True(t, all[1].Gone)
	require.Nil(t, all[1].Trigger.Sealed, "no secret is kept of what went")

	// Marks are no changes, and only grow.
	fired := someTime.Add(time.Hour)
	require.NoError(t, db.MarkFired(t.Context(), map[string]time.Time{made[2].ID: fired, made[1].ID: fired, "no such": fired}))
	require.NoError(t, db.MarkFired(t.Context(), map[string]time.Time{made[2].ID: fired.Add(-time.Minute)}))
	all, _ = changes(t, db, last, 100)
	require.Empty(t, all)
	require.Equal(t, fired, list(t, db, faas.TriggerFilter{Project: "p", ID: made[2].ID})[0].Fired)
	_, err = db.UpdateTrigger(t.Context(), "p", made[2].ID, func(x *faas.Trigger) error { x.Fired = time.Time{}; return nil })
	require.NoError(t, err)
	require.Equal(t, fired, list(t, db, faas.TriggerFilter{Project: "p", ID: made[2].ID})[0].Fired)
}

// testTriggerRace has many writers and one reader, who must end up with what is there, having seen numbers in order only.
func testTriggerRace(t *testing.T, url string) {
	db := Open(t, url)
	var functions []*faas.Function
	for i := range 4 {
		functions = append(functions, function(fmt.Sprintf("p%d", i%2), fmt.Sprintf("f%d", i)))
		create(t, db, functions[i])
	}
	ctx, stop := context.WithCancel(t.Context())
	seen := map[string]bool{}
	var reader sync.WaitGroup
	var last int64
	follow := func() {
		page, err := db.TriggerChanges(t.Context(), last, 10)
		if err != nil {
			t.Error(err)
		}
		for _, c := range page {
			last = c.Seq
			seen[c.Trigger.ID] = !c.Gone
		}
	}
	reader.Go(func() {
		for ctx.Err() == nil {
			follow()
		}
	})
	var writers sync.WaitGroup
	for i := range 16 {
		writers.Go(func() {
			for range 5 {
				one := trigger(functions[i%4], "")
				if err := db.CreateTrigger(ctx, one, 1000); err != nil {
					t.Error(err)
				}
				if _, err := db.UpdateTrigger(ctx, one.Key.Project, one.ID, func(x *faas.Trigger) error { x.Active = false; return nil }); err != nil {
					t.Error(err)
				}
				if i%3 == 0 {
					if _, err := db.DeleteTriggers(ctx, faas.TriggerFilter{Project: one.Key.Project, ID: one.ID}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Wait()
	require.NoError(t, db.DeleteFunction(ctx, functions[0].Key()))
	stop()
	reader.Wait()
	for range 100 {
		follow()
	}
	have := map[string]bool{}
	for _, project := range []string{"p0", "p1"} {
		for _, one := range list(t, db, faas.TriggerFilter{Project: project}) {
			have[one.ID] = true
		}
	}
	for id, there := range seen {
		require.Equal(t, have[id], there, id)
	}
	for id := range have {
		require.True(t, seen[id], id)
	}
}
