//go:build linux

package engine

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKillUnderLoad kills the server in the middle of calls and creations, several times, and starts it again.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	killUnderLoad(t, newPlace(t, 0), rounds)
}

// TestKillUnderLoadAsOrdinaryUser is the same without privilege.
func TestKillUnderLoadAsOrdinaryUser(t *testing.T) {
	asNobody(t)
	t.Parallel()
	killUnderLoad(t, newPlace(t, nobody), 1)
}

// load is 32 callers and a few creators at work on one server.
type load struct {
	host   *host
	round  int
	killed atomic.Bool // set before the kill: from now on calls may fail
	calls  atomic.Int64
	work   sync.WaitGroup

	mu    sync.Mutex
	acked []string
	wrong []string
}

const (
	callers  = 32
	creators = 3
)

func startLoad(ctx context.Context, h *host, round int) *load {
	l := &load{host: h, round: round}
	for i := range callers {
		l.work.Go(func() { l.call(ctx, i) })
	}
	for i := range creators {
		l.work.Go(func() { l.create(ctx, i) })
	}
	return l
}

func (l *load) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func (l *load) call(ctx context.Context, caller int) {
	for n := caller; ctx.Err() == nil; n += callers {
		a, err := l.host.invoke(ctx, "echo", event(n))
		if err != nil {
			if !l.killed.Load() {
				l.note("call %d: %v", n, err)
			}
			return
		}
		if wrong := checkEcho(a, n); wrong != "" {
			l.note("%s", wrong)
			return
		}
		l.calls.Add(1)
	}
}

// create makes functions one after another, at a pace that leaves few enough to call each of them afterwards.
func (l *load) create(ctx context.Context, creator int) {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		if n > 4 {
			<-pace.C
		}
		name := fmt.Sprintf("made-%d-%d-%d", l.round, creator, n)
		source := fmt.Sprintf("def handler(event, context):\n    return %q\n", name)
		a, err := l.host.post(ctx, l.host.request(function{name: name, runtime: python, source: source}))
		if err != nil {
			if !l.killed.Load() {
				l.note("creation of %s: %v", name, err)
			}
			return
		}
		if a.status != http.StatusOK {
			l.note("creation of %s: %d %s", name, a.status, a.body)
			return
		}
		l.mu.Lock()
		l.acked = append(l.acked, name)
		l.mu.Unlock()
	}
}

func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func killUnderLoad(t *testing.T, p *place, rounds int) {
	h := p.start(t)
	h.create(t, function{name: "echo", runtime: python, source: pythonEcho})
	var acked []string
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		l := startLoad(ctx, h, round)
		require.Eventually(t, func() bool { return l.acknowledged() >= 12 && l.calls.Load() >= 300 }, time.Minute, 5*time.Millisecond)
		workers := p.sandboxed(t)
		require.NotEmpty(t, workers, "nothing runs, so nothing can be left behind")
		l.killed.Store(true)
		h.Kill()
		killed := time.Now()
		require.Eventually(t, func() bool { return len(p.sandboxed(t)) == 0 }, 3*time.Second, 5*time.Millisecond, "orphans of the killed server")
		gone := time.Since(killed)
		l.work.Wait()
		cancel()
		require.Empty(t, l.wrong)
		require.Empty(t, p.mounts(t))
		_, left := p.groups(t)

		begun := time.Now()
		h = p.start(t)
		ready := time.Since(begun)
		_, below := p.groups(t)
		require.Empty(t, below, "groups of the killed server")
		acked = append(acked, l.acked...)
		whole := checkMade(t, h, l.acked, round)
		t.Logf("round %d: %d calls answered, %d creations acknowledged, %d there after the restart; %d processes in sandboxes gone in %v; "+
			"%d groups left by the kill, none after the restart, which took %v",
			round, l.calls.Load(), len(l.acked), whole, len(workers), gone.Round(time.Millisecond), len(left), ready.Round(time.Millisecond))
	}
	there := h.names(t)
	for _, name := range acked {
		require.True(t, there[name], "%s was acknowledged and is gone", name)
	}
	h.Stop(t)
	require.Empty(t, p.sandboxed(t))
	require.Empty(t, p.mounts(t))
	own, _ := p.groups(t)
	require.Empty(t, own, "groups of a server that was stopped")
}

// checkMade calls every function of a round: those acknowledged must be there, and whatever is there must be whole. It
// gives how many there are.
func checkMade(t *testing.T, h *host, acked []string, round int) int {
	t.Helper()
	there := h.names(t)
	for _, name := range acked {
		require.True(t, there[name], "%s was acknowledged and is gone", name)
	}
	prefix := fmt.Sprintf("made-%d-", round)
	whole := 0
	for name := range there {
		if len(name) < len(prefix) || name[:len(prefix)] != prefix {
			continue
		}
		a, err := h.invoke(t.Context(), name, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", name, a.body)
		require.JSONEq(t, `"`+name+`"`, string(a.body))
		whole++
	}
	return whole
}
