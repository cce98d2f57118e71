package invoke

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

var (
	one = faas.FunctionKey{Project: "p", Package: "default", Name: "one", Version: faas.Latest}
	two = faas.FunctionKey{Project: "p", Package: "default", Name: "two", Version: faas.Latest}
)

// shelf is a store whose reads can be made to wait, and a runner that gives back the revision it was handed.
type shelf struct {
	revision int64
	reads    int
	reading  func() // called by a read once it has its row; nil for nothing
}

func (s *shelf) Function(_ context.Context, key faas.FunctionKey) (*faas.Function, error) {
	s.reads++
	f := &faas.Function{Project: key.Project, Package: key.Package, Name: key.Name, Version: key.Version, Revision: s.revision}
	if s.reading != nil {
		s.reading()
	}
	return f, nil
}

func (s *shelf) Alias(_ context.Context, _ faas.FunctionKey, name string) (*faas.Alias, error) {
	return nil, faas.NotFound("alias", name)
}

func (s *shelf) Exchange(context.Context, *faas.Function, faas.Invocation, func(faas.Backend) error) (*faas.Result, error) {
	return nil, faas.Errorf(faas.CodeUnsupported, "runtime", "no exchange here")
}

func (s *shelf) Run(_ context.Context, f *faas.Function, _ faas.Invocation) (*faas.Result, error) {
	return &faas.Result{Output: fmt.Append(nil, f.Revision)}, nil
}

func (s *shelf) Add(faas.Record) {}

func newInvoker(s *shelf) *Invoker {
	return New(Config{Functions: s, Runner: s, Records: s, Metrics: metrics.NewSet()})
}

// ran is the revision that a call of a function ran.
func ran(t *testing.T, i *Invoker, key faas.FunctionKey) string {
	t.Helper()
	res, err := i.Invoke(t.Context(), Request{Key: key})
	require.NoError(t, err)
	return string(res.Output)
}

// A read that began before a change may hold the old state. The call that made it may run that, being older than the
// change; no later call may.
func TestReadThatAChangeOvertookIsNotKept(t *testing.T) {
	for name, changed := range map[string]faas.FunctionKey{
		"this version":      one,
		"all its versions":  {Project: one.Project, Package: one.Package, Name: one.Name},
		"another function":  two, // costs a read, and is right
		"an unknown thing":  {Project: "nobody"},
		"another's version": {Project: one.Project, Package: one.Package, Name: one.Name, Version: "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{revision: 1}
			i := newInvoker(s)
			s.reading = func() { // the row is read; now it changes
				s.reading = nil
				s.revision = 2
				i.FunctionChanged(changed)
			}
			require.Equal(t, "1", ran(t, i, one))
			require.Equal(t, "2", ran(t, i, one))
			require.Equal(t, "2", ran(t, i, one))
			require.Equal(t, 2, s.reads, "what was read undisturbed is kept")
		})
	}
}

func TestChangeForgetsWhatItNames(t *testing.T) {
	v1, name := one, one
	v1.Version, name.Version = "v1", ""
	for _, c := range []struct {
		changed faas.FunctionKey
		reads   int // to call one, v1 and two again
	}{{one, 1}, {v1, 1}, {name, 2}, {two, 1}, {faas.FunctionKey{Project: "q", Package: "default", Name: "one"}, 0}} {
		s := &shelf{}
		i := newInvoker(s)
		all := []faas.FunctionKey{one, v1, two}
		for _, key := range all {
			ran(t, i, key)
		}
		i.FunctionChanged(c.changed)
		s.reads = 0
		for _, key := range all {
			ran(t, i, key)
		}
		require.Equal(t, c.reads, s.reads, "%+v", c.changed)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := &shelf{}
	i := newInvoker(s)
	for n := range maxCached + 100 {
		_, err := i.function(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: fmt.Sprint(n), Version: faas.Latest})
		require.NoError(t, err)
	}
	require.Len(t, i.cached, maxCached)
}

// TestAheadOfTheFirstCall reads what was deployed before it is called, and leaves the rest of the room to what is called.
func TestAheadOfTheFirstCall(t *testing.T) {
	s := &shelf{revision: 1}
	i := newInvoker(s)
	i.Ahead(t.Context(), one)
	require.Equal(t, 1, s.reads)
	require.Equal(t, "1", ran(t, i, one))
	require.Equal(t, 1, s.reads, "the first call found it")
	s.revision = 2
	i.FunctionChanged(one)
	i.Ahead(t.Context(), one)
	require.Equal(t, "2", ran(t, i, one))
	require.Equal(t, 2, s.reads)
	for n := range maxCached {
		i.Ahead(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: fmt.Sprint(n), Version: faas.Latest})
	}
	require.Len(t, i.cached, maxAhead)
}
