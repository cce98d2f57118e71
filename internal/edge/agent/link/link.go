// Package link is the session with the cloud: MQTT over TCP, TLS or WebSocket, kept up for as long as there is a network.
//
// It must not know what messages mean.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// The times of a session. The first pause is short because a broker that was restarted is back soon.
const (
	keepAlive  = 30 * time.Second // the least that the cloud allows (edge reference 1.5)
	connecting = 20 * time.Second
	sending    = 20 * time.Second // for the broker to acknowledge a message
	firstPause = time.Second
	lastPause  = time.Minute
	quiesce    = 250 // ms for a connection to close
)

// Message is what came from the cloud.
type Message struct {
	Topic   string
	Payload []byte
}

// Config says how to keep a Link. All of it is required.
type Config struct {
	Enrollment wire.Enrollment
	Boot       string
	// Topics gives further topics to listen to, beside those of every gateway.
	Topics func() []string
	// Up is called at the beginning of each session, Down at its end, Handle with each message, one call at a time. None may
	// wait for a message.
	Up     func()
	Down   func(err error)
	Handle func(m Message)
	// Clock is the time that certificates are held to.
	Clock func() time.Time
	Log   *slog.Logger
}

// ErrDown is what cannot be sent for now.
var ErrDown = errors.New("the link to the cloud is down")

// Link is a Service. Make one with New.
type Link struct {
	cfg    Config
	id     wire.ID
	tls    *tls.Config
	client atomic.Pointer[session]
	again  chan struct{} // the topics have changed
	anew   chan struct{}

	stop context.CancelFunc
	work sync.WaitGroup
}

type session struct {
	client paho.Client
	lost   chan error
}

// New makes a Link.
func New(cfg Config) (*Link, error) {
	l := &Link{cfg: cfg, id: cfg.Enrollment.Identity(), again: make(chan struct{}, 1), anew: make(chan struct{}, 1)}
	u, err := url.Parse(cfg.Enrollment.BrokerURL)
	if err != nil || schemes[u.Scheme] == "" || u.Host == "" {
		return nil, fmt.Errorf("broker_url %q must be mqtt://, mqtts://, ws:// or wss:// with host and port", cfg.Enrollment.BrokerURL)
	}
	if l.tls, err = TLS(cfg.Enrollment.CAPEM, cfg.Clock); err != nil {
		return nil, err
	}
	return l, nil
}

// schemes are those of broker URLs, and what the client calls them.
var schemes = map[string]string{"mqtt": "tcp", "mqtts": "ssl", "ws": "ws", "wss": "wss"}

var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// TLS makes the settings for connections to a platform whose certificates caPEM has signed; "" for those that the system trusts.
// A clock that shows less than the certificate's own beginning is not believed.
func TLS(caPEM string, clock func() time.Time) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Time: clock, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if caPEM == "" {
		return cfg, nil
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM([]byte(caPEM)) {
		return nil, errors.New("ca_pem holds no certificate")
	}
	var begin time.Time
	for rest := []byte(caPEM); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.NotBefore.After(begin) {
			begin = c.NotBefore
		}
	}
	cfg.Time = func() time.Time {
		if now := clock(); now.After(begin) {
			return now
		}
		return begin
	}
	return cfg, nil
}

// Start begins to connect, and returns at once: a gateway runs without a network too.
func (l *Link) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.work.Go(func() { l.run(ctx) })
	return nil
}

// Stop ends the session.
func (l *Link) Stop(context.Context) error {
	if l.stop != nil {
		l.stop()
		l.work.Wait()
	}
	return nil
}

// Online tells whether there is a session.
func (l *Link) Online() bool { return l.client.Load() != nil }

// Listen has the session listen to what Topics gives now too.
func (l *Link) Listen() { poke(l.again) }

// Renew ends the session for another.
func (l *Link) Renew() { poke(l.anew) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run keeps a session up, with pauses that grow and are random, so that many gateways do not come back at once.
func (l *Link) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		begun := time.Now()
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > lastPause {
			pause = firstPause
		}
		wait := time.Duration(rand.Int64N(int64(pause))) + 50*time.Millisecond
		l.cfg.Log.Warn("no link to the cloud", "err", err, "again_in", wait.Round(time.Millisecond))
		pause = min(2*pause, lastPause)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// session connects, listens, and stays until the connection is lost.
func (l *Link) session(ctx context.Context) error {
	s := &session{lost: make(chan error, 1)}
	s.client = paho.NewClient(l.options(ctx, s))
	defer s.client.Disconnect(quiesce)
	if err := wait(ctx, s.client.Connect(), connecting); err != nil {
		return err
	}
	filters := map[string]byte{}
	for _, topic := range append(l.id.Subscriptions(), l.cfg.Topics()...) {
		filters[topic] = 1
	}
	token := s.client.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token, connecting); err != nil {
		return err
	}
	if told, ok := token.(*paho.SubscribeToken); ok {
		for topic, code := range told.Result() {
			if code == 0x80 && topic == l.id.Topic(wire.Desired) {
				return errors.New("the broker refuses this gateway its own topics")
			}
		}
	}
	l.client.Store(s)
	l.cfg.Up()
	err := l.stay(ctx, s)
	l.client.Store(nil)
	l.cfg.Down(err)
	return err
}

// stay waits for the end of a session, and listens to further topics when there are some.
func (l *Link) stay(ctx context.Context, s *session) error {
	for {
		select {
		case err := <-s.lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-l.anew:
			return errors.New("the session is begun anew")
		case <-l.again:
			for _, topic := range l.cfg.Topics() {
				if err := wait(ctx, s.client.Subscribe(topic, 1, nil), connecting); err != nil {
					return err
				}
			}
		}
	}
}

func (l *Link) options(ctx context.Context, s *session) *paho.ClientOptions {
	u, _ := url.Parse(l.cfg.Enrollment.BrokerURL) // New has looked
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	u.Scheme = schemes[u.Scheme]
	o := paho.NewClientOptions()
	o.AddBroker(u.String()).SetTLSConfig(l.tls)
	o.SetClientID(l.id.ClientID()).SetUsername(l.id.User(wire.LoginStatic)).SetPassword(l.cfg.Enrollment.DeviceSecret)
	o.SetProtocolVersion(4).SetCleanSession(true).SetOrderMatters(true)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(connecting)
	o.SetKeepAlive(keepAlive).SetPingTimeout(10 * time.Second).SetWriteTimeout(sending)
	o.SetMaxReconnectInterval(lastPause).SetMessageChannelDepth(16)
	if will, err := wire.Encode(wire.WillMessage{Boot: l.cfg.Boot}); err == nil {
		o.SetBinaryWill(l.id.Topic(wire.Will), will, 1, false)
	}
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err })
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		if ctx.Err() == nil {
			l.cfg.Handle(Message{Topic: m.Topic(), Payload: m.Payload()})
		}
	})
	return o
}

// Send publishes a message with QoS 1 and waits until the broker has it.
func (l *Link) Send(ctx context.Context, c wire.Channel, message any) error {
	data, err := wire.Encode(message)
	if err != nil {
		return err
	}
	s := l.client.Load()
	if s == nil {
		return ErrDown
	}
	return wait(ctx, s.client.Publish(l.id.Topic(c), 1, false, data), sending)
}

func wait(ctx context.Context, t paho.Token, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-late.C:
		return errors.New("the broker does not answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}
