//go:build linux

package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// trick is one thing that a hostile function does, and how the platform has to answer it.
type trick struct {
	do       string
	timeout  int // seconds; 0 for 10
	memoryMB int // 0 for 256
	// What the answer has to be: a failure with one of these types, whose message contains says; or, without types, the
	// result. In both, log is text in the log's end.
	types  []string
	inner  string // X-Func-Err-Code of a failure
	says   string
	result string
	log    string
	spoils bool // its own function's next call may fail of the same type; nobody else's
	brief  bool // also with -short and as an ordinary user
}

// Types of failures, and numbers of FunctionGraph's kernel for them.
const (
	outOfMemory = "OutOfMemory"
	timedOut    = "FunctionTimeout"
	runtimeExit = "RuntimeExit"
	protocol    = "ProtocolError"
	tooLarge    = "ResponseTooLarge"

	innerException = "4002"
	innerTooLarge  = "4004"
	innerResult    = "4007"
	innerTimeout   = "4010"
)

const lost = "bytes of log were over the limit of one call and are lost"

var pythonTricks = []trick{
	{do: "fork", timeout: 3, types: []string{timedOut, outOfMemory}, brief: true}, // whichever limit comes first
	{do: "spawn", timeout: 3, types: []string{timedOut, outOfMemory}},
	{do: "eat", types: []string{outOfMemory}, inner: innerException, says: "more memory than its 256 MB", brief: true},
	{do: "eat_by_children", timeout: 5, types: []string{outOfMemory, timedOut}}, // the kernel may choose a child, and the function sleeps on
	{do: "share", result: `{"n":7}`, brief: true},
	{do: "hide_memory", types: []string{outOfMemory, "PermissionError"}, inner: innerException, brief: true},
	{do: "fill", types: []string{"OSError"}, inner: innerException, says: "No space left on device", brief: true},
	{do: "fill_names", timeout: 60, memoryMB: 1024, types: []string{"OSError"}, inner: innerException, says: "No space left on device"},
	{do: "sleep", timeout: 3, types: []string{timedOut}, inner: innerTimeout, says: "did not finish within 3 seconds", brief: true},
	{do: "spin", timeout: 3, types: []string{timedOut}, inner: innerTimeout, says: "did not finish within 3 seconds"},
	{do: "close", types: []string{runtimeExit}, inner: innerException, brief: true},
	{do: "exit", types: []string{runtimeExit}, inner: innerException, says: "exited with code 3", brief: true},
	{do: "sys_exit", types: []string{"SystemExit"}, inner: innerException},
	{do: "abort", types: []string{runtimeExit}, inner: innerException},
	{do: "crash", types: []string{runtimeExit}, inner: innerException, says: "segmentation fault"},
	{do: "lines", timeout: 60, memoryMB: 1792, result: `"printed"`, log: lost, brief: true},
	{do: "line", timeout: 60, memoryMB: 1792, result: `"printed"`, log: lost},
	{do: "flood", types: []string{protocol}, inner: innerException, says: "control channel", brief: true},
	{do: "announce", types: []string{protocol}, inner: innerException, says: "control channel"},
	{do: "half", timeout: 3, types: []string{timedOut}, inner: innerTimeout},
	{do: "forge", types: []string{protocol}, inner: innerException, says: "out of turn"},
	{do: "big", types: []string{tooLarge}, inner: innerTooLarge, says: "over the limit of 6291456"},
	{do: "deep", types: []string{"RecursionError"}, inner: innerResult, says: "cannot be written as JSON"},
	{do: "daemon", result: `{"n":7}`},
	{do: "destroy", memoryMB: 1792, result: `[]`},
	{do: "kill_self", result: `{"n":7}`}, // the first process of a pid namespace cannot be killed from inside
	{do: "kill_all", result: `{"n":7}`},
	{do: "threads", timeout: 30, memoryMB: 1024, result: `1000`},
	{do: "too_many_threads", timeout: 3, types: []string{timedOut, "RuntimeError"}}, // the threads that did start keep it
	{do: "recurse", types: []string{runtimeExit, outOfMemory}, inner: innerException},
	{do: "sockets", types: []string{"OSError"}, inner: innerException, says: "Too many open files"},
	{do: "files", types: []string{"OSError"}, inner: innerException, says: "Too many open files", brief: true},
	{do: "sparse", result: `{"n":7}`, brief: true},
	{do: "signal_others", result: `[]`, brief: true},
	{do: "ask_kernel", result: `[]`, brief: true},
	{do: "answer_twice", result: `"forged"`, spoils: true, brief: true}, // nobody waits for the second answer
	{do: "answer_ahead", types: []string{protocol}, inner: innerException, says: "out of turn", brief: true},
	{do: "exit_in_answer", types: []string{runtimeExit}, inner: innerException, brief: true},
	{do: "stop", timeout: 3, types: []string{timedOut}, inner: innerTimeout},
}

var nodeTricks = []trick{
	{do: "fork", timeout: 3, types: []string{timedOut, outOfMemory}},
	{do: "eat", types: []string{outOfMemory}, inner: innerException, says: "more memory than its 256 MB"},
	{do: "eat_heap", timeout: 20, types: []string{outOfMemory, runtimeExit}, inner: innerException}, // V8 has a limit of its own
	{do: "fill", types: []string{"Error"}, inner: innerException, says: "ENOSPC"},
	{do: "sleep", timeout: 3, types: []string{timedOut}, inner: innerTimeout},
	{do: "spin", timeout: 3, types: []string{timedOut}, inner: innerTimeout, brief: true},
	{do: "close", types: []string{runtimeExit}, inner: innerException},
	{do: "exit", types: []string{runtimeExit}, inner: innerException, says: "exited with code 3", brief: true},
	{do: "abort", types: []string{runtimeExit}, inner: innerException},
	{do: "lines", timeout: 60, memoryMB: 1792, result: `"printed"`, log: lost},
	{do: "line", timeout: 60, memoryMB: 1792, result: `"printed"`, log: lost},
	{do: "flood", types: []string{protocol}, inner: innerException, says: "control channel", brief: true},
	{do: "big", types: []string{tooLarge}, inner: innerTooLarge},
	{do: "daemon", result: `{"n":7}`},
	{do: "kill_self", result: `{"n":7}`},
	{do: "throw_later", types: []string{"TypeError"}, inner: innerException, says: "later"},
}

// maxServerMB is what a server may have resident however much its functions print and return.
const maxServerMB = 150

// TestHostile lets functions do their worst beside neighbours whose every answer is checked.
func TestHostile(t *testing.T) {
	t.Parallel()
	hostile(t, newPlace(t, 0), testing.Short())
}

// TestHostileAsOrdinaryUser is the same without privilege: memory is limited by a watch and not by a group there.
func TestHostileAsOrdinaryUser(t *testing.T) {
	asNobody(t)
	t.Parallel()
	hostile(t, newPlace(t, nobody), testing.Short())
}

// TestHostileUnderRunc is the core of it at the level of OCI runtimes.
func TestHostileUnderRunc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("an OCI runtime takes root")
		return
	}
	t.Parallel()
	hostile(t, newPlace(t, 0, "--sandbox=oci", "--oci-runtime=/usr/sbin/runc"), true)
}

func hostile(t *testing.T, p *place, brief bool) {
	h := p.start(t)
	before := h.memory(t, "VmRSS")
	h.create(t, function{name: "neighbour-py", runtime: python, source: pythonEcho})
	h.create(t, function{name: "neighbour-js", runtime: node, source: nodeEcho})
	n := watchNeighbours(t, h, "neighbour-py", "neighbour-js")
	t.Run("tricks", func(t *testing.T) {
		for _, language := range []struct {
			name, runtime, source string
			tricks                []trick
		}{
			{"python", python, testdata(t, "hostile.py"), pythonTricks},
			{"node", node, testdata(t, "hostile.js"), nodeTricks},
		} {
			t.Run(language.name, func(t *testing.T) {
				t.Parallel()
				for _, tr := range language.tricks {
					if brief && !tr.brief {
						continue
					}
					t.Run(tr.do, func(t *testing.T) { tr.play(t, h, n, language.name, language.runtime, language.source) })
				}
			})
		}
	})
	count, p99 := n.stop(t)
	peak := h.memory(t, "VmHWM")
	require.Less(t, peak, float64(maxServerMB), "MiB of the server")
	h.Stop(t)
	require.Empty(t, p.sandboxed(t), "what functions left running")
	t.Logf("neighbours: %d calls, every answer right, p99 %v; server: %.0f MiB before, %.0f MiB at its peak", count, p99, before, peak)
}

func (tr trick) play(t *testing.T, h *host, n *neighbours, language, runtime, source string) {
	name := language + "-" + tr.do
	timeout := tr.timeout
	if timeout == 0 {
		timeout = 10
	}
	h.create(t, function{name: name, runtime: runtime, source: source, timeout: timeout, memoryMB: tr.memoryMB})
	begun := time.Now()
	a, err := h.invoke(t.Context(), name, fmt.Appendf(nil, `{"do":%q,"n":7}`, tr.do))
	took := time.Since(begun)
	require.NoError(t, err)
	require.Less(t, took, time.Duration(timeout)*time.Second+15*time.Second, "bounded time")
	if len(tr.types) == 0 {
		require.Equal(t, http.StatusOK, a.status, "%.300s", a.body)
		require.Equal(t, "false", a.header.Get("X-Is-Func-Err"))
		require.JSONEq(t, tr.result, string(a.body))
	} else {
		require.Equal(t, http.StatusInternalServerError, a.status, "%.300s", a.body)
		require.Equal(t, "true", a.header.Get("X-Is-Func-Err"))
		f := a.failure(t)
		require.Contains(t, tr.types, f.Type, "%.300s", a.body)
		require.Contains(t, f.Message, tr.says)
		if tr.inner != "" {
			require.Equal(t, tr.inner, a.header.Get("X-Func-Err-Code"))
		}
	}
	log, err := base64.StdEncoding.DecodeString(a.header.Get("X-Cff-Function-Log"))
	require.NoError(t, err)
	require.Contains(t, string(log), tr.log)
	require.LessOrEqual(t, len(log), 4096)
	// The function itself answers again, whatever it did to its instance.
	again, err := h.invoke(t.Context(), name, []byte(`{"do":"echo","n":8}`))
	require.NoError(t, err)
	if tr.spoils && again.status != http.StatusOK {
		require.Equal(t, protocol, again.failure(t).Type)
		again, err = h.invoke(t.Context(), name, []byte(`{"do":"echo","n":8}`))
		require.NoError(t, err)
	}
	require.Empty(t, checkEcho(again, 8))
	count, p99 := n.during(begun, time.Now())
	t.Logf("%d %.150s after %v; neighbours meanwhile: %d calls, p99 %v; server %.0f MiB", a.status, a.body, took.Round(time.Millisecond), count, p99, h.memory(t, "VmRSS"))
}

// TestOutOfMemoryStorm has a function run out of memory as fast as the host lets it, by sixteen callers: it is not let a thousand times a minute. What
// became of the neighbours' 99th percentile is logged: see TestNeighbour.
func TestOutOfMemoryStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const length = 20 * time.Second
	h := start(t)
	h.create(t, function{name: "neighbour", runtime: python, source: pythonEcho})
	h.create(t, function{name: "eater", runtime: python, source: testdata(t, "hostile.py"), memoryMB: 128, timeout: 60})
	n := watchNeighbours(t, h, "neighbour")
	alone := time.NewTimer(3 * time.Second)
	<-alone.C
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var callers sync.WaitGroup
	var ended, other atomic.Int64
	for range 16 {
		callers.Go(func() {
			for ctx.Err() == nil {
				a, err := h.invoke(ctx, "eater", []byte(`{"do":"eat","n":7}`))
				switch {
				case err != nil:
				case strings.Contains(string(a.body), outOfMemory):
					ended.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	callers.Wait()
	took := time.Since(begun)
	_, before := n.during(time.Time{}, begun)
	_, meanwhile := n.during(begun, time.Now())
	count, _ := n.stop(t)
	again, err := h.invoke(t.Context(), "eater", []byte(`{"do":"echo","n":8}`))
	require.NoError(t, err)
	require.Empty(t, checkEcho(again, 8))
	require.Zero(t, other.Load(), "answers that do not tell of memory")
	require.Less(t, ended.Load(), int64(1000*length/time.Minute)/2, "starts that came one behind the other")
	t.Logf("%d ends for memory in %v; neighbour: %d calls, every answer right, p99 %v alone and %v meanwhile; server %.0f MiB",
		ended.Load(), took.Round(time.Second), count, before, meanwhile, h.memory(t, "VmHWM"))
}

// neighbours are functions called all the time while others misbehave.
type neighbours struct {
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	samples []sample
	wrong   []string
}

type sample struct {
	at   time.Time // of the end
	took time.Duration
}

// watchNeighbours calls each function steadily and checks each answer, until stop.
func watchNeighbours(t *testing.T, h *host, names ...string) *neighbours {
	ctx, cancel := context.WithCancel(t.Context())
	n := &neighbours{cancel: cancel}
	for _, name := range names {
		n.work.Go(func() { n.follow(ctx, h, name) })
	}
	return n
}

func (n *neighbours) follow(ctx context.Context, h *host, name string) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		begun := time.Now()
		a, err := h.invoke(ctx, name, event(i))
		if ctx.Err() != nil {
			return
		}
		wrong := ""
		if err != nil {
			wrong = err.Error()
		} else {
			wrong = checkEcho(a, i)
		}
		n.mu.Lock()
		n.samples = append(n.samples, sample{time.Now(), time.Since(begun)})
		if wrong != "" {
			n.wrong = append(n.wrong, name+": "+wrong)
		}
		n.mu.Unlock()
	}
}

// during gives how many calls ended in a span of time, and their 99th percentile.
func (n *neighbours) during(from, to time.Time) (int, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var took []time.Duration
	for _, s := range n.samples {
		if !s.at.Before(from) && !s.at.After(to) {
			took = append(took, s.took)
		}
	}
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return len(took), took[(len(took)-1)*99/100].Round(10 * time.Microsecond)
}

// stop ends the calls, and the test when one was answered wrong.
func (n *neighbours) stop(t *testing.T) (int, time.Duration) {
	t.Helper()
	n.cancel()
	n.work.Wait()
	require.Empty(t, n.wrong)
	count, p99 := n.during(time.Time{}, time.Now())
	require.NotZero(t, count)
	return count, p99
}
