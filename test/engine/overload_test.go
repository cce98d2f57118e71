//go:build linux

package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOverload has 500 clients call a slow function that may have one instance. A call waits 30 seconds for its turn at
// most; then it is refused, and told when to come back.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds, which is how long a call waits")
	}
	t.Parallel()
	const clients = 500
	h := start(t)
	h.create(t, function{name: "slow", runtime: python, source: "import time\n" + strings.Replace(pythonEcho, ":\n", ":\n    time.sleep(0.1)\n", 1), concurrency: 1})
	var work sync.WaitGroup
	var mu sync.Mutex
	statuses := map[string]int{}
	var wrong []string
	var took []time.Duration
	for n := range clients {
		work.Go(func() {
			begun := time.Now()
			a, err := h.invoke(t.Context(), "slow", event(n))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begun))
			outcome, fault := judge(a, err, n)
			statuses[outcome]++
			if fault != "" {
				wrong = append(wrong, fault)
			}
		})
	}
	work.Wait()
	require.Empty(t, wrong)
	require.Greater(t, statuses["200"], 100)
	require.Less(t, slices.Max(took), 40*time.Second)
	after, err := h.invoke(t.Context(), "slow", event(-1))
	require.NoError(t, err)
	require.Empty(t, checkEcho(after, -1), "the server serves again")
	t.Logf("%d clients: %v; the slowest answer after %v; server at its peak %.0f MiB", clients, statuses, slices.Max(took).Round(time.Millisecond), h.memory(t, "VmHWM"))
}

// judge names the outcome of a call under overload, and says what is wrong with it.
func judge(a answer, err error, n int) (outcome, wrong string) {
	switch {
	case err != nil:
		return "none", err.Error()
	case a.status == http.StatusOK:
		return "200", checkEcho(a, n)
	}
	outcome = fmt.Sprint(a.status)
	var body struct {
		Code string `json:"error_code"`
	}
	switch {
	case a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable,
		a.header.Get("Retry-After") == "", a.header.Get("X-Is-Func-Err") != "false",
		json.Unmarshal(a.body, &body) != nil || !strings.HasPrefix(body.Code, "FSS."):
		return outcome, fmt.Sprintf("call %d: %d %v %.300s", n, a.status, a.header, a.body)
	}
	return outcome, ""
}
