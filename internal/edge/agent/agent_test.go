package agent_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// device is an agent in this process.
type device struct {
	*agent.Agent
	dir  string
	stop func()
}

// start starts an agent of a cloud on a folder of its own, or on one that has been used before.
func start(t *testing.T, c *agenttest.Cloud, dir string, change ...func(*agent.Options)) *device {
	t.Helper()
	if dir == "" {
		var err error
		dir, err = os.MkdirTemp("", "edge") // short, for the socket in it
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	}
	o := agent.Options{
		Setup: agent.Setup{Enrollment: c.Enrollment(), DataDir: dir}, Version: "test", Bus: "127.0.0.1:0", Sandbox: "native", Level: "debug",
		Path: os.Getenv("PATH"), Token: "edge-" + filepath.Base(dir), Stderr: io.Discard,
	}
	for _, f := range change {
		f(&o)
	}
	a, err := agent.Open(t.Context(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	d := &device{Agent: a, dir: dir}
	d.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			for _, name := range []string{".agent", "f", "g"} {
				text, _ := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
				t.Logf("%s said:\n%s", name, text[:min(len(text), 4000)])
			}
		}
	})
	return d
}

const echo = `
import json
import function_sdk
client = function_sdk.EdgeClient()
client.logger.info("loaded on %s", client.device_sn)
n = 0
def handler(event, context):
    global n
    n += 1
    sdk = context['sdk']
    if event['type'] == 'timer':
        sdk.publish('/cloud/tick', b'tick')
        return
    if 'payload' not in event:
        return {'n': n, 'config': sdk.config, 'gateway': sdk.product_sn + '.' + sdk.device_sn, 'name': context['functionName'], 'id': context.getRequestID()}
    assert isinstance(event['payload'], bytes) and event['source'] == 'iotcore', event
    seen = sdk.redis_client.incr('seen')
    context['sdk'].logger.warn('message %d on %s', seen, event['topic'])
    sdk.publish('/cloud/echo', event['payload'] + b' %d' % seen)
`

// routes bring user topics of the cloud to the function f, and what it publishes back.
func routes() []wire.Route {
	return []wire.Route{
		{ID: 1, From: wire.PlaceCloud, Filter: "/p1/g1/in/+", To: wire.PlaceFunction, Function: "f"},
		{ID: 2, From: wire.PlaceFunction, FromID: "f", Filter: "/cloud/#", To: wire.PlaceCloud, Cache: &wire.Cache{Messages: 100}},
	}
}

func TestAFunctionOnAGateway(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	start(t, c, "")
	f := c.Function("f", echo)
	f.Config = json.RawMessage(`{"a":[1,"<&>"]}`)
	doc := c.Document(f)
	doc.Routes = routes()
	begun := time.Now()
	c.Push(doc)
	c.AwaitReport("a function that runs", func(r wire.ReportedMessage) bool {
		return len(r.Functions) == 1 && r.Functions[0].State == wire.FunctionRunning
	})
	t.Logf("online %v after the document was sent", time.Since(begun).Round(time.Millisecond))
	report := c.AwaitGood(1)
	require.Equal(t, "f", report.Functions[0].Name)

	c.Await("a session that listens to the user topics", func() bool { return true })
	send := func(text string) { c.Publish("/p1/g1/in/x", []byte(text)) }
	require.Eventually(t, func() bool { // the subscription follows the route
		send("hello")
		return len(c.AwaitUpsWithin(1, time.Second)) > 0
	}, agenttest.Patience, 10*time.Millisecond)
	require.True(t, strings.HasPrefix(c.AwaitUps(1)[0], "hello "), c.AwaitUps(1))

	// A call by the cloud, and the same command once more.
	invoke := wire.Command{Seq: 1, ID: "c1", Kind: wire.KindInvoke, Body: body(t, wire.InvokeBody{Function: "f", Call: "call-1", Event: json.RawMessage(`{"type":"test"}`)})}
	c.Send(wire.Cmd, invoke)
	ack := c.AwaitAck(1)
	require.True(t, ack.OK, ack)
	var res wire.InvokeResult
	require.NoError(t, json.Unmarshal(ack.Result, &res))
	require.Nil(t, res.Failure)
	var out struct {
		N                 int
		Config            map[string]any
		Gateway, Name, ID string
	}
	require.NoError(t, json.Unmarshal(res.Output, &out))
	require.Equal(t, []any{"p1.g1", "f", "call-1", []any{1.0, "<&>"}}, []any{out.Gateway, out.Name, out.ID, out.Config["a"]})
	c.Forget()
	c.Send(wire.Cmd, invoke)
	require.Equal(t, ack, c.AwaitAck(1), "the command was carried out twice")

	c.Send(wire.Cmd, wire.Command{Seq: 2, ID: "c2", Kind: wire.KindLogs, Body: body(t, wire.LogsBody{Function: "f", Lines: 50})})
	var text wire.TextResult
	require.NoError(t, json.Unmarshal(c.AwaitAck(2).Result, &text))
	require.Contains(t, text.Text, "loaded on g1")
	require.Contains(t, text.Text, "WARN message 1 on /p1/g1/in/x")
	c.Send(wire.Cmd, wire.Command{Seq: 3, ID: "c3", Kind: "dance", Body: json.RawMessage(`{}`)})
	require.Equal(t, wire.CodeUnsupported, c.AwaitAck(3).Code)
	c.Send(wire.Cmd, wire.Command{Seq: 4, ID: "c4", Kind: wire.KindInvoke, Expires: 1, Body: invoke.Body})
	require.Equal(t, wire.CodeExpired, c.AwaitAck(4).Code)
	c.Send(wire.Cmd, wire.Command{Seq: 5, ID: "c5", Kind: wire.KindDiagnose, Body: json.RawMessage(`{}`)})
	require.NoError(t, json.Unmarshal(c.AwaitAck(5).Result, &text))
	require.Contains(t, text.Text, "function   f")
}

func body(t *testing.T, v any) json.RawMessage {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// A change of one function, or of its timer, leaves the others as they are; a timer with seconds fires.
func TestChanges(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	start(t, c, "")
	f, g := c.Function("f", echo), c.Function("g", echo)
	c.Push(c.Document(f, g))
	c.AwaitGood(1)
	n := func(name string, seq uint64) int {
		c.Send(wire.Cmd, wire.Command{Seq: seq, ID: fmt.Sprint(seq), Kind: wire.KindInvoke, Body: body(t, wire.InvokeBody{Function: name, Call: "x", Event: json.RawMessage(`{"type":"test"}`)})})
		var res wire.InvokeResult
		ack := c.AwaitAck(seq)
		require.True(t, ack.OK, ack)
		require.NoError(t, json.Unmarshal(ack.Result, &res))
		var out struct{ N int }
		require.NoError(t, json.Unmarshal(res.Output, &out))
		return out.N
	}
	require.Equal(t, []int{1, 1}, []int{n("f", 1), n("g", 2)})
	f.Config = json.RawMessage(`{"b":1}`)
	g.Cron, g.CronEnable, g.TimeZone = "* * * * * *", true, "Asia/Shanghai"
	doc := c.Document(f, g)
	doc.Routes = []wire.Route{{ID: 2, From: wire.PlaceFunction, Filter: "#", To: wire.PlaceCloud}}
	c.Push(doc)
	c.AwaitGood(2)
	require.Equal(t, "tick", c.AwaitUps(2)[1])
	require.Equal(t, 1, n("f", 3), "f has a new configuration and so a new process")
	require.Greater(t, n("g", 4), 2, "g has another timer and the same process")
}

const bad = "raise RuntimeError('not today')\n"

const crashing = `
import os
def handler(event, context):
    os._exit(3)
`

// What does not load, or ends again and again, gives way to what was good; the others of the same document stand, and a newer
// document wins.
func TestGoingBack(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	d := start(t, c, "")
	f, g, h := c.Function("f", echo), c.Function("g", echo), c.Function("h", echo)
	c.Push(c.Document(f, g))
	first := c.AwaitGood(1)

	f.Code, g.Code, g.Cron, g.CronEnable = c.Code(bad), c.Code(crashing), "* * * * * *", true
	doc := c.Document(f, g, h)
	doc.Health.Window = 20_000
	doc.Health.Failures = 1
	c.Push(doc)
	r := c.AwaitReport("two changes that are taken back", func(r wire.ReportedMessage) bool {
		return len(r.Functions) == 3 && r.Functions[0].State == wire.FunctionFailed && r.Functions[1].State == wire.FunctionFailed && r.Functions[2].State == wire.FunctionRunning
	})
	require.Contains(t, r.Functions[0].Message, "not today")
	require.Contains(t, r.Functions[1].Message, "ended 2 times within its health window")
	require.Equal(t, first.Functions[0].Hash, r.Functions[0].Hash, "the good revision stands")
	require.Equal(t, first.Functions[1].Hash, r.Functions[1].Hash, "the good revision stands")

	// A document that is newer does not wait for the window of the one before.
	f.Code, g.Code = c.Code(echo+"\n#2"), c.Code(echo+"\n#2")
	c.Push(c.Document(f, g, h))
	c.AwaitGood(3)
	d.stop()
}

// What is signed by another, made for another gateway, older, or not what its digest says is refused, and reported; nothing of it runs.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	d := start(t, c, "")
	f := c.Function("f", echo)
	old := c.Document(f)
	c.Push(old)
	c.AwaitGood(1)
	c.Push(c.Document(f))
	good := c.AwaitGood(2)

	refused := func(reason string) {
		t.Helper()
		r := c.AwaitReport("a refusal for "+reason, func(r wire.ReportedMessage) bool {
			return len(r.Refused) > 0 && strings.Contains(r.Refused[len(r.Refused)-1].Reason, reason)
		})
		require.Equal(t, good.Functions[0].Hash, r.Functions[0].Hash)
		require.Equal(t, wire.FunctionRunning, r.Functions[0].State)
	}
	c.Send(wire.Desired, c.Seal(old))
	refused("older")
	g := c.Function("g", echo+"\n# another")
	doc := c.Document(g)
	forged := c.Seal(doc)
	forged.Signature[0] ^= 1
	c.Send(wire.Desired, forged)
	refused("signature")
	other := doc
	other.Gateway = "g2"
	c.Send(wire.Desired, c.Seal(other))
	refused("another gateway")
	c.Publish(wire.ID{Product: "p1", Gateway: "g1"}.Topic(wire.Desired), []byte("nonsense"))
	refused("JSON")
	wrong := doc
	wrong.Functions = append([]wire.Function{}, f)
	wrong.Functions[0].Cron = "every day"
	c.Send(wire.Desired, c.Seal(wrong))
	refused("cron")

	// A package that is not what was signed never gets a name on disk; the right one does.
	right := c.Bytes(g.Code.Digest)
	c.Spoil(g.Code.Digest, append([]byte("x"), right[1:]...))
	doc.Functions = append(doc.Functions, f)
	c.Push(doc)
	refused("not the one that its digest names")
	_, err := os.Stat(filepath.Join(d.dir, "packages", g.Code.Digest))
	require.ErrorIs(t, err, os.ErrNotExist)
	c.Spoil(g.Code.Digest, right)
	c.AwaitGood(doc.Version)
}

func digestOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func percentile(times []time.Duration, p int) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}
