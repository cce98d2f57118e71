package kafka_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/kafka"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// Brokers with a certificate of a private authority are listened to where the trigger names it, and else by nobody.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, other := triggertest.NewAuthority(t), triggertest.NewAuthority(t)
	sink, c := triggertest.NewSink(), newCluster(t, kfake.TLS(ours.Server))
	lines, log := triggertest.NewLines()
	k := kafka.New(trigger.ListenersConfig{Sink: sink, Region: "local-1", Log: log, Metrics: metrics.NewSet()})
	t.Cleanup(func() { require.NoError(t, k.Stop(t.Context())) })
	data := map[string]any{
		"topic_ids": []any{"orders"}, "kafka_connect_address": strings.Join(c.ListenAddrs(), ","), "kafka_ssl_enable": true,
		"sharditerator_type": "TRIM_HORIZON",
	}
	for _, wrong := range []string{"", other.PEM} {
		data["ca_certificate"] = wrong
		one, secrets := triggertest.New(t, k, kafka.Code, data)
		require.NoError(t, k.Put(one, secrets))
		lines.Await(t, "trigger="+one.ID, triggertest.Untrusted)
		shown := map[string]any{}
		k.Show(one, secrets, shown)
		require.Contains(t, shown[trigger.LastError], "the certificate of the broker is not trusted")
		k.Drop(one.ID)
	}
	data["ca_certificate"] = ours.PEM
	one, secrets := triggertest.New(t, k, kafka.Code, data)
	require.NoError(t, k.Put(one, secrets))
	produce(t, newProducer(t, c, kgo.DialTLSConfig(ours.Client)), "orders", "sealed")
	jobs := sink.AwaitMessages(t, "sealed")
	require.Equal(t, "trigger/"+one.ID, jobs[0].Dedup[:len("trigger/"+one.ID)])
	shown := map[string]any{}
	k.Show(one, secrets, shown)
	require.Empty(t, shown, "it listens")

	data["ca_certificate"] = "no certificate"
	_, err := k.Check(&faas.Trigger{Kind: kafka.Code}, data, nil)
	require.ErrorContains(t, err, "must be certificates as PEM")
	data["ca_certificate"], data["kafka_ssl_enable"] = ours.PEM, false
	_, err = k.Check(&faas.Trigger{Kind: kafka.Code}, data, nil)
	require.ErrorContains(t, err, "switch that on as well")
}
