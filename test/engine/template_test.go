//go:build linux

package engine

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// templateUser is the user of the processes that workers are copies of.
const templateUser = 1_899_999_999

// templates lists the processes that workers in this place are copies of.
func (p *place) templates(t *testing.T) []int {
	t.Helper()
	var found []int
	for _, pid := range p.sandboxed(t) {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		if err == nil && info.Sys().(*syscall.Stat_t).Uid == templateUser {
			found = append(found, pid)
		}
	}
	return found
}

// TestTemplateKilled kills the template again and again while functions are called for the first time and others go on. No
// call fails, instances that are copies of it live on, and it is back each time.
func TestTemplateKilled(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0, "--prepared", "2")
	h := p.start(t)
	h.create(t, function{name: "counter", runtime: python, source: "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return {'n': n}\n"})
	const fresh = 90
	for i := range fresh {
		h.create(t, function{name: fmt.Sprint("fresh-", i), runtime: python, source: pythonEcho})
	}
	call := func(i int) {
		a, err := h.invoke(t.Context(), fmt.Sprint("fresh-", i), event(i))
		require.NoError(t, err)
		require.Empty(t, checkEcho(a, i))
	}
	call(0)
	require.Eventually(t, func() bool { return len(p.templates(t)) == 1 }, 20*time.Second, 5*time.Millisecond)
	var before int
	for i := range 4 { // the last of these at least is a copy
		call(1 + i)
	}
	a, err := h.invoke(t.Context(), "counter", event(1))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)

	var next atomic.Int64
	next.Store(5)
	failed := make(chan string, 2)
	for range cap(failed) {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= fresh {
					failed <- ""
					return
				}
				a, err := h.invoke(t.Context(), fmt.Sprint("fresh-", i), event(i))
				if err != nil {
					failed <- err.Error()
					return
				}
				if wrong := checkEcho(a, i); wrong != "" {
					failed <- wrong
					return
				}
			}
		}()
	}
	kills := 0
	for next.Load() < fresh && kills < 3 {
		var now []int
		require.Eventually(t, func() bool {
			now = p.templates(t)
			return len(now) == 1 && now[0] != before
		}, 20*time.Second, time.Millisecond, "it is not back")
		before = now[0]
		require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
		kills++
	}
	for range cap(failed) {
		require.Empty(t, <-failed)
	}
	require.Eventually(t, func() bool { now := p.templates(t); return len(now) == 1 && now[0] != before }, 20*time.Second, time.Millisecond)
	require.NotZero(t, kills)
	a, err = h.invoke(t.Context(), "counter", event(1))
	require.NoError(t, err)
	require.JSONEq(t, `{"n": 2}`, string(a.body), "the instance that was there has ended with the template")
	h.Stop(t)
	require.Empty(t, p.sandboxed(t))
}
