// Package agent is the device side of edge functions: it runs what is bound to its gateway, with or without a network, and is the
// one place that ties the rooms below it.
//
// It must not know SQL, faces or how the cloud keeps what it wants: all it hears is in package wire.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/bus"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/content"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/cron"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/keep"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/kv"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/link"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/logs"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/update"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lifecycle"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Config says how to run an Agent.
type Config struct {
	Enrollment wire.Enrollment
	DataDir    string
	Version    string // of this program
	Driver     sandbox.Driver
	Languages  []*lang.Language
	Path       string // where interpreters are looked for, as $PATH
	Bus        string // address of the local bus, on loopback; "" for none
	Log        *slog.Logger
	Logs       *logs.Logs
	// Releases is where further versions of this program are kept; nil where it must not replace itself.
	Releases *update.Releases
	Trial    time.Duration // that a new version of this program has to reach the cloud; 0 for update.Trial
	// Clock is the one on the wall, which may show anything; nil for time.Now. Only tests have another.
	Clock func() time.Time
	// Step is told of each step of an update before the next begins; nil outside tests.
	Step func(name string)
}

// The bounds of what the agent uses, where nothing else says.
const (
	maxUnpacked  = 256 << 20 // bytes of unpacked packages that no instance uses
	maxInstances = 32
	drain        = 10 * time.Second
)

// ErrRestart ends Run when another version of the program is to take over.
var ErrRestart = errors.New("another version of the agent takes over")

// Agent is one gateway. Make one with New, then Run it.
type Agent struct {
	cfg     Config
	id      wire.ID
	boot    string
	started time.Time
	log     *slog.Logger

	file      *keep.File
	content   *content.Store
	spool     *keep.Spool
	store     *kv.Store
	catalogue *lang.Catalogue
	pool      *pool.Pool
	functions *functions
	hub       *hub
	timers    *cron.Timers
	bus       *bus.Bus // nil where there is none
	link      *link.Link
	applier   *applier
	commands  *commands
	uplink    *uplink
	reporter  *reporter
	control   *control
	client    *http.Client

	issued  atomic.Int64 // when the newest document was made, ms since 1970: the clock is not before that
	restart chan struct{}
	closers []func() error
}

// New opens everything that the agent keeps. It needs no network.
func New(ctx context.Context, cfg Config) (*Agent, error) {
	a := &Agent{
		cfg: cfg, id: cfg.Enrollment.Identity(), boot: uuid.NewString(), started: time.Now(), log: cfg.Log,
		restart: make(chan struct{}, 1),
	}
	if a.cfg.Clock == nil {
		a.cfg.Clock = time.Now
	}
	if a.cfg.Step == nil {
		a.cfg.Step = func(string) {}
	}
	if err := a.build(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) build(ctx context.Context) error {
	if err := a.cfg.Enrollment.Check(); err != nil {
		return fmt.Errorf("enrollment: %w", err)
	}
	if err := a.openStores(); err != nil {
		return err
	}
	state, err := a.file.Load()
	if err != nil {
		return err
	}
	if state.Good != nil {
		a.issued.Store(state.Good.Document.IssuedAt)
	}
	a.catalogue = lang.NewCatalogue(ctx, lang.SearchDirs(a.cfg.Path), a.cfg.Languages...)
	cache, err := blob.NewCache(blob.CacheConfig{Dir: filepath.Join(a.cfg.DataDir, "code"), MaxBytes: maxUnpacked}, unpacking{a})
	if err != nil {
		return err
	}
	a.functions = newFunctions(a)
	a.pool = pool.New(pool.Config{
		Driver: a.cfg.Driver, Folders: cache, Runtimes: a.catalogue, Variables: a.functions,
		StateDir: filepath.Join(a.cfg.DataDir, "runtime"), MaxInstances: maxInstances, Prepared: -1,
		IdleTimeout: 5 * time.Minute, IdleAfter: a.functions.idleAfter, Place: a.functions.place, Peer: peer{a},
		Log: a.log, Metrics: metrics.NewSet(),
	})
	a.hub = newHub(a)
	a.timers = cron.New(a.cfg.Clock, func(name string, _ time.Time) { a.functions.timer(name) })
	a.applier = newApplier(a, state)
	a.commands = newCommands(a)
	a.uplink = newUplink(a)
	a.reporter = newReporter(a)
	a.control = newControl(a)
	return a.buildEnds()
}

// buildEnds makes what speaks to the outside.
func (a *Agent) buildEnds() (err error) {
	if a.cfg.Bus != "" {
		a.bus, err = bus.New(bus.Config{
			Address: a.cfg.Bus, ID: a.id, File: filepath.Join(a.cfg.DataDir, "topology.json"), Log: a.log,
			Message: func(from, fromID, topic string, payload []byte) { a.hub.message(from, fromID, topic, payload, 0) },
			Line:    a.driverLine,
		})
		if err != nil {
			return err
		}
	}
	a.link, err = link.New(link.Config{
		Enrollment: a.cfg.Enrollment, Boot: a.boot, Clock: a.clock, Log: a.log,
		Topics: a.hub.topics, Up: a.linkUp, Down: a.linkDown, Handle: a.received,
	})
	return err
}

// openStores opens what lies on disk.
func (a *Agent) openStores() error {
	dir := a.cfg.DataDir
	tls, err := link.TLS(a.cfg.Enrollment.CAPEM, a.clock)
	if err != nil {
		return err
	}
	a.client = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tls, MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second,
		ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: 20 * time.Second,
	}}
	if a.content, err = content.Open(filepath.Join(dir, "packages"), a.client, a.told()); err != nil {
		return err
	}
	var aside bool
	if a.file, aside, err = keep.Open(filepath.Join(dir, "agent.db")); err != nil {
		return err
	}
	a.closers = append(a.closers, a.file.Close)
	if aside {
		a.log.Error("the agent's memory was damaged and is begun anew", "kept", filepath.Join(dir, "agent.db.broken"))
	}
	if a.store, aside, err = kv.Open(filepath.Join(dir, "store.db")); err != nil {
		return err
	}
	a.closers = append(a.closers, a.store.Close)
	if aside {
		a.log.Error("the functions' store was damaged and is begun anew", "kept", filepath.Join(dir, "store.db.broken"))
	}
	a.spool, err = keep.NewSpool(a.file, a.cfg.Clock, func(route, n int64) { a.hub.dropped(route, n) })
	return err
}

// clock is the time, but never before what is known to have passed: a gateway without a battery begins in 1970.
func (a *Agent) clock() time.Time {
	now := a.cfg.Clock()
	if issued := time.UnixMilli(a.issued.Load()); now.Before(issued) {
		return issued
	}
	return now
}

// Run runs the agent until ctx ends. ErrRestart: another version of the program takes over.
func (a *Agent) Run(ctx context.Context) error {
	var group lifecycle.Group
	services := []lifecycle.Named{{Name: "instances", Service: a.pool}, {Name: "functions", Service: a.functions}}
	if a.bus != nil {
		services = append(services, lifecycle.Named{Name: "local bus", Service: tolerant{a.bus, a.log}})
	}
	services = append(services,
		lifecycle.Named{Name: "timers", Service: a.timers}, lifecycle.Named{Name: "reports", Service: a.reporter},
		lifecycle.Named{Name: "documents", Service: a.applier}, lifecycle.Named{Name: "commands", Service: a.commands},
		lifecycle.Named{Name: "messages for the cloud", Service: a.uplink}, lifecycle.Named{Name: "link", Service: a.link},
		lifecycle.Named{Name: "control", Service: a.control}, // last: it asks and changes all of them
	)
	err := group.StartAll(ctx, services...)
	if err == nil {
		a.log.Info("the gateway is up", "gateway", a.id.ClientID(), "version", a.cfg.Version)
		err = a.stay(ctx)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err = errors.Join(err, group.StopAll(stop))
	}
	return errors.Join(err, a.Close())
}

// stay waits for the end. A version on trial that does not reach the cloud in time makes room for the one before it.
func (a *Agent) stay(ctx context.Context) error {
	var late <-chan time.Time
	if r := a.cfg.Releases; r != nil && r.OnTrial() {
		timer := time.NewTimer(cmp.Or(a.cfg.Trial, update.Trial))
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.restart:
			return ErrRestart
		case <-late:
			if !a.cfg.Releases.OnTrial() {
				continue
			}
			a.log.Error("this version of the agent does not reach the cloud, and gives way to the one before", "version", a.cfg.Version)
			return errors.Join(ErrRestart, a.cfg.Releases.GiveUp())
		}
	}
}

// tolerant is a Service without which the gateway can do: functions go on where the local bus cannot come up.
type tolerant struct {
	lifecycle.Service
	log *slog.Logger
}

func (t tolerant) Start(ctx context.Context) error {
	if err := t.Service.Start(ctx); err != nil {
		t.log.Error("the local bus is not up: drivers and local programs cannot speak to this gateway", "err", err)
	}
	return nil
}

// Close releases what New made. Run has done so when it returns.
func (a *Agent) Close() error {
	var all error
	if a.spool != nil {
		all = a.spool.Close()
		a.spool = nil
	}
	for i := len(a.closers) - 1; i >= 0; i-- {
		all = errors.Join(all, a.closers[i]())
	}
	a.closers = nil
	return all
}

// program describes this program to the cloud.
func (a *Agent) program() wire.Agent {
	return wire.Agent{Version: a.cfg.Version, OS: goos, Arch: goarch}
}

// MakeDir makes a data directory that belongs to its user alone.
func MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close data directory to others: %w", err)
	}
	return nil
}
