// Package remote is a broker outside the server: edge.Broker over any MQTT 3.1.1 broker that the server logs in to.
//
// It must not know what messages mean. Who may log in and which topics are whose, the broker itself must hold: see Accounts.
package remote

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Config is what New needs.
type Config struct {
	URL     string // mqtt:// or mqtts://, with user and password
	Handler edge.Handler
	Log     *slog.Logger
}

// Broker is the edge.Broker.
type Broker struct {
	cfg    Config
	client paho.Client
}

const (
	opening   = 15 * time.Second
	keepAlive = 30 * time.Second
	patience  = 2 * time.Second // of a start
	quiesce   = 250             // ms
)

// New makes a Broker. It connects when it starts.
func New(cfg Config) (*Broker, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "mqtt" && u.Scheme != "mqtts") || u.Hostname() == "" {
		return nil, errors.New("the address of the broker must be mqtt://user:password@host:port, or mqtts:// for TLS")
	}
	b := &Broker{cfg: cfg}
	server := *u
	server.User = nil
	server.Scheme = map[string]string{"mqtt": "tcp", "mqtts": "ssl"}[u.Scheme]
	if server.Port() == "" {
		server.Host += map[string]string{"mqtt": ":1883", "mqtts": ":8883"}[u.Scheme]
	}
	password, _ := u.User.Password()
	o := paho.NewClientOptions().AddBroker(server.String()).SetClientID("hanshu-" + uuid.NewString()).
		SetUsername(u.User.Username()).SetPassword(password).SetCleanSession(true).SetKeepAlive(keepAlive).SetConnectTimeout(opening).
		SetAutoReconnect(true).SetMaxReconnectInterval(10 * time.Second).SetOrderMatters(true).
		SetConnectRetry(true).SetConnectRetryInterval(time.Second)
	o.SetOnConnectHandler(b.connected)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) {
		cfg.Log.Warn("the connection to the broker of gateways is lost; it is made anew", "err", err)
	})
	b.client = paho.NewClient(o)
	return b, nil
}

// filters are what gateways say.
func filters() map[string]byte {
	all := map[string]byte{(wire.ID{Product: "+", Gateway: "+"}).Password(): 1}
	for _, c := range wire.UpChannels {
		all[wire.ID{Product: "+", Gateway: "+"}.Topic(c)] = 1
	}
	return all
}

// connected subscribes anew: the session is clean, as no message on the broker matters.
func (b *Broker) connected(c paho.Client) {
	token := c.SubscribeMultiple(filters(), b.message)
	if !token.WaitTimeout(opening) || token.Error() != nil {
		b.cfg.Log.Error("subscribe at the broker of gateways", "err", token.Error())
		return
	}
	b.cfg.Log.Info("connected to the broker of gateways")
	b.cfg.Handler.Ready()
}

func (b *Broker) message(_ paho.Client, m paho.Message) {
	levels := strings.SplitN(m.Topic(), "/", 5)
	if len(levels) != 5 {
		return
	}
	if id := (wire.ID{Product: levels[2], Gateway: levels[3]}); id.Valid() {
		b.cfg.Handler.Message(id, m.Topic(), m.Payload())
	}
}

// Start is of lifecycle.Service. A broker that cannot be reached now is tried again: the server has other things to do, and is what
// writes the broker's accounts.
func (b *Broker) Start(ctx context.Context) error {
	token := b.client.Connect()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timer.C:
		b.cfg.Log.Warn("the broker of gateways cannot be reached, or does not know this server; it is tried again")
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Stop is of lifecycle.Service.
func (b *Broker) Stop(context.Context) error {
	b.client.Disconnect(quiesce)
	return nil
}

// Publish is of edge.Broker.
func (b *Broker) Publish(topic string, payload []byte) error {
	if !b.client.IsConnectionOpen() {
		return errors.New("the broker of gateways cannot be reached")
	}
	b.client.Publish(topic, 1, false, payload)
	return nil
}

// Drop does nothing: ending sessions is for those who hold the accounts of the broker.
func (b *Broker) Drop(wire.ID) {}
