package faas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestWalls(t *testing.T) {
	t.Parallel()
	open, fixed := faas.Egress{Open: true}, faas.ProjectWalls{Egress: "none", EgressFixed: true, Isolation: "oci", IsolationFixed: true}
	for name, c := range map[string]struct {
		server, project faas.ProjectWalls
		spec            faas.Spec
		want            faas.Walls
		refused         bool
	}{
		"nobody has said anything":          {},
		"the server":                        {server: faas.ProjectWalls{Egress: "open", Isolation: "oci"}, want: faas.Walls{Egress: open, Isolation: "oci"}},
		"the project before the server":     {server: fixed, project: faas.ProjectWalls{Egress: "open", Isolation: "native"}, want: faas.Walls{Egress: open, Isolation: "native"}},
		"the function before both":          {project: faas.ProjectWalls{Egress: "none", Isolation: "native"}, spec: faas.Spec{Egress: "open", Isolation: "oci"}, want: faas.Walls{Egress: open, Isolation: "oci"}},
		"a function of a fixed project":     {project: fixed, spec: faas.Spec{Egress: "open"}, want: faas.Walls{Isolation: "oci"}, refused: true},
		"a function of a fixed server":      {server: fixed, spec: faas.Spec{Isolation: "native"}, want: faas.Walls{Isolation: "oci"}, refused: true},
		"a function that wants the same":    {server: fixed, spec: faas.Spec{Egress: "none", Isolation: "oci"}, want: faas.Walls{Isolation: "oci"}},
		"a function without public network": {server: faas.ProjectWalls{Egress: "open"}, spec: faas.Spec{NoPublicNetwork: true}},
	} {
		over := c.project.Over(c.server)
		got, err := over.Of(&c.spec)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
		err = over.May(&c.spec)
		require.Equal(t, c.refused, faas.CodeOf(err) == faas.CodeForbidden, name)
		require.Equal(t, c.refused, err != nil, name)
	}
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(faas.ProjectWalls{Isolation: "vm"}.Check()))
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(faas.ProjectWalls{Egress: "a b"}.Check()))
	require.NoError(t, fixed.Check())
}
