// Package kafka is the trigger of Kafka topics, those of a managed instance and of any other cluster alike.
//
// It must not know how calls are kept.
package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Codes of the kind in requests.
const (
	Code     = "KAFKA"
	CodeOpen = "OPENSOURCEKAFKA"
)

// fields are the rules of event data (FunctionGraph reference, section 4.1).
var fields = []trigger.Field{
	{Name: "topic_ids", Type: trigger.Texts, Need: true, Min: 1, Max: 10},
	{Name: "kafka_connect_address", Need: true, Min: 1, Max: 1024},
	{Name: "batch_size", Type: trigger.Number, Need: true, Min: 1, Max: 1000, Default: json.Number("100")},
	{Name: "kafka_user", Max: 255},
	{Name: "kafka_password", Max: 255, Secret: true},
	{Name: "kafka_ssl_enable", Type: trigger.Bool},
	trigger.CAField(), // hanshu's own
	{Name: "instance_id", Max: 64, Kept: "it stands in the event; brokers are found by kafka_connect_address"},
	{Name: "consumer_group_id", Max: 255},
	{Name: "sharditerator_type", OneOf: []string{"TRIM_HORIZON", "LATEST"}},
}

type data struct {
	Topics   []string `json:"topic_ids"`
	Brokers  string   `json:"kafka_connect_address"`
	Batch    int      `json:"batch_size"`
	User     string   `json:"kafka_user"`
	TLS      bool     `json:"kafka_ssl_enable"`
	CA       string   `json:"ca_certificate"`
	Instance string   `json:"instance_id"`
	Group    string   `json:"consumer_group_id"`
	Start    string   `json:"sharditerator_type"`
	password string
}

// opening bounds how long a broker may take to answer for the first time.
const opening = 10 * time.Second

// Kind is the trigger.Kind.
type Kind struct{ *trigger.Listeners }

// New makes the kind. cfg.Source is its own.
func New(cfg trigger.ListenersConfig) *Kind {
	cfg.Source = faas.SourceKafka
	return &Kind{trigger.NewListeners(cfg)}
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code, CodeOpen} }

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
	for _, broker := range strings.Split(d.Brokers, ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(broker))
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" {
			return checked, trigger.Bad(t.Kind, "event_data.kafka_connect_address %.80q must be host:port, or several with commas between them", d.Brokers)
		}
	}
	if (d.User == "") != (checked.Secrets["kafka_password"] == "") {
		return checked, trigger.Bad(t.Kind, "event_data.kafka_user goes together with kafka_password")
	}
	return checked, trigger.CheckCA(t.Kind, d.CA, d.TLS)
}

// Put is of trigger.Kind.
func (k *Kind) Put(t *faas.Trigger, secrets map[string]string) error {
	s := &source{trigger: t, region: k.Region()}
	if err := trigger.Decode(t.Data, &s.data); err != nil {
		return err
	}
	s.data.password = secrets["kafka_password"]
	k.Listen(t, s)
	return nil
}

// source listens to the topics of one trigger, as a member of a consumer group: several servers share the partitions.
type source struct {
	trigger *faas.Trigger
	region  string
	data    data
	refused int // logins that the broker did not take
}

func (s *source) options() []kgo.Opt {
	group := s.data.Group
	if group == "" {
		group = "hanshu-" + s.trigger.ID
	}
	start := s.fresh() // the end would lose what comes before the first commit
	if s.data.Start == "TRIM_HORIZON" {
		start = kgo.NewOffset().AtStart()
	}
	dialer := trigger.Dialer()
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(strings.ReplaceAll(s.data.Brokers, " ", ""), ",")...),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.data.Topics...), kgo.ConsumeResetOffset(start),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.ClientID("hanshu"),
		kgo.FetchMaxWait(time.Second), kgo.MaxBufferedRecords(4 * 1000), kgo.FetchMaxBytes(8 << 20),
	}
	if s.data.TLS {
		options = append(options, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{NetDialer: dialer, Config: trigger.TLS(host, s.data.CA)}).DialContext(ctx, network, address)
		}))
	} else {
		options = append(options, kgo.Dialer(dialer.DialContext))
	}
	if s.data.User != "" {
		// A broker may offer a mechanism in which it does not know this user, so they are tried one after the other.
		user := scram.Auth{User: s.data.User, Pass: s.data.password}
		ways := []sasl.Mechanism{
			user.AsSha512Mechanism(), user.AsSha256Mechanism(), plain.Auth{User: s.data.User, Pass: s.data.password}.AsMechanism(),
		}
		options = append(options, kgo.SASL(ways[s.refused%len(ways)]))
	}
	return options
}

// Listen is of trigger.Source. A position is committed only when all before it is on disk.
func (s *source) Listen(ctx context.Context, to *trigger.Batch, up func()) error {
	made := make(chan *kgo.Client, 1)
	client, err := kgo.NewClient(append(s.options(), kgo.AdjustFetchOffsetsFn(func(ctx context.Context, all places) (places, error) {
		client := <-made
		made <- client
		return s.settle(ctx, client, all)
	}))...)
	if err != nil {
		return err
	}
	made <- client
	defer client.CloseAllowingRebalance()
	ping, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	if err := client.Ping(ping); err != nil {
		s.refused++
		return err
	}
	up()
	for {
		fetches := client.PollRecords(ctx, s.data.Batch)
		if err := s.handOver(ctx, client, fetches, to); err != nil {
			return err
		}
		client.AllowRebalance()
	}
}

func (s *source) handOver(ctx context.Context, client *kgo.Client, fetches kgo.Fetches, to *trigger.Batch) error {
	var all error
	fetches.EachError(func(topic string, partition int32, err error) {
		all = errors.Join(all, fmt.Errorf("topic %s, partition %d: %w", topic, partition, err))
	})
	records := fetches.Records()
	if len(records) > 0 {
		if err := to.Deliver(ctx, len(records), func(i, j int) ([]byte, string, error) { return s.event(records[i:j]) }); err != nil {
			return err
		}
		if err := client.CommitRecords(ctx, records...); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return all
}

// event is what a function is given (FunctionGraph reference, section 4.2).
type event struct {
	Version  string    `json:"event_version"`
	Time     int64     `json:"event_time"` // seconds
	Type     string    `json:"trigger_type"`
	Region   string    `json:"region"`
	Instance string    `json:"instance_id"`
	Records  []*record `json:"records"`
}

type record struct {
	Topic    string   `json:"topic_id"`
	Messages []string `json:"messages"`
}

// event writes messages by their topics, in order. They are named by their offsets, so that a batch that is read again becomes the
// same job.
func (s *source) event(records []*kgo.Record) ([]byte, string, error) {
	e := event{Version: "v1.0", Type: s.trigger.Kind, Region: s.region, Instance: s.data.Instance}
	topics := map[string]*record{}
	var names strings.Builder
	for _, r := range records {
		one := topics[r.Topic]
		if one == nil {
			one = &record{Topic: r.Topic}
			topics[r.Topic] = one
			e.Records = append(e.Records, one)
		}
		one.Messages = append(one.Messages, string(r.Value))
		e.Time = max(e.Time, r.Timestamp.Unix())
		fmt.Fprintf(&names, "%s/%d/%d\n", r.Topic, r.Partition, r.Offset)
	}
	text, err := json.Marshal(e)
	return text, trigger.Digest(names.String()), err
}
