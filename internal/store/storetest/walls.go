package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func testWalls(t *testing.T, url string) {
	db := Open(t, url)
	got, err := db.ProjectWalls(t.Context(), "p")
	require.NoError(t, err)
	require.Zero(t, got)
	for _, want := range []faas.ProjectWalls{
		{Egress: "open", EgressFixed: true}, {Egress: "api.example.com:443,10.0.0.0/8", Isolation: "oci", IsolationFixed: true}, {},
	} {
		require.NoError(t, db.SetProjectWalls(t.Context(), "p", want))
		got, err := db.ProjectWalls(t.Context(), "p")
		require.NoError(t, err)
		require.Equal(t, want, got)
		other, err := db.ProjectWalls(t.Context(), "q")
		require.NoError(t, err)
		require.Zero(t, other)
	}
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(db.SetProjectWalls(t.Context(), "p", faas.ProjectWalls{Egress: "\xff"})))
	db = Open(t, url)
	got, err = db.ProjectWalls(t.Context(), "p")
	require.NoError(t, err)
	require.Zero(t, got)
}
