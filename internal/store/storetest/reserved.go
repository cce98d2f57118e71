package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// testReserved finds the versions with reserved instances among others whose texts look like it.
func testReserved(t *testing.T, url string) {
	db := Open(t, url)
	for _, name := range []string{"a", "b", "c"} {
		f := function("p", name)
		f.Spec.Description, f.Spec.UserData = `"reserved":5`, `{"reserved":5}`
		create(t, db, f)
	}
	other := function("q", "a")
	other.Spec.Reserved = 3
	create(t, db, other)
	set := func(name string, n int) {
		_, err := db.UpdateFunction(t.Context(), function("p", name).Key(), faas.DefaultQuota, func(f *faas.Function) error {
			f.Spec.Reserved = n
			return nil
		})
		require.NoError(t, err)
	}
	find := func(project string) (found []string) {
		all, err := db.Reserved(t.Context(), project)
		require.NoError(t, err)
		for _, f := range all {
			found = append(found, f.Project+" "+f.Name)
		}
		return found
	}
	require.Equal(t, []string{"q a"}, find(""))
	set("c", 1)
	set("a", 2)
	require.Equal(t, []string{"p a", "p c", "q a"}, find(""))
	require.Equal(t, []string{"p a", "p c"}, find("p"))
	set("a", 0)
	require.Equal(t, []string{"p c"}, find("p"))
	require.Empty(t, find("none"))

	_, err := db.UpdateFunction(t.Context(), function("p", "b").Key(), faas.DefaultQuota, func(f *faas.Function) error {
		f.Spec.Tactics = &faas.Tactics{Metrics: []faas.ReservedMetric{{Name: "m", Threshold: 50}}}
		return nil
	})
	require.NoError(t, err)
	_, err = db.UpdateFunction(t.Context(), function("p", "a").Key(), faas.DefaultQuota, func(f *faas.Function) error {
		f.Spec.Snapshot = true
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"p a", "p b", "p c"}, find("p"), "policies and snapshots count, though they may keep nothing now")
}
