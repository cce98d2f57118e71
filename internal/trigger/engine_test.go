package trigger_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// log is a trigger.Store.
type log struct {
	mu      sync.Mutex
	changes []faas.TriggerChange
	fail    error
}

func (l *log) add(t faas.Trigger, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, faas.TriggerChange{Seq: int64(len(l.changes) + 1), Trigger: &t, Gone: gone})
}

func (l *log) TriggerChanges(_ context.Context, after int64, limit int) ([]faas.TriggerChange, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind := l.changes[after:]
	return slices.Clone(behind[:min(limit, len(behind))]), l.fail
}

// noted is a trigger.Kind that notes what acts.
type noted struct {
	mu     sync.Mutex
	active map[string]string // secret by id
}

func (*noted) Codes() []string { return []string{"NOTED"} }
func (*noted) Check(*faas.Trigger, map[string]any, map[string]string) (faas.TriggerData, error) {
	return faas.TriggerData{}, nil
}
func (*noted) Show(*faas.Trigger, map[string]string, map[string]any) {}

func (n *noted) Put(t *faas.Trigger, secrets map[string]string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.Data == "bad" {
		return errors.New("bad")
	}
	n.active[t.ID] = secrets["s"]
	return nil
}

func (n *noted) Drop(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.active, id)
}

func TestEngineFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kind := &log{}, &noted{active: map[string]string{}}
		e := trigger.NewEngine(trigger.EngineConfig{
			Store: store, Catalogue: trigger.NewCatalogue(kind), Log: slog.New(slog.DiscardHandler),
			Secrets: func(t *faas.Trigger) (map[string]string, error) {
				if t.ID == "sealed elsewhere" {
					return nil, errors.New("does not open")
				}
				return map[string]string{"s": "of " + t.ID}, nil
			},
		})
		acting := func() []string {
			kind.mu.Lock()
			defer kind.mu.Unlock()
			var all []string
			for id := range kind.active {
				all = append(all, id)
			}
			slices.Sort(all)
			return all
		}
		for range 2500 { // more than a page
			store.add(faas.Trigger{ID: "a", Kind: "NOTED", Active: true}, false)
		}
		store.add(faas.Trigger{ID: "off", Kind: "NOTED"}, false)
		store.add(faas.Trigger{ID: "sealed elsewhere", Kind: "NOTED", Active: true}, false)
		store.add(faas.Trigger{ID: "stranger", Kind: "FAX", Active: true}, false)
		e.TriggersChanged(t.Context())
		require.Empty(t, acting(), "nothing acts before the start")
		require.NoError(t, e.Start(t.Context()))
		require.Equal(t, []string{"a"}, acting())

		store.add(faas.Trigger{ID: "b", Kind: "NOTED", Active: true}, false)
		e.TriggersChanged(t.Context())
		require.Equal(t, []string{"a", "b"}, acting(), "a change of this server acts at once")
		store.add(faas.Trigger{ID: "a", Kind: "NOTED"}, true)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"b"}, acting(), "one of another server within a second")
		store.add(faas.Trigger{ID: "b", Kind: "NOTED", Active: true, Data: "bad"}, false)
		e.TriggersChanged(t.Context())
		require.Empty(t, acting(), "what a kind does not take does not act as it did either")

		store.mu.Lock()
		store.fail = errors.New("away")
		store.mu.Unlock()
		store.add(faas.Trigger{ID: "c", Kind: "NOTED", Active: true}, false)
		e.TriggersChanged(t.Context())
		require.Empty(t, acting())
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"c"}, acting(), "and late when the store was away")
		require.NoError(t, e.Stop(t.Context()))
	})
}

// flaky is a Source whose broker is away for some time.
type flaky struct {
	away  int // attempts that fail
	calls []time.Time
}

func (f *flaky) Listen(ctx context.Context, to *trigger.Batch, up func()) error {
	f.calls = append(f.calls, time.Now())
	if len(f.calls) <= f.away {
		return errors.New("connection refused")
	}
	up()
	if err := to.Deliver(ctx, 1, func(int, int) ([]byte, string, error) { return []byte(`{}`), "", nil }); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestListenersComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, source := triggertest.NewSink(), &flaky{away: 12}
		l := trigger.NewListeners(trigger.ListenersConfig{Sink: sink, Source: faas.SourceKafka, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
		require.NoError(t, l.Start(t.Context()))
		l.Listen(&faas.Trigger{ID: "t"}, source)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Len(t, sink.Jobs(), 1)
		require.Len(t, source.calls, 13)
		require.Equal(t, 100*time.Millisecond, source.calls[1].Sub(source.calls[0]))
		require.Equal(t, 15*time.Second, source.calls[12].Sub(source.calls[11]), "the longest pause")
		require.NoError(t, l.Stop(t.Context()))
		l.Listen(&faas.Trigger{ID: "late"}, source)
		synctest.Wait()
		require.Len(t, source.calls, 13, "nothing begins when all is over")
	})
}

func TestRefusedKinds(t *testing.T) {
	c := trigger.NewCatalogue()
	for _, code := range trigger.Refused() {
		_, err := c.Check(&faas.Trigger{Kind: code}, nil, nil)
		require.Equal(t, faas.CodeUnsupported, faas.CodeOf(err), code)
	}
	_, err := c.Check(&faas.Trigger{Kind: "FAX"}, nil, nil)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
}

func TestBrokersThatNobodyHas(t *testing.T) {
	for _, address := range []string{"169.254.169.254:80", "[fe80::1%25lo]:1", "224.0.0.1:1", "0.0.0.0:1", "[::ffff:169.254.169.254]:80"} {
		_, err := trigger.Dialer().DialContext(t.Context(), "tcp", address)
		require.Equal(t, faas.CodeForbidden, faas.CodeOf(err), "%s: %v", address, err)
	}
}
