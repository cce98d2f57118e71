package invoke

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// town is a store of versions v1 and v2 of a function with the alias prod, and a runner that tells which one ran.
type town struct {
	mu       sync.Mutex
	versions map[string]bool
	prod     faas.Alias
	reads    int
	reading  func() // called once by a read of the alias that has its row
	last     faas.Invocation
}

func newTown(additional *faas.Additional) (*town, *Invoker) {
	key := one
	key.Version = "v1"
	s := &town{versions: map[string]bool{faas.Latest: true, "v1": true, "v2": true}, prod: faas.Alias{Key: key, Name: "prod", Additional: additional}}
	return s, New(Config{Functions: s, Runner: s, Records: s, Metrics: metrics.NewSet()})
}

func (s *town) Function(_ context.Context, key faas.FunctionKey) (*faas.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if !s.versions[key.Version] {
		return nil, faas.NotFound("version", key.Version)
	}
	return &faas.Function{Project: key.Project, Package: key.Package, Name: key.Name, Version: key.Version}, nil
}

func (s *town) Alias(_ context.Context, _ faas.FunctionKey, name string) (*faas.Alias, error) {
	s.mu.Lock()
	s.reads++
	a, then := s.prod, s.reading
	s.reading = nil
	s.mu.Unlock()
	if then != nil {
		then()
	}
	if name != a.Name {
		return nil, faas.NotFound("alias", name)
	}
	return &a, nil
}

func (s *town) Exchange(context.Context, *faas.Function, faas.Invocation, func(faas.Backend) error) (*faas.Result, error) {
	return nil, faas.Errorf(faas.CodeUnsupported, "runtime", "no exchange here")
}

func (s *town) Run(_ context.Context, f *faas.Function, call faas.Invocation) (*faas.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = call
	return &faas.Result{Output: []byte(f.Version)}, nil
}

func (s *town) Add(faas.Record) {}

// lead leads prod to a version, as a change of it does.
func (s *town) lead(i *Invoker, version string) {
	s.mu.Lock()
	s.prod.Key.Version = version
	s.mu.Unlock()
	i.FunctionChanged(aliasKey(prod()))
}

func prod() Request {
	key := one
	key.Version = ""
	return Request{Key: key, Alias: "prod"}
}

func through(t *testing.T, i *Invoker, r Request) string {
	t.Helper()
	res, err := i.Invoke(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, string(res.Output), res.Version)
	return res.Version
}

// TestTenPercent makes ten thousand calls through an alias, from many callers at a time.
func TestTenPercent(t *testing.T) {
	s, i := newTown(&faas.Additional{Version: "v2", Weight: 10})
	var mu sync.Mutex
	ran := map[string]int{}
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 500 {
				res, err := i.Invoke(t.Context(), prod())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ran[res.Version]++
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	require.Equal(t, map[string]int{"v1": 9000, "v2": 1000}, ran)
	require.Equal(t, "prod", s.last.Alias)
}

func TestWarmCallsThroughAnAliasReadNothing(t *testing.T) {
	s, i := newTown(&faas.Additional{Version: "v2", Weight: 50})
	for range 4 {
		through(t, i, prod())
	}
	s.reads = 0
	for range 100 {
		through(t, i, prod())
	}
	require.Zero(t, s.reads)
}

// TestNextCallSeesTheSwitch also switches while a first call reads the alias.
func TestNextCallSeesTheSwitch(t *testing.T) {
	s, i := newTown(nil)
	s.reading = func() { s.lead(i, "v2") }
	require.Equal(t, "v1", through(t, i, prod()), "that read had begun before")
	require.Equal(t, "v2", through(t, i, prod()))
	for range 10 {
		s.lead(i, "v1")
		require.Equal(t, "v1", through(t, i, prod()))
		s.lead(i, "v2")
		require.Equal(t, "v2", through(t, i, prod()))
	}
}

// TestAliasThatLeadsNowhereIsReadAgain has another server switch the alias and delete the version, of which this one has not heard.
func TestAliasThatLeadsNowhereIsReadAgain(t *testing.T) {
	s, i := newTown(nil)
	require.Equal(t, "v1", through(t, i, prod()))
	s.prod.Key.Version = "v2"
	delete(s.versions, "v1")
	delete(i.cached, func() faas.FunctionKey { k := one; k.Version = "v1"; return k }())
	require.Equal(t, "v2", through(t, i, prod()))
	delete(s.versions, "v2")
	i.FunctionChanged(faas.FunctionKey{Project: one.Project, Package: one.Package, Name: one.Name})
	_, err := i.Invoke(t.Context(), prod())
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err), "and not for ever")
	r := prod()
	r.Alias = "none"
	_, err = i.Invoke(t.Context(), r)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
}

// TestForgetProject follows what another server has changed.
func TestForgetProject(t *testing.T) {
	s, i := newTown(nil)
	require.Equal(t, "v1", through(t, i, prod()))
	s.prod.Key.Version = "v2"
	require.Equal(t, "v1", through(t, i, prod()))
	require.Empty(t, i.ForgetProject("other"))
	v1 := one
	v1.Version = "v1"
	require.Equal(t, []faas.FunctionKey{v1}, i.ForgetProject(one.Project))
	require.Equal(t, "v2", through(t, i, prod()))
}

type header map[string]string

func (h header) HeaderValue(name string) string { return h[name] }
func (h header) CookieValue(string) string      { return "" }

// TestRulesChooseNowAndForLater binds a call that runs later to what its request chose, and shares out when it runs.
func TestRulesChooseNowAndForLater(t *testing.T) {
	s, i := newTown(&faas.Additional{Version: "v2", Rules: []faas.AliasRule{{Kind: "header", Name: "Beta", Op: "=", Value: "1"}}})
	r := prod()
	require.Equal(t, "v1", through(t, i, r))
	r.Asked = header{"Beta": "1"}
	require.Equal(t, "v2", through(t, i, r))
	bound, err := i.Bound(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "v2", bound)
	f, err := i.Find(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "v2", f.Version)

	later := prod()
	later.Key.Version = bound
	require.Equal(t, "v2", through(t, i, later))
	delete(s.versions, "v2")
	i.FunctionChanged(faas.FunctionKey{Project: one.Project, Package: one.Package, Name: one.Name, Version: "v2"})
	require.Equal(t, "v1", through(t, i, later), "the version has gone, and the alias leads to another")

	_, i = newTown(&faas.Additional{Version: "v2", Weight: 10})
	bound, err = i.Bound(t.Context(), prod())
	require.NoError(t, err)
	require.Empty(t, bound)
	ran := map[string]int{}
	for range 1000 {
		f, err := i.Find(t.Context(), prod()) // counts for nothing
		require.NoError(t, err)
		require.Equal(t, "v1", f.Version)
		ran[through(t, i, prod())]++
	}
	require.Equal(t, map[string]int{"v1": 900, "v2": 100}, ran)
	chosen := map[string]int{}
	for range 100 {
		f, err := i.Choose(t.Context(), prod())
		require.NoError(t, err)
		r := prod()
		r.Key.Version = f.Version
		require.Equal(t, f.Version, through(t, i, r))
		chosen[f.Version]++
	}
	require.Equal(t, map[string]int{"v1": 90, "v2": 10}, chosen)
}

func TestAliasesKeptAreBounded(t *testing.T) {
	s, i := newTown(nil)
	for n := range maxCached + 10 {
		s.prod.Name = fmt.Sprint("a", n)
		r := prod()
		r.Alias = s.prod.Name
		_, err := i.alias(t.Context(), r)
		require.NoError(t, err)
	}
	require.Len(t, i.aliases, maxCached)
}
