package kafka_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/kafka"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

func newKind(t *testing.T, sink *triggertest.Sink) *kafka.Kind {
	k := kafka.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	require.NoError(t, k.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	return k
}

func newCluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "other")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func newProducer(t *testing.T, c *kfake.Cluster, options ...kgo.Opt) *kgo.Client {
	p, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func produce(t *testing.T, p *kgo.Client, topic string, messages ...string) {
	t.Helper()
	for _, m := range messages {
		require.NoError(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(m)}).FirstErr())
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("m%04d", i))
	}
	return all
}

func TestEvent(t *testing.T) {
	sink, c := triggertest.NewSink(), newCluster(t)
	k := newKind(t, sink)
	one, secrets := triggertest.New(t, k, kafka.CodeOpen, map[string]any{
		"instance_id": "i-1", "topic_ids": []string{"orders"}, "kafka_connect_address": strings.Join(c.ListenAddrs(), ","), "batch_size": 10,
	})
	require.NoError(t, k.Put(one, secrets))
	at := time.Now().Add(time.Second).Truncate(time.Second)
	p := newProducer(t, c)
	require.NoError(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("函数"), Timestamp: at}).FirstErr())
	job := sink.AwaitMessages(t, "函数")[0]
	require.Equal(t, faas.SourceKafka, job.Source)
	require.Equal(t, one.Key, job.Key)
	require.NotEmpty(t, job.Dedup)
	require.JSONEq(t, fmt.Sprintf(`{"event_version":"v1.0","event_time":%d,"trigger_type":"OPENSOURCEKAFKA","region":"local-1","instance_id":"i-1",
		"records":[{"topic_id":"orders","messages":["函数"]}]}`, at.Unix()), string(job.Event))
}

// TestNothingIsLost holds back everything for a while, restarts the trigger in the middle, and counts.
func TestNothingIsLost(t *testing.T) {
	sink, c := triggertest.NewSink(), newCluster(t)
	k := newKind(t, sink)
	one, secrets := triggertest.New(t, k, kafka.Code, map[string]any{
		"topic_ids": []string{"orders", "other"}, "kafka_connect_address": strings.Join(c.ListenAddrs(), ","), "batch_size": 7,
	})
	require.NoError(t, k.Put(one, secrets))
	p := newProducer(t, c)
	produce(t, p, "orders", numbered(0, 20)...)
	sink.AwaitMessages(t, numbered(0, 20)...)

	sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
	produce(t, p, "other", numbered(20, 40)...)
	tries := sink.Tries()
	sink.Await(t, "two attempts", func(_ []faas.Job, n int) bool { return n >= tries+2 })
	k.Drop(one.ID) // what was not taken over was not committed
	produce(t, p, "orders", numbered(40, 60)...)
	sink.Refuse(nil)
	before := len(sink.Jobs())
	require.NoError(t, k.Put(one, secrets))
	jobs := sink.AwaitMessages(t, numbered(0, 60)...)
	require.Greater(t, len(jobs), before)
	require.ElementsMatch(t, numbered(0, 60), triggertest.Messages(t, jobs), "none twice either, as positions were committed")
}

// TestNothingIsLostAtTheBeginning sends a message while the trigger asks the broker where to begin, behind the first answer.
func TestNothingIsLostAtTheBeginning(t *testing.T) {
	topics := strings.Fields("t0 t1 t2 t3 t4 t5")
	sink, c := triggertest.NewSink(), newCluster(t, kfake.SeedTopics(1, topics...))
	k := newKind(t, sink)
	p := newProducer(t, c)
	for _, topic := range topics {
		asked, sent := 0, make(chan error, 1)
		c.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if r.(*kmsg.ListOffsetsRequest).Topics[0].Topic != topic {
				return nil, nil, false
			}
			if asked++; asked == 2 {
				c.SleepControl(func() { sent <- p.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(topic)}).FirstErr() })
			}
			return nil, nil, false
		})
		one, secrets := triggertest.New(t, k, kafka.Code, map[string]any{"topic_ids": []string{topic}, "kafka_connect_address": strings.Join(c.ListenAddrs(), ",")})
		require.NoError(t, k.Put(one, secrets))
		require.NoError(t, <-sent)
		sink.AwaitMessages(t, topic)
	}
}

// TestBrokerComesBack ends the broker, which keeps its data, and starts it again.
func TestBrokerComesBack(t *testing.T) {
	_, port, err := net.SplitHostPort(triggertest.FreeAddress(t))
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	kept := []kfake.Opt{kfake.Ports(number), kfake.DataDir(t.TempDir())}
	sink, c := triggertest.NewSink(), newCluster(t, kept...)
	k := newKind(t, sink)
	one, secrets := triggertest.New(t, k, kafka.Code, map[string]any{
		"topic_ids": []string{"orders"}, "kafka_connect_address": "127.0.0.1:" + port,
	})
	require.NoError(t, k.Put(one, secrets))
	produce(t, newProducer(t, c), "orders", "before")
	sink.AwaitMessages(t, "before")
	c.Close()
	c = newCluster(t, kept...)
	produce(t, newProducer(t, c), "orders", "behind")
	sink.AwaitMessages(t, "before", "behind")
}

func TestLargeBatchesAreParted(t *testing.T) {
	sink, c := triggertest.NewSink(), newCluster(t)
	sink.Limit(1000)
	k := newKind(t, sink)
	p := newProducer(t, c)
	one, secrets := triggertest.New(t, k, kafka.Code, map[string]any{
		"topic_ids": []string{"orders"}, "kafka_connect_address": strings.Join(c.ListenAddrs(), ","), "batch_size": 100,
	})
	long := func(c string) string { return strings.Repeat(c, 300) }
	produce(t, p, "orders", long("a"), long("b"), long("c"), strings.Repeat("x", 2000), long("d"), long("e")) // behind its beginning
	require.NoError(t, k.Put(one, secrets))
	jobs := sink.AwaitMessages(t, long("a"), long("b"), long("c"), long("d"), long("e"))
	require.Len(t, triggertest.Messages(t, jobs), 5, "the one that fits nowhere is left out")
	for _, job := range jobs {
		require.LessOrEqual(t, len(job.Event), 1000)
	}
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		mechanism string
		login     sasl.Mechanism
	}{
		{"PLAIN", plain.Auth{User: "ada", Pass: "s3cret"}.AsMechanism()},
		{"SCRAM-SHA-256", scram.Auth{User: "ada", Pass: "s3cret"}.AsSha256Mechanism()},
		{"SCRAM-SHA-512", scram.Auth{User: "ada", Pass: "s3cret"}.AsSha512Mechanism()},
	} {
		t.Run(c.mechanism, func(t *testing.T) {
			sink := triggertest.NewSink()
			cluster := newCluster(t, kfake.EnableSASL(), kfake.Superuser(c.mechanism, "ada", "s3cret"))
			k := newKind(t, sink)
			one, secrets := triggertest.New(t, k, kafka.Code, map[string]any{
				"topic_ids": []string{"orders"}, "kafka_connect_address": strings.Join(cluster.ListenAddrs(), ","),
				"kafka_user": "ada", "kafka_password": "s3cret",
			})
			require.NotContains(t, one.Data, "s3cret")
			require.Equal(t, map[string]string{"kafka_password": "s3cret"}, secrets)
			require.NoError(t, k.Put(one, secrets))
			produce(t, newProducer(t, cluster, kgo.SASL(c.login)), "orders", "secret message")
			sink.AwaitMessages(t, "secret message")
		})
	}
}

func TestCheck(t *testing.T) {
	k := newKind(t, triggertest.NewSink())
	good := `{"topic_ids":["a"],"kafka_connect_address":"h:1, h2:2"}`
	for _, data := range []string{
		`{}`, `{"topic_ids":[],"kafka_connect_address":"h:1"}`, `{"topic_ids":["a"]}`, `{"topic_ids":"a","kafka_connect_address":"h:1"}`,
		`{"topic_ids":["a"],"kafka_connect_address":"h"}`, `{"topic_ids":["a"],"kafka_connect_address":"h:x"}`,
		`{"topic_ids":["a"],"kafka_connect_address":"h:1","batch_size":0}`, `{"topic_ids":["a"],"kafka_connect_address":"h:1","batch_size":1001}`,
		`{"topic_ids":["a"],"kafka_connect_address":"h:1","batch_size":"5"}`, `{"topic_ids":["a"],"kafka_connect_address":"h:1","kafka_user":"u"}`,
		`{"topic_ids":["a"],"kafka_connect_address":"h:1","unknown":1}`,
	} {
		_, err := k.Check(&faas.Trigger{Kind: kafka.Code}, triggertest.Decode(t, data), nil)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), data)
	}
	checked, err := k.Check(&faas.Trigger{Kind: kafka.Code}, triggertest.Decode(t, good), nil)
	require.NoError(t, err)
	require.Equal(t, json.Number("100"), checked.Plain["batch_size"])
}
