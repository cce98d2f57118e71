package agent_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
)

// Every step that the code names is one at which the tests kill the agent, and is told at exactly one place.
func TestStepsAreAll(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var named, told []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if literal, ok := value(n, i); ok && strings.HasPrefix(id.Name, "Step") {
						named = append(named, strings.Trim(literal, `"`))
					}
				}
			case *ast.CallExpr:
				if strings.EqualFold(called(n.Fun), "step") && len(n.Args) == 1 {
					id, ok := n.Args[0].(*ast.Ident)
					require.True(t, ok && strings.HasPrefix(id.Name, "Step"), "%s tells a step that has no name", name)
					told = append(told, id.Name)
				}
			}
			return true
		})
	}
	all := append(agent.Steps(), agent.ReleaseSteps()...)
	require.Equal(t, all, named, "in their order")
	slices.Sort(told)
	require.Len(t, slices.Compact(slices.Clone(told)), len(all), "%v", told)
	require.Len(t, told, len(all), "%v", told)
}

func value(n *ast.ValueSpec, i int) (string, bool) {
	if i >= len(n.Values) {
		return "", false
	}
	literal, ok := n.Values[i].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	return literal.Value, true
}

// called is the last name of what is called.
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
