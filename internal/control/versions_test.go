package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

// versionBench is bench over a database, with versions and aliases.
type versionBench struct {
	*control.Versions
	functions *control.Functions
	changes   *controltest.Changes
}

func newVersionBench(t *testing.T, maxReserved int) *versionBench {
	db := freshtest.Open(t)
	b := &versionBench{changes: &controltest.Changes{}}
	b.functions = control.NewFunctions(control.FunctionsConfig{
		Store: db, Packages: controltest.NewPackages(), Fetcher: controltest.Fetcher{}, Sealer: controltest.Sealer{}, Changes: b.changes,
		Runtimes: controltest.Runtimes{}, Quota: faas.DefaultQuota, Region: "local", MaxReserved: maxReserved,
		Now: func() time.Time { return time.Date(2020, 6, 3, 16, 22, 19, 0, time.UTC) },
	})
	b.Versions = control.NewVersions(db, b.functions)
	return b
}

func key(version string) faas.FunctionKey {
	return faas.FunctionKey{Project: project, Package: "default", Name: "test", Version: version}
}

// TestPublishLeavesWhatIsOfTheMoment also fills a function with versions whose names are made of one second.
func TestPublishLeavesWhatIsOfTheMoment(t *testing.T) {
	b, ctx := newVersionBench(t, 10), t.Context()
	_, err := b.functions.Create(ctx, project, sample(func(n *control.NewFunction) { n.Title, n.Name = "people's name", "test" }))
	require.NoError(t, err)
	_, err = b.CreateAlias(ctx, project, urn(t, "test"), "live", control.SetAlias{Version: faas.Latest})
	require.NoError(t, err)
	for _, of := range []string{"test", project + ":default:test:!live"} {
		_, err = b.functions.Reserve(ctx, project, urn(t, of), control.Reservation{Count: 2, Idle: true})
		require.NoError(t, err)
	}
	require.NoError(t, b.functions.SetPinned(ctx, project, urn(t, "test"), true))
	_, err = b.functions.SetSnapshot(ctx, project, urn(t, "test"), true)
	require.NoError(t, err)
	latest, err := b.functions.Get(ctx, project, urn(t, "test"))
	require.NoError(t, err)
	b.changes.Take()

	v, err := b.Publish(ctx, project, urn(t, "test"), control.NewVersion{Description: "first"})
	require.NoError(t, err)
	require.Equal(t, "v20200603-162219", v.Version)
	require.Equal(t, []faas.FunctionKey{key(v.Version)}, b.changes.Take())
	require.False(t, v.Spec.KeepsAny())
	require.False(t, v.Pinned)
	require.Empty(t, v.Title)
	require.Equal(t, "first", v.VersionDescription)
	require.Regexp(t, `^v20200603-162219-200603162219@[a-z2-7]{5}$`, v.ImageLabel)
	require.Equal(t, latest.Code, v.Code)
	after, err := b.functions.Get(ctx, project, urn(t, "test"))
	require.NoError(t, err)
	require.Equal(t, latest, after, "latest stays as it is")

	for i := 1; i < faas.MaxVersions-1; i++ {
		v, err := b.Publish(ctx, project, urn(t, "test"), control.NewVersion{})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("v20200603-1622%02d", 19+i), v.Version)
	}
	_, err = b.Publish(ctx, project, urn(t, "test"), control.NewVersion{})
	wantError(t, err, faas.CodeQuota, "versions")
	_, err = b.Publish(ctx, project, urn(t, "test"), control.NewVersion{Description: string(make([]rune, 513))})
	wantError(t, err, faas.CodeInvalid, "description")
}

// TestAliasTellsOfItsChanges in an order in which the new version is warm first, and the old one goes last.
func TestAliasTellsOfItsChanges(t *testing.T) {
	b, ctx := newVersionBench(t, 10), t.Context()
	_, err := b.functions.Create(ctx, project, sample(nil))
	require.NoError(t, err)
	for _, name := range []string{"v1", "v2"} {
		_, err = b.Publish(ctx, project, urn(t, "test"), control.NewVersion{Name: name})
		require.NoError(t, err)
	}
	b.changes.Take()
	_, err = b.CreateAlias(ctx, project, urn(t, "test"), "prod", control.SetAlias{Version: "v1"})
	require.NoError(t, err)
	require.Equal(t, []faas.FunctionKey{key("!prod")}, b.changes.Take())
	_, err = b.UpdateAlias(ctx, project, urn(t, "test"), "prod", control.SetAlias{Version: "v1", Additional: &faas.Additional{Version: "v2", Weight: 1}})
	require.NoError(t, err)
	require.Equal(t, []faas.FunctionKey{key("!prod")}, b.changes.Take())
	_, err = b.UpdateAlias(ctx, project, urn(t, "test"), "prod", control.SetAlias{Version: "v2"})
	require.NoError(t, err)
	require.Equal(t, []faas.FunctionKey{key("v2"), key("!prod"), key("v1")}, b.changes.Take())
	require.NoError(t, b.functions.Delete(ctx, project, urn(t, project+":default:test:!prod")))
	require.Equal(t, []faas.FunctionKey{key("!prod"), key("v2")}, b.changes.Take())
	require.NoError(t, b.functions.Delete(ctx, project, urn(t, "test")))
	require.Equal(t, []faas.FunctionKey{key("")}, b.changes.Take(), "all that there is of it")
}

// TestReservedByAliasesCount holds versions and aliases together to what the server and the function allow.
func TestReservedByAliasesCount(t *testing.T) {
	b, ctx := newVersionBench(t, 5), t.Context()
	_, err := b.functions.Create(ctx, project, sample(func(n *control.NewFunction) { n.Settings.MaxInstances = p(4) }))
	require.NoError(t, err)
	_, err = b.CreateAlias(ctx, project, urn(t, "test"), "live", control.SetAlias{Version: faas.Latest})
	require.NoError(t, err)
	live := urn(t, project+":default:test:!live")
	reserve := func(of faas.URN, n int) error {
		_, err := b.functions.Reserve(ctx, project, of, control.Reservation{Count: n, Idle: false})
		return err
	}
	require.NoError(t, reserve(urn(t, "test"), 2))
	require.NoError(t, reserve(live, 2))
	wantError(t, reserve(live, 3), faas.CodeInvalid, "count")
	wantError(t, reserve(urn(t, "test"), 3), faas.CodeInvalid, "count")
	wantError(t, reserve(live, -1), faas.CodeInvalid, "count")
	_, err = b.functions.Create(ctx, project, sample(func(n *control.NewFunction) { n.Name = "other" }))
	require.NoError(t, err)
	require.NoError(t, reserve(urn(t, "other"), 1))
	wantError(t, reserve(urn(t, "other"), 2), faas.CodeQuota, "count")
	require.NoError(t, reserve(live, 0))
	require.NoError(t, reserve(urn(t, "other"), 3))
}
