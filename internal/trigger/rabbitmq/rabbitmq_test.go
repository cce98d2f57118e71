package rabbitmq_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/rabbitmq"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

func newKind(t *testing.T, sink *triggertest.Sink) *rabbitmq.Kind {
	k := rabbitmq.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	require.NoError(t, k.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	return k
}

// broker is a RabbitMQ node, with what its users do.
type broker struct {
	*triggertest.Broker
	t *testing.T
}

// open gives a channel in confirm mode.
func (b broker) open() *amqp.Channel {
	b.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + b.Address + "/")
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	require.NoError(b.t, err)
	require.NoError(b.t, channel.Confirm(false))
	return channel
}

func (b broker) publish(exchange, key string, messages ...string) {
	b.t.Helper()
	channel := b.open()
	for _, m := range messages {
		sent, err := channel.PublishWithDeferredConfirmWithContext(b.t.Context(), exchange, key, true, false,
			amqp.Publishing{Body: []byte(m), DeliveryMode: amqp.Persistent})
		require.NoError(b.t, err)
		ok, err := sent.WaitContext(b.t.Context())
		require.NoError(b.t, err)
		require.True(b.t, ok)
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("m%04d", i))
	}
	return all
}

// TestRabbitMQ takes one broker through everything, as its start is slow.
func TestRabbitMQ(t *testing.T) {
	authority := triggertest.NewAuthority(t)
	b, sink := broker{triggertest.StartRabbitMQ(t, authority), t}, triggertest.NewSink()
	k := newKind(t, sink)
	channel := b.open()
	require.NoError(t, channel.ExchangeDeclare("orders", "topic", true, false, false, false, nil))
	_, err := channel.QueueDeclare("ready", true, false, false, false, nil)
	require.NoError(t, err)
	one, secrets := triggertest.New(t, k, rabbitmq.Code, map[string]any{
		"instance_id": "i-1", "connect_address": b.Address, "access_user": "guest", "access_password": "guest", "vhost": "/",
		"exchange_name": "orders", "batch_size": 10,
	})
	require.NotContains(t, one.Data, `"access_password"`)
	require.NoError(t, k.Put(one, secrets))
	own := "hanshu." + one.ID
	awaitQueue(t, b, own)

	b.publish("orders", "any.key", "函数")
	job := sink.AwaitMessages(t, "函数")[0]
	require.Equal(t, faas.SourceRabbitMQ, job.Source)
	require.Regexp(t, `^\{"event_version":"v1.0","event_time":\d+,"trigger_type":"RABBITMQ","region":"local-1","instance_id":"i-1",`+
		`"records":\[\{"exchange":"orders","messages":\["函数"\]\}\]\}$`, string(job.Event))

	t.Run("a refusing queue, and a broker that goes away", func(t *testing.T) {
		sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
		tries := sink.Tries()
		b.publish("orders", "k", numbered(0, 50)...)
		sink.Await(t, "an attempt", func(_ []faas.Job, n int) bool { return n > tries })
		b.Restart()
		sink.Refuse(nil)
		b.publish("orders", "k", numbered(50, 60)...)
		sink.AwaitMessages(t, numbered(0, 60)...)
	})
	t.Run("TLS by a private authority", func(t *testing.T) { testTLS(t, b, authority) })
	t.Run("switched off and on", func(t *testing.T) {
		k.Drop(one.ID)
		before := len(sink.Jobs())
		b.publish("orders", "k", "while off")
		require.Len(t, sink.Jobs(), before)
		require.NoError(t, k.Put(one, secrets))
		sink.AwaitMessages(t, "while off")
	})
	t.Run("a queue that exists, and batches that are parted", func(t *testing.T) {
		sink.Limit(1200)
		long := func(c string) string { return strings.Repeat(c, 300) }
		b.publish("", "ready", long("a"), long("b"), long("c"), strings.Repeat("x", 3000), long("d"), long("e"))
		two, secrets := triggertest.New(t, k, rabbitmq.Code, map[string]any{
			"connect_address": b.Address, "access_user": "guest", "access_password": "guest", "queue_name": "ready", "batch_size": 6,
		})
		require.NoError(t, k.Put(two, secrets))
		sink.AwaitMessages(t, long("a"), long("b"), long("c"), long("d"), long("e"))
	})
}

// awaitQueue waits until the trigger has bound its queue: only from then on does the exchange keep messages for it.
func awaitQueue(t *testing.T, b broker, name string) {
	t.Helper()
	for {
		channel := b.open()
		if q, err := channel.QueueDeclarePassive(name, true, false, false, false, nil); err == nil && q.Consumers == 1 {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the trigger has no queue")
		}
	}
}

func TestCheck(t *testing.T) {
	k := newKind(t, triggertest.NewSink())
	for _, data := range []string{
		`{}`, `{"connect_address":"h","access_user":"u","access_password":"p","exchange_name":"e"}`,
		`{"connect_address":"h:1","access_user":"u","exchange_name":"e"}`, `{"connect_address":"h:1","access_user":"u","access_password":"p"}`,
		`{"connect_address":"h:1","access_user":"u","access_password":"p","exchange_name":"e","batch_size":1001}`,
	} {
		_, err := k.Check(&faas.Trigger{Kind: rabbitmq.Code}, triggertest.Decode(t, data), nil)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), data)
	}
	// A password that is left out, or that comes back empty as it was shown, stays.
	again := `{"connect_address":"h:1","access_user":"u","access_password":"","exchange_name":"e"}`
	checked, err := k.Check(&faas.Trigger{Kind: rabbitmq.Code}, triggertest.Decode(t, again), map[string]string{"access_password": "old"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"access_password": "old"}, checked.Secrets)
}
