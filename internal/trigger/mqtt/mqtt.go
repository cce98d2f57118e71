// Package mqtt is the trigger of MQTT topics: of any broker, and of one that devices speak to in the manner of an IoT platform.
//
// It must not know how calls are kept.
package mqtt

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Codes of the kind in requests. They differ in the event that a function is given.
const (
	Code    = "MQTT"
	CodeIoT = "IOTDA"
)

// fields are the rules of event data, which are hanshu's own: the vendor makes such triggers from the IoT platform's side.
var fields = []trigger.Field{
	{Name: "broker_url", Need: true, Min: 1, Max: 255},
	{Name: "topic", Need: true, Min: 1, Max: 1024},
	{Name: "qos", Type: trigger.Number, Need: true, Min: 0, Max: 2, Default: json.Number("1")},
	{Name: "client_id", Max: 128},
	{Name: "user", Max: 255},
	{Name: "password", Max: 4096, Secret: true},
	trigger.CAField(),
}

type data struct {
	Broker   string `json:"broker_url"`
	Topic    string `json:"topic"`
	QoS      byte   `json:"qos"`
	ClientID string `json:"client_id"`
	User     string `json:"user"`
	CA       string `json:"ca_certificate"`
	password string
}

const (
	opening = 15 * time.Second
	quiesce = 100 // ms for a connection to close
	buffer  = 1000
)

// Kind is the trigger.Kind.
type Kind struct{ *trigger.Listeners }

// New makes the kind. cfg.Source is its own.
func New(cfg trigger.ListenersConfig) *Kind {
	cfg.Source = faas.SourceMQTT
	return &Kind{trigger.NewListeners(cfg)}
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code, CodeIoT} }

// Check is of trigger.Kind.
func (k *Kind) Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(t.Kind, fields, set, secrets)
	if err != nil {
		return checked, err
	}
	var d data
	if err := trigger.Decode(checked.Plain, &d); err != nil {
		return checked, err
	}
	u, err := url.Parse(d.Broker)
	if err != nil || (u.Scheme != "mqtt" && u.Scheme != "mqtts") || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return checked, trigger.Bad(t.Kind, "event_data.broker_url must be mqtt://host:port, or mqtts:// for TLS; user and password have fields of their own")
	}
	if !isFilter(d.Topic) {
		return checked, trigger.Bad(t.Kind, "event_data.topic %.80q is no topic filter: + stands for one level, # at the end for all below", d.Topic)
	}
	return checked, trigger.CheckCA(t.Kind, d.CA, u.Scheme == "mqtts")
}

// isFilter holds a topic filter to MQTT 3.1.1, section 4.7.
func isFilter(topic string) bool {
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		switch {
		case level == "#" && i < len(levels)-1:
			return false
		case level != "#" && level != "+" && strings.ContainsAny(level, "#+"):
			return false
		}
	}
	return topic != ""
}

// Put is of trigger.Kind.
func (k *Kind) Put(t *faas.Trigger, secrets map[string]string) error {
	s := &source{trigger: t, region: k.Region()}
	if err := trigger.Decode(t.Data, &s.data); err != nil {
		return err
	}
	s.data.password = secrets["password"]
	k.Listen(t, s)
	return nil
}

// source listens to one topic filter, in a session that the broker keeps: what arrives while the connection is lost comes later.
type source struct {
	trigger *faas.Trigger
	region  string
	data    data
}

// Listen is of trigger.Source. A message is acknowledged by itself, when its event is on disk.
func (s *source) Listen(ctx context.Context, to *trigger.Batch, up func()) error {
	messages, lost := make(chan paho.Message, buffer), make(chan error, 1)
	client, err := s.client(ctx, messages, lost)
	if err != nil {
		return err
	}
	defer client.Disconnect(quiesce)
	if err := wait(ctx, client.Connect()); err != nil {
		return err
	}
	if err := wait(ctx, client.Subscribe(s.data.Topic, s.data.QoS, nil)); err != nil {
		return err
	}
	up()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return err
		case m := <-messages:
			if err := to.Deliver(ctx, 1, func(int, int) ([]byte, string, error) { return s.event(m) }); err != nil {
				return err
			}
			m.Ack()
		}
	}
}

func (s *source) client(ctx context.Context, messages chan<- paho.Message, lost chan<- error) (paho.Client, error) {
	u, err := url.Parse(s.data.Broker)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme]
	}
	o := paho.NewClientOptions()
	o.AddBroker("tcp://" + net.JoinHostPort(u.Hostname(), port))
	o.SetClientID(s.clientID()).SetUsername(s.data.User).SetPassword(s.data.password)
	o.SetCleanSession(false).SetAutoAckDisabled(true).SetOrderMatters(true)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(opening).SetKeepAlive(20 * time.Second)
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		address := net.JoinHostPort(u.Hostname(), port)
		if u.Scheme == "mqtts" {
			return (&tls.Dialer{NetDialer: trigger.Dialer(), Config: trigger.TLS(u.Hostname(), s.data.CA)}).DialContext(ctx, "tcp", address)
		}
		return trigger.Dialer().DialContext(ctx, "tcp", address)
	})
	gone := make(chan struct{})
	o.SetConnectionLostHandler(func(_ paho.Client, err error) {
		close(gone)
		lost <- err
	})
	// A full buffer keeps the client from reading on, so that the broker keeps what is to come.
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case messages <- m:
		case <-gone:
		case <-ctx.Done():
		}
	})
	return paho.NewClient(o), nil
}

// clientID names the session. It is the same after a restart, which is how the broker knows what it owes.
func (s *source) clientID() string {
	if s.data.ClientID != "" {
		return s.data.ClientID
	}
	return "hanshu-" + s.trigger.ID
}

func wait(ctx context.Context, token paho.Token) error {
	timer := time.NewTimer(opening)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timer.C:
		return errors.New("the broker does not answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// event is what a function is given for MQTT: the shape of the other queues, with a topic of MQTT.
type event struct {
	Version string   `json:"event_version"`
	Time    int64    `json:"event_time"` // seconds
	Type    string   `json:"trigger_type"`
	Region  string   `json:"region"`
	Records []record `json:"records"`
}

type record struct {
	Topic    string   `json:"topic"`
	QoS      byte     `json:"qos"`
	Retained bool     `json:"retained"`
	Base64   bool     `json:"isBase64Encoded"` // when the payload is no text
	Messages []string `json:"messages"`
}

// iotEvent is what a function is given for IOTDA: a push of the IoT platform (FunctionGraph reference, section 4.2).
type iotEvent struct {
	Resource string `json:"resource"`
	Event    string `json:"event"`
	Time     string `json:"event_time"`
	Notify   struct {
		Header map[string]string `json:"header"`
		Body   json.RawMessage   `json:"body"`
	} `json:"notify_data"`
}

func (s *source) event(m paho.Message) ([]byte, string, error) {
	now := time.Now().UTC()
	if s.trigger.Kind == CodeIoT {
		text, err := json.Marshal(pushOf(m.Topic(), m.Payload(), now))
		return text, "", err
	}
	r := record{Topic: m.Topic(), QoS: m.Qos(), Retained: m.Retained(), Messages: []string{string(m.Payload())}}
	if !utf8.Valid(m.Payload()) {
		r.Base64, r.Messages = true, []string{base64.StdEncoding.EncodeToString(m.Payload())}
	}
	text, err := json.Marshal(event{Version: "v1.0", Time: now.Unix(), Type: Code, Region: s.region, Records: []record{r}})
	return text, "", err
}

// pushOf reads the device's id out of a topic like $oc/devices/<id>/sys/messages/up.
func pushOf(topic string, payload []byte, at time.Time) iotEvent {
	e := iotEvent{Resource: "device.message", Event: "report", Time: at.Format("20060102T150405Z")}
	e.Notify.Header = map[string]string{"topic": topic}
	levels := strings.Split(topic, "/")
	for i, level := range levels[:len(levels)-1] {
		if level == "devices" {
			e.Notify.Header["device_id"] = levels[i+1]
		}
	}
	if strings.HasSuffix(topic, "/properties/report") {
		e.Resource = "device.property"
	}
	if e.Notify.Body = payload; !json.Valid(payload) {
		text, _ := json.Marshal(string(payload)) // a text can always be encoded
		e.Notify.Body = text
	}
	return e
}
