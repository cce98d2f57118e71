package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// molders are actors that can be copied.
type molders struct {
	*actors
	refuse    func(n int64) error // the n-th template
	templates atomic.Int64
	copies    atomic.Int64
	made      chan *mold
}

// mold is a template of molders.
type mold struct {
	driver *molders
	close  sync.Once
	done   chan struct{}
}

func (d *molders) Template(context.Context, sandbox.Spec) (sandbox.Template, error) {
	if err := d.refuse(d.templates.Add(1)); err != nil {
		return nil, err
	}
	m := &mold{driver: d, done: make(chan struct{})}
	d.made <- m
	return m, nil
}

func (m *mold) Start(ctx context.Context, s sandbox.Spec) (sandbox.Instance, error) {
	select {
	case <-m.done:
		return nil, errors.New("gone")
	default:
	}
	m.driver.copies.Add(1)
	return m.driver.Start(ctx, s)
}

func (m *mold) Done() <-chan struct{} { return m.done }
func (m *mold) Close()                { m.close.Do(func() { close(m.done) }) }

// moldable resolves to a language that has templates.
type moldable struct{ *stage }

func (m moldable) Resolve(string) (lang.Runtime, error) {
	command := func(lang.Install, string) []string { return []string{"/fake"} }
	return lang.Runtime{Name: "Fake1", Exact: true, Language: &lang.Language{ID: "fake", Command: command, Template: command, Bootstrap: fstest.MapFS{}}}, nil
}

func newMolders(t *testing.T, refuse func(n int64) error, more ...func(*pool.Config)) (*molders, *stage) {
	d := &molders{actors: &actors{attach: true, play: func(a *actor) {
		if a.loaded() {
			a.echo()
		}
	}}, refuse: refuse, made: make(chan *mold, 100)}
	s := newStage(t, d.actors, func(c *pool.Config) {
		c.Driver, c.Prepared = d, -1
		c.Runtimes = moldable{}
		for _, change := range more {
			change(c)
		}
	})
	return d, s
}

func call(t *testing.T, s *stage) {
	t.Helper()
	res, err := s.try(t.Context(), s.function(), `1`, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, `1`, string(res.Output))
}

// TestWorkersAreCopies: the first start brings the template up and does not wait for it; the next are copies of it; when it
// ends they start from nothing until another is there.
func TestWorkersAreCopies(t *testing.T) {
	d, s := newMolders(t, func(int64) error { return nil })
	call(t, s)
	first := <-d.made
	require.Eventually(t, func() bool { call(t, s); return d.copies.Load() > 0 }, 10*time.Second, time.Millisecond)
	first.Close()
	<-d.made
	before := d.copies.Load()
	require.Eventually(t, func() bool { call(t, s); return d.copies.Load() > before }, 10*time.Second, time.Millisecond)
}

// told is a log that keeps what it is told.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestEndOfTemplateIsTold, but for one that ends with its server: whoever stops that may end all processes at once.
func TestEndOfTemplateIsTold(t *testing.T) {
	const end = "a template has ended"
	for _, stopping := range []bool{false, true} {
		log := &told{}
		d, s := newMolders(t, func(int64) error { return nil }, func(c *pool.Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
		call(t, s)
		m := <-d.made
		require.Eventually(t, func() bool { call(t, s); return d.copies.Load() > 0 }, 10*time.Second, time.Millisecond) // it is being followed
		m.Close()
		if stopping {
			require.NoError(t, s.Stop(t.Context()))
			require.NotContains(t, log.String(), end)
			continue
		}
		<-d.made
		require.Contains(t, log.String(), end)
	}
}

// TestTemplateThatFailsIsTriedAgain, and calls are served meanwhile.
func TestTemplateThatFailsIsTriedAgain(t *testing.T) {
	d, s := newMolders(t, func(n int64) error {
		if n < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	call(t, s)
	<-d.made
	require.Eventually(t, func() bool { call(t, s); return d.copies.Load() > 0 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 3, d.templates.Load())
}

// TestTemplatesUnsupported are asked for once.
func TestTemplatesUnsupported(t *testing.T) {
	d, s := newMolders(t, func(int64) error { return errors.ErrUnsupported })
	call(t, s)
	require.Eventually(t, func() bool { call(t, s); return d.templates.Load() == 1 }, 10*time.Second, time.Millisecond)
	for range 10 {
		call(t, s)
	}
	require.EqualValues(t, 1, d.templates.Load())
	require.Zero(t, d.copies.Load())
}
