package invoke_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// fixed is a store of one function, and a runner that gives back what it heard.
type fixed struct {
	function *faas.Function
	reads    int
	heard    faas.Invocation
	records  []faas.Record
}

func (s *fixed) Function(_ context.Context, key faas.FunctionKey) (*faas.Function, error) {
	s.reads++
	if key != s.function.Key() {
		return nil, faas.NotFound("function", key.Name)
	}
	return s.function, nil
}

func (s *fixed) Alias(_ context.Context, _ faas.FunctionKey, name string) (*faas.Alias, error) {
	return nil, faas.NotFound("alias", name)
}

func (s *fixed) Exchange(context.Context, *faas.Function, faas.Invocation, func(faas.Backend) error) (*faas.Result, error) {
	return nil, faas.Errorf(faas.CodeUnsupported, "runtime", "no exchange here")
}

func (s *fixed) Run(_ context.Context, _ *faas.Function, call faas.Invocation) (*faas.Result, error) {
	s.heard = call
	return &faas.Result{Output: call.Event}, nil
}

func (s *fixed) Add(r faas.Record) { s.records = append(s.records, r) }

func TestInvokeResolves(t *testing.T) {
	s := &fixed{function: &faas.Function{
		Project: "p", Package: "default", Name: "test", Version: faas.Latest, Code: faas.Package{Digest: "d"},
		Spec: faas.Spec{MemoryMB: 128},
	}}
	i := invoke.New(invoke.Config{Functions: s, Runner: s, Records: s, Metrics: metrics.NewSet()})
	key := faas.FunctionKey{Project: "p", Package: "default", Name: "test"}

	res, err := i.Invoke(t.Context(), invoke.Request{Key: key, Call: faas.Invocation{Event: []byte("{}")}})
	require.NoError(t, err)
	require.Equal(t, [2]string{"latest", "d"}, [2]string{res.Version, res.Digest}, "the answer names what ran")
	_, err = i.Invoke(t.Context(), invoke.Request{Key: s.function.Key()})
	require.NoError(t, err)
	require.Equal(t, 1, s.reads, "a warm call reads no store")
	require.Len(t, s.records, 2)
	require.Equal(t, "latest", s.records[0].Key.Version)
	require.Equal(t, "{}", string(s.records[0].Event))
	require.EqualValues(t, 2, s.records[0].ResultSize)

	_, err = i.Invoke(t.Context(), invoke.Request{Key: key, Alias: "prod"})
	var e *faas.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, faas.CodeNotFound, e.Code)
	require.Equal(t, "alias", e.Field)

	for memory, ok := range map[int]bool{0: true, 128: true, 256: false} {
		_, err := i.Invoke(t.Context(), invoke.Request{Key: key, Call: faas.Invocation{MemoryMB: memory}})
		require.Equal(t, ok, err == nil, memory)
	}
	s.function.Spec.DynamicMemory = true
	_, err = i.Invoke(t.Context(), invoke.Request{Key: key, Call: faas.Invocation{MemoryMB: 256}})
	require.NoError(t, err)
	require.Equal(t, 256, s.heard.MemoryMB)
}

func TestReplay(t *testing.T) {
	s := &fixed{function: &faas.Function{Project: "p", Package: "default", Name: "test", Version: "v1"}}
	i := invoke.New(invoke.Config{Functions: s, Runner: s, Records: s, Metrics: metrics.NewSet()})
	res, err := i.Replay(t.Context(), &faas.Record{ID: "old", Key: s.function.Key(), Event: []byte(`{"a":1}`)}, "new")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(res.Output))
	require.Equal(t, [3]string{"new", "old", faas.SourceReplay}, [3]string{s.records[0].ID, s.records[0].Parent, s.records[0].Source})
	_, err = i.Replay(t.Context(), &faas.Record{ID: "old", Key: s.function.Key(), EventSize: 1 << 20}, "new")
	require.Equal(t, faas.CodeConflict, faas.CodeOf(err))
}
