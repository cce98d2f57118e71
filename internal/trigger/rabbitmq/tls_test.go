package rabbitmq_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/rabbitmq"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// testTLS: a broker with a certificate of a private authority is listened to where the trigger names it, and else by nobody.
func testTLS(t *testing.T, b broker, ours *triggertest.Authority) {
	other, sink := triggertest.NewAuthority(t), triggertest.NewSink()
	lines, log := triggertest.NewLines()
	k := rabbitmq.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: log, Metrics: metrics.NewSet()})
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	_, err := b.open().QueueDeclare("sealed", true, false, false, false, nil)
	require.NoError(t, err)
	data := map[string]any{
		"connect_address": b.Secure, "access_user": "guest", "access_password": "guest", "queue_name": "sealed", "ssl_enable": true,
	}
	for _, wrong := range []string{"", other.PEM} {
		data["ca_certificate"] = wrong
		one, secrets := triggertest.New(t, k, rabbitmq.Code, data)
		require.NoError(t, k.Put(one, secrets))
		lines.Await(t, "trigger="+one.ID, triggertest.Untrusted)
		k.Drop(one.ID)
	}
	data["ca_certificate"] = ours.PEM
	one, secrets := triggertest.New(t, k, rabbitmq.Code, data)
	require.NoError(t, k.Put(one, secrets))
	b.publish("", "sealed", "sealed")
	sink.AwaitMessages(t, "sealed")

	data["ssl_enable"] = false
	_, err = k.Check(&faas.Trigger{Kind: rabbitmq.Code}, data, nil)
	require.ErrorContains(t, err, "switch that on as well")
}
