package templates_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/templates"
)

// TestTemplatesAreComplete holds each template to what a function must have. test/engine runs them.
func TestTemplatesAreComplete(t *testing.T) {
	all, err := templates.All()
	require.NoError(t, err)
	families := map[string]bool{}
	for _, one := range all {
		families[one.Family] = true
		for name, text := range map[string]string{
			"title": one.Title, "description": one.Description, "runtime": one.Runtime, "handler": one.Handler, "filename": one.Filename, "scene": one.Scene,
		} {
			require.NotEmpty(t, text, "%s of %s", name, one.ID)
		}
		require.NotEmpty(t, one.Code, one.ID)
		require.True(t, json.Valid([]byte(one.Input)) && json.Valid([]byte(one.Output)), one.ID)
		spec := faas.Spec{
			Runtime: one.Runtime, Handler: one.Handler, Timeout: one.Timeout, MemoryMB: one.MemoryMB, TmpMB: 512, RequestsPer: 1, Generation: "v2",
			MaxInstances: faas.Unlimited, UserData: one.UserData, Description: one.Description,
		}
		require.NoError(t, spec.Check(), one.ID)
	}
	for _, family := range []string{"Python3", "Node.js", "PHP", "Java", "Go1.x", "Custom", "http"} {
		require.True(t, families[family], family)
	}
}
