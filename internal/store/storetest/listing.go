package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func testListing(t *testing.T, url string) {
	db := Open(t, url)
	const count = 500
	quota := faas.Quota{Functions: 1 << 20, CodeBytes: 1 << 40}
	for i := range count {
		f := function("p", numbered(i))
		if i%10 == 0 {
			f.Package = "tenth"
		}
		require.NoError(t, db.CreateFunction(t.Context(), f, quota))
	}
	version := function("p", numbered(1))
	version.Version = "v1" // not listed
	require.NoError(t, db.CreateFunction(t.Context(), version, quota))
	create(t, db, function("q", numbered(1)))

	// What is left out may be nearer to either end.
	for _, group := range []string{"", "tenth"} {
		whole, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Package: group, Limit: count})
		require.NoError(t, err)
		all := names(whole)
		for _, skip := range []int{0, 1, 100, len(all)/2 - 1, len(all) / 2, len(all)/2 + 1, len(all) - 20, len(all) - 7, len(all) - 6, len(all) - 1, len(all), len(all) + 5} {
			page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Package: group, Skip: int64(skip), Limit: 7})
			require.NoError(t, err)
			from, to := min(skip, len(all)), min(skip+7, len(all))
			require.Equal(t, append([]string(nil), all[from:to]...), names(page), "behind %d", skip)
			require.Equal(t, to < len(all), page.Next != 0, "behind %d", skip)
			require.EqualValues(t, len(all), page.Total)
		}
	}

	for _, c := range []struct {
		name   string
		filter faas.FunctionFilter
		total  int
		first  string
		last   string
	}{
		{"all", faas.FunctionFilter{Project: "p", Limit: 80}, count, "f00000", "f00499"},
		{"all at once", faas.FunctionFilter{Project: "p", Limit: count}, count, "f00000", "f00499"},
		{"package", faas.FunctionFilter{Project: "p", Package: "tenth", Limit: 20}, 50, "f00000", "f00490"},
		{"name part", faas.FunctionFilter{Project: "p", NamePart: "F004", Limit: 7}, 100, "f00400", "f00499"},
		{"both", faas.FunctionFilter{Project: "p", Package: "tenth", NamePart: "004", Limit: 100}, 11, "f00040", "f00490"},
		{"none", faas.FunctionFilter{Project: "p", NamePart: "nothing", Limit: 5}, 0, "", ""},
		{"other project", faas.FunctionFilter{Project: "q", Limit: 5}, 1, "f00001", "f00001"},
		{"no project", faas.FunctionFilter{Project: "r", Limit: 5}, 0, "", ""},
		{"limit below its range", faas.FunctionFilter{Project: "p", NamePart: "f0000", Limit: -1}, 10, "f00000", "f00009"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []string
			for pages := 0; ; pages++ {
				require.LessOrEqual(t, pages, count, "paging does not end")
				page, err := db.ListFunctions(t.Context(), c.filter)
				require.NoError(t, err)
				require.EqualValues(t, c.total, page.Total)
				require.LessOrEqual(t, len(page.Functions), max(1, c.filter.Limit))
				all = append(all, names(page)...)
				if page.Next == 0 {
					break
				}
				require.Len(t, page.Functions, max(1, c.filter.Limit), "only the last page is short")
				c.filter.After = page.Next
			}
			require.Len(t, all, c.total)
			require.IsIncreasing(t, append([]string{""}, all...))
			if c.total > 0 {
				require.Equal(t, []string{c.first, c.last}, []string{all[0], all[len(all)-1]})
			}
		})
	}
	t.Run("a page goes on behind a deleted function", func(t *testing.T) {
		page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Limit: 3})
		require.NoError(t, err)
		require.NoError(t, db.DeleteFunction(t.Context(), page.Functions[2].Key()))
		page, err = db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", Limit: 2, After: page.Next})
		require.NoError(t, err)
		require.Equal(t, []string{"f00003", "f00004"}, names(page))
		require.EqualValues(t, count-1, page.Total)
	})
}

func testNames(t *testing.T, url string) {
	db := Open(t, url)
	all := []string{"plain", "100%", "under_score", "underXscore", "函数一", "Ünïcode", `back\slash`, "ΣΊΣΥΦΟΣ", "quote'\"", "😀x"}
	for _, name := range all {
		create(t, db, function("p", name))
	}
	for _, c := range []struct {
		part string
		want []string
	}{
		{"", all},
		{"PLAIN", []string{"plain"}},
		{"%", []string{"100%"}},
		{"_", []string{"under_score"}},
		{"r_s", []string{"under_score"}},
		{"p%n", nil},
		{"函数", []string{"函数一"}},
		{"üNÏ", []string{"Ünïcode"}},
		{"σίσ", []string{"ΣΊΣΥΦΟΣ"}},
		{`\`, []string{`back\slash`}},
		{`\_`, nil},
		{"'", []string{"quote'\""}},
		{"😀", []string{"😀x"}},
		{"' or 1=1 --", nil},
	} {
		page, err := db.ListFunctions(t.Context(), faas.FunctionFilter{Project: "p", NamePart: c.part, Limit: 100})
		require.NoError(t, err, c.part)
		require.Equal(t, c.want, names(page), c.part)
		require.EqualValues(t, len(c.want), page.Total, c.part)
	}
}

func testNotText(t *testing.T, url string) {
	db := Open(t, url)
	create(t, db, function("p", "a"))
	owner(t, db)
	for _, bad := range []string{"a\x00b", "\xff", "\x00"} {
		requireError(t, db.CreateFunction(t.Context(), function("p", bad), faas.DefaultQuota), faas.CodeInvalid, "function")
		key := faas.FunctionKey{Project: "p", Package: "default", Name: bad, Version: faas.Latest}
		_, err := db.Function(t.Context(), key)
		requireError(t, err, faas.CodeNotFound, "function")
		_, err = db.UpdateFunction(t.Context(), key, faas.DefaultQuota, func(*faas.Function) error { return nil })
		requireError(t, err, faas.CodeNotFound, "function")
		key.Project = bad
		_, err = db.UpdateFunction(t.Context(), key, faas.DefaultQuota, func(*faas.Function) error { return nil })
		requireError(t, err, faas.CodeNotFound, "function")
		requireError(t, db.DeleteFunction(t.Context(), key), faas.CodeNotFound, "function")
		for _, filter := range []faas.FunctionFilter{{Project: bad}, {Project: "p", Package: bad}, {Project: "p", NamePart: bad}} {
			page, err := db.ListFunctions(t.Context(), filter)
			require.NoError(t, err)
			require.Equal(t, faas.FunctionPage{}, page)
		}
		requireUsage(t, db, bad, 0, 0)
		_, err = db.UserByName(t.Context(), "d1", bad)
		requireError(t, err, faas.CodeNotFound, "user")
		_, err = db.AccessKey(t.Context(), bad)
		requireError(t, err, faas.CodeNotFound, "access_key")
		projects, err := db.Projects(t.Context(), "d1", bad)
		require.NoError(t, err)
		require.Empty(t, projects)
		requireError(t, db.CreateUser(t.Context(), faas.User{ID: "u9", DomainID: "d1", Name: bad}), faas.CodeInvalid, "user")
	}
	// Inside the document any text is kept as it is.
	f := function("p", "nul")
	f.Spec.Description = "a\x00b"
	create(t, db, f)
	got, err := db.Function(t.Context(), f.Key())
	require.NoError(t, err)
	require.Equal(t, f, got)
}
