package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// testReleases keeps releases of the agent, and finds the one that a gateway shall run.
func testReleases(t *testing.T, url string) {
	db, ctx := Open(t, url), t.Context()
	edgeProduct(t, db, "p1")
	id := edgeGateway(t, db, "p1", "g1").GatewayID
	other := edgeGateway(t, db, "p1", "g2").GatewayID
	release := func(version string, age time.Duration) faas.Release {
		return faas.Release{Project: "p", Version: version, CreatedAt: edgeTime.Add(-age), Programs: []faas.ReleaseProgram{
			{Arch: "amd64", Digest: "program-" + version, Size: 3, SHA256: "s"}, {Arch: "arm64", Digest: "arm-" + version, Size: 4, SHA256: "t"},
		}}
	}
	one, two := release("v1", time.Hour), release("v2", 0)
	require.NoError(t, db.AddRelease(ctx, one))
	require.NoError(t, db.AddRelease(ctx, two))
	again := release("v1", 0)
	again.Programs[0].Digest = "another"
	code(t, faas.CodeExists, "version", db.AddRelease(ctx, again))
	list, err := db.Releases(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, []faas.Release{two, one}, list)
	list, err = db.Releases(ctx, "q")
	require.NoError(t, err)
	require.Empty(t, list)
	for digest, want := range map[string]bool{"program-v1": true, "arm-v2": true, "another": false} {
		used, err := db.DigestUsed(ctx, digest)
		require.NoError(t, err)
		require.Equal(t, want, used, digest)
	}

	use := func(product, sn, version string) error {
		return db.UseRelease(ctx, faas.ReleaseUse{Project: "p", GatewayID: faas.GatewayID{Product: product, SN: sn}, Version: version})
	}
	wanted := func(id faas.GatewayID, want *faas.Release) {
		t.Helper()
		got, err := db.ReleaseFor(ctx, "p", id)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	wanted(id, nil)
	code(t, faas.CodeNotFound, "version", use("", "", "v3"))
	code(t, faas.CodeNotFound, "version", use("", "", "\x00"))
	code(t, faas.CodeNotFound, "product", use("none", "", "v1"))
	code(t, faas.CodeNotFound, "gateway", use("p1", "none", "v1"))
	require.NoError(t, use("", "", "v1"))
	wanted(id, &one)
	require.NoError(t, use("p1", "g1", "v2"))
	wanted(id, &two)
	wanted(other, &one)
	require.NoError(t, use("p1", "", "v2"))
	require.NoError(t, use("p1", "g1", "v1"))
	wanted(id, &one)
	wanted(other, &two)
	uses, err := db.ReleaseUses(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, []faas.ReleaseUse{
		{Project: "p", Version: "v1"}, {Project: "p", GatewayID: faas.GatewayID{Product: "p1"}, Version: "v2"}, {Project: "p", GatewayID: id, Version: "v1"},
	}, uses)
	require.NoError(t, use("p1", "g1", ""))
	require.NoError(t, use("p1", "g1", ""), "again")
	wanted(id, &two)
	require.NoError(t, use("p1", "g1", "v1"))

	code(t, faas.CodeConflict, "version", db.RemoveRelease(ctx, "p", "v2"))
	code(t, faas.CodeNotFound, "version", db.RemoveRelease(ctx, "q", "v2"))
	code(t, faas.CodeNotFound, "version", db.RemoveRelease(ctx, "p", "\x00"))
	wanted(other, &two)
	three := release("v3", 0)
	require.NoError(t, db.AddRelease(ctx, three))
	require.NoError(t, db.RemoveRelease(ctx, "p", "v3"))
	code(t, faas.CodeNotFound, "version", db.RemoveRelease(ctx, "p", "v3"))
	code(t, faas.CodeNotFound, "version", use("", "", "v3"))
	used, err := db.DigestUsed(ctx, "program-v3")
	require.NoError(t, err)
	require.False(t, used, "the next sweep takes its programs")
	require.NoError(t, db.AddRelease(ctx, three), "its name is free again")

	require.NoError(t, db.DeleteGateway(ctx, id))
	require.NoError(t, db.DeleteGateway(ctx, other))
	require.NoError(t, db.DeleteProduct(ctx, "p1"))
	uses, err = db.ReleaseUses(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, []faas.ReleaseUse{{Project: "p", Version: "v1"}}, uses, "what was said of things that are gone is gone")
}
