package agent_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

const answering = `
def handler(event, context):
    sdk = context['sdk']
    assert event['source'] == 'local', event
    sdk.publish('/sub/dev1/down', b'got ' + event['payload'])
    sdk.publish('/app/note', event['payload'])
    sdk.publish_nats_msg('any.subject', b'raw')
`

// A driver of sub-devices and a local program speak to functions over the bus as they do elsewhere (edge reference 1.6).
func TestDrivers(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	d := start(t, c, "")
	doc := c.Document(c.Function("f", answering))
	doc.Routes = []wire.Route{
		{ID: 1, From: wire.PlaceLocal, Filter: "/sub/+/up", To: wire.PlaceFunction, Function: "f"},
		{ID: 2, From: wire.PlaceFunction, Filter: "/sub/#", To: wire.PlaceLocal},
		{ID: 3, From: wire.PlaceFunction, Filter: "/app/note", To: wire.PlaceApp, App: "screen"},
		{ID: 4, From: wire.PlaceApp, FromID: "screen", Filter: "#", To: wire.PlaceCloud},
	}
	c.Push(doc)
	c.AwaitGood(1)
	conn, err := nats.Connect("nats://" + d.Status().Bus)
	require.NoError(t, err)
	defer conn.Close()
	subs := map[string]*nats.Subscription{}
	for _, subject := range []string{"edge.local.drv", "edge.local.broadcast", "edge.app.screen", "edge.state.reply", "any.subject"} {
		subs[subject], err = conn.SubscribeSync(subject)
		require.NoError(t, err)
	}
	require.NoError(t, conn.Flush())
	publish := func(subject, text string) {
		require.NoError(t, conn.Publish(subject, []byte(text)))
	}
	next := func(subject string) (m struct {
		ProductSN, DeviceSN, Topic string
		Payload                    []byte
		State                      bool
	}) {
		t.Helper()
		got, err := subs[subject].NextMsg(agenttest.Patience)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(got.Data, &m), string(got.Data))
		return m
	}
	up := func(topic string, payload string) string {
		text, err := json.Marshal(map[string]any{"src": "local", "topic": topic, "payload": []byte(payload)})
		require.NoError(t, err)
		return string(text)
	}

	publish("edge.router.drv", up("/$system/sub/dev1/subdev/topo/add", `{"RequestID":"7","Params":[{"ProductSN":"sub","DeviceSN":"dev1"}]}`))
	m := next("edge.local.broadcast")
	require.Equal(t, "/$system/sub/dev1/subdev/topo/add_reply", m.Topic)
	require.JSONEq(t, `{"RequestID":"7","RetCode":0,"Data":[{"ProductSN":"sub","DeviceSN":"dev1"}]}`, string(m.Payload))
	publish("edge.router.drv", up("/$system/x/y/subdev/topo/get", `{"RequestID":"8"}`))
	require.JSONEq(t, `{"RequestID":"8","RetCode":0,"Data":[{"ProductSN":"sub","DeviceSN":"dev1"}]}`, string(next("edge.local.broadcast").Payload))
	publish("edge.state.req", `{"driverID":"drv","devices":[{"productSN":"sub","deviceSN":"dev1"}]}`)
	require.True(t, next("edge.state.reply").State)

	publish("edge.router.drv", up("/sub/dev1/up", "21 degrees"))
	m = next("edge.local.drv")
	require.Equal(t, []any{"sub", "dev1", "/sub/dev1/down", "got 21 degrees"}, []any{m.ProductSN, m.DeviceSN, m.Topic, string(m.Payload)})
	require.Equal(t, "21 degrees", string(next("edge.app.screen").Payload))
	raw, err := subs["any.subject"].NextMsg(agenttest.Patience)
	require.NoError(t, err)
	require.Equal(t, "raw", string(raw.Data))

	publish("edge.router.screen", `{"src":"app","topic":"/p1/g1/user","payload":"cHJlc3NlZA=="}`)
	require.Equal(t, []string{"pressed"}, c.AwaitUps(1))
	publish("edge.log.upload", `{"module":"m","level":"info","message":"driver says","timestamp":1}`)

	// From a driver's message to the driver's answer, through a warm function.
	var times []time.Duration
	for range 200 {
		begun := time.Now()
		publish("edge.router.drv", up("/sub/dev1/up", "x"))
		next("edge.local.drv")
		times = append(times, time.Since(begun))
	}
	t.Logf("message, function and answer, warm: p50 %v, p99 %v", percentile(times, 50), percentile(times, 99))
}
