// Package app is the only place that ties the parts together: it builds everything, starts it in order and stops it in
// reverse.
//
// It must not know rules: those are in control and invoke.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/api/iam"
	"github.com/hanshu-faas/hanshu/internal/api/minapp"
	"github.com/hanshu-faas/hanshu/internal/api/uiot"
	"github.com/hanshu-faas/hanshu/internal/audit"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/fetch"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/image"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/all"
	"github.com/hanshu-faas/hanshu/internal/lifecycle"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/record"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/schedule"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// Members satisfy what their users declare.
var (
	_ control.FunctionStore = (*store.DB)(nil)
	_ control.VersionStore  = (*store.DB)(nil)
	_ auth.Store            = (*store.DB)(nil)
	_ auth.ClientStore      = (*store.DB)(nil)
	_ auth.Registry         = (*store.DB)(nil)
	_ audit.Store           = (*store.DB)(nil)
	_ invoke.Functions      = (*store.DB)(nil)
	_ control.PackageStore  = (*blob.Disk)(nil)
	_ pool.Folders          = (*blob.Cache)(nil)
	_ pool.Versions         = (*store.DB)(nil)
	_ pool.Images           = (*image.Store)(nil)
	_ control.Images        = (*image.Store)(nil)
	_ invoke.Runner         = (*pool.Pool)(nil)
	_ control.AsyncStore    = (*store.DB)(nil)
	_ queue.Store           = (*store.DB)(nil)
	_ invoke.Records        = (*record.Store)(nil)
)

const (
	maxCachedCode = 4 << 30 // bytes of unpacked packages that no instance uses
	drain         = 20 * time.Second
	clientStall   = time.Minute // the longest one write to a client may take
)

// Server is a built server. Make one with New, then Run it.
type Server struct {
	cfg      config.Config
	version  string
	log      *slog.Logger
	admin    adminFile
	driver   sandbox.Driver
	mux      *httpkit.Mux
	listener net.Listener
	gateway  net.Listener // of the data plane; nil where it shares the API's
	mqtt     net.Listener // of gateways; nil for none
	handler  http.Handler // of the API's listener
	failed   <-chan error // gets why the listener ended by itself
	services []lifecycle.Named
	closers  []func() error // in the order of making
}

// New builds a server in cfg.DataDir and listens, without answering yet. What it made is released when it fails.
func New(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg, version: version, log: log}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) build(ctx context.Context) error {
	unlock, err := lockDataDir(s.cfg.DataDir)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, unlock)
	// Before anything is made: an address that is taken is the likeliest failure of a first start, and leaves nothing behind.
	if s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	s.closers = append(s.closers, func() error { return ignoreClosed(s.listener.Close()) })
	if s.cfg.GatewayListen != "" {
		if s.gateway, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.GatewayListen); err != nil {
			return fmt.Errorf("%w; choose another address with --gateway-listen", err)
		}
		s.closers = append(s.closers, func() error { return ignoreClosed(s.gateway.Close()) })
	}
	if s.cfg.MQTT.Listen != "" {
		if s.mqtt, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.MQTT.Listen); err != nil {
			return fmt.Errorf("%w; choose another address with --mqtt-listen", err)
		}
		s.closers = append(s.closers, func() error { return ignoreClosed(s.mqtt.Close()) })
	}
	db, err := store.Open(ctx, store.Config{URL: databaseURL(s.cfg)})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db.Close)
	hasOwner, err := auth.HasOwner(ctx, db)
	if err != nil {
		return err
	}
	sealer, err := auth.NewSealer(filepath.Join(s.cfg.DataDir, "server.key"), !hasOwner)
	if err != nil {
		return err
	}
	identities, err := auth.New(auth.Config{Store: db, Clients: db, Registry: db, Sealer: sealer, Dev: s.cfg.Dev})
	if err != nil {
		return err
	}
	blobs, err := blob.OpenDisk(filepath.Join(s.cfg.DataDir, "packages"))
	if err != nil {
		return err
	}
	if s.driver, err = newDriver(ctx, s.cfg, filepath.Join(s.cfg.DataDir, "groups")); err != nil {
		return err
	}
	s.closers = append(s.closers, s.driver.Close)
	if s.admin, err = ensureAdmin(ctx, s.cfg, db, sealer, s.listener.Addr(), s.log); err != nil {
		return err
	}
	return s.connect(ctx, db, blobs, sealer, identities)
}

// connect makes the use cases and faces over the stores.
func (s *Server) connect(ctx context.Context, db *store.DB, blobs *blob.Disk, sealer *auth.Sealer, identities *auth.Auth) error {
	counters := metrics.NewSet()
	languages := all.All()
	catalogue := lang.NewCatalogue(ctx, lang.SearchDirs(s.cfg.Path), languages...)
	cache, err := blob.NewCache(blob.CacheConfig{Dir: filepath.Join(s.cfg.DataDir, "code"), MaxBytes: maxCachedCode}, blobs)
	if err != nil {
		return err
	}
	fetcher, err := fetch.New(fetch.Config{Allow: s.cfg.AllowPrivateCodeURLs, Endpoints: buckets(s.cfg)})
	if err != nil {
		return err
	}
	images, err := s.openImages(fetcher)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(s.cfg.TimerZone)
	if err != nil {
		return err
	}
	if err := serverWalls(s.cfg).Check(); err != nil {
		return fmt.Errorf("--egress: %w", err)
	}
	levels, err := s.openLevels(ctx)
	if err != nil {
		return err
	}
	var instances *pool.Pool
	walls := s.newWalls(db, &instances)
	follow, ahead, asked := &changes{}, &preparer{}, &peers{}
	functions := control.NewFunctions(control.FunctionsConfig{
		Store: db, Packages: blobs, Fetcher: fetcher, Sealer: sealer, Changes: follow, Runtimes: runtimes{catalogue},
		Preparer: wallsFirst{walls, ahead}, Images: images, Dependencies: db,
		Zones: schedule.NewZones(zone), Tags: db,
		Quota:  faas.Quota{Functions: s.cfg.QuotaFunctions, CodeBytes: s.cfg.QuotaCodeBytes},
		Region: s.cfg.Region, MaxReserved: s.cfg.MaxInstances * 9 / 10,
	})
	dependencies := s.newDependencies(db, blobs, fetcher)
	records, err := s.openRecords(counters)
	if err != nil {
		return err
	}
	instances = pool.New(pool.Config{
		Driver: s.driver, Levels: levels, Network: s.openNetwork(counters), Walls: walls, Folders: cache, Images: images, Runtimes: catalogue, Variables: functions,
		StateDir: filepath.Join(s.cfg.DataDir, "runtime"), Region: s.cfg.Region, MaxInstances: s.cfg.MaxInstances, Prepared: prepared(s.cfg), IdleTimeout: s.cfg.IdleTimeout,
		FreezeAfter: s.cfg.FreezeAfter, ReclaimAfter: s.cfg.ReclaimAfter, MaxQueue: s.cfg.QueueLength, Versions: db, Zone: zone, Note: noteIn(records), Peer: asked, Credentials: functionRoles{identities},
		Log: s.log, Metrics: counters,
	})
	afar, err := s.newGateways(db, blobs, sealer, functions, counters)
	if err != nil {
		return err
	}
	ledger := invoke.NewLedger(db, s.log, counters)
	invoker := invoke.New(invoke.Config{Functions: db, Runner: placedRunner{instances, afar}, Records: records, Ledger: ledger, Plans: minapp.Plans(), QueueWait: s.cfg.QueueWait, Metrics: counters})
	async := control.NewAsyncConfigs(control.AsyncConfigsConfig{Store: db, Functions: functions, Buckets: fetcher, Sealer: sealer})
	jobs := queue.New(queue.Config{
		Store: db, Invoker: jobInvoker{invoker}, Policies: policies{jobPolicies{async, db}, invoker}, Deliverer: deliverer{fetcher, async},
		Record: outcomes(s.cfg.Region), Log: s.log, Metrics: counters, Slots: s.cfg.MaxInstances,
	})
	asked.api = minapp.New(minapp.Config{
		Functions: functions, Invoker: invoker, Access: identities, Logins: identities, Jobs: jobs, JobList: db, Records: db, Ledger: ledger,
		Sealer: sealer, Runtime: newestNode(catalogue),
	})
	engine := s.newFlows(db, invoker, jobs, counters)
	triggers, err := s.newTriggers(db, sealer, &flowSink{jobs, db, engine}, counters)
	if err != nil {
		return err
	}
	applications, err := newApplications(db, functions, triggers.use, catalogue)
	if err != nil {
		return err
	}
	*follow, ahead.to = changes{warmer{instances}, invoker, instances, triggers.engine, jobs, afar.service, reader{invoker}}, instances
	trail := audit.New(audit.Config{Store: db, Log: s.log, Metrics: counters})
	s.mux, err = httpkit.NewMux(httpkit.MuxConfig{Authenticator: identities, Permit: permit(identities), Audit: trail.Add, Log: s.log, NotFound: notFound},
		functiongraph.New(functiongraph.Config{Functions: functions, Versions: control.NewVersions(db, functions), Triggers: triggers.use, Invoker: invoker, Access: identities,
			Dependencies: dependencies, IdleTimeout: s.cfg.IdleTimeout, Async: async, Jobs: jobs, JobList: db, Tallies: records, Instances: instances,
			Flows: s.flows(db, engine, triggers.use), FlowRuns: engine, FlowLists: db,
			Events: control.NewTestEvents(db, functions, nil), Tags: control.NewTags(db, functions),
			Applications: applications, Agencies: identities, RuntimeTypes: runtimeTypes(catalogue)}),
		iam.New(iam.Config{Identities: identities, People: identities, Keys: identities, Agencies: identities, Sessions: identities, Region: s.cfg.Region}),
		asked.api.Face(),
		uiot.New(uiot.Config{Functions: functions, Placed: afar.placed, Gateways: afar.service, Packages: blobs, Access: identities, Logins: identities,
			Links: afar.links, Domain: auth.OwnerDomain, Runtime: newestPython(catalogue)}).Face(),
		admin.New(withPeople(withDependencies(s.withGateways(s.withRuns(s.adminConfig(identities, catalogue, counters, triggers.Buckets, walls), records, invoker, jobs, db, async), afar), dependencies), identities, trail)),
	)
	if err != nil {
		return err
	}
	var routes http.Handler
	s.handler, routes = s.newGateway(triggers, invoker, identities, runtimes{catalogue})
	front := newListener(s.handler, s.listener, s.log)
	s.failed = front.failed
	s.services = []lifecycle.Named{
		{Name: "records", Service: records},
		{Name: "audit log", Service: trail},
		{Name: "records of calls", Service: ledger},
		{Name: "instances", Service: instances},
		{Name: "jobs", Service: jobs},
		{Name: "workflows", Service: engine},
		{Name: "settling", Service: newSettle()},
		{Name: "package sweep", Service: newSweep("packages", blobs.Sweep, db.DigestUsed, s.log)},
		{Name: "sweep of unpacked packages", Service: newSweep("unpacked packages", cache.Sweep, db.DigestUsed, s.log)},
		{Name: "image sweep", Service: newSweep("images", images.Sweep, db.DigestUsed, s.log)},
	}
	if db.Shared() {
		s.services = append(s.services, lifecycle.Named{Name: "changes of other servers", Service: newFollower(db, invoker, walls, instances, s.log)})
	}
	s.services = append(append(s.services, triggers.Services...), afar.services()...)
	s.services = append(s.services, lifecycle.Named{Name: "triggers", Service: triggers.engine})
	if routes != nil {
		back := newListener(routes, s.gateway, s.log)
		back.failed = front.failed
		s.services = append(s.services, lifecycle.Named{Name: "gateway listener", Service: back})
	}
	s.services = append(s.services, lifecycle.Named{Name: "listener", Service: front})
	return nil
}

// Run serves until ctx or the listener ends, then lets calls under way end and stops everything.
func (s *Server) Run(ctx context.Context) error {
	var group lifecycle.Group
	err := group.StartAll(ctx, s.services...)
	if err == nil {
		var failed error
		select {
		case <-ctx.Done():
		case failed = <-s.failed:
		}
		s.log.Info("stopping; calls under way may end", "within", drain)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err = errors.Join(failed, group.StopAll(stop))
	}
	return errors.Join(err, s.Close())
}

// Close releases what New made. Run has done so when it returns.
func (s *Server) Close() error {
	var all error
	for i := len(s.closers) - 1; i >= 0; i-- {
		all = errors.Join(all, s.closers[i]())
	}
	s.closers = nil
	return all
}

// Routes lists the routes of all faces.
func (s *Server) Routes() []httpkit.RouteInfo { return s.mux.Routes() }

// Handler answers requests as the listener does.
func (s *Server) Handler() http.Handler { return s.handler }

// prepared is what pool.Config wants: there 0 is the default.
func prepared(cfg config.Config) int {
	if cfg.Prepared < 1 {
		return -1
	}
	return cfg.Prepared
}

// openImages opens the store of images, whose registries are dialled as code URLs are.
func (s *Server) openImages(fetcher *fetch.Fetcher) (*image.Store, error) {
	who, err := image.ReadAuth(s.cfg.RegistryAuth)
	if err != nil {
		return nil, err
	}
	return image.Open(image.Config{
		Dir: filepath.Join(s.cfg.DataDir, "images"), Auth: who,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := fetcher.Dial(ctx, network, address)
			if fetch.IsGuarded(err) {
				err = image.ErrGuarded
			}
			return conn, err
		},
	})
}

func databaseURL(cfg config.Config) string {
	if cfg.DB != "" {
		return cfg.DB
	}
	return "sqlite:" + filepath.Join(cfg.DataDir, "hanshu.db")
}

func buckets(cfg config.Config) []fetch.Endpoint {
	if cfg.S3.Endpoint == "" {
		return nil
	}
	return []fetch.Endpoint{{
		URL: cfg.S3.Endpoint, Region: cfg.S3.Region, AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey, PathStyle: cfg.S3.PathStyle,
		Buckets: cfg.S3.Buckets,
	}}
}
