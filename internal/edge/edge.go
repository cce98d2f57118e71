// Package edge is the cloud's side of gateways: it tells each what it shall be and do, and takes in what it reports. The truth
// is in the database; a broker carries messages and may lose all of them, since what matters is sent until it is acknowledged.
//
// It must not know HTTP, SQL, any dialect of the API, nor how a gateway runs functions.
package edge

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lifecycle"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Broker carries messages between the cloud and gateways. Its promises are tests in brokertest.
type Broker interface {
	lifecycle.Service
	// Publish sends a message to whoever listens to its topic, with QoS 1, and waits for nobody.
	Publish(topic string, payload []byte) error
	// Drop ends the session of a gateway, if it has one and the broker can.
	Drop(id wire.ID)
}

// Handler is whom a Broker tells. Its methods may be called from many goroutines, those of one session in order.
type Handler interface {
	// Login proves who opens a session. It is asked by brokers that leave that to others.
	Login(ctx context.Context, client, user, password string) (Session, bool)
	// Came tells that a session has begun; Gone that it ended. Of two sessions of one gateway Gone of the older may come last.
	Came(s *Session)
	Gone(s *Session)
	// Ready tells that a broker outside can be reached, for the first time or again: what gateways said before is lost.
	Ready()
	// Message is what a gateway published. It returns when the message may be acknowledged.
	Message(id wire.ID, topic string, payload []byte)
}

// Store keeps what gateways are and have said; see control.GatewayStore for the rest of it.
type Store interface {
	Gateway(ctx context.Context, id faas.GatewayID) (faas.Gateway, error)
	ProductSNs(ctx context.Context) ([]string, error)
	GatewayBindings(ctx context.Context, f faas.BindingFilter) ([]faas.GatewayBinding, error)
	MarkGateways(ctx context.Context, marks []faas.GatewayMark) error
	GatewaysGone(ctx context.Context, before, now time.Time) error
	SetDesired(ctx context.Context, all []faas.Desired, now time.Time) ([]faas.DesiredVersion, error)
	AddGatewayCommand(ctx context.Context, c *faas.GatewayCommand, most int) error
	RaiseGatewaySeq(ctx context.Context, id faas.GatewayID, seq uint64) error
	OpenGatewayCommands(ctx context.Context, id faas.GatewayID, now time.Time) ([]faas.GatewayCommand, error)
	EndGatewayCommand(ctx context.Context, c faas.GatewayCommand) (bool, error)
	SweepGatewayCommands(ctx context.Context, now, forget time.Time) error
	AddGatewayMessages(ctx context.Context, id faas.GatewayID, stream string, all []faas.GatewayMessage, most int) ([]faas.GatewayMessage, uint64, error)
}

// Identities proves gateways. Errors: CodeUnauthenticated; of Register CodeForbidden.
type Identities interface {
	Login(ctx context.Context, id faas.GatewayID, secret string) error
	LoginProduct(ctx context.Context, id faas.GatewayID, secret string) error
	Register(ctx context.Context, id faas.GatewayID) (string, error)
}

// Source tells what shall be on a gateway.
type Source interface {
	Wanted(ctx context.Context, one *faas.Gateway) ([]Wanted, []faas.MessageRoute, error)
	// ReleaseOn tells the agent that it shall run; nil for the one that it has.
	ReleaseOn(ctx context.Context, one *faas.Gateway) (*faas.Release, error)
}

// Wanted is a function as it shall be on a gateway.
type Wanted struct {
	Function  *faas.Function
	Variables map[string]string
	SHA256    string // of its package
	Setting   faas.GatewaySetting
}

// Config is what New needs. All of it is required but Now.
type Config struct {
	Store      Store
	Identities Identities
	Source     Source
	// URL is where a package can be had for some time, perhaps without scheme and host.
	URL func(f *faas.Function) (string, error)
	// ProgramURL is the same of a program of a release.
	ProgramURL func(version string, p faas.ReleaseProgram) (string, error)
	Key        ed25519.PrivateKey // signs desired documents
	// Zone is that of cron expressions.
	Zone string
	// Alone tells that no other server has sessions of gateways on the same database, and that the broker tells of every end
	// of a session. Otherwise a gateway that says nothing for Silence counts as gone.
	Alone   bool
	Log     *slog.Logger
	Metrics *metrics.Set
	Now     func() time.Time // nil for time.Now
}

// Silence is how long a gateway may be silent where its session's end is not seen: it reports every minute.
const Silence = 150 * time.Second

const (
	sweepEvery  = 30 * time.Second
	forgetAfter = 24 * time.Hour // commands that have ended
	askTime     = 30 * time.Second
	batchMarks  = 500
	batchSync   = 64
)

// Service speaks with gateways. Make one with New, give it a broker by Use, and start the broker after it.
type Service struct {
	cfg    Config
	keyID  string
	broker Broker

	ended  sync.WaitGroup
	cancel context.CancelFunc

	mu       sync.Mutex
	sessions map[wire.ID]*Session
	have     map[wire.ID]uint64                  // versions that gateways said they have
	dirty    map[wire.ID]want                    // whose desired state is to be looked at
	touched  map[faas.FunctionKey]struct{}       // functions whose gateways are to be found
	marks    []faas.GatewayMark                  // to be stored
	waiters  map[string]chan faas.GatewayCommand // by id of command
	wakeSync chan struct{}
	wakeMark chan struct{}

	sent     metrics.Counter
	received metrics.Counter
	refused  metrics.Counter
}

// want says why a gateway's desired state is looked at.
type want struct {
	above uint64 // the version that the gateway says it has
	send  bool   // whatever it has
}

// New makes a Service.
func New(cfg Config) (*Service, error) {
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("edge: a key that signs is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{
		cfg: cfg, keyID: KeyID(cfg.Key), sessions: map[wire.ID]*Session{}, have: map[wire.ID]uint64{}, dirty: map[wire.ID]want{}, touched: map[faas.FunctionKey]struct{}{},
		waiters: map[string]chan faas.GatewayCommand{}, wakeSync: make(chan struct{}, 1), wakeMark: make(chan struct{}, 1),
		sent:     cfg.Metrics.Counter("hanshu_edge_messages_sent_total"),
		received: cfg.Metrics.Counter("hanshu_edge_messages_received_total"),
		refused:  cfg.Metrics.Counter("hanshu_edge_logins_refused_total"),
	}
	cfg.Metrics.Gauge("hanshu_edge_sessions", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.sessions))
	})
	return s, nil
}

// Use gives the service its broker, which must not have started.
func (s *Service) Use(b Broker) { s.broker = b }

// Start is of lifecycle.Service.
func (s *Service) Start(ctx context.Context) error {
	if err := s.cfg.Store.GatewaysGone(ctx, s.silentSince(), s.cfg.Now()); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.ended.Go(func() { s.syncLoop(run) })
	s.ended.Go(func() { s.markLoop(run) })
	s.ended.Go(func() { s.sweepLoop(run) })
	return nil
}

// silentSince is the zero time where all gateways count as gone.
func (s *Service) silentSince() time.Time {
	if s.cfg.Alone {
		return time.Time{}
	}
	return s.cfg.Now().Add(-Silence)
}

// Stop is of lifecycle.Service. The broker has stopped before.
func (s *Service) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.ended.Wait()
	s.cancel = nil
	return s.flush(ctx)
}

func (s *Service) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.cfg.Now()
		if err := s.cfg.Store.SweepGatewayCommands(ctx, now, now.Add(-forgetAfter)); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("sweep of gateway commands", "err", err)
		}
		if !s.cfg.Alone {
			if err := s.cfg.Store.GatewaysGone(ctx, s.silentSince(), now); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("look for silent gateways", "err", err)
			}
		}
	}
}

// Off is the Broker of a server that has none: nobody comes, and nothing is sent.
type Off struct{}

// Start is of lifecycle.Service.
func (Off) Start(context.Context) error { return nil }

// Stop is of lifecycle.Service.
func (Off) Stop(context.Context) error { return nil }

// Publish is of Broker.
func (Off) Publish(string, []byte) error { return nil }

// Drop is of Broker.
func (Off) Drop(wire.ID) {}

// signal wakes a loop that may be awake.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func faasID(id wire.ID) faas.GatewayID { return faas.GatewayID{Product: id.Product, SN: id.Gateway} }

func wireID(id faas.GatewayID) wire.ID { return wire.ID{Product: id.Product, Gateway: id.SN} }
