// Package mochi is the broker inside the server: edge.Broker by mochi-mqtt.
//
// It must not know what messages mean, nor keep any that matters.
package mochi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Config is what New needs.
type Config struct {
	Listener net.Listener // with TLS where that is wanted; the broker closes it
	Handler  edge.Handler
	Log      *slog.Logger
}

// The bounds of a session (edge reference 1.5 and 4.3). Those of its buffers keep 20,000 sessions within 2 GB.
const (
	minKeepAlive  = 30 // seconds
	maxKeepAlive  = 1200
	maxFilters    = 100
	bufferBytes   = 1 << 10
	writesPending = 64
	inflight      = 256
	sessionLife   = 3600 // seconds that a lost session is kept; what it misses is sent anew anyway
)

// Broker is the edge.Broker.
type Broker struct {
	cfg    Config
	server *mqtt.Server
}

// New makes a Broker.
func New(cfg Config) (*Broker, error) {
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = writesPending
	capabilities.MaximumInflight = inflight
	capabilities.MaximumPacketSize = wire.MaxPacket
	capabilities.MaximumSessionExpiryInterval = sessionLife
	capabilities.MaximumMessageExpiryInterval = sessionLife
	capabilities.MaximumQos = 1
	capabilities.RetainAvailable = 0
	capabilities.SharedSubAvailable = 0
	b := &Broker{cfg: cfg, server: mqtt.New(&mqtt.Options{
		Capabilities: capabilities, InlineClient: true, Logger: slog.New(slog.DiscardHandler),
		ClientNetWriteBufferSize: bufferBytes, ClientNetReadBufferSize: bufferBytes, SysTopicResendInterval: 3600,
	})}
	h := &hook{handler: cfg.Handler, sessions: map[*mqtt.Client]*edge.Session{}}
	if err := b.server.AddHook(h, nil); err != nil {
		return nil, err
	}
	return b, b.server.AddListener(listeners.NewNet("gateways", cfg.Listener))
}

// Start is of lifecycle.Service.
func (b *Broker) Start(context.Context) error { return b.server.Serve() }

// Stop is of lifecycle.Service.
func (b *Broker) Stop(context.Context) error { return b.server.Close() }

// Publish is of edge.Broker.
func (b *Broker) Publish(topic string, payload []byte) error {
	return b.server.Publish(topic, payload, false, 1)
}

// Drop is of edge.Broker.
func (b *Broker) Drop(id wire.ID) {
	if c, ok := b.server.Clients.Get(id.ClientID()); ok {
		_ = b.server.DisconnectClient(c, packets.ErrNotAuthorized) // its error is the code itself
	}
}

// hook has the handler decide and told.
type hook struct {
	mqtt.HookBase
	handler edge.Handler

	mu       sync.Mutex
	sessions map[*mqtt.Client]*edge.Session
}

func (h *hook) ID() string { return "hanshu" }

func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnPublish}, b) >= 0
}

// OnConnectAuthenticate also holds the will to what the session may publish, which the broker does not.
func (h *hook) OnConnectAuthenticate(c *mqtt.Client, p packets.Packet) bool {
	s, ok := h.handler.Login(context.Background(), c.ID, string(p.Connect.Username), string(p.Connect.Password))
	return ok && p.Connect.Keepalive >= minKeepAlive && p.Connect.Keepalive <= maxKeepAlive &&
		(!p.Connect.WillFlag || s.MayPublish(p.Connect.WillTopic))
}

// sessionOf reads the session from the user name, which has been proved.
func sessionOf(c *mqtt.Client) (edge.Session, bool) {
	id, login, ok := wire.ParseUser(string(c.Properties.Username))
	return edge.Session{ID: id, Login: login}, ok
}

func (h *hook) OnACLCheck(c *mqtt.Client, topic string, write bool) bool {
	s, ok := sessionOf(c)
	switch {
	case !ok:
		return false
	case write:
		return s.MayPublish(topic)
	}
	return s.MaySubscribe(topic) && c.State.Subscriptions.Len() <= maxFilters
}

func (h *hook) OnSessionEstablished(c *mqtt.Client, _ packets.Packet) {
	s, ok := sessionOf(c)
	if !ok {
		return
	}
	h.mu.Lock()
	h.sessions[c] = &s
	h.mu.Unlock()
	h.handler.Came(&s)
}

func (h *hook) OnDisconnect(c *mqtt.Client, _ error, _ bool) {
	h.mu.Lock()
	s := h.sessions[c]
	delete(h.sessions, c)
	h.mu.Unlock()
	if s != nil {
		h.handler.Gone(s)
	}
}

// OnPublish hands over what is for the platform, before the gateway is told that it has arrived. No subscriber gets it.
func (h *hook) OnPublish(c *mqtt.Client, p packets.Packet) (packets.Packet, error) {
	if c.Net.Inline {
		return p, nil
	}
	s, ok := sessionOf(c)
	if !ok {
		return p, errors.New("no session")
	}
	if _, _, own := wire.ParseTopic(p.TopicName); !own && p.TopicName != s.ID.Password() {
		return p, nil
	}
	h.handler.Message(s.ID, p.TopicName, p.Payload)
	return p, packets.CodeSuccessIgnore
}
