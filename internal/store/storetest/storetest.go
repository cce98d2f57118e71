// Package storetest holds the promises of a store as tests, to be run over each kind of database.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// Fresh gives the URL of a database that is the test's own and goes with it.
type Fresh func(t *testing.T) string

// Run holds databases of one kind to all promises. Those that ready gives have the schema, as making it takes longer than most of what
// is tested here, and nothing in it; those that empty gives do not.
func Run(t *testing.T, ready, empty Fresh) {
	t.Run("several servers open an empty database", func(t *testing.T) { testOpenTogether(t, empty(t)) })
	t.Run("reopening finds everything", func(t *testing.T) { testReopen(t, empty(t)) })
	for _, c := range []struct {
		name string
		test func(t *testing.T, url string)
	}{
		{"function is given back whole", testRoundTrip},
		{"create refuses a taken name", testExists},
		{"missing things are named", testMissing},
		{"update", testUpdate},
		{"delete removes all versions", testDelete},
		{"quotas", testQuotas},
		{"quota under concurrent creates", testQuotaRace},
		{"concurrent updates lose nothing", testUpdateRace},
		{"concurrent creates, updates and deletes keep the books", testBooks},
		{"listing", testListing},
		{"reserved instances", testReserved},
		{"dependencies", testDependencies},
		{"dependencies under functions", testDependenciesInUse},
		{"dependencies are not lost under a function", testDependencyRace},
		{"versions", testVersions},
		{"aliases", testAliases},
		{"deleting a version", testDeleteVersion},
		{"reserved instances of an alias", testReserveAlias},
		{"a deleted function leaves nothing behind", testNothingLeft},
		{"names in every script", testNames},
		{"text that is not text", testNotText},
		{"identities", testIdentities},
		{"one owner only", testOwnerRace},
		{"users and roles", testPeople},
		{"access keys", testKeys},
		{"agencies", testAgencies},
		{"audit log", testAudit},
		{"cancelled context", testCancelled},
		{"jobs: life", testJobLife},
		{"jobs: accepted once", testJobDedup},
		{"jobs: many accepted once, by several servers", testJobBatches},
		{"jobs: begun anew while they end", testJobRedriveRace},
		{"jobs: times and heads", testJobTimes},
		{"jobs: cancel", testJobCancel},
		{"jobs: redrive", testJobRedrive},
		{"jobs: restart", testJobRestart},
		{"jobs: a node unseen", testJobUnseen},
		{"jobs: release", testJobRelease},
		{"jobs: listing", testJobListing},
		{"jobs: forgetting", testJobForget},
		{"jobs: random operations keep the books", testJobModel},
		{"async configs and settings", testAsyncConfigs},
		{"titles", testTitles},
		{"walls", testWalls},
		{"clients and grants", testGrants},
		{"records of calls", testCalls},
		{"test events", testTestEvents},
		{"tags", testTags},
		{"applications", testApplications},
		{"pages of calls", testCallPages},
		{"triggers", testTriggers},
		{"updates of triggers", testTriggerUpdates},
		{"triggers go with their functions", testTriggersGoWithFunctions},
		{"changes of triggers in order", testTriggerChanges},
		{"concurrent changes of triggers", testTriggerRace},
		{"workflows", testFlows},
		{"runs of workflows", testFlowRuns},
		{"concurrent runs of workflows", testFlowRace},
		{"gateways", testGateways},
		{"bindings, settings and routes of gateways", testBindings},
		{"releases of the gateways' agent", testReleases},
		{"desired state of gateways", testDesired},
		{"commands and messages of gateways", testGatewayCommands},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, ready(t))
		})
	}
}

// Open opens a database for a test and closes it at its end.
func Open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// function makes one that is valid in every respect.
func function(project, name string) *faas.Function {
	at := time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)
	return &faas.Function{
		ID: "id-of-" + name, Project: project, Package: "default", Name: name, Version: faas.Latest,
		Spec: faas.Spec{Runtime: "Python3.9", Handler: "index.handler", Timeout: 3 * time.Second, MemoryMB: 128,
			MaxInstances: faas.Unlimited, RequestsPer: 1, Generation: "v2"},
		Code:      faas.Package{Kind: faas.KindInline, Filename: "index.py", Digest: "digest-of-" + name, Size: 100, Source: true},
		CreatedAt: at, ModifiedAt: at,
	}
}

func requireError(t *testing.T, err error, code faas.Code, field string) {
	t.Helper()
	var e *faas.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
	require.Equal(t, field, e.Field, "%v", err)
}

// requireUsage checks the counters against the rows themselves, by reading every version that the test knows.
func requireUsage(t *testing.T, db *store.DB, project string, functions, codeBytes int64) {
	t.Helper()
	usage, err := db.Usage(t.Context(), project)
	require.NoError(t, err)
	require.Equal(t, faas.Usage{Functions: functions, CodeBytes: codeBytes}, usage)
}

func create(t *testing.T, db *store.DB, f *faas.Function) {
	t.Helper()
	hold(t, db, f)
	require.NoError(t, db.CreateFunction(t.Context(), f, faas.DefaultQuota))
}

func testRoundTrip(t *testing.T, url string) {
	db := Open(t, url)
	for i, f := range []*faas.Function{function("p", "plain"), Filled()} {
		create(t, db, f)
		require.Equal(t, int64(1), f.Revision)
		got, err := db.Function(t.Context(), f.Key())
		require.NoError(t, err)
		require.Equal(t, f, got, "function %d", i)
	}
}

func testExists(t *testing.T, url string) {
	db := Open(t, url)
	create(t, db, function("p", "a"))
	again := function("p", "a")
	again.ID, again.Spec.Description = "another", "another"
	requireError(t, db.CreateFunction(t.Context(), again, faas.DefaultQuota), faas.CodeExists, "function")
	// The name is taken before the quota is full.
	requireError(t, db.CreateFunction(t.Context(), again, faas.Quota{Functions: 1, CodeBytes: 1}), faas.CodeExists, "function")
	got, err := db.Function(t.Context(), again.Key())
	require.NoError(t, err)
	require.Equal(t, "id-of-a", got.ID)
	requireUsage(t, db, "p", 1, 100)

	elsewhere := function("p", "a")
	elsewhere.Package = "other"
	create(t, db, elsewhere)
	create(t, db, function("q", "a"))
	version := function("p", "a")
	version.Version = "v1"
	create(t, db, version)
}

func testMissing(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "a")
	create(t, db, f)
	never := func(*faas.Function) error { return errors.New("change was called") }
	for _, c := range []struct {
		key   faas.FunctionKey
		field string
	}{
		{faas.FunctionKey{Project: "p", Package: "default", Name: "b", Version: faas.Latest}, "function"},
		{faas.FunctionKey{Project: "p", Package: "other", Name: "a", Version: faas.Latest}, "function"},
		{faas.FunctionKey{Project: "q", Package: "default", Name: "a", Version: faas.Latest}, "function"},
		{faas.FunctionKey{Project: "p", Package: "default", Name: "A", Version: faas.Latest}, "function"},
		{faas.FunctionKey{Project: "p", Package: "default", Name: "a", Version: "v7"}, "version"},
	} {
		_, err := db.Function(t.Context(), c.key)
		requireError(t, err, faas.CodeNotFound, c.field)
		_, err = db.UpdateFunction(t.Context(), c.key, faas.DefaultQuota, never)
		requireError(t, err, faas.CodeNotFound, c.field)
		if c.field == "function" {
			requireError(t, db.DeleteFunction(t.Context(), c.key), faas.CodeNotFound, "function")
		}
	}
	requireUsage(t, db, "p", 1, 100)
	requireUsage(t, db, "q", 0, 0)
}

func testUpdate(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "a")
	create(t, db, f)
	later := f.ModifiedAt.Add(time.Hour)
	updated, err := db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(f *faas.Function) error {
		require.Equal(t, int64(1), f.Revision)
		f.Spec.Description = "new"
		f.Spec.Carried = map[string]string{"x": `[1]`}
		f.Code.Digest, f.Code.Size = "other", 40
		f.ModifiedAt = later
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, int64(2), updated.Revision)
	require.Equal(t, later, updated.ModifiedAt)
	got, err := db.Function(t.Context(), f.Key())
	require.NoError(t, err)
	require.Equal(t, updated, got)
	requireUsage(t, db, "p", 1, 40)

	sentinel := errors.New("changed my mind")
	for name, change := range map[string]func(*faas.Function) error{
		"error":    func(f *faas.Function) error { f.Spec.Description, f.Code.Size = "lost", 1; return sentinel },
		"identity": func(f *faas.Function) error { f.Spec.Description, f.Name = "lost", "b"; return nil },
		"id":       func(f *faas.Function) error { f.Spec.Description, f.ID = "lost", "b"; return nil },
	} {
		_, err = db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, change)
		require.Error(t, err, name)
		require.Equal(t, name == "error", errors.Is(err, sentinel))
		got, err = db.Function(t.Context(), f.Key())
		require.NoError(t, err)
		require.Equal(t, updated, got, name)
	}
	func() {
		defer func() { require.NotNil(t, recover()) }()
		_, _ = db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(*faas.Function) error { panic("change panics") })
	}()
	expected := faas.Errorf(faas.CodeConflict, "revision", "no")
	_, err = db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(*faas.Function) error { return expected })
	require.Same(t, expected, err)
	requireUsage(t, db, "p", 1, 40)
}

func testDelete(t *testing.T, url string) {
	db := Open(t, url)
	create(t, db, function("p", "a"))
	create(t, db, function("p", "b"))
	for _, v := range []string{"v1", "v2"} {
		f := function("p", "a")
		f.Version = v
		create(t, db, f)
	}
	requireUsage(t, db, "p", 2, 400)
	used, err := db.DigestUsed(t.Context(), "digest-of-a")
	require.NoError(t, err)
	require.True(t, used)

	require.NoError(t, db.DeleteFunction(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: "a", Version: "v2"}))
	for _, v := range []string{faas.Latest, "v1", "v2"} {
		_, err := db.Function(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: "a", Version: v})
		requireError(t, err, faas.CodeNotFound, "function")
	}
	requireUsage(t, db, "p", 1, 100)
	used, err = db.DigestUsed(t.Context(), "digest-of-a")
	require.NoError(t, err)
	require.False(t, used)

	create(t, db, function("p", "a")) // the name is free again, and the function is now the youngest
	page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"b", "a"}, names(page))
}

func testReopen(t *testing.T, url string) {
	db, err := store.Open(t.Context(), store.Config{URL: url})
	require.NoError(t, err)
	f := Filled()
	create(t, db, f)
	owner(t, db)
	require.NoError(t, db.Close())

	db = Open(t, url)
	got, err := db.Function(t.Context(), f.Key())
	require.NoError(t, err)
	require.Equal(t, f, got)
	d, err := db.DomainByName(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "d1", d.ID)
	second := function(f.Project, "second")
	create(t, db, second)
	requireUsage(t, db, f.Project, 1, f.Code.Size+100) // f is a published version
}

func testOpenTogether(t *testing.T, url string) {
	if strings.HasPrefix(url, "sqlite:") {
		// One process owns the file; what may be open twice is the same file in one process, as here.
		Open(t, url)
		Open(t, url)
		return
	}
	together(t, 3, func(int) error {
		db, err := store.Open(t.Context(), store.Config{URL: url})
		if err != nil {
			return err
		}
		return db.Close()
	})
}

func testCancelled(t *testing.T, url string) {
	db := Open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := function("p", "a")
	require.ErrorIs(t, db.CreateFunction(ctx, f, faas.DefaultQuota), context.Canceled)
	_, err := db.Function(ctx, f.Key())
	require.ErrorIs(t, err, context.Canceled)
	_, err = db.ListFunctions(ctx, faas.FunctionFilter{Project: "p", Limit: 1})
	require.ErrorIs(t, err, context.Canceled)
	requireUsage(t, db, "p", 0, 0)

	create(t, db, f)
	ctx, cancel = context.WithCancel(t.Context())
	_, err = db.UpdateFunction(ctx, f.Key(), faas.DefaultQuota, func(f *faas.Function) error {
		f.Spec.Description = "lost"
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	got, err := db.Function(t.Context(), f.Key())
	require.NoError(t, err)
	require.Equal(t, f, got)
}

// together runs n calls at once and gives how many succeeded; an error that is not a faas.Error fails the test.
func together(t *testing.T, n int, call func(i int) error) (succeeded int) {
	t.Helper()
	errs := make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { errs[i] = call(i) })
	}
	calls.Wait()
	for _, err := range errs {
		if err == nil {
			succeeded++
			continue
		}
		require.NotEqual(t, faas.CodeInternal, faas.CodeOf(err), "%v", err)
	}
	return succeeded
}

func names(page faas.FunctionPage) []string {
	var all []string
	for _, f := range page.Functions {
		all = append(all, f.Name)
	}
	return all
}

func numbered(i int) string { return fmt.Sprintf("f%05d", i) }
