// Package bus is the gateway's own bus: NATS on loopback, with the subjects that drivers of sub-devices and local programs know
// (edge reference 1.6), so that they run unchanged.
//
// It must not know where messages go from here, nor functions.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// DefaultAddress is where drivers look.
const DefaultAddress = "127.0.0.1:4222"

// The bounds of the bus.
const (
	maxConnections = 256
	maxPayload     = 256 << 10 // of a message with its base64
	maxDrivers     = 256
	maxDevices     = 10_000
	driverLife     = 45 * time.Second // without a word; they speak every 15 s
	startTime      = 10 * time.Second
)

// Config says how to run a Bus. All but File is required.
type Config struct {
	Address string // loopback only
	ID      wire.ID
	File    string // in which the topology is kept
	// Message takes what a driver (PlaceLocal) or a program (PlaceApp) has sent to the gateway's routes.
	Message func(from, fromID, topic string, payload []byte)
	// Line takes a line of a driver's log.
	Line func(module, level, text string)
	Log  *slog.Logger
}

// Bus is a Service. Make one with New.
type Bus struct {
	cfg      Config
	server   atomic.Pointer[server.Server] // of these two, both nil before Start, others may ask while it is under way
	conn     atomic.Pointer[nats.Conn]
	topology *topology

	mu      sync.Mutex
	drivers map[string]*driver // by id
}

type driver struct {
	seen    time.Time
	devices map[device]bool
}

type device struct {
	Product string `json:"ProductSN"`
	Device  string `json:"DeviceSN"`
}

// New makes a Bus.
func New(cfg Config) (*Bus, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("the address of the local bus, %q, must be one of loopback with a port, such as %s: it asks for no credentials", cfg.Address, DefaultAddress)
	}
	top, err := loadTopology(cfg.File)
	if err != nil {
		cfg.Log.Warn("the list of sub-devices is begun anew", "err", err)
	}
	return &Bus{cfg: cfg, drivers: map[string]*driver{}, topology: top}, nil
}

// Start brings the bus up.
func (b *Bus) Start(ctx context.Context) error {
	host, port, err := net.SplitHostPort(b.cfg.Address)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	// The server would only log that its address is taken.
	probe, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.cfg.Address)
	if err != nil {
		return fmt.Errorf("local bus: %w", err)
	}
	if err := probe.Close(); err != nil {
		return err
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: b.cfg.ID.Gateway, Host: host, Port: number, NoSigs: true, NoLog: true, NoSystemAccount: true,
		MaxConn: maxConnections, MaxPayload: maxPayload, MaxPending: 4 << 20, PingInterval: time.Minute, WriteDeadline: 5 * time.Second,
		DisableShortFirstPing: true,
	})
	if err != nil {
		return fmt.Errorf("local bus: %w", err)
	}
	b.server.Store(srv)
	srv.Start()
	if !srv.ReadyForConnections(startTime) {
		return errors.Join(errors.New("the local bus does not come up"), b.Stop(ctx))
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv), nats.Name("agent"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		return errors.Join(fmt.Errorf("local bus: %w", err), b.Stop(ctx))
	}
	b.conn.Store(conn)
	for subject, handle := range map[string]nats.MsgHandler{
		"edge.router.*": b.routed, "edge.state.req": b.stated, "edge.log.upload": b.logged,
	} {
		if _, err := conn.Subscribe(subject, handle); err != nil {
			return errors.Join(fmt.Errorf("local bus: %w", err), b.Stop(ctx))
		}
	}
	return conn.Flush()
}

// Stop ends it.
func (b *Bus) Stop(context.Context) error {
	if conn := b.conn.Load(); conn != nil {
		conn.Close()
	}
	if srv := b.server.Load(); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	return nil
}

// Address is where the bus listens; "" before it does.
func (b *Bus) Address() string {
	srv := b.server.Load()
	if srv == nil || srv.Addr() == nil {
		return ""
	}
	return srv.Addr().String()
}

// upward is what drivers and programs send.
type upward struct {
	Source  string `json:"src"`
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
}

// downward is what they are sent.
type downward struct {
	Product string `json:"productSN,omitempty"`
	Device  string `json:"deviceSN,omitempty"`
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
}

func (b *Bus) routed(m *nats.Msg) {
	var up upward
	if err := json.Unmarshal(m.Data, &up); err != nil {
		b.cfg.Log.Warn("a message on the local bus cannot be read", "subject", m.Subject, "err", err)
		return
	}
	from := strings.TrimPrefix(m.Subject, "edge.router.")
	if strings.HasPrefix(up.Topic, "/$system/") {
		b.system(from, up)
		return
	}
	place := wire.PlaceLocal
	if up.Source == wire.PlaceApp {
		place = wire.PlaceApp
	}
	b.cfg.Message(place, from, up.Topic, up.Payload)
}

// state is how a driver says that it lives, and which devices it speaks for.
type state struct {
	Driver  string `json:"driverID"`
	Devices []struct {
		Product string `json:"productSN"`
		Device  string `json:"deviceSN"`
	} `json:"devices"`
}

func (b *Bus) stated(m *nats.Msg) {
	var s state
	if err := json.Unmarshal(m.Data, &s); err != nil || s.Driver == "" {
		return
	}
	devices := map[device]bool{}
	for _, d := range s.Devices {
		devices[device{d.Product, d.Device}] = true
	}
	b.see(s.Driver, devices)
	b.publish("edge.state.reply", json.RawMessage(`{"state":true}`))
	if m.Reply != "" {
		b.publish(m.Reply, json.RawMessage(`{"state":true}`))
	}
}

// see notes that a driver lives. devices is nil where it has not said which it speaks for.
func (b *Bus) see(id string, devices map[device]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for other, d := range b.drivers {
		if now.Sub(d.seen) > driverLife {
			delete(b.drivers, other)
		}
	}
	d := b.drivers[id]
	if d == nil {
		if len(b.drivers) >= maxDrivers {
			return
		}
		d = &driver{devices: map[device]bool{}}
		b.drivers[id] = d
	}
	d.seen = now
	for dev := range devices {
		if len(d.devices) < maxDevices {
			d.devices[dev] = true
		}
	}
}

// ToDevice hands a message to the drivers that speak for the device in its topic, "/product/device/...". It tells how many.
func (b *Bus) ToDevice(topic string, payload []byte) int {
	parts := strings.SplitN(strings.TrimPrefix(topic, "/"), "/", 3)
	if len(parts) < 2 {
		return 0
	}
	of := device{parts[0], parts[1]}
	b.mu.Lock()
	var ids []string
	for id, d := range b.drivers {
		if d.devices[of] && time.Since(d.seen) <= driverLife {
			ids = append(ids, id)
		}
	}
	b.mu.Unlock()
	for _, id := range ids {
		b.publish("edge.local."+id, downward{Product: of.Product, Device: of.Device, Topic: topic, Payload: payload})
	}
	return len(ids)
}

// ToApp hands a message to a local program.
func (b *Bus) ToApp(app, topic string, payload []byte) bool {
	return b.publish("edge.app."+app, downward{Topic: topic, Payload: payload})
}

// Publish puts bytes on a subject as they are.
func (b *Bus) Publish(subject string, payload []byte) error {
	conn := b.conn.Load()
	switch {
	case subject == "" || strings.ContainsAny(subject, " \t\r\n*>"):
		return fmt.Errorf("subject %.60q is none that can be published on", subject)
	case conn == nil:
		return errors.New("the local bus is not up")
	}
	return conn.Publish(subject, payload)
}

func (b *Bus) publish(subject string, v any) bool {
	data, err := json.Marshal(v)
	if err == nil {
		err = b.Publish(subject, data)
	}
	if err != nil {
		b.cfg.Log.Warn("a message for the local bus is lost", "subject", subject, "err", err)
	}
	return err == nil
}

func (b *Bus) logged(m *nats.Msg) {
	var line struct {
		Module  string `json:"module"`
		Level   string `json:"level"`
		Message string `json:"message"`
	}
	if json.Unmarshal(m.Data, &line) == nil && line.Module != "" {
		b.cfg.Line(line.Module, line.Level, line.Message)
	}
}
