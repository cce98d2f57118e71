package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// dependency makes a version that is valid in every respect.
func dependency(project, name, versionID string) *faas.DependencyVersion {
	return &faas.DependencyVersion{
		Dependency: faas.Dependency{ID: "id-of-" + project + "-" + name, Project: project, Name: name},
		VersionID:  versionID, Runtime: "Python3.9", Description: "what it is for", Kind: faas.KindOBS, Filename: name + ".zip",
		URL: "https://bucket/" + name + ".zip", ETag: "83863be4b6c3a86aef995dbc83aae68f", Digest: "digest-of-" + versionID, Size: 50,
		CreatedAt: time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC),
	}
}

func addDependency(t *testing.T, db *store.DB, v *faas.DependencyVersion) {
	t.Helper()
	require.NoError(t, db.CreateDependencyVersion(t.Context(), v, faas.DefaultQuota, false))
}

// hold makes the dependencies that a function names, where they are missing.
func hold(t *testing.T, db *store.DB, f *faas.Function) {
	t.Helper()
	for i, id := range f.Spec.Dependencies {
		if _, err := db.DependenciesByID(t.Context(), f.Project, []string{id}); err != nil {
			v := dependency("other", fmt.Sprint("d", i), id)
			v.Public = true
			addDependency(t, db, v)
		}
	}
}

func testDependencies(t *testing.T, url string) {
	db := Open(t, url)
	one := dependency("p", "pandas", "v1")
	addDependency(t, db, one)
	require.EqualValues(t, 1, one.Number)
	second := dependency("p", "pandas", "v2")
	second.ID, second.Runtime = "another", "Python3.10"
	addDependency(t, db, second)
	require.EqualValues(t, 2, second.Number)
	require.Equal(t, one.ID, second.ID, "a version of the one that is there")
	requireError(t, db.CreateDependencyVersion(t.Context(), dependency("p", "pandas", "v3"), faas.DefaultQuota, true), faas.CodeExists, "dependency")
	requireUsage(t, db, "p", 0, 100)

	got, err := db.DependencyVersion(t.Context(), "p", one.ID, 1)
	require.NoError(t, err)
	require.Equal(t, one, got)
	got, err = db.DependencyVersion(t.Context(), "p", one.ID, 0)
	require.NoError(t, err)
	require.Equal(t, second, got, "the newest")
	_, err = db.DependencyVersion(t.Context(), "p", one.ID, 3)
	requireError(t, err, faas.CodeNotFound, "dependency_version")
	_, err = db.DependencyVersion(t.Context(), "q", one.ID, 1)
	requireError(t, err, faas.CodeNotFound, "dependency")
	found, err := db.DependenciesByID(t.Context(), "p", []string{"v2", "v1"})
	require.NoError(t, err)
	require.Equal(t, []*faas.DependencyVersion{second, one}, found)
	for _, id := range []string{one.ID, "v9", "\x00"} {
		_, err = db.DependenciesByID(t.Context(), "p", []string{"v1", id})
		requireError(t, err, faas.CodeNotFound, "dependency")
	}

	addDependency(t, db, dependency("p", "Kafka", "k1"))
	addDependency(t, db, dependency("q", "numpy", "n1"))
	require.NoError(t, db.SetDependencyPublic(t.Context(), "id-of-q-numpy", true))
	requireError(t, db.SetDependencyPublic(t.Context(), "none", true), faas.CodeNotFound, "dependency")
	list := func(f faas.DependencyFilter) (ids []string, total int64) {
		page, err := db.Dependencies(t.Context(), f)
		require.NoError(t, err)
		for _, v := range page.Versions {
			ids = append(ids, v.VersionID)
		}
		return ids, page.Total
	}
	yes, no := true, false
	for _, c := range []struct {
		filter faas.DependencyFilter
		want   []string
		total  int64
	}{
		{faas.DependencyFilter{Project: "p", Limit: 10}, []string{"v2", "k1", "n1"}, 3},
		{faas.DependencyFilter{Project: "p", Limit: 1, Offset: 1}, []string{"k1"}, 3},
		{faas.DependencyFilter{Project: "p", Limit: 10, Public: &yes}, []string{"n1"}, 1},
		{faas.DependencyFilter{Project: "p", Limit: 10, Public: &no}, []string{"v2", "k1"}, 2},
		{faas.DependencyFilter{Project: "p", Limit: 10, Runtime: "Python3.10"}, []string{"v2"}, 1},
		{faas.DependencyFilter{Project: "p", Limit: 10, NamePart: "KAF"}, []string{"k1"}, 1},
		{faas.DependencyFilter{Project: "r", Limit: 10}, []string{"n1"}, 1},
	} {
		ids, total := list(c.filter)
		require.Equal(t, c.want, ids, "%+v", c.filter)
		require.Equal(t, c.total, total, "%+v", c.filter)
	}
	page, err := db.DependencyVersions(t.Context(), "p", one.ID, 0, 1)
	require.NoError(t, err)
	require.EqualValues(t, 2, page.Total)
	require.Equal(t, []*faas.DependencyVersion{one}, page.Versions)
	_, err = db.DependencyVersions(t.Context(), "p", "none", 0, 1)
	requireError(t, err, faas.CodeNotFound, "dependency")

	requireError(t, db.DeleteDependency(t.Context(), "p", "id-of-q-numpy", 1), faas.CodeForbidden, "dependency")
	require.NoError(t, db.DeleteDependency(t.Context(), "p", one.ID, 2))
	used, err := db.DigestUsed(t.Context(), "digest-of-v2")
	require.NoError(t, err)
	require.False(t, used)
	used, err = db.DigestUsed(t.Context(), "digest-of-v1")
	require.NoError(t, err)
	require.True(t, used)
	third := dependency("p", "pandas", "v3")
	addDependency(t, db, third)
	require.EqualValues(t, 3, third.Number, "a number is given once")
	require.NoError(t, db.DeleteDependency(t.Context(), "p", one.ID, 0))
	requireError(t, db.DeleteDependency(t.Context(), "p", one.ID, 0), faas.CodeNotFound, "dependency")
	requireUsage(t, db, "p", 0, 50)
	requireError(t, db.CreateDependencyVersion(t.Context(), dependency("p", "big", "b1"), faas.Quota{CodeBytes: 99}, false), faas.CodeQuota, "code_bytes")
	requireUsage(t, db, "p", 0, 50)
	for i := range faas.MaxDependencies - 1 {
		addDependency(t, db, dependency("p", numbered(i), numbered(i)))
	}
	requireError(t, db.CreateDependencyVersion(t.Context(), dependency("p", "over", "o1"), faas.DefaultQuota, false), faas.CodeQuota, "dependencies")
	addDependency(t, db, dependency("p", "Kafka", "k2")) // a version is no dependency of its own
}

func testDependenciesInUse(t *testing.T, url string) {
	db := Open(t, url)
	for _, id := range []string{"v1", "v2"} {
		addDependency(t, db, dependency("p", "pandas", id))
	}
	f := function("p", "f")
	f.Spec.Dependencies = []string{"v2", "v9"}
	requireError(t, db.CreateFunction(t.Context(), f, faas.DefaultQuota), faas.CodeNotFound, "dependency")
	f.Spec.Dependencies = []string{"v2"}
	f.Spec.Description = `it says "v1"`
	create(t, db, f)
	require.NoError(t, db.DeleteDependency(t.Context(), "p", "id-of-p-pandas", 1), "only spoken of")
	requireError(t, db.DeleteDependency(t.Context(), "p", "id-of-p-pandas", 2), faas.CodeConflict, "dependency")
	requireError(t, db.DeleteDependency(t.Context(), "p", "id-of-p-pandas", 0), faas.CodeConflict, "dependency")
	change := func(ids ...string) error {
		_, err := db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(f *faas.Function) error {
			f.Spec.Dependencies = ids
			return nil
		})
		return err
	}
	requireError(t, change("v2", "v1"), faas.CodeNotFound, "dependency")
	require.NoError(t, change())
	require.NoError(t, db.DeleteDependency(t.Context(), "p", "id-of-p-pandas", 2))
}

// testDependencyRace has functions take a dependency while it is being removed: one of both is refused.
func testDependencyRace(t *testing.T, url string) {
	db := Open(t, url)
	for round := range 8 {
		id := numbered(round)
		addDependency(t, db, dependency("p", "d"+id, id))
		require.Equal(t, 1, together(t, 2, func(i int) error {
			if i == 0 {
				return db.DeleteDependency(t.Context(), "p", "id-of-p-d"+id, 1)
			}
			f := function("q", "f"+id)
			f.Spec.Dependencies = []string{id}
			return db.CreateFunction(t.Context(), f, faas.DefaultQuota)
		}))
	}
}
