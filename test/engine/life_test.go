//go:build linux

package engine

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// createWith makes a function with fields beside the usual ones.
func (h *host) createWith(t *testing.T, f function, more map[string]any) {
	t.Helper()
	request := h.request(f)
	for name, value := range more {
		request[name] = value
	}
	a, err := h.post(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
}

// ask calls the API below a function and wants it to succeed.
func (h *host) ask(t *testing.T, method, path string, body any) answer {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	a, err := h.do(t.Context(), method, path, text)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	return a
}

// TestCallsShareAnInstance has twelve calls wait for each other in one instance, which may be the only one.
func TestCallsShareAnInstance(t *testing.T) {
	t.Parallel()
	h := start(t)
	for language, source := range map[string]string{
		python: `
import threading, os
together = threading.Barrier(12)
def handler(event, context):
    together.wait(20)
    print("line of %d" % event["n"])
    return {"n": event["n"]}
`,
		node: `
let waiting = [];
exports.handler = async (event) => {
  await new Promise((go) => { waiting.push(go); if (waiting.length === 12) waiting.splice(0).forEach((f) => f()); });
  console.log('line of ' + event.n);
  return { n: event.n };
};
`} {
		name := "together-" + strings.ToLower(strings.TrimRight(language, ".0123456789js"))
		h.createWith(t, function{name: name, runtime: language, source: source, timeout: 30},
			map[string]any{"strategy_config": map[string]int{"concurrency": 1, "concurrent_num": 12}})
		var calls sync.WaitGroup
		for n := range 12 {
			calls.Go(func() {
				a, err := h.invoke(t.Context(), name, event(n))
				if err != nil {
					t.Error(err)
					return
				}
				if wrong := checkEcho(a, n); wrong != "" {
					t.Error(wrong)
				}
				log, err := base64.StdEncoding.DecodeString(a.header.Get("X-Cff-Function-Log"))
				if lines := regexp.MustCompile(`line of \d+`).FindAllString(string(log), -1); err != nil || len(lines) != 1 || lines[0] != fmt.Sprintf("line of %d", n) {
					t.Errorf("the log of call %d has %q", n, lines)
				}
			})
		}
		calls.Wait()
	}
}

// TestChangesUnderLoad gives a function new code twenty times while 16 clients call it. No call fails, and each is answered by
// a revision that was current at some time of the call.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	h := start(t)
	code := func(revision int64) string {
		return fmt.Sprintf("def handler(event, context):\n    return %d\n", revision)
	}
	h.create(t, function{name: "changing", runtime: python, source: code(1)})
	var acknowledged, sent, calls atomic.Int64
	acknowledged.Store(1)
	sent.Store(1)
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				oldest := acknowledged.Load()
				a, err := h.invoke(t.Context(), "changing", event(1))
				newest := sent.Load()
				got, bad := strconv.ParseInt(strings.TrimSpace(string(a.body)), 10, 64)
				if err != nil || a.status != http.StatusOK || bad != nil || got < oldest || got > newest {
					t.Errorf("%v %d %s; revisions %d to %d were current", err, a.status, a.body, oldest, newest)
					return
				}
				calls.Add(1)
			}
		})
	}
	for revision := int64(2); revision <= 21; revision++ {
		sent.Store(revision)
		h.ask(t, http.MethodPut, h.function("changing")+"/code", map[string]any{
			"code_type": "inline", "func_code": map[string]string{"file": base64.StdEncoding.EncodeToString([]byte(code(revision)))},
		})
		acknowledged.Store(revision)
		seen := calls.Load()
		require.Eventually(t, func() bool { return calls.Load() > seen+16 || t.Failed() }, time.Minute, time.Millisecond)
	}
	close(over)
	clients.Wait()
	t.Logf("%d calls beside 20 changes", calls.Load())
}

// TestBudgets has a call end by each of the times that it is given, and told apart.
func TestBudgets(t *testing.T) {
	t.Parallel()
	h := start(t, "--queue-wait", "1s")
	h.create(t, function{name: "runs", runtime: python, source: "import time\ndef handler(event, context):\n    time.sleep(60)\n", timeout: 3, concurrency: 1})
	h.createWith(t, function{name: "initialises", runtime: python, source: "import time\ndef init(context):\n    time.sleep(60)\n" + pythonEcho, timeout: 3},
		map[string]any{"initializer_handler": "index.init", "initializer_timeout": 1})
	running := make(chan answer, 1)
	go func() {
		a, _ := h.invoke(t.Context(), "runs", event(1))
		running <- a
	}()
	require.Eventually(t, func() bool { return len(h.place.sandboxed(t)) > 0 }, time.Minute, time.Millisecond)
	code := func(a answer) string { return a.header.Get("X-Func-Err-Code") }
	waits, err := h.invoke(t.Context(), "runs", event(2))
	require.NoError(t, err)
	if waits.status == http.StatusInternalServerError { // it came before the first
		waits = <-running
	} else {
		defer func() { <-running }()
	}
	require.Equal(t, http.StatusTooManyRequests, waits.status, "%s", waits.body)
	require.Equal(t, "150430", code(waits))
	require.Equal(t, "1", waits.header.Get("Retry-After"))
	require.Contains(t, string(waits.body), "no instance became free in time")

	init, err := h.invoke(t.Context(), "initialises", event(3))
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, init.status)
	require.Equal(t, "4211", code(init))
	require.Contains(t, init.failure(t).Message, "the initializer did not finish within 1 seconds")

	h.create(t, function{name: "runs-alone", runtime: python, source: "import time\ndef handler(event, context):\n    time.sleep(60)\n", timeout: 3})
	run, err := h.invoke(t.Context(), "runs-alone", event(4))
	require.NoError(t, err)
	require.Equal(t, "4010", code(run))
	require.Contains(t, run.failure(t).Message, "the function did not finish within 3 seconds")
}

// TestReservedInstances keeps two instances of a function that nobody calls, over a restart and a kill of the server, and sees
// that an instance which dies is replaced and that its pre-stop handler's line is among the function's runs.
func TestReservedInstances(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0, "--idle-timeout", "1s")
	h := p.start(t)
	if !strings.Contains(h.Output(), "cgroup") {
		t.Log(h.Output())
	}
	h.createWith(t, function{name: "kept", runtime: python, source: "def stop(context):\n    print('last words')\n" + pythonEcho},
		map[string]any{"pre_stop_handler": "index.stop", "pre_stop_timeout": 5})
	h.ask(t, http.MethodPut, h.function("kept")+"/reservedinstances", map[string]any{"count": 2, "idle_mode": true})
	warm := func(h *host) {
		t.Helper()
		require.Eventually(t, func() bool {
			a, err := h.invoke(t.Context(), "kept", event(1))
			require.NoError(t, err)
			require.Empty(t, checkEcho(a, 1))
			return !strings.Contains(strings.ReplaceAll(a.header.Get("X-Cff-Invoke-Summary"), " ", ""), `"cold":true`) && gauge(t, h, "hanshu_pool_instances") >= 2
		}, 30*time.Second, 50*time.Millisecond)
	}
	warm(h)
	<-time.After(3 * time.Second) // time itself must pass: three times what others may idle
	require.GreaterOrEqual(t, gauge(t, h, "hanshu_pool_instances"), 2)
	h.Kill()
	h = p.start(t)
	require.Eventually(t, func() bool { return gauge(t, h, "hanshu_pool_instances") >= 2 }, 30*time.Second, 10*time.Millisecond)
	warm(h)

	h.ask(t, http.MethodPut, h.function("kept")+"/reservedinstances", map[string]any{"count": 0})
	require.Eventually(t, func() bool {
		a, err := h.do(t.Context(), http.MethodGet, "/admin/v1/projects/"+h.ProjectID+"/functions/default/kept/runs", nil)
		require.NoError(t, err)
		return strings.Contains(string(a.body), "last words") && strings.Contains(string(a.body), "pre-stop")
	}, 30*time.Second, 50*time.Millisecond)
}

var metricLine = regexp.MustCompile(`(?m)^(\S+) (\S+)$`)

// gauge reads a figure of /metrics.
func gauge(t *testing.T, h *host, name string) int {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodGet, "/metrics", nil)
	require.NoError(t, err)
	for _, m := range metricLine.FindAllStringSubmatch(string(a.body), -1) {
		if m[1] == name {
			n, err := strconv.ParseFloat(m[2], 64)
			require.NoError(t, err)
			return int(n)
		}
	}
	t.Fatalf("no %s in /metrics", name)
	return 0
}

// TestFrozenInstancesCostNothingAndDie has an idle function count without end: its processes get no processor time while they
// are frozen, and a kill of the server leaves none of them.
func TestFrozenInstancesCostNothingAndDie(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0, "--freeze-after", "50ms")
	h := p.start(t)
	var facts struct{ Sandbox struct{ Lacks []string } }
	a, err := h.do(t.Context(), http.MethodGet, "/admin/v1/status", nil)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(a.body, &facts))
	if strings.Contains(strings.Join(facts.Sandbox.Lacks, "\n"), "freezing of idle instances") {
		need.Skip(t, "this host has no cgroup v2 tree to freeze in")
	}
	h.create(t, function{name: "counts", runtime: python, source: "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\ndef handler(event, context):\n    if n == 0: threading.Thread(target=count, daemon=True).start()\n    return {'n': event['n']}\n"})
	call := func(n int) {
		a, err := h.invoke(t.Context(), "counts", event(n))
		require.NoError(t, err)
		require.Empty(t, checkEcho(a, n))
	}
	call(1)
	still := func() bool {
		before := processorTime(t, p.sandboxed(t))
		<-time.After(200 * time.Millisecond)
		return processorTime(t, p.sandboxed(t)) == before
	}
	require.Eventually(t, still, 30*time.Second, 10*time.Millisecond, "it goes on counting")
	call(2)
	require.Eventually(t, still, 30*time.Second, 10*time.Millisecond)
	require.NotEmpty(t, p.sandboxed(t))
	h.Kill()
	require.Eventually(t, func() bool { return len(p.sandboxed(t)) == 0 }, 10*time.Second, 5*time.Millisecond, "frozen orphans of the killed server")
	h = p.start(t)
	call(3)
}

// processorTime adds up what processes have used, in ticks.
func processorTime(t *testing.T, pids []int) (ticks int) {
	for _, pid := range pids {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime and stime
			n, err := strconv.Atoi(fields[i])
			require.NoError(t, err)
			ticks += n
		}
	}
	return ticks
}
