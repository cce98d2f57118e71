//go:build linux

package native_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
)

// ownTests names the guards that have a test of their own, since they are not seen from inside.
var ownTests = map[string]string{
	initspec.TieToParent: "TestTieToServer",
	initspec.BehindAll:   "TestBehindAll",
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

// TestBehindAll looks where a sandbox apart is: beside the folder of all others, where the kernel has it yield to the whole host.
func TestBehindAll(t *testing.T) {
	d := drivers(t)(t).(*native.Driver)
	if !native.HasApart(d) {
		require.NotZero(t, os.Geteuid(), "root has the processor's controller, and kernels since 5.15 know idle groups")
		return
	}
	for _, left := range []bool{false, true} {
		var without []string
		if left {
			without = []string{initspec.BehindAll}
		}
		require.NoError(t, native.Without(d, without, nil))
		s := guestSpec()
		s.Command, s.Apart = []string{"/bin/sleep", "600"}, true
		in, err := d.Start(context.Background(), s)
		require.NoError(t, err)
		require.NoError(t, in.SetPatient(true))
		groups, err := os.ReadFile("/proc/" + strconv.Itoa(native.PID(in)) + "/cgroup")
		require.NoError(t, err)
		require.Equal(t, !left, strings.Contains(string(groups), "-apart-"))
		end(in)
	}
}

func end(in sandbox.Instance) {
	in.Kill()
	<-in.Done()
	in.Control().Close()
	in.Output().Close()
}
