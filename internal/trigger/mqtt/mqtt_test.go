package mqtt_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/mqtt"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

func newKind(t *testing.T, sink *triggertest.Sink) *mqtt.Kind {
	k := mqtt.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	require.NoError(t, k.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	return k
}

// broker is a mosquitto, with what its users do.
type broker struct {
	*triggertest.Broker
	t *testing.T
}

func (b broker) publish(topic string, retained bool, payloads ...string) {
	b.t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.Address).SetClientID("publisher"))
	done := func(token paho.Token) {
		b.t.Helper()
		require.True(b.t, token.WaitTimeout(time.Minute))
		require.NoError(b.t, token.Error())
	}
	done(c.Connect())
	for _, p := range payloads {
		done(c.Publish(topic, 1, retained, p))
	}
	c.Disconnect(100)
}

func (b broker) data(topic string) map[string]any {
	return map[string]any{"broker_url": "mqtt://" + b.Address, "topic": topic}
}

func TestEvents(t *testing.T) {
	b, sink := broker{triggertest.StartMosquitto(t), t}, triggertest.NewSink()
	k := newKind(t, sink)
	plain, secrets := triggertest.New(t, k, mqtt.Code, b.data("home/+/temperature"))
	require.NoError(t, k.Put(plain, secrets))
	iot, secrets := triggertest.New(t, k, mqtt.CodeIoT, b.data("$oc/devices/+/sys/#"))
	require.NoError(t, k.Put(iot, secrets))

	// A retained message reaches whoever comes later, so nothing depends on who is first.
	b.publish("home/kitchen/temperature", true, "21.5 °C")
	b.publish("home/cellar/temperature", true, "\xff\x00")
	b.publish("$oc/devices/d-1/sys/properties/report", true, `{"services":[1]}`)
	b.publish("$oc/devices/d-2/sys/messages/up", true, "not JSON")
	jobs := sink.Await(t, "four events", func(jobs []faas.Job, _ int) bool { return len(jobs) >= 4 })
	var all []string
	for _, job := range jobs {
		require.Equal(t, faas.SourceMQTT, job.Source)
		all = append(all, string(job.Event))
	}
	text := strings.Join(all, "\n")
	require.Contains(t, text, `"trigger_type":"MQTT","region":"local-1","records":[{"topic":"home/kitchen/temperature","qos":1,`)
	require.Contains(t, text, `"isBase64Encoded":false,"messages":["21.5 °C"]`)
	require.Contains(t, text, `"isBase64Encoded":true,"messages":["/wA="]`)
	require.Contains(t, text, `"resource":"device.property","event":"report"`)
	require.Contains(t, text, `"notify_data":{"header":{"device_id":"d-1","topic":"$oc/devices/d-1/sys/properties/report"},"body":{"services":[1]}}`)
	require.Contains(t, text, `"device_id":"d-2"`)
	require.Contains(t, text, `"body":"not JSON"`)
}

// TestNothingIsLost keeps back what the queue refuses, ends the broker with everything unacknowledged, and publishes while the
// trigger is away.
func TestNothingIsLost(t *testing.T) {
	b, sink := broker{triggertest.StartMosquitto(t), t}, triggertest.NewSink()
	k := newKind(t, sink)
	one, secrets := triggertest.New(t, k, mqtt.Code, b.data("orders"))
	require.NoError(t, k.Put(one, secrets))
	b.publish("orders", true, "first") // retained: it comes whether the trigger subscribed before or behind it
	sink.AwaitMessages(t, "first")
	b.publish("orders", true, "") // and is taken away again

	sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
	tries := sink.Tries()
	b.publish("orders", false, "a", "b", "c")
	sink.Await(t, "an attempt", func(_ []faas.Job, n int) bool { return n > tries })
	b.Restart()
	sink.Refuse(nil)
	sink.AwaitMessages(t, "first", "a", "b", "c")

	k.Drop(one.ID)
	b.publish("orders", false, "d", "e")
	before := len(sink.Jobs())
	b.publish("elsewhere", false, "f")
	require.Len(t, sink.Jobs(), before, "a trigger that is switched off takes nothing")
	require.NoError(t, k.Put(one, secrets))
	sink.AwaitMessages(t, "first", "a", "b", "c", "d", "e")
}

func TestCheck(t *testing.T) {
	k := newKind(t, triggertest.NewSink())
	for _, data := range []string{
		`{}`, `{"broker_url":"mqtt://h:1"}`, `{"broker_url":"http://h:1","topic":"a"}`, `{"broker_url":"mqtt://u:p@h:1","topic":"a"}`,
		`{"broker_url":"mqtt://h:1","topic":"a#"}`, `{"broker_url":"mqtt://h:1","topic":"#/a"}`, `{"broker_url":"mqtt://h:1","topic":"a+/b"}`,
		`{"broker_url":"mqtt://h:1","topic":"a","qos":3}`, `{"broker_url":"mqtt://","topic":"a"}`, `{"broker_url":"mqtt://h/path","topic":"a"}`,
	} {
		_, err := k.Check(&faas.Trigger{Kind: mqtt.Code}, triggertest.Decode(t, data), nil)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), data)
	}
	_, err := k.Check(&faas.Trigger{Kind: mqtt.Code}, triggertest.Decode(t, `{"broker_url":"mqtts://h","topic":"+/a/#"}`), nil)
	require.NoError(t, err)
}
