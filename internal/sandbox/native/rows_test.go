//go:build linux

package native_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// ownTests names the guards that have a test of their own, since they are not seen from inside.
var ownTests = map[string]string{
	initspec.TieToParent: "TestTieToServer",
}

// TestEveryGuardHasARow reads the names of all guards: a new one needs a row that goes red without it.
func TestEveryGuardHasARow(t *testing.T) {
	has := map[string]bool{}
	for _, m := range guardRows() {
		has[m.guard] = true
	}
	file, err := parser.ParseFile(token.NewFileSet(), "initspec/guards.go", nil, 0)
	require.NoError(t, err)
	count := 0
	for _, decl := range file.Decls {
		names, ok := decl.(*ast.GenDecl)
		if !ok || names.Tok != token.CONST {
			continue
		}
		for _, spec := range names.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				text, ok := value.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING {
					continue // an attribute
				}
				guard, err := strconv.Unquote(text.Value)
				require.NoError(t, err)
				require.True(t, has[guard] || ownTests[guard] != "", "%q has no row", guard)
				count++
			}
		}
	}
	require.Greater(t, count, 30)
}
