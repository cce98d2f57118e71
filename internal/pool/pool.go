// Package pool keeps instances of function versions: it leases warm ones, starts and loads new ones, retires idle and
// outdated ones. It is the Runner of calls on this node.
//
// It must not know HTTP, SQL, dialects, nor how a process is isolated (sandbox) or which command a language needs (lang).
package pool

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/schedule"
)

// Folders gives a code package as an unpacked, read-only folder on this node. The folder stays until release is called.
type Folders interface {
	Dir(ctx context.Context, pkg faas.Package) (path string, release func(), err error)
}

// Images gives a container image as a root filesystem on this node. It stays until release is called.
type Images interface {
	Root(ctx context.Context, ref, digest string) (root faas.ImageRoot, release func(), err error)
}

// Runtimes resolves runtime names on this host.
type Runtimes interface {
	Resolve(name string) (lang.Runtime, error)
}

// Variables gives the plain and unsealed user data of a function together.
type Variables interface {
	Variables(f *faas.Function) (map[string]string, error)
}

// Config says how to run a Pool. Zero values of the numbers mean the defaults named.
type Config struct {
	Driver    sandbox.Driver
	Levels    map[string]sandbox.Driver // further levels of isolation, by name
	Network   Network                   // nil where no function reaches anything
	Walls     Walls                     // nil where every function is at Driver's level and reaches nothing
	Folders   Folders
	Images    Images // nil where no image can be run
	Runtimes  Runtimes
	Variables Variables
	StateDir  string // below it lie the bootstrap files of languages, and what they made of packages ahead of calls
	Region    string // told to functions that serve HTTP

	MaxInstances int           // of all functions together; 1000
	Prepared     int           // workers that wait for a function, of one interpreter, at most; 64, negative for none
	MaxQueue     int           // calls waiting for one function; 10,000
	IdleTimeout  time.Duration // after which an instance without calls is retired; 60 s
	// IdleAfter is the IdleTimeout of one function; 0 for that of all. It may be nil.
	IdleAfter    func(f *faas.Function) time.Duration
	FreezeAfter  time.Duration // after which an instance without calls is frozen, where the sandbox can; 0 for never
	ReclaimAfter time.Duration // after which a frozen instance is paged out, where the sandbox can and the host has swap; 0 for never
	BeatEvery    time.Duration // between two questions to a heartbeat handler; 5 s
	StartTimeout time.Duration // for a process to come up, before any code of the owner's runs; 30 s

	// Versions finds the functions that have reserved instances. It may be nil: then there are none.
	Versions Versions
	Zone     *time.Location // of schedules of reserved instances that name none; nil for UTC
	// Note keeps what an instance did outside calls: its pre-stop handler, a heartbeat that failed. It may be nil.
	Note func(f *faas.Function, source string, begun time.Time, res *faas.Result)

	// Place is lang.Load.Place of a function. It may be nil: then there is none.
	Place func(f *faas.Function) json.RawMessage
	// Credentials gives functions what they work with as their agency. It may be nil: then they get none.
	Credentials Credentials

	// Peer answers what functions ask of the platform while a call of theirs runs. It may be nil: then they may not ask.
	Peer Peer

	Log     *slog.Logger
	Metrics *metrics.Set
}

// Pool is a Runner over local instances. Make one with New, and Start it.
type Pool struct {
	cfg       Config
	starts    chan struct{} // bounds the starts under way
	instances atomic.Int64
	started   atomic.Int64   // instances ever, for their numbers
	calls     sync.WaitGroup // calls under way
	work      sync.WaitGroup // starts, retirements and instances
	evicting  atomic.Bool
	ctx       context.Context // ends with a hard stop
	cancel    context.CancelFunc

	parting    sync.WaitGroup // instances that say their last word
	reclaiming sync.Mutex     // one instance is paged out at a time

	mu         sync.RWMutex
	groups     map[groupKey]*group
	wallsEpoch uint64 // grows with every change of a project's walls
	live       map[*instance]struct{}
	shelves    map[string]*shelf // by language and interpreter
	closed     bool
	parted     bool // no instance says a last word any more

	quit  chan struct{}
	ended chan struct{}
	stats stats
	load  hostLoad

	bootstraps bootstraps
	compiled   compiled
	zones      *schedule.Zones
}

type stats struct {
	warm, cold, failed, lost, paused, reclaimed metrics.Counter
	start                                       metrics.Histogram
}

// groupKey tells apart what may not share an instance.
type groupKey struct {
	id       string
	version  string
	revision int64
	memoryMB int
}

// New makes a Pool.
func New(cfg Config) *Pool {
	setDefault(&cfg.MaxInstances, 1000)
	setDefault(&cfg.Prepared, maxCopies)
	setDefault(&cfg.MaxQueue, 10_000)
	setDefault(&cfg.IdleTimeout, time.Minute)
	setDefault(&cfg.StartTimeout, 30*time.Second)
	setDefault(&cfg.BeatEvery, 5*time.Second)
	setDefault(&cfg.Zone, time.UTC)
	p := &Pool{
		cfg: cfg, groups: map[groupKey]*group{}, live: map[*instance]struct{}{}, shelves: map[string]*shelf{},
		starts: make(chan struct{}, 2*runtime.NumCPU()),
		stats: stats{
			warm:      cfg.Metrics.Counter(`hanshu_pool_calls_total{start="warm"}`),
			cold:      cfg.Metrics.Counter(`hanshu_pool_calls_total{start="cold"}`),
			failed:    cfg.Metrics.Counter(`hanshu_pool_starts_failed_total`),
			lost:      cfg.Metrics.Counter(`hanshu_pool_instances_lost_total`),
			paused:    cfg.Metrics.Counter(`hanshu_pool_starts_paused_total`),
			reclaimed: cfg.Metrics.Counter(`hanshu_pool_instances_paged_out_total`),
			start:     cfg.Metrics.Histogram(`hanshu_pool_start_seconds`),
		},
	}
	p.zones = schedule.NewZones(cfg.Zone)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.bootstraps = bootstraps{dir: cfg.StateDir, laid: map[string]string{}}
	p.compiled = compiled{dir: filepath.Join(cfg.StateDir, "compiled"), turn: make(chan struct{}, 1), versions: map[string]string{}}
	cfg.Metrics.Gauge("hanshu_pool_instances", func() float64 { return float64(p.instances.Load()) })
	return p
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

// Start begins to look after instances, and brings up those that are reserved.
func (p *Pool) Start(ctx context.Context) error {
	if err := p.compiled.open(); err != nil {
		return err
	}
	p.quit, p.ended = make(chan struct{}), make(chan struct{})
	go p.reap()
	return p.keepReserved(ctx)
}

// Stop refuses new calls, lets those under way and then the pre-stop handlers end until ctx is done, and ends every instance.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	groups, shelves := p.allGroups(), p.allShelves()
	p.mu.Unlock()
	if already || p.quit == nil {
		return nil
	}
	close(p.quit)
	<-p.ended
	for _, g := range groups {
		g.refuseWaiters(faas.Errorf(faas.CodeUnavailable, "", "the server is stopping"))
	}
	idle := make(chan struct{})
	go func() { p.calls.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	for _, s := range shelves {
		s.clear(true, time.Now())
	}
	for _, g := range groups {
		g.supersede()
	}
	p.awaitParting(ctx)
	p.cancel()
	p.killAll()
	p.work.Wait()
	return nil
}

// stopping tells whether the server ends.
func (p *Pool) stopping() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.closed
}

// killAll ends the instances that are still busy.
func (p *Pool) killAll() {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for in := range p.live {
		in.box.Kill()
	}
}

// Run runs one call. See invoke.Runner.
func (p *Pool) Run(ctx context.Context, f *faas.Function, call faas.Invocation) (*faas.Result, error) {
	return p.run(ctx, f, call, nil)
}

// run runs a call, or has talk speak with an instance where it is not nil.
func (p *Pool) run(ctx context.Context, f *faas.Function, call faas.Invocation, talk func(faas.Backend) error) (*faas.Result, error) {
	if f.Spec.MaxInstances == 0 {
		return nil, faas.Errorf(faas.CodeDisabled, "function", "the function is switched off (concurrency is 0)")
	}
	begun := time.Now()
	for {
		g, err := p.group(f, call)
		if err != nil {
			return nil, err
		}
		res, err := p.attempt(ctx, g, call, talk, begun)
		if err != errAgain {
			return res, err
		}
	}
}

// attempt runs a call in a group. errAgain asks for another attempt: the group is outdated, or the warm instance it gave
// had ended before it took the call. Each costs an instance or a group, so attempts end.
func (p *Pool) attempt(ctx context.Context, g *group, call faas.Invocation, talk func(faas.Backend) error, begun time.Time) (*faas.Result, error) {
	defer p.calls.Done()
	defer g.begin()()
	timeout := call.RunLimit(&g.function.Spec)
	l, err := g.lease(ctx, call.QueueBy, call.Deadline.Add(-timeout))
	if err != nil {
		return nil, err
	}
	if l.failed != nil {
		res := *l.failed
		res.Cold, res.Queued = true, max(0, time.Since(begun)-res.Init)
		return &res, nil
	}
	l.instance.weigh(l.among)
	started := time.Now()
	var res *faas.Result
	var state liveness
	settle := l.instance.killOn(call.Kill)
	if talk == nil {
		res, state = l.instance.call(g.function, call, timeout)
	} else {
		res, state = g.exchange(ctx, l.instance, call, talk)
	}
	if settle() && state == alive { // it had answered in the same moment, and is no use to the next call
		state = ended
	}
	if state == untouched && !l.cold {
		g.lose(l.instance)
		return nil, errAgain
	}
	l.instance.hintOfNetwork(res)
	res.Cold, res.Queued, res.MemoryMB = l.cold, started.Sub(begun), g.key.memoryMB
	if l.cold {
		p.stats.cold.Inc()
		l.instance.tellStart(res)
	} else {
		p.stats.warm.Inc()
	}
	switch state {
	case alive:
		g.trust(l.instance)
		g.release(l.instance, res.Run)
	case leaving:
		g.part(l.instance)
	default:
		p.stats.lost.Inc()
		if res.Failure != nil && res.Failure.Code != faas.CodeTimeout {
			g.crashed(time.Now())
		}
		g.lose(l.instance)
	}
	return res, nil
}

// group finds or makes the group for a call, and counts the call as under way.
func (p *Pool) group(f *faas.Function, call faas.Invocation) (*group, error) {
	memory := f.Spec.MemoryMB
	if call.MemoryMB != 0 {
		memory = call.MemoryMB
	}
	key := groupKey{f.ID, f.Version, f.Revision, memory}
	p.mu.RLock()
	g, closed, epoch := p.groups[key], p.closed, p.wallsEpoch
	if !closed && g != nil {
		p.calls.Add(1)
	}
	p.mu.RUnlock()
	if closed {
		return nil, faas.Errorf(faas.CodeUnavailable, "", "the server is stopping")
	}
	if g != nil {
		return g, nil
	}
	rt, err := p.cfg.Runtimes.Resolve(f.Spec.Runtime)
	if err != nil {
		return nil, err
	}
	walls, driver, err := p.wallsOf(p.ctx, f)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, faas.Errorf(faas.CodeUnavailable, "", "the server is stopping")
	}
	if p.wallsEpoch != epoch { // what was read of the walls may be what they were
		p.mu.Unlock()
		return p.group(f, call)
	}
	if g = p.groups[key]; g == nil {
		g = newGroup(p, key, f, rt)
		g.walls, g.driver = walls, driver
		p.groups[key] = g
	}
	p.calls.Add(1)
	p.mu.Unlock()
	g.keepReserved()
	return g, nil
}

// FunctionChanged retires the instances of a version that has changed or gone. Calls under way end undisturbed; the next
// call finds the new state.
func (p *Pool) FunctionChanged(key faas.FunctionKey) {
	current := p.current(key)
	var outdated []*group
	p.mu.Lock()
	for k, g := range p.groups {
		if g.function.Project == key.Project && g.function.Package == key.Package && g.function.Name == key.Name &&
			(key.Version == "" || g.function.Version == key.Version) && (current == nil || k.id != current.ID || k.revision != current.Revision) {
			outdated = append(outdated, g)
			delete(p.groups, k)
		}
	}
	p.mu.Unlock()
	for _, g := range outdated {
		g.supersede()
	}
}

// Instances counts those of a version, or of all versions where key.Version is "", that are up or starting; and how many of them
// are reserved.
func (p *Pool) Instances(key faas.FunctionKey) (all, reserved int) {
	p.mu.RLock()
	groups := p.allGroups()
	p.mu.RUnlock()
	for _, g := range groups {
		f := g.function
		if f.Project != key.Project || f.Package != key.Package || f.Name != key.Name || key.Version != "" && f.Version != key.Version {
			continue
		}
		g.mu.Lock()
		all += g.total
		reserved += min(g.total, g.reserved)
		g.mu.Unlock()
	}
	return all, reserved
}

// allGroups lists the groups; p.mu is held.
func (p *Pool) allGroups() []*group {
	all := make([]*group, 0, len(p.groups))
	for _, g := range p.groups {
		all = append(all, g)
	}
	return all
}

// allShelves lists the shelves; p.mu is held.
func (p *Pool) allShelves() []*shelf {
	all := make([]*shelf, 0, len(p.shelves))
	for _, s := range p.shelves {
		all = append(all, s)
	}
	return all
}

// forgetEmpty drops the groups that have neither instances nor calls.
func (p *Pool) forgetEmpty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, g := range p.groups {
		if g.closeIfEmpty() {
			delete(p.groups, k)
		}
	}
}

// reserve takes one of the places for instances. When all are taken it begins to retire the instance that has idled
// longest, and says no; its place is free once its process is gone, and the caller asks again.
func (p *Pool) reserve() bool {
	if p.instances.Add(1) <= int64(p.cfg.MaxInstances) {
		p.work.Add(1)
		return true
	}
	p.instances.Add(-1)
	if p.evicting.CompareAndSwap(false, true) {
		p.work.Go(p.evict)
	}
	return false
}

// unreserve gives a place back, when its process is gone or never came.
func (p *Pool) unreserve() {
	p.instances.Add(-1)
	p.work.Done()
}

func (p *Pool) evict() {
	defer p.evicting.Store(false)
	p.mu.RLock()
	groups, shelves := p.allGroups(), p.allShelves()
	p.mu.RUnlock()
	for _, s := range shelves {
		if s.giveRoom() {
			return
		}
	}
	var oldest *group
	var since time.Time
	for _, g := range groups {
		if at, ok := g.oldestIdle(); ok && (oldest == nil || at.Before(since)) {
			oldest, since = g, at
		}
	}
	if oldest != nil {
		oldest.retireOldest()
	}
}
