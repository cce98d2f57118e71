package agent

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// The times of reports: changes are told at once, but not more often than debounce, and all is told now and then.
const (
	debounce    = 300 * time.Millisecond
	reportEvery = time.Minute
)

// reporter tells the cloud who is there and how things stand.
type reporter struct {
	a       *Agent
	change  chan struct{}
	session chan struct{} // a session has begun
	spread  chan struct{} // somebody asks everyone for a hello
	told    uint64        // the newest good version that the cloud has heard of, or that was good at the start
	stop    context.CancelFunc
	ended   chan struct{}
}

func newReporter(a *Agent) *reporter {
	return &reporter{a: a, change: make(chan struct{}, 1), session: make(chan struct{}, 1), spread: make(chan struct{}, 1)}
}

func (r *reporter) changed() { poke(r.change) }
func (r *reporter) hello()   { poke(r.session) }
func (r *reporter) resync()  { poke(r.spread) }

// Start implements lifecycle.Service.
func (r *reporter) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan struct{})
	if good := r.a.applier.state.Good; good != nil {
		r.told = good.Complete
	}
	go r.run(ctx)
	return nil
}

// Stop implements lifecycle.Service.
func (r *reporter) Stop(context.Context) error {
	if r.stop != nil {
		r.stop()
		<-r.ended
	}
	return nil
}

func (r *reporter) run(ctx context.Context) {
	defer close(r.ended)
	timer := time.NewTimer(reportEvery)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.session:
			r.sayHello(ctx)
		case <-r.spread:
			time.AfterFunc(rand.N(wire.ResyncSpread*time.Second), r.hello)
			continue
		case <-r.change:
			if wait := debounce - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		last = time.Now()
		timer.Reset(reportEvery - reportEvery/10 + rand.N(reportEvery/5))
		if r.a.link.Online() {
			if err := r.tell(ctx); err != nil && ctx.Err() == nil {
				r.a.log.Warn("the report was not sent", "err", err)
				timer.Reset(5 * time.Second)
			}
		}
	}
}

func (r *reporter) tell(ctx context.Context) error {
	report := r.a.report()
	if err := r.a.link.Send(ctx, wire.Reported, report); err != nil {
		return err
	}
	if report.Good > r.told {
		r.told = report.Good
		r.a.cfg.Step(StepReported)
	}
	return nil
}

func (r *reporter) sayHello(ctx context.Context) {
	state, err := r.a.file.Load()
	if err == nil {
		err = r.a.link.Send(ctx, wire.Hello, wire.HelloMessage{Boot: r.a.boot, Agent: r.a.program(), Version: state.Accepted, CmdSeq: state.CmdSeq})
	}
	if err != nil {
		if ctx.Err() == nil {
			r.a.log.Warn("the session could not be opened", "err", err)
			r.a.link.Renew()
		}
		return
	}
	if releases := r.a.cfg.Releases; releases != nil && releases.OnTrial() {
		if err := releases.Passed(); err != nil {
			r.a.log.Error("the new version of the agent cannot be made the one that stays", "err", err)
		}
		r.a.cfg.Step(StepReleasePassed)
	}
}

// report tells how things stand.
func (a *Agent) report() wire.ReportedMessage {
	now := a.cfg.Clock()
	m := wire.ReportedMessage{
		Boot: a.boot, Agent: a.program(), StartedAt: now.Add(-time.Since(a.started)).UnixMilli(), At: now.UnixMilli(), Routes: a.hub.states(), Host: a.host(),
	}
	p := a.applier
	p.mu.Lock()
	m.Version, m.State, m.Message = p.state.Accepted, p.stage, p.message
	if p.state.Good != nil {
		m.Good = p.state.Good.Complete
	}
	m.Refused = append(m.Refused, p.state.Refused...)
	failed := map[string]string{}
	for name, f := range p.failed {
		failed[name] = f.Reason
	}
	wanted := p.wantedNames()
	newest, _ := p.newest()
	m.Agent.Reverted = a.reverted(newest)
	p.mu.Unlock()
	if state, err := a.file.Load(); err == nil {
		m.CmdSeq = state.CmdSeq
	}
	m.Functions = []wire.FunctionState{}
	for _, one := range a.functions.all() {
		f := wire.FunctionState{
			Name: one.def.Name, Hash: one.hash, State: wire.FunctionRunning, Calls: one.calls.Load(), Errors: one.errors.Load(),
			Restarts: one.restarts.Load(), LastRun: one.lastRun.Load(),
		}
		if next := a.timers.Next(one.def.Name); !next.IsZero() {
			f.NextCron = next.UnixMilli()
		}
		if why, ok := failed[f.Name]; ok {
			f.State, f.Message = wire.FunctionFailed, why
		}
		delete(wanted, f.Name)
		m.Functions = append(m.Functions, f)
	}
	for name := range wanted {
		f := wire.FunctionState{Name: name, State: wire.FunctionPending}
		if why, ok := failed[name]; ok {
			f.State, f.Message = wire.FunctionFailed, why
		}
		m.Functions = append(m.Functions, f)
	}
	return m
}

// wantedNames are the functions of the newest document; p.mu is held.
func (p *applier) wantedNames() map[string]bool {
	names := map[string]bool{}
	if doc, _ := p.newest(); doc != nil {
		for _, f := range doc.Functions {
			names[f.Name] = true
		}
	}
	for name := range p.failed {
		names[name] = true
	}
	return names
}

// host tells what is left.
func (a *Agent) host() wire.HostState {
	h := wire.HostState{RSS: field("/proc/self/status", "VmRSS:") << 10, MemFree: field("/proc/meminfo", "MemAvailable:") << 10}
	var fs syscall.Statfs_t
	if syscall.Statfs(a.cfg.DataDir, &fs) == nil {
		h.DiskFree = int64(fs.Bavail) * int64(fs.Bsize)
	}
	return h
}

// field reads a number from a file of the kernel's.
func field(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				n, err := strconv.ParseInt(words[0], 10, 64)
				if err == nil {
					return n
				}
			}
		}
	}
	return 0
}
