package storetest

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// publish makes a version of a function of project p.
func publish(t *testing.T, db *store.DB, key faas.FunctionKey, name string) *faas.Function {
	t.Helper()
	key.Version = faas.Latest
	v, err := db.PublishVersion(t.Context(), key, faas.DefaultQuota, 20, as(name))
	require.NoError(t, err)
	return v
}

// as publishes under a name.
func as(name string) func(*faas.Function) (*faas.Function, error) {
	return func(latest *faas.Function) (*faas.Function, error) {
		v := *latest
		v.Version, v.Spec.Reserved = name, 0
		return &v, nil
	}
}

func addAlias(t *testing.T, db *store.DB, key faas.FunctionKey, name, version string) {
	t.Helper()
	key.Version = version
	require.NoError(t, db.CreateAlias(t.Context(), &faas.Alias{Key: key, Name: name, CreatedAt: someTime, ModifiedAt: someTime}, 10))
}

func testVersions(t *testing.T, at string) {
	db := Open(t, at)
	f := function("p", "f")
	f.Spec.Reserved = 2
	create(t, db, f)
	key := f.Key()
	v1 := publish(t, db, key, "v1")
	require.Equal(t, int64(1), v1.Revision)
	require.Equal(t, f.ID, v1.ID)
	_, err := db.UpdateFunction(t.Context(), key, faas.DefaultQuota, func(f *faas.Function) error {
		f.Spec.Description = "later"
		return nil
	})
	require.NoError(t, err)
	v2 := publish(t, db, key, "v2")
	all, err := db.Versions(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Equal(t, []*faas.Function{v1, v2}, all[1:], "given back whole, in the order of their making")
	require.Empty(t, all[1].Spec.Description)
	require.Equal(t, "later", all[2].Spec.Description)
	requireUsage(t, db, "p", 1, 300)

	reject := faas.Errorf(faas.CodeConflict, "digest", "no")
	for name, c := range map[string]struct {
		key     faas.FunctionKey
		quota   faas.Quota
		most    int
		publish func(*faas.Function) (*faas.Function, error)
		code    faas.Code
		field   string
	}{
		"taken":           {key, faas.DefaultQuota, 20, as("v1"), faas.CodeExists, "version"},
		"too many":        {key, faas.DefaultQuota, 3, as("v3"), faas.CodeQuota, "versions"},
		"too much code":   {key, faas.Quota{Functions: 1, CodeBytes: 399}, 20, as("v3"), faas.CodeQuota, "code_bytes"},
		"rejected":        {key, faas.DefaultQuota, 20, func(*faas.Function) (*faas.Function, error) { return nil, reject }, faas.CodeConflict, "digest"},
		"of nothing":      {function("p", "g").Key(), faas.DefaultQuota, 20, as("v1"), faas.CodeNotFound, "function"},
		"of no version":   {faas.FunctionKey{Project: "p", Package: "default", Name: "f", Version: "v9"}, faas.DefaultQuota, 20, as("v3"), faas.CodeNotFound, "version"},
		"in no project":   {function("q", "f").Key(), faas.DefaultQuota, 20, as("v1"), faas.CodeNotFound, "function"},
		"with a bad name": {function("p\x00", "f").Key(), faas.DefaultQuota, 20, as("v1"), faas.CodeNotFound, "function"},
	} {
		_, err := db.PublishVersion(t.Context(), c.key, c.quota, c.most, c.publish)
		require.Error(t, err, name)
		requireError(t, err, c.code, c.field)
	}
	requireUsage(t, db, "p", 1, 300)
	_, err = db.Versions(t.Context(), function("p", "g").Key())
	requireError(t, err, faas.CodeNotFound, "function")
}

func testAliases(t *testing.T, at string) {
	db := Open(t, at)
	create(t, db, function("p", "f"))
	key := function("p", "f").Key()
	for _, name := range []string{"v1", "v2", "v3"} {
		publish(t, db, key, name)
	}
	prod := &faas.Alias{
		Key: key, Name: "prod", Description: "函数", CreatedAt: someTime, ModifiedAt: someTime.Add(time.Minute),
		Additional: &faas.Additional{Version: "v2", Any: true, Rules: []faas.AliasRule{{Kind: "Header", Name: "X-A", Op: "in", Value: "a,b"}}},
	}
	prod.Key.Version = "v1"
	require.NoError(t, db.CreateAlias(t.Context(), prod, 2))
	got, err := db.Alias(t.Context(), key, "prod")
	require.NoError(t, err)
	require.Equal(t, prod, got)

	with := func(name, version, more string) *faas.Alias {
		a := &faas.Alias{Key: key, Name: name, CreatedAt: someTime, ModifiedAt: someTime}
		a.Key.Version = version
		if more != "" {
			a.Additional = &faas.Additional{Version: more, Weight: 10}
		}
		return a
	}
	requireError(t, db.CreateAlias(t.Context(), with("prod", "v2", ""), 2), faas.CodeExists, "alias")
	requireError(t, db.CreateAlias(t.Context(), with("other", "v1", ""), 2), faas.CodeConflict, "version")
	requireError(t, db.CreateAlias(t.Context(), with("other", "v9", ""), 2), faas.CodeNotFound, "version")
	requireError(t, db.CreateAlias(t.Context(), with("other", "v2", "v9"), 2), faas.CodeInvalid, "additional_version")
	requireError(t, db.CreateAlias(t.Context(), with("other", "v2", ""), 1), faas.CodeQuota, "aliases")
	before, err := db.ProjectChanges(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.CreateAlias(t.Context(), with("other", "v2", "v3"), 2))
	after, err := db.ProjectChanges(t.Context())
	require.NoError(t, err)
	require.Greater(t, after["p"], before["p"], "other servers hear of it")

	changed, err := db.UpdateAlias(t.Context(), key, "prod", func(a *faas.Alias) error {
		a.Key.Version, a.Additional = "v3", nil
		return nil
	})
	require.NoError(t, err)
	list, err := db.Aliases(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, []*faas.Alias{with("other", "v2", "v3"), changed}, list, "by name")
	for version, field := range map[string]string{"v2": "version", "v9": "version"} {
		_, err = db.UpdateAlias(t.Context(), key, "prod", func(a *faas.Alias) error {
			a.Key.Version = version
			return nil
		})
		require.Error(t, err)
		requireError(t, err, faas.CodeOf(err), field)
	}
	_, err = db.UpdateAlias(t.Context(), key, "none", func(*faas.Alias) error { return nil })
	requireError(t, err, faas.CodeNotFound, "alias")
	_, err = db.Alias(t.Context(), function("p", "g").Key(), "prod")
	requireError(t, err, faas.CodeNotFound, "function")

	bound := trigger(function("p", "f"), "")
	bound.Key.Version, bound.Alias = "", "prod"
	addTrigger(t, db, bound)
	_, err = db.DeleteAlias(t.Context(), key, "prod")
	requireError(t, err, faas.CodeConflict, "alias.triggers")
	_, err = db.DeleteTriggers(t.Context(), faas.TriggerFilter{Project: "p", ID: bound.ID})
	require.NoError(t, err)
	led, err := db.DeleteAlias(t.Context(), key, "prod")
	require.NoError(t, err)
	require.Equal(t, "v3", led)
	_, err = db.DeleteAlias(t.Context(), key, "prod")
	requireError(t, err, faas.CodeNotFound, "alias")
}

// testDeleteVersion deletes one with an alias, triggers, settings, and calls that wait for it and for its alias.
func testDeleteVersion(t *testing.T, at string) {
	db := Open(t, at)
	create(t, db, function("p", "f"))
	key := function("p", "f").Key()
	v1 := publish(t, db, key, "v1").Key()
	publish(t, db, key, "v2")
	addAlias(t, db, key, "live", "v1")
	next := &faas.Alias{Key: key, Name: "next", Additional: &faas.Additional{Version: "v1", Weight: 1}, CreatedAt: someTime, ModifiedAt: someTime}
	require.NoError(t, db.CreateAlias(t.Context(), next, 10))
	_, err := db.DeleteVersion(t.Context(), v1)
	requireError(t, err, faas.CodeConflict, "additional_version")
	_, err = db.DeleteAlias(t.Context(), key, "next")
	require.NoError(t, err)
	hang(t, db, key)

	gone, err := db.DeleteVersion(t.Context(), v1)
	require.NoError(t, err)
	require.Equal(t, []string{"live"}, gone)
	_, err = db.DeleteVersion(t.Context(), v1)
	requireError(t, err, faas.CodeNotFound, "version")
	_, err = db.Alias(t.Context(), key, "live")
	requireError(t, err, faas.CodeNotFound, "alias")
	left := list(t, db, faas.TriggerFilter{Project: "p", Package: "default", Name: "f"})
	require.Len(t, left, 1)
	require.Equal(t, faas.Latest, left[0].Qualifier())
	configs, err := db.AsyncConfigs(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, configs, 1)
	require.Equal(t, faas.Latest, configs[0].Qualifier())
	requireUsage(t, db, "p", 1, 200)
	jobs, err := db.Jobs(t.Context(), faas.JobFilter{Project: "p", Package: "default", Name: "f", Limit: 10})
	require.NoError(t, err)
	states := map[string]faas.JobState{}
	for _, j := range jobs {
		states[j.ID] = j.State
	}
	require.Equal(t, map[string]faas.JobState{"to-latest": faas.JobWaiting, "to-v1": faas.JobCancelled, "to-!live": faas.JobCancelled}, states)
	requireBalanced(t, db, 1, 0, 2)
}

// testReserveAlias leads an alias that keeps instances loaded from version to version, and deletes it.
func testReserveAlias(t *testing.T, at string) {
	db := Open(t, at)
	f := function("p", "f")
	create(t, db, f)
	key := f.Key()
	publish(t, db, key, "v1")
	publish(t, db, key, "v2")
	addAlias(t, db, key, "live", "v1")
	want := &faas.AliasReserve{Alias: "live", Count: 3, Idle: true}
	got, err := db.ReserveAlias(t.Context(), key, "live", func(f *faas.Function) error {
		f.Spec.AliasReserve = want
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []any{"v1", int64(2)}, []any{got.Version, got.Revision})
	kept := func() (found []string) {
		all, err := db.Reserved(t.Context(), "p")
		require.NoError(t, err)
		for _, f := range all {
			require.Equal(t, want, f.Spec.AliasReserve)
			found = append(found, f.Version)
		}
		return found
	}
	require.Equal(t, []string{"v1"}, kept())
	lead := func(version string) {
		_, err := db.UpdateAlias(t.Context(), key, "live", func(a *faas.Alias) error {
			a.Key.Version = version
			return nil
		})
		require.NoError(t, err)
	}
	lead("v2")
	require.Equal(t, []string{"v2"}, kept())
	lead(faas.Latest)
	require.Equal(t, []string{faas.Latest}, kept())
	lead(faas.Latest)
	require.Equal(t, []string{faas.Latest}, kept())
	no := faas.Errorf(faas.CodeInvalid, "count", "no")
	_, err = db.ReserveAlias(t.Context(), key, "live", func(*faas.Function) error { return no })
	require.Same(t, no, err)
	_, err = db.ReserveAlias(t.Context(), key, "none", func(*faas.Function) error { return nil })
	requireError(t, err, faas.CodeNotFound, "alias")
	_, err = db.DeleteAlias(t.Context(), key, "live")
	require.NoError(t, err)
	require.Empty(t, kept())
}

// hang puts a trigger, a config and a waiting job on Latest, v1 and the alias live.
func hang(t *testing.T, db *store.DB, key faas.FunctionKey) {
	t.Helper()
	for i, qualifier := range []string{faas.Latest, "v1", "!live"} {
		one := trigger(function("p", key.Name), fmt.Sprint("unique", i))
		one.Key.Version = qualifier
		if name, ok := strings.CutPrefix(qualifier, "!"); ok {
			one.Key.Version, one.Alias = "", name
		}
		addTrigger(t, db, one)
		c := faas.DefaultAsyncConfig(one.Key, one.Alias)
		c.CreatedAt, c.ChangedAt = someTime, someTime
		_, err := db.SetAsyncConfig(t.Context(), c, func([]faas.Edge) error { return nil })
		require.NoError(t, err)
		_, err = db.EnqueueJob(t.Context(), faas.Job{ID: "to-" + qualifier, Key: one.Key, Alias: one.Alias, Source: faas.SourceAPI, Event: []byte(`{}`)})
		require.NoError(t, err)
	}
}

func requireBalanced(t *testing.T, db *store.DB, waiting, running, cancelled int64) faas.JobBooks {
	t.Helper()
	books, err := db.JobBooks(t.Context())
	require.NoError(t, err)
	require.True(t, books.Balanced(), "%+v", books)
	require.Equal(t, []int64{waiting, running, cancelled}, []int64{books.Waiting, books.Running, books.Cancelled}, "%+v", books)
	return books
}

// testNothingLeft looks into every column of every table for a function that was deleted with all that it had.
func testNothingLeft(t *testing.T, at string) {
	const name = "zzz-vanishes"
	db := Open(t, at)
	f := function("p", name)
	f.Title, f.Spec.Reserved = "title of "+name, 1
	create(t, db, f)
	key := f.Key()
	publish(t, db, key, "v1")
	publish(t, db, key, "v2")
	addAlias(t, db, key, "live", "v1")
	hang(t, db, key)
	require.NoError(t, db.SaveCalls(t.Context(), []faas.CallRecord{{ID: "call-of-" + name, Function: key, CreatedAt: someTime}}))
	for _, id := range []string{"ends", "runs"} { // behind those that hang made, which wait
		_, err := db.EnqueueJob(t.Context(), faas.Job{ID: id, Key: key, Source: faas.SourceAPI, Event: []byte(`{}`)})
		require.NoError(t, err)
	}
	delivery := faas.Job{ID: "delivery", Key: key, Parent: "ends", Source: faas.SourceDestination, Event: []byte(`{}`), Target: &faas.Destination{Kind: faas.DestinationBucket, Name: "b"}}
	place, err := db.EnqueueJob(t.Context(), faas.Job{ID: "other", Key: function("p", "stays").Key(), Source: faas.SourceAPI, Event: []byte(`{}`)})
	require.NoError(t, err)
	heads, err := db.JobHeads(t.Context())
	require.NoError(t, err)
	at2 := slices.IndexFunc(heads, func(h faas.LaneHead) bool { return h.Function.Name == name })
	got, err := db.ClaimJobs(t.Context(), []faas.LaneClaim{{Lane: heads[at2].Lane, Most: 2}})
	require.NoError(t, err)
	require.Len(t, got[0].Jobs, 2)
	first, second := got[0].Jobs[0], got[0].Jobs[1]
	_, err = db.EndJobs(t.Context(), []faas.JobEnd{{Seq: first.Seq, Attempt: 1, State: faas.JobDone, Next: []faas.Job{delivery}}})
	require.NoError(t, err)
	requireBalanced(t, db, 5, 1, 0)

	require.NoError(t, db.DeleteFunction(t.Context(), key))
	books := requireBalanced(t, db, 1, 0, 5)
	require.Zero(t, books.Kept)
	ended, err := db.EndJobs(t.Context(), []faas.JobEnd{{Seq: second.Seq, Attempt: 1, State: faas.JobDone}})
	require.NoError(t, err)
	require.Empty(t, ended[0].State, "the end of an attempt under way counts for nothing")
	requireBalanced(t, db, 1, 0, 5)
	requireUsage(t, db, "p", 0, 0)

	// The number of a line of calls stays with its name, and for a day that triggers have gone: nothing of what these held.
	require.Equal(t, map[string]int{"lanes.name": 2, "triggers.name": 3}, mentions(t, at, name))
	require.Empty(t, list(t, db, faas.TriggerFilter{Project: "p"}))
	require.Equal(t, map[string]int{"jobs.id": 1}, mentions(t, at, "other"), "other functions keep their jobs")
	_, err = db.ClaimJobs(t.Context(), []faas.LaneClaim{{Lane: place.Lane, Most: 1}})
	require.NoError(t, err)
	create(t, db, function("p", name))
	aliases, err := db.Aliases(t.Context(), key)
	require.NoError(t, err)
	require.Empty(t, aliases, "another function of the same name begins anew")
}

// mentions counts the rows of each column of each table that hold a text.
func mentions(t *testing.T, at, text string) map[string]int {
	t.Helper()
	driver, tables, columns := "pgx", `select table_name from information_schema.tables where table_schema = current_schema()`,
		`select column_name from information_schema.columns where table_schema = current_schema() and table_name = $1`
	source := at
	if file, ok := strings.CutPrefix(at, "sqlite:"); ok {
		driver, tables, columns = "sqlite", `select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`, `select name from pragma_table_info($1)`
		source = (&url.URL{Scheme: "file", Path: file}).String()
	}
	raw, err := sql.Open(driver, source)
	require.NoError(t, err)
	defer raw.Close()
	texts := func(query string, args ...any) (found []string) {
		rows, err := raw.QueryContext(t.Context(), query, args...)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var one string
			require.NoError(t, rows.Scan(&one))
			found = append(found, one)
		}
		require.NoError(t, rows.Err())
		return found
	}
	found := map[string]int{}
	for _, table := range texts(tables) {
		for _, column := range texts(columns, table) {
			var n int
			err := raw.QueryRowContext(t.Context(), `select count(*) from "`+table+`" where cast("`+column+`" as text) like '%`+text+`%'`).Scan(&n)
			require.NoError(t, err, "%s.%s", table, column)
			if n > 0 {
				found[table+"."+column] = n
			}
		}
	}
	return found
}
