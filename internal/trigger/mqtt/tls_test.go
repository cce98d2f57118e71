package mqtt_test

import (
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

// A broker with a certificate of a private authority is listened to where the trigger names it, and else by nobody.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, other := triggertest.NewAuthority(t), triggertest.NewAuthority(t)
	sink, b := triggertest.NewSink(), triggertest.StartMosquitto(t, ours)
	lines, log := triggertest.NewLines()
	k := mqtt.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: log, Metrics: metrics.NewSet()})
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	data := map[string]any{"broker_url": "mqtts://" + b.Address, "topic": "orders"}
	for _, wrong := range []string{"", other.PEM} {
		data["ca_certificate"] = wrong
		one, secrets := triggertest.New(t, k, mqtt.Code, data)
		require.NoError(t, k.Put(one, secrets))
		lines.Await(t, "trigger="+one.ID, triggertest.Untrusted)
		k.Drop(one.ID)
	}
	data["ca_certificate"] = ours.PEM
	one, secrets := triggertest.New(t, k, mqtt.Code, data)
	require.NoError(t, k.Put(one, secrets))
	c := paho.NewClient(paho.NewClientOptions().AddBroker("ssl://" + b.Address).SetTLSConfig(ours.Client))
	done := func(token paho.Token) {
		require.True(t, token.WaitTimeout(time.Minute))
		require.NoError(t, token.Error())
	}
	done(c.Connect())
	done(c.Publish("orders", 1, true, "sealed"))
	c.Disconnect(100)
	sink.AwaitMessages(t, "sealed")

	data["broker_url"] = "mqtt://" + b.Address
	_, err := k.Check(&faas.Trigger{Kind: mqtt.Code}, data, nil)
	require.ErrorContains(t, err, "switch that on as well")
}
