package invoke

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestRecentCountsFailures keeps runs whose only weight is what the function said when it failed.
func TestRecentCountsFailures(t *testing.T) {
	key := faas.FunctionKey{Project: "p", Package: "default", Name: "f"}
	r := NewRecent(1000, 100_000)
	for range 100 {
		r.add(Run{Key: key, Result: &faas.Result{Failure: &faas.Failure{Message: strings.Repeat("m", 5000), Stack: []string{strings.Repeat("s", 5000)}}}})
	}
	found, _ := r.After(key, 0, 1000)
	require.Len(t, found, 9)
}
