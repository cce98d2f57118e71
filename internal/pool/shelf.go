package pool

import (
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Bounds of a shelf. A prepared Python takes some 2 MB as a copy and 7 MB else, a prepared Node some 35.
const (
	firstShelf  = 2
	maxShelf    = 8
	maxCopies   = 64        // where workers are copies of a template, unless Config says otherwise
	shelfMemory = 256 << 20 // limit while a worker waits; its function brings its own
	shelfTmp    = 64 << 20  // that of /tmp: as functions of the usual memory have it, which then stays as it is
	shelfRest   = 10 * time.Minute
	// shelfCalm is how long no call may have asked for a worker before another is brought up: a burst has the processors for
	// itself, and what its end finds missing comes behind it.
	shelfCalm = 10 * time.Millisecond
)

// shelf keeps workers of one interpreter, booted and waiting to become a function: what a cold start would spend on the
// sandbox and the interpreter has been spent already. They have run no foreign code, and none that has goes back.
type shelf struct {
	pool      *Pool
	runtime   lang.Runtime
	driver    sandbox.Driver
	templates *keeper // nil when there are none

	mu     sync.Mutex
	ready  []*instance // longest waiting first
	coming bool        // one is being brought up
	want   int         // how many to keep
	lowest int         // the fewest that have waited since the last look
	looked time.Time   // when that was
	used   time.Time
	closed bool
}

// shelf finds or makes the shelf of an interpreter; nil where the sandbox cannot take code into a running process.
func (p *Pool) shelf(driver sandbox.Driver, rt lang.Runtime) *shelf {
	c := driver.Capabilities()
	if !c.Attach {
		return nil
	}
	key := c.Driver + " " + rt.Language.ID + " " + rt.Install.Path
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[key]
	if s == nil && !p.closed {
		s = &shelf{pool: p, runtime: rt, driver: driver, templates: newKeeper(p, driver, rt)}
		p.shelves[key] = s
	}
	return s
}

// take gives a waiting worker, or nil; and sees to it that there are more when they are wanted.
func (s *shelf) take() *instance {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
	defer s.fill()
	for len(s.ready) > 0 {
		in := s.ready[0]
		s.ready = s.ready[1:]
		s.lowest = min(s.lowest, len(s.ready))
		if !in.gone() {
			return in
		}
		in.retire()
	}
	s.want = min(max(2*s.want, firstShelf), s.most())
	return nil
}

// most bounds the workers that wait: they take places of instances, so never more than a quarter of those.
func (s *shelf) most() int {
	cfg := s.pool.cfg
	most := min(max(cfg.Prepared, 0), max(cfg.MaxInstances/4, firstShelf))
	if s.templates == nil {
		most = min(most, maxShelf)
	}
	return most
}

// fill begins to bring up a worker when fewer wait than are wanted. s.mu is held.
func (s *shelf) fill() {
	if s.closed || s.coming || len(s.ready) >= s.want || !s.pool.reserve() {
		return
	}
	s.coming = true
	s.pool.work.Go(s.bringUp)
}

// bringUp brings up one worker after the other until enough wait. They come up when nothing else wants the processor.
func (s *shelf) bringUp() {
	s.calm()
	in, err := s.prepare()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming = false
	switch {
	case err != nil:
		s.want = 0 // the next call that finds the shelf empty tries again
		if s.pool.ctx.Err() != nil {
			return // the server is stopping
		}
		s.pool.cfg.Log.Warn("a waiting worker could not be prepared", "runtime", s.runtime.Name, "error", err)
		return
	case s.closed:
		in.retire()
		return
	}
	s.ready = append(s.ready, in)
	s.fill()
}

// calm waits until no call has asked for a worker for a while, or the server stops.
func (s *shelf) calm() {
	for {
		s.mu.Lock()
		left := shelfCalm - time.Since(s.used)
		s.mu.Unlock()
		if left <= 0 {
			return
		}
		wait := time.NewTimer(left)
		select {
		case <-wait.C:
		case <-s.pool.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// clear retires the workers that wait: all when the shelf closes, or those of a shelf that has long not been used.
func (s *shelf) clear(closing bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed || closing
	if !closing && now.Sub(s.used) < shelfRest {
		s.shrink(now)
		return
	}
	s.templates.rest(closing)
	for _, in := range s.ready {
		in.retire()
	}
	s.ready, s.want = nil, 0
}

// shrink gives up half of the copies that were not needed since the last look: what a burst has raised comes down again.
// s.mu is held.
func (s *shelf) shrink(now time.Time) {
	if now.Sub(s.looked) < s.pool.cfg.IdleTimeout/4 { // the pool looks more often, for instances to freeze
		return
	}
	s.looked = now
	if s.templates != nil {
		for range min(s.lowest/2, len(s.ready)) {
			s.ready[0].retire()
			s.ready = s.ready[1:]
			s.want--
		}
	}
	s.lowest = len(s.ready)
}

// giveRoom retires one waiting worker for the sake of an instance that is needed now.
func (s *shelf) giveRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 {
		return false
	}
	s.ready[0].retire()
	s.ready = s.ready[1:]
	s.want = len(s.ready)
	return true
}

// prepare brings up a worker that waits. The place reserved for it is given back when its process is gone.
func (s *shelf) prepare() (*instance, error) {
	p := s.pool
	spec, err := p.boxSpec(s.runtime, "prepared", shelfMemory)
	if err != nil {
		p.unreserve()
		return nil, err
	}
	spec.TmpBytes, spec.Dir = shelfTmp, "/"
	spec.Empty, spec.Patient = []string{lang.CodeRoot}, true
	if s.runtime.Language.Compiles {
		spec.Empty = append(spec.Empty, lang.CompiledRoot)
	}
	box, err := s.box(s.driver, p, spec)
	in, err := p.follow(box, err, s.runtime, func() {})
	if err != nil {
		p.unreserve()
		return nil, err
	}
	if err := in.awaitReady(p.cfg.StartTimeout); err != nil {
		in.retire()
		return nil, err
	}
	return in, nil
}

// specialise shows a waiting worker the code of a group's function, under that function's limits.
func (p *Pool) specialise(in *instance, g *group) error {
	code, release, err := p.cfg.Folders.Dir(p.ctx, g.function.Code)
	if err != nil {
		return err
	}
	in.keepUntilEnd(release)
	in.memoryMB = g.key.memoryMB
	in.notice = g.runtime.Notice()
	memory := int64(g.key.memoryMB) << 20
	mounts := p.compiledMounts(g, code)
	in.compiled = len(mounts) > 0
	return in.box.Attach(append(mounts, sandbox.Mount{Source: code, Target: lang.CodeRoot}), memory, tmpBytes(g.function, memory))
}

// tmpBytes is the size of /tmp. Memory files count as memory: half of it, so that a full /tmp is an error of the write
// and not the end of the instance.
func tmpBytes(f *faas.Function, memory int64) int64 { return min(int64(f.Spec.TmpMB)<<20, memory/2) }
