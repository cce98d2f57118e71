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

// TestOverload has 500 and 2,000 clients call a slow function that may have one instance. A call waits for two seconds at most;
// then it is refused, and at once when its turn cannot come in that time; both with 429, and told when to come back.
func TestOverload(t *testing.T) {
	t.Parallel()
	for _, clients := range []int{500, 2000} {
		t.Run(fmt.Sprint(clients), func(t *testing.T) { overload(t, clients) })
	}
}

func overload(t *testing.T, clients int) {
	h := start(t, "--queue-wait", "2s")
	h.create(t, function{name: "slow", runtime: python, source: "import time\n" + strings.Replace(pythonEcho, ":\n", ":\n    time.sleep(0.1)\n", 1), concurrency: 1})
	first, err := h.invoke(t.Context(), "slow", event(-1))
	require.NoError(t, err)
	require.Empty(t, checkEcho(first, -1))
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
	require.Greater(t, statuses["200"], 5)
	require.Greater(t, statuses["429"], clients/2)
	require.Len(t, statuses, 2, "%v", statuses)
	require.Less(t, slices.Max(took), 30*time.Second)
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
	case a.status != http.StatusTooManyRequests,
		a.header.Get("Retry-After") == "", a.header.Get("X-Is-Func-Err") != "false",
		json.Unmarshal(a.body, &body) != nil || !strings.HasPrefix(body.Code, "FSS."):
		return outcome, fmt.Sprintf("call %d: %d %v %.300s", n, a.status, a.header, a.body)
	}
	return outcome, ""
}
