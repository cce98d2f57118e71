package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/content"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/cron"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/keep"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

const (
	usualWindow  = 30 * time.Second
	usualCrashes = 3
	maxWindow    = time.Hour
	firstRetry   = time.Second
	lastRetry    = time.Minute
	// maxBoots is how often the agent may end while new code runs before the document is given up.
	maxBoots = 5
)

// The bounds of a document. One that is over them is refused.
const (
	maxFunctions = 256
	maxRoutes    = 1024
	maxPackage   = 512 << 20
)

// applier brings the gateway to what the newest document says. One that is newer ends the work on an older at once.
type applier struct {
	a *Agent

	mu      sync.Mutex
	state   keep.State
	urls    map[string]string // of the newest envelope
	stage   string            // wire.StateApplied, ...
	message string
	failed  map[string]keep.FailedChange // functions that did not pass, by name
	cancel  context.CancelFunc           // of the work under way; nil for none

	work  chan struct{} // there is a document to work on
	fresh chan struct{} // other URLs have come
	net   chan struct{} // a network has come
	ill   chan struct{} // a function has crashed
	stop  context.CancelFunc
	ended chan struct{}
}

func newApplier(a *Agent, state keep.State) *applier {
	p := &applier{
		a: a, state: state, stage: wire.StateApplied, failed: map[string]keep.FailedChange{},
		work: make(chan struct{}, 1), fresh: make(chan struct{}, 1), net: make(chan struct{}, 1), ill: make(chan struct{}, 1),
	}
	if state.Good != nil {
		for _, f := range state.Good.Failed {
			p.failed[f.Name] = f
		}
	}
	return p
}

// Start has everything run that is good, and goes on with what was pending. It needs no network.
func (p *applier) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.ended = stop, make(chan struct{})
	if g := p.state.Good; g != nil {
		p.standUp(g)
		if p.a.release(&g.Document) != "" {
			poke(p.work)
		}
	}
	if p.state.Pending != nil {
		if err := p.resume(); err != nil {
			stop()
			p.stop = nil
			return err
		}
	}
	go p.run(ctx)
	return nil
}

// resume looks at what the last run of the agent left undone.
func (p *applier) resume() error {
	if p.state.Boots < maxBoots {
		poke(p.work)
		return nil
	}
	r := wire.Refusal{Version: p.state.Accepted, Reason: fmt.Sprintf("the agent ended %d times while this document was tried", p.state.Boots), At: p.a.cfg.Clock().UnixMilli()}
	p.a.log.Error("a document is given up", "version", r.Version, "reason", r.Reason)
	p.state.Pending, p.state.Refused = nil, append(p.state.Refused, r)
	p.stage, p.message = p.backed(), r.Reason
	return p.a.file.Drop(r)
}

// backed is the state after a failure: what stands is older, or nothing does.
func (p *applier) backed() string {
	if p.state.Good == nil {
		return wire.StateFailed
	}
	return wire.StateRolledBack
}

// Stop implements lifecycle.Service.
func (p *applier) Stop(context.Context) error {
	if p.stop != nil {
		p.stop()
		<-p.ended
	}
	return nil
}

// standUp has the functions, routes and timers of a good generation run, each function from its first call on. One whose package
// is gone from the disk is fetched again.
func (p *applier) standUp(g *keep.Good) {
	for _, def := range g.Document.Functions {
		one, err := p.a.functions.prepare(def)
		if err != nil {
			p.a.log.Error("a function cannot run", "function", def.Name, "err", err)
			continue
		}
		p.a.functions.install(one)
		if !p.a.content.Has(def.Code.Digest) {
			poke(p.work)
		}
	}
	p.a.hub.set(g.Document.Routes)
	p.a.timers.Set(p.a.functions.schedules())
}

// offer takes a document from the cloud or from a bundle. nil: it is accepted, and on disk, or it is there already. Errors are why
// it is refused; that is reported.
func (p *applier) offer(e wire.Envelope) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	doc, err := e.Open(p.a.cfg.Enrollment.Keys(), p.a.id, p.state.Accepted)
	if errors.Is(err, wire.ErrSame) {
		return p.offerAgain(e, doc)
	}
	if err == nil {
		err = check(doc)
	}
	if err != nil {
		return p.refuse(doc.Version, err)
	}
	return p.accept(e, doc)
}

// offerAgain takes the document that was accepted last: its URLs may be new, and one that was given up is tried once more.
func (p *applier) offerAgain(e wire.Envelope, doc wire.Document) error {
	p.urls = e.URLs
	poke(p.fresh)
	if p.state.Pending == nil && (p.state.Good == nil || p.state.Good.Version < doc.Version) {
		return p.accept(e, doc)
	}
	return nil
}

// accept makes a document the newest; p.mu is held.
func (p *applier) accept(e wire.Envelope, doc wire.Document) error {
	p.a.cfg.Step(StepChecked)
	if err := p.a.file.Accept(e, doc.Version); err != nil {
		if errors.Is(err, wire.ErrOlder) {
			return p.refuse(doc.Version, wire.ErrOlder)
		}
		p.a.log.Error("a document cannot be kept", "err", err)
		if why := fmt.Sprintf("document %d cannot be kept yet: %s", doc.Version, err); why != p.message { // once: each report has it offered again
			p.message = why
			p.a.reporter.changed()
		}
		return err
	}
	p.state.Accepted, p.state.Pending, p.state.Boots = doc.Version, &e, 0
	p.urls, p.stage, p.message = e.URLs, wire.StatePending, ""
	p.a.issued.Store(max(p.a.issued.Load(), doc.IssuedAt))
	p.a.cfg.Step(StepAccepted)
	if p.cancel != nil {
		p.cancel()
	}
	poke(p.work)
	p.a.reporter.changed()
	return nil
}

// refuse notes why a document is not accepted; p.mu is held.
func (p *applier) refuse(version uint64, why error) error {
	r := wire.Refusal{Version: version, Reason: why.Error(), At: p.a.cfg.Clock().UnixMilli()}
	p.a.log.Warn("a document is refused", "version", version, "err", why)
	known := slices.ContainsFunc(p.state.Refused, func(o wire.Refusal) bool { return o.Version == r.Version && o.Reason == r.Reason })
	if !known { // the flash of a gateway is not for repetitions
		if err := p.a.file.Refuse(r); err != nil {
			p.a.log.Warn("a refusal cannot be kept", "err", err)
		}
		p.state.Refused = append(p.state.Refused, r)
		p.state.Refused = p.state.Refused[max(0, len(p.state.Refused)-10):]
	}
	p.a.reporter.changed()
	return why
}

// check holds a document to its bounds, so that nothing in it can hurt later.
func check(doc wire.Document) error {
	if len(doc.Functions) > maxFunctions || len(doc.Routes) > maxRoutes {
		return fmt.Errorf("the document has more than %d functions or %d routes", maxFunctions, maxRoutes)
	}
	names := map[string]bool{}
	for _, f := range doc.Functions {
		if err := checkFunction(f); err != nil {
			return fmt.Errorf("function %.64q: %w", f.Name, err)
		}
		if names[f.Name] {
			return fmt.Errorf("function %q is there twice", f.Name)
		}
		names[f.Name] = true
	}
	for _, r := range doc.Routes {
		switch r.To {
		case wire.PlaceCloud, wire.PlaceFunction, wire.PlaceLocal, wire.PlaceApp:
		default:
			return fmt.Errorf("route %d leads to %.20q, which is no place", r.ID, r.To)
		}
		if r.Filter == "" || strings.ContainsAny(r.App, " .*>\t\r\n") {
			return fmt.Errorf("route %d has no filter, or an app that is no name", r.ID)
		}
	}
	return nil
}

func checkFunction(f wire.Function) error {
	var config map[string]any
	switch {
	case !isName(f.Name):
		return errors.New("the name must be 1 to 64 letters, digits, '-' and '_'")
	case !content.Valid(f.Code.Digest):
		return errors.New("the digest of its code is none")
	case f.Code.Size < 0 || f.Code.Size > maxPackage:
		return fmt.Errorf("its package is over %d bytes", maxPackage)
	case f.Code.Format != wire.FormatSource && f.Code.Format != wire.FormatZip:
		return fmt.Errorf("format %.20q of its package is not known", f.Code.Format)
	case f.MemoryMB < 0 || f.Timeout < 0 || f.InitTimeout < 0 || f.IdleTimeout < 0:
		return errors.New("a limit is below 0")
	case len(f.Config) > 0 && json.Unmarshal(f.Config, &config) != nil:
		return errors.New("its config is no JSON object")
	}
	if f.Cron != "" {
		if _, err := cron.Parse(f.Cron, f.TimeZone); err != nil {
			return err
		}
	}
	return nil
}

func isName(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}

// crashed is told when a function has ended in a way that it should not.
func (p *applier) crashed() { poke(p.ill) }

// freshened is told when the network is back.
func (p *applier) freshened() { poke(p.net) }

func (p *applier) run(ctx context.Context) {
	defer close(p.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.work:
		}
		p.mu.Lock()
		one, cancel := context.WithCancel(ctx)
		p.cancel = cancel
		doc, pending := p.newest()
		p.mu.Unlock()
		if doc != nil {
			p.apply(one, *doc, pending)
		}
		cancel()
	}
}

// newest is the document to work on: the pending one, or the good one where a package of it is missing. p.mu is held.
func (p *applier) newest() (doc *wire.Document, pending bool) {
	if p.state.Pending != nil {
		var d wire.Document
		if err := json.Unmarshal(p.state.Pending.Payload, &d); err == nil {
			return &d, true
		}
	}
	if p.state.Good != nil {
		return &p.state.Good.Document, false
	}
	return nil, false
}

// apply brings the gateway to a document, unless ctx ends first: then another is newer, or the agent stops.
func (p *applier) apply(ctx context.Context, doc wire.Document, pending bool) {
	if !p.fetchAll(ctx, doc) {
		return
	}
	if !pending { // it stands already, and is whole again
		p.settleStage(wire.StateApplied, "")
		p.mu.Lock()
		newest := p.state.Accepted == doc.Version
		p.mu.Unlock()
		if newest {
			p.upgrade(ctx, doc)
		}
		return
	}
	p.a.cfg.Step(StepStored)
	if err := p.a.file.Booted(); err != nil { // it is a start of new code that counts
		p.waits(ctx, err)
		return
	}
	p.a.cfg.Step(StepTrying)
	fresh, bad := p.switchTo(ctx, doc)
	if ctx.Err() != nil {
		return
	}
	p.a.cfg.Step(StepSwitched)
	if len(fresh) > 0 {
		p.watch(ctx, doc.Health, fresh, bad)
		if ctx.Err() != nil {
			return
		}
	}
	p.a.cfg.Step(StepWatched)
	p.settle(ctx, doc, bad)
}

// waits says that the disk hinders an update, and has the document worked on once more after a while.
func (p *applier) waits(ctx context.Context, err error) {
	p.a.log.Error("the update waits for room on the disk", "err", err)
	p.settleStage(wire.StatePending, fmt.Sprintf("the update waits for the disk: %s", err))
	wait := time.NewTimer(lastRetry / 4)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
		poke(p.work)
	}
}

// fetchAll brings every package to disk, as long as that takes.
func (p *applier) fetchAll(ctx context.Context, doc wire.Document) bool {
	for _, f := range doc.Functions {
		pause := firstRetry
		for !p.a.content.Has(f.Code.Digest) {
			err := p.fetch(ctx, f.Code)
			if err == nil {
				p.a.cfg.Step(StepFetched)
				break
			}
			if ctx.Err() != nil {
				return false
			}
			p.settleStage(wire.StatePending, fmt.Sprintf("the package of %s cannot be had yet: %s", f.Name, err))
			if errors.Is(err, content.ErrDigest) { // nothing of it is kept; what comes next may be right
				p.mu.Lock()
				_ = p.refuse(doc.Version, fmt.Errorf("function %s: %w", f.Name, err))
				p.mu.Unlock()
			}
			p.askFresh(ctx)
			if !p.pause(ctx, pause) {
				return false
			}
			pause = min(2*pause, lastRetry)
		}
	}
	return ctx.Err() == nil
}

func (p *applier) fetch(ctx context.Context, c wire.Code) error {
	p.mu.Lock()
	address := p.urls[c.Digest]
	p.mu.Unlock()
	if p.a.content.Has(c.Digest) {
		return nil
	}
	if address == "" {
		return errors.New("no address of it is known")
	}
	full, err := p.a.address(address)
	if err != nil {
		return err
	}
	return p.a.content.Fetch(ctx, c.Digest, c.Size, full)
}

// address completes one that is relative to the platform.
func (a *Agent) address(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	if u.IsAbs() {
		return text, nil
	}
	base, err := url.Parse(a.cfg.Enrollment.HTTPURL)
	if err != nil || !base.IsAbs() {
		return "", errors.New("http_url of the enrollment is missing, and the address is relative to it")
	}
	return base.ResolveReference(u).String(), nil
}

// askFresh asks the cloud for addresses; they come with the document.
func (p *applier) askFresh(ctx context.Context) {
	p.mu.Lock()
	version := p.state.Accepted
	p.mu.Unlock()
	_ = p.a.link.Send(ctx, wire.DesiredGet, wire.GetMessage{Version: version}) // without a link there is nobody to ask
}

// pause waits, but not beyond the moment when a network comes, nor, at first, when other addresses come. Where those are of no use
// either, the cloud is not to be asked without end.
func (p *applier) pause(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	fresh := p.fresh
	if d > 4*firstRetry {
		fresh = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
	case <-p.net:
	case <-fresh:
	}
	return true
}

// settleStage changes what is reported.
func (p *applier) settleStage(stage, message string) {
	p.mu.Lock()
	changed := p.stage != stage || p.message != message
	p.stage, p.message = stage, message
	p.mu.Unlock()
	if changed {
		p.a.reporter.changed()
	}
}
