package storetest

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

func testQuotas(t *testing.T, url string) {
	db := Open(t, url)
	quota := faas.Quota{Functions: 2, CodeBytes: 350}
	require.NoError(t, db.CreateFunction(t.Context(), function("p", "a"), quota))
	require.NoError(t, db.CreateFunction(t.Context(), function("p", "b"), quota))
	requireError(t, db.CreateFunction(t.Context(), function("p", "c"), quota), faas.CodeQuota, "functions")
	_, err := db.Function(t.Context(), function("p", "c").Key())
	requireError(t, err, faas.CodeNotFound, "function")

	version := function("p", "a")
	version.Version = "v1" // no function of its own, but more code
	require.NoError(t, db.CreateFunction(t.Context(), version, quota))
	version.Version = "v2"
	requireError(t, db.CreateFunction(t.Context(), version, quota), faas.CodeQuota, "code_bytes")
	requireUsage(t, db, "p", 2, 300)

	resize := func(quota faas.Quota, size int64) error {
		_, err := db.UpdateFunction(t.Context(), function("p", "a").Key(), quota, func(f *faas.Function) error {
			f.Code.Size = size
			return nil
		})
		return err
	}
	requireError(t, resize(quota, 151), faas.CodeQuota, "code_bytes")
	requireUsage(t, db, "p", 2, 300)
	require.NoError(t, resize(quota, 150))
	requireUsage(t, db, "p", 2, 350)
	lower := faas.Quota{Functions: 1, CodeBytes: 10} // what is there already stays, and may shrink
	require.NoError(t, resize(lower, 150))
	require.NoError(t, resize(lower, 120))
	requireError(t, resize(lower, 121), faas.CodeQuota, "code_bytes")
	requireUsage(t, db, "p", 2, 320)

	require.NoError(t, db.CreateFunction(t.Context(), function("q", "a"), quota)) // a project of its own
	require.NoError(t, db.DeleteFunction(t.Context(), function("p", "b").Key()))
	require.NoError(t, db.CreateFunction(t.Context(), function("p", "c"), quota))
}

func testQuotaRace(t *testing.T, url string) {
	db := Open(t, url)
	quota := faas.Quota{Functions: 7, CodeBytes: 1 << 30}
	require.Equal(t, 7, together(t, 24, func(i int) error {
		return db.CreateFunction(t.Context(), function("p", numbered(i)), quota)
	}))
	requireUsage(t, db, "p", 7, 700)
	bytes := faas.Quota{Functions: 100, CodeBytes: 950}
	require.Equal(t, 2, together(t, 12, func(i int) error {
		return db.CreateFunction(t.Context(), function("p", numbered(100+i)), bytes)
	}))
	requireUsage(t, db, "p", 9, 900)
	require.Equal(t, 1, together(t, 8, func(int) error {
		return db.CreateFunction(t.Context(), function("q", "same"), faas.DefaultQuota)
	}))
}

func testUpdateRace(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "a")
	create(t, db, f)
	require.Equal(t, 20, together(t, 20, func(int) error {
		_, err := db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(f *faas.Function) error {
			f.Code.Size++
			f.Spec.Description += "x"
			return nil
		})
		return err
	}))
	got, err := db.Function(t.Context(), f.Key())
	require.NoError(t, err)
	require.Equal(t, int64(21), got.Revision)
	require.Len(t, got.Spec.Description, 20)
	requireUsage(t, db, "p", 1, 120)
}

func testBooks(t *testing.T, url string) {
	db := Open(t, url)
	var reads atomic.Int64
	together(t, 8, func(worker int) error {
		for i := range 15 {
			f := function("p", numbered((worker+i)%5))
			var err error
			switch (worker + i) % 4 {
			case 0, 1:
				err = db.CreateFunction(t.Context(), f, faas.DefaultQuota)
			case 2:
				_, err = db.UpdateFunction(t.Context(), f.Key(), faas.DefaultQuota, func(f *faas.Function) error {
					f.Code.Size += 7
					return nil
				})
			case 3:
				err = db.DeleteFunction(t.Context(), f.Key())
			}
			if faas.CodeOf(err) == faas.CodeInternal && err != nil {
				return err
			}
			page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Limit: 100})
			if err != nil {
				return err
			}
			if page.Total != int64(len(page.Functions)) {
				t.Errorf("a page of one snapshot counts %d and holds %d", page.Total, len(page.Functions))
			}
			reads.Add(1)
		}
		return nil
	})
	require.Equal(t, int64(8*15), reads.Load())
	requireBooks(t, db, "p")
}

// requireBooks checks that the counters of a project say what its functions say.
func requireBooks(t *testing.T, db *store.DB, project string) {
	t.Helper()
	page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: project, Limit: 10_000})
	require.NoError(t, err)
	var bytes int64
	for _, f := range page.Functions {
		bytes += f.Code.Size
	}
	requireUsage(t, db, project, int64(len(page.Functions)), bytes)
}
