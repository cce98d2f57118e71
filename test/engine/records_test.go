//go:build linux

package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// runs are the newest records of a server, newest first.
func (h *host) runs(t *testing.T) (ids []string) {
	t.Helper()
	a := h.ask(t, http.MethodGet, "/admin/v1/projects/"+h.ProjectID+"/runs?limit=500", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var page struct {
		Runs []struct {
			ID, Function string
			EventSize    int `json:"event_size"`
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &page))
	for _, r := range page.Runs {
		require.Equal(t, "echo", r.Function)
		require.NotZero(t, r.EventSize)
		ids = append(ids, r.ID)
	}
	return ids
}

// TestRecordsAfterKill kills the server between calls. What somebody has seen recorded stays; of what came since, the oldest stay,
// each once and in order; and the server goes on.
func TestRecordsAfterKill(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0)
	h := p.start(t)
	h.create(t, function{name: "echo", runtime: python, source: pythonEcho})
	var made []string
	call := func(n int) {
		a, err := h.invoke(t.Context(), "echo", event(n))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status)
		made = append(made, a.header.Get("X-Cff-Request-Id"))
	}
	for round := range 3 {
		for n := range 40 {
			call(n)
		}
		seen := h.runs(t)
		require.Len(t, seen, len(made), "reading sees every call that was answered")
		for n := range 10 {
			call(n)
		}
		h.Kill()
		h = p.start(t)
		kept := h.runs(t)
		require.GreaterOrEqual(t, len(kept), len(seen), fmt.Sprint("round ", round))
		require.LessOrEqual(t, len(kept), len(made))
		made = made[:len(kept)]
		for i, id := range kept {
			require.Equal(t, made[len(made)-1-i], id)
		}
	}
}
