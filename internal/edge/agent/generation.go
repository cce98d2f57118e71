package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/keep"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// standing gives the function of a name in the good generation; nil for none.
func (p *applier) standing(name string) *wire.Function {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Good == nil {
		return nil
	}
	for i, f := range p.state.Good.Document.Functions {
		if f.Name == name {
			return &p.state.Good.Document.Functions[i]
		}
	}
	return nil
}

// switchTo has a document's functions, routes and timers take the place of those there are. What is the same is not touched. fresh
// are the functions that have not passed a health window yet, and bad those that do not load; in their place stays what was good.
func (p *applier) switchTo(ctx context.Context, doc wire.Document) (fresh map[string]*function, bad map[string]keep.FailedChange) {
	fresh, bad = map[string]*function{}, map[string]keep.FailedChange{}
	wanted := map[string]bool{}
	for _, def := range doc.Functions {
		wanted[def.Name] = true
		one, why := p.bring(ctx, def)
		if ctx.Err() != nil {
			return nil, nil
		}
		if why != "" {
			hash, _ := def.Hash() // it had one a moment ago
			bad[def.Name] = keep.FailedChange{Name: def.Name, Hash: hash, Reason: why}
			p.goBack(def.Name)
			continue
		}
		p.clear(def.Name)
		if good := p.standing(def.Name); good != nil {
			if run, err := runHash(*good); err == nil && run == one.run {
				continue
			}
		}
		fresh[def.Name] = one
	}
	for _, one := range p.a.functions.all() {
		if !wanted[one.def.Name] {
			p.a.functions.remove(one.def.Name)
			p.clear(one.def.Name)
		}
	}
	p.a.hub.set(doc.Routes)
	p.a.timers.Set(p.a.functions.schedules())
	p.mark(bad)
	return fresh, bad
}

// bring has a function of a document run, or says why it cannot.
func (p *applier) bring(ctx context.Context, def wire.Function) (*function, string) {
	hash, err := def.Hash()
	if err != nil {
		return nil, err.Error()
	}
	now := p.a.functions.get(def.Name)
	if now != nil && now.hash == hash {
		return now, ""
	}
	one, err := p.a.functions.prepare(def)
	if err != nil {
		return nil, err.Error()
	}
	if now == nil || now.run != one.run {
		if why := p.a.functions.warm(ctx, one); why != "" {
			p.a.functions.discard(one)
			return nil, why
		}
		p.a.cfg.Step(StepWarmed)
	}
	p.a.functions.install(one)
	p.a.reporter.changed()
	return one, ""
}

// goBack has the good revision of a function run, or none where there is none.
func (p *applier) goBack(name string) {
	good := p.standing(name)
	if good == nil {
		p.a.functions.remove(name)
		return
	}
	hash, err := good.Hash()
	if now := p.a.functions.get(name); err == nil && now != nil && now.hash == hash {
		return
	}
	one, err := p.a.functions.prepare(*good)
	if err != nil {
		p.a.log.Error("a function cannot go back to what was good", "function", name, "err", err)
		p.a.functions.remove(name)
		return
	}
	p.a.functions.install(one)
}

func (p *applier) clear(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failed, name)
}

// mark notes the functions that did not pass.
func (p *applier) mark(bad map[string]keep.FailedChange) {
	p.mu.Lock()
	for name, f := range bad {
		p.failed[name] = f
		p.a.log.Error("a change of a function did not pass, and what was good stands", "function", name, "reason", f.Reason)
	}
	p.mu.Unlock()
	p.a.reporter.changed()
}

// watch waits for the health window, and takes back each fresh function that crashes more often than it may.
func (p *applier) watch(ctx context.Context, h wire.Health, fresh map[string]*function, bad map[string]keep.FailedChange) {
	window, most := usualWindow, int64(usualCrashes)
	if h.Window > 0 {
		window = min(time.Duration(h.Window)*time.Millisecond, maxWindow)
	}
	if h.Failures > 0 {
		most = int64(h.Failures)
	}
	end := time.NewTimer(window)
	defer end.Stop()
	for {
		for name, one := range fresh {
			if n := one.crashes.Load(); n > most {
				hash := one.hash
				bad[name] = keep.FailedChange{Name: name, Hash: hash, Reason: fmt.Sprintf("it ended %d times within its health window", n)}
				delete(fresh, name)
				p.goBack(name)
				p.a.timers.Set(p.a.functions.schedules())
				p.mark(map[string]keep.FailedChange{name: bad[name]})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-p.ill:
		}
	}
}

// settle makes what runs now the good generation.
func (p *applier) settle(ctx context.Context, doc wire.Document, bad map[string]keep.FailedChange) {
	good := keep.Good{Version: doc.Version, Document: doc}
	good.Document.Functions = nil
	for _, one := range p.a.functions.all() {
		good.Document.Functions = append(good.Document.Functions, one.def)
	}
	for _, f := range bad {
		good.Failed = append(good.Failed, f)
	}
	slices.SortFunc(good.Failed, func(a, b keep.FailedChange) int { return strings.Compare(a.Name, b.Name) })
	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	good.Complete = doc.Version
	if len(bad) > 0 {
		good.Complete = 0
		if p.state.Good != nil {
			good.Complete = p.state.Good.Complete
		}
	}
	if err := p.a.file.Settle(good); err != nil {
		p.mu.Unlock()
		p.waits(ctx, err)
		return
	}
	p.state.Good, p.state.Pending = &good, nil
	p.stage, p.message = wire.StateApplied, ""
	if len(bad) > 0 {
		var all []string
		for _, f := range good.Failed {
			all = append(all, f.Name+": "+f.Reason)
		}
		p.stage, p.message = p.backed(), strings.Join(all, "; ")
	}
	p.mu.Unlock()
	p.a.cfg.Step(StepSettled)
	p.a.reporter.changed()
	p.sweep(good)
	p.a.cfg.Step(StepSwept)
	p.upgrade(ctx, doc)
}

// sweep removes what no function needs any more.
func (p *applier) sweep(good keep.Good) {
	wanted, names := map[string]bool{}, map[string]bool{"driver": true}
	for _, f := range good.Document.Functions {
		wanted[f.Code.Digest], names[f.Name] = true, true
	}
	for _, f := range good.Failed {
		names[f.Name] = true
	}
	if err := p.a.content.Sweep(wanted); err != nil {
		p.a.log.Warn("old packages cannot be removed", "err", err)
	}
	p.a.cfg.Logs.Forget(func(name string) bool { return names[name] })
}
