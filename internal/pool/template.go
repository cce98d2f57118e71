package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// How often a template that does not come up, or ends at once, is tried again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = time.Minute
)

// keeper keeps one template of an interpreter up: it brings it up when it is first asked for, and again when it has ended.
// Until one is up, and where none can be, workers are started from nothing.
type keeper struct {
	pool    *Pool
	runtime lang.Runtime
	maker   sandbox.Templater

	mu      sync.Mutex
	current sandbox.Template // nil when none is up
	coming  bool
	resting bool // nobody has asked for long
	over    bool // closed, or this host gives none
	ended   bool // by itself, and nobody was told
	pause   time.Duration
}

// newKeeper gives nil where language or driver know no templates.
func newKeeper(p *Pool, driver sandbox.Driver, rt lang.Runtime) *keeper {
	maker, ok := driver.(sandbox.Templater)
	if !ok || rt.Language.Template == nil || rt.Language.Template(rt.Install, "/") == nil {
		return nil
	}
	return &keeper{pool: p, runtime: rt, maker: maker, pause: firstPause}
}

// get gives the template, or nil, and sees to it that there is one the next time.
func (k *keeper) get() sandbox.Template {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resting = false
	if k.current == nil {
		k.begin(0)
	}
	return k.current
}

// begin brings a template up after a while. k.mu is held.
func (k *keeper) begin(after time.Duration) {
	if k.over || k.coming || k.resting {
		return
	}
	k.coming = true
	k.pool.work.Go(func() { k.keep(after) })
}

// keep brings a template up and follows it to its end.
func (k *keeper) keep(after time.Duration) {
	wait := time.NewTimer(after)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-k.pool.ctx.Done():
	}
	k.tellEnd()
	t, err := k.start()
	began := time.Now()
	k.mu.Lock()
	k.coming = false
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		k.over = true
	case err != nil && k.pool.ctx.Err() == nil:
		k.pool.cfg.Log.Warn("no template could be started; workers start from nothing meanwhile", "runtime", k.runtime.Name, "error", err, "again_in", k.pause)
		k.begin(k.lengthen())
	}
	if err != nil || k.over || k.resting {
		k.mu.Unlock()
		if t != nil {
			t.Close()
		}
		return
	}
	k.current = t
	k.mu.Unlock()

	<-t.Done()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = nil
	if k.over || k.resting {
		return
	}
	if time.Since(began) > lastPause {
		k.pause = firstPause
	}
	k.ended = true
	k.begin(k.lengthen())
}

// tellEnd tells that the template had ended and is started again. Who stops a server may end its processes all at once, and that is nothing to tell of.
func (k *keeper) tellEnd() {
	k.mu.Lock()
	ended := k.ended
	k.ended = false
	k.mu.Unlock()
	if ended && !k.pool.stopping() {
		k.pool.cfg.Log.Warn("a template has ended and is started again", "runtime", k.runtime.Name)
	}
}

// lengthen gives the pause before the next try, and doubles the one after that. k.mu is held.
func (k *keeper) lengthen() time.Duration {
	pause := k.pause
	k.pause = min(2*k.pause, lastPause)
	return pause
}

func (k *keeper) start() (sandbox.Template, error) {
	ctx, cancel := context.WithTimeout(k.pool.ctx, k.pool.cfg.StartTimeout)
	defer cancel()
	spec, err := k.pool.boxSpec(k.runtime, "template", 0)
	if err != nil {
		return nil, err
	}
	spec.Command = k.runtime.Language.Template(k.runtime.Install, lang.RuntimeRoot+"/"+k.runtime.Language.ID)
	spec.Empty, spec.Dir, spec.TmpBytes = []string{lang.CodeRoot}, "/", 1<<20
	return k.maker.Template(ctx, spec)
}

// rest ends the template until it is asked for again; closing for good.
func (k *keeper) rest(closing bool) {
	if k == nil {
		return
	}
	k.mu.Lock()
	k.resting, k.over = true, k.over || closing
	t := k.current
	k.mu.Unlock()
	if t != nil {
		t.Close()
	}
}

// box starts a sandbox under spec with the mounts in own beside: of a copy where a template is up, else from nothing.
func (s *shelf) box(driver sandbox.Driver, p *Pool, spec sandbox.Spec, own ...sandbox.Mount) (sandbox.Instance, error) {
	if s != nil {
		if t := s.templates.get(); t != nil {
			copied := spec
			copied.Mounts = own
			in, err := t.Start(p.ctx, copied)
			if err == nil || p.ctx.Err() != nil {
				return in, err
			}
			select {
			case <-t.Done(): // it is being started again
			default:
				if !p.stopping() { // which ends templates first
					p.cfg.Log.Warn("a copy could not be made; the worker starts from nothing", "error", err)
				}
			}
		}
	}
	spec.Mounts = append(spec.Mounts, own...)
	return driver.Start(p.ctx, spec)
}
