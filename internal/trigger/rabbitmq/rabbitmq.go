// Package rabbitmq is the trigger of RabbitMQ exchanges.
//
// It must not know how calls are kept.
package rabbitmq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Code is the kind's name in requests.
const Code = "RABBITMQ"

// fields are the rules of event data (FunctionGraph reference, section 4.1). routing_key, queue_name and ca_certificate are hanshu's own.
var fields = []trigger.Field{
	{Name: "connect_address", Need: true, Min: 1, Max: 255},
	{Name: "access_user", Need: true, Min: 1, Max: 255},
	{Name: "access_password", Need: true, Min: 1, Max: 255, Secret: true},
	{Name: "exchange_name", Max: 255},
	{Name: "queue_name", Max: 255},
	{Name: "routing_key", Max: 255},
	{Name: "vhost", Max: 255},
	{Name: "ssl_enable", Type: trigger.Bool},
	trigger.CAField(),
	{Name: "batch_size", Type: trigger.Number, Need: true, Min: 1, Max: 1000, Default: json.Number("100")},
	{Name: "instance_id", Max: 64, Kept: "it stands in the event; the broker is found by connect_address"},
}

type data struct {
	Address  string `json:"connect_address"`
	User     string `json:"access_user"`
	Exchange string `json:"exchange_name"`
	Queue    string `json:"queue_name"`
	Key      string `json:"routing_key"`
	VHost    string `json:"vhost"`
	TLS      bool   `json:"ssl_enable"`
	CA       string `json:"ca_certificate"`
	Batch    int    `json:"batch_size"`
	Instance string `json:"instance_id"`
	password string
}

const (
	linger  = 50 * time.Millisecond // for more messages of a batch
	expires = 7 * 24 * time.Hour    // after which the broker removes a queue of ours that nobody listens to
)

// Kind is the trigger.Kind.
type Kind struct{ *trigger.Listeners }

// New makes the kind. cfg.Source is its own.
func New(cfg trigger.ListenersConfig) *Kind {
	cfg.Source = faas.SourceRabbitMQ
	return &Kind{trigger.NewListeners(cfg)}
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code} }

// Check is of trigger.Kind.
func (k *Kind) Check(_ *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(Code, fields, set, secrets)
	if err != nil {
		return checked, err
	}
	var d data
	if err := trigger.Decode(checked.Plain, &d); err != nil {
		return checked, err
	}
	host, port, err := net.SplitHostPort(d.Address)
	if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" {
		return checked, trigger.Bad(Code, "event_data.connect_address %.80q must be host:port", d.Address)
	}
	if d.Exchange == "" && d.Queue == "" {
		return checked, trigger.Bad(Code, "event_data.exchange_name must be given, or queue_name of a queue that exists")
	}
	return checked, trigger.CheckCA(Code, d.CA, d.TLS)
}

// Put is of trigger.Kind.
func (k *Kind) Put(t *faas.Trigger, secrets map[string]string) error {
	s := &source{trigger: t, region: k.Region()}
	if err := trigger.Decode(t.Data, &s.data); err != nil {
		return err
	}
	s.data.password = secrets["access_password"]
	k.Listen(t, s)
	return nil
}

// source listens to one queue. Several servers share its messages.
type source struct {
	trigger *faas.Trigger
	region  string
	data    data
}

// Listen is of trigger.Source.
func (s *source) Listen(ctx context.Context, to *trigger.Batch, up func()) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })() // ends the reading below
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	queue, err := s.prepare(channel)
	if err != nil {
		return err
	}
	if err := channel.Qos(2*s.data.Batch, 0, false); err != nil {
		return err
	}
	messages, err := channel.Consume(queue, "hanshu-"+s.trigger.ID, false, false, false, false, nil)
	if err != nil {
		return err
	}
	lost := conn.NotifyClose(make(chan *amqp.Error, 1))
	up()
	for {
		batch, ok := collect(ctx, messages, s.data.Batch)
		if len(batch) > 0 {
			if err := to.Deliver(ctx, len(batch), func(i, j int) ([]byte, string, error) { return s.event(batch[i:j]) }); err != nil {
				return err
			}
			if err := batch[len(batch)-1].Ack(true); err != nil {
				return err
			}
		}
		if !ok {
			select {
			case why := <-lost:
				if why != nil {
					return why
				}
			default:
			}
			return errors.New("the broker has ended the subscription")
		}
	}
}

func (s *source) dial(ctx context.Context) (*amqp.Connection, error) {
	scheme := "amqp"
	if s.data.TLS {
		scheme = "amqps"
	}
	u := url.URL{Scheme: scheme, Host: s.data.Address}
	host, _, err := net.SplitHostPort(s.data.Address)
	if err != nil {
		return nil, err
	}
	return amqp.DialConfig(u.String(), amqp.Config{
		Vhost: cmp.Or(s.data.VHost, "/"), Heartbeat: 10 * time.Second, Locale: "en_US",
		SASL:            []amqp.Authentication{&amqp.PlainAuth{Username: s.data.User, Password: s.data.password}},
		TLSClientConfig: trigger.TLS(host, s.data.CA),
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := trigger.Dialer().DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return conn, conn.SetDeadline(time.Now().Add(30 * time.Second)) // for the opening; the library lifts it
		},
	})
}

// prepare makes sure that there is a queue to listen to: a durable one of the trigger's own, bound to its exchange, or one that exists.
func (s *source) prepare(channel *amqp.Channel) (string, error) {
	if s.data.Queue != "" {
		_, err := channel.QueueDeclarePassive(s.data.Queue, true, false, false, false, nil)
		return s.data.Queue, err
	}
	name := "hanshu." + s.trigger.ID
	if _, err := channel.QueueDeclare(name, true, false, false, false, amqp.Table{"x-expires": expires.Milliseconds()}); err != nil {
		return "", fmt.Errorf("declare queue %s: %w", name, err)
	}
	if err := channel.QueueBind(name, cmp.Or(s.data.Key, "#"), s.data.Exchange, false, nil); err != nil {
		return "", fmt.Errorf("bind queue %s to exchange %s: %w", name, s.data.Exchange, err)
	}
	return name, nil
}

// collect waits for a message, and a little for more of the same batch. It tells whether the stream goes on.
func collect(ctx context.Context, messages <-chan amqp.Delivery, most int) (batch []amqp.Delivery, ok bool) {
	select {
	case <-ctx.Done():
		return nil, false
	case first, ok := <-messages:
		if !ok {
			return nil, false
		}
		batch = append(batch, first)
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(batch) < most {
		select {
		case next, ok := <-messages:
			if !ok {
				return batch, false
			}
			batch = append(batch, next)
		case <-timer.C:
			return batch, true
		case <-ctx.Done():
			return nil, false
		}
	}
	return batch, true
}

// event is what a function is given. The vendor documents no sample; this is that of Kafka with an exchange for the topic.
type event struct {
	Version  string    `json:"event_version"`
	Time     int64     `json:"event_time"` // seconds
	Type     string    `json:"trigger_type"`
	Region   string    `json:"region"`
	Instance string    `json:"instance_id"`
	Records  []*record `json:"records"`
}

type record struct {
	Exchange string   `json:"exchange"`
	Messages []string `json:"messages"`
}

// event writes messages by their exchanges, in order. A message of AMQP has no name, so one that is delivered twice is called twice.
func (s *source) event(batch []amqp.Delivery) ([]byte, string, error) {
	e := event{Version: "v1.0", Time: time.Now().Unix(), Type: Code, Region: s.region, Instance: s.data.Instance}
	exchanges := map[string]*record{}
	for _, m := range batch {
		one := exchanges[m.Exchange]
		if one == nil {
			one = &record{Exchange: m.Exchange}
			exchanges[m.Exchange] = one
			e.Records = append(e.Records, one)
		}
		one.Messages = append(one.Messages, string(m.Body))
	}
	text, err := json.Marshal(e)
	return text, "", err
}
