package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
)

const patience = 90 * time.Second

// code counts its timer's calls in the gateway's own store, and publishes each count with the configuration and when it was loaded.
const code = `import json, time

loaded = time.time()

def handler(event, context):
    sdk = context["sdk"]
    if event.get("type") != "timer":
        return {"sn": sdk.device_sn, "config": sdk.config, "event": event}
    n = sdk.redis_client.incr("ticks")
    sdk.publish("/%s/%s/tick" % (sdk.product_sn, sdk.device_sn), json.dumps({"n": n, "loaded": loaded, "config": sdk.config}).encode())
`

// operator is who uses the server.
type operator struct {
	*server.Server
	t     *testing.T
	token string
}

// call makes a call of the dialect of gateways, and gives its data.
func (o *operator) call(path string, body map[string]any) map[string]any {
	o.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(o.t, err)
	return o.ask(http.MethodPost, path, text)
}

// product shows a product.
func (o *operator) product(sn string) map[string]any {
	o.t.Helper()
	return o.ask(http.MethodGet, "product/info?ProductSN="+sn, nil)
}

func (o *operator) ask(method, path string, body []byte) map[string]any {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.Endpoint+"/api/v1/"+path, bytes.NewReader(body))
	require.NoError(o.t, err)
	req.Header.Set("Authorization", o.token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(o.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(o.t, err)
	require.Equal(o.t, http.StatusOK, resp.StatusCode, "%s", answer)
	var got struct{ Data map[string]any }
	require.NoError(o.t, json.Unmarshal(answer, &got))
	return got.Data
}

// run runs a command of the program, and reads its JSON.
func (o *operator) run(to any, args ...string) {
	o.t.Helper()
	out, err := o.Run(o.t.Context(), append([]string{"--admin-file", filepath.Join(o.DataDir, "admin.json"), "--endpoint", o.Endpoint, "--json"}, args...)...)
	require.NoError(o.t, err, "%s", out)
	require.NoError(o.t, json.Unmarshal(out, to), "%s", out)
}

// online tells whether a function is online on a gateway.
func (o *operator) online(function, sn string) bool {
	o.t.Helper()
	list := o.call("function/bind/list", map[string]any{"GatewaySN": sn, "ProductSN": product, "FunctionName": function})["functionList"].([]any)
	return len(list) == 1 && list[0].(map[string]any)["OnlineStatus"] == "online"
}

// tick is what the function publishes.
type tick struct {
	N      int            `json:"n"`
	Loaded float64        `json:"loaded"`
	Config map[string]any `json:"config"`
}

// ticks are those that a gateway's route brought to the cloud, in the order in which they were kept.
func (o *operator) ticks(sn string) (all []tick) {
	o.t.Helper()
	var messages []struct{ Payload []byte }
	o.run(&messages, "gateway", "messages", product+"/"+sn, "-n", "1000")
	for _, m := range messages {
		var one tick
		require.NoError(o.t, json.Unmarshal(m.Payload, &one))
		all = append(all, one)
	}
	return all
}

func last(all []tick) tick {
	if len(all) == 0 {
		return tick{}
	}
	return all[len(all)-1]
}

func (o *operator) wait(what string, so func() bool) {
	o.t.Helper()
	require.Eventually(o.t, so, patience, 50*time.Millisecond, what)
}

const product = "pumps"

// TestStory: one product, two gateways in networks of their own; what is bound to the product runs on both, goes on while the network is
// cut and the agent has died, and nothing that happened meanwhile is lost or out of order.
func TestStory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	l := newLAN(t)
	free, err := net.Listen("tcp", l.Host+":0")
	require.NoError(t, err)
	mqtt := free.Addr().String()
	require.NoError(t, free.Close())
	// Not on loopback, so the server encrypts, with a certificate of its own authority.
	at := l.listen()
	o := &operator{Server: server.Start(t, "--mqtt-listen", mqtt, "--public-url", "http://"+at.Addr().String()), t: t}
	o.token = o.call("user/login", map[string]any{"Username": o.User, "Password": o.Password})["Token"].(string)
	l.forward(at, strings.TrimPrefix(o.Endpoint, "http://"))
	one, two := l.gateway("a", o.enroll("one")), l.gateway("b", o.enroll("two"))
	one.start()
	two.start()

	o.call("function/create", map[string]any{"FunctionName": "f1", "Runtime": "python3", "FunctionCode": base64.StdEncoding.EncodeToString([]byte(code))})
	o.wait("both are here", func() bool {
		var list []struct{ Status string }
		o.run(&list, "gateway", "ls")
		return len(list) == 2 && list[0].Status == "online" && list[1].Status == "online"
	})
	begun := time.Now()
	var bound struct{ Done string }
	o.run(&bound, "gateway", "bind", "f1", "--product", product)
	require.Equal(t, "bound", bound.Done)
	o.wait("one runs it", func() bool { return o.online("f1", "one") })
	o.wait("two runs it", func() bool { return o.online("f1", "two") })
	t.Logf("from bind to online on both: %v", time.Since(begun).Round(time.Millisecond))
	o.invoke()
	o.events()
	o.cut(one)
	o.everything()
}

// enroll makes a gateway and its file, which says all that the gateway needs to find the server.
func (o *operator) enroll(sn string) string {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), sn+".json")
	var wrote struct{ File string }
	o.run(&wrote, "gateway", "enroll", "--product", product, "--gateway", sn, "--out", file)
	text, err := os.ReadFile(file)
	require.NoError(o.t, err)
	require.Contains(o.t, string(text), `"broker_url": "mqtts://`)
	return file
}

// invoke calls the function here and there.
func (o *operator) invoke() {
	o.t.Helper()
	var there struct {
		Status string
		Result struct {
			SN    string
			Event map[string]any
		}
	}
	o.run(&there, "invoke", "f1", "--gateway", "two", "-d", `{"a":1}`)
	require.Equal(o.t, []any{"ok", "two", map[string]any{"a": 1.0}}, []any{there.Status, there.Result.SN, there.Result.Event})
	o.run(&there, "gateway", "invoke", "one", "f1", "-d", `{"a":2}`)
	require.Equal(o.t, "one", there.Result.SN)
}

// events has the timer fire and its messages come up, and changes the configuration of one gateway alone.
func (o *operator) events() {
	o.t.Helper()
	for _, sn := range []string{"one", "two"} {
		o.call("messagerouter/create", map[string]any{
			"GatewayProductSN": product, "GatewaySN": sn, "RouterName": "up", "SrcType": "fc", "SrcID": "f1", "DestType": "iotcore",
			"FilterTopic": "/" + product + "/" + sn + "/tick", "FilterTopicType": "user", "IsCached": true,
		})
	}
	o.call("function/config", map[string]any{"FunctionName": "f1", "ProductSN": product, "Cron": "* * * * * *", "CronEnable": true, "Config": "eyJhIjowfQ=="})
	o.wait("both tick", func() bool { return len(o.ticks("one")) >= 2 && len(o.ticks("two")) >= 2 })
	before := last(o.ticks("two"))
	o.call("function/config", map[string]any{"FunctionName": "f1", "GatewaySN": "one", "ProductSN": product, "Cron": "* * * * * *", "CronEnable": true, "Config": "eyJhIjoxfQ=="})
	o.wait("one has its own configuration", func() bool { return last(o.ticks("one")).Config["a"] == 1.0 })
	o.wait("two ticks on", func() bool { return last(o.ticks("two")).N > before.N+1 })
	require.Equal(o.t, before.Loaded, last(o.ticks("two")).Loaded, "what is no matter of two's did not restart there")
	require.Equal(o.t, before.Config, last(o.ticks("two")).Config)
}

// cut takes the network away from a gateway, and its power too.
func (o *operator) cut(one *gateway) {
	o.t.Helper()
	one.plug(false)
	one.kill()
	known := last(o.ticks("one")).N
	one.start() // with no network at all
	calls := func() int64 {
		text, err := one.status(o.t.Context())
		var s struct {
			Online bool
			Report struct {
				Functions []struct {
					Name  string
					State string
					Calls int64
				}
			}
		}
		if err != nil || json.Unmarshal([]byte(text), &s) != nil || len(s.Report.Functions) != 1 || s.Online {
			return 0
		}
		return s.Report.Functions[0].Calls
	}
	o.wait("functions and timers go on", func() bool { return calls() >= 4 })
	require.Equal(o.t, known, last(o.ticks("one")).N, "nothing can have come through")
	one.plug(true)
	o.wait("what was kept comes up", func() bool { return last(o.ticks("one")).N >= known+4 })
}

// everything came once and in order.
func (o *operator) everything() {
	o.t.Helper()
	all := o.ticks("one")
	missing := 0
	for i := 1; i < len(all); i++ {
		require.Greater(o.t, all[i].N, all[i-1].N, "in order, and once")
		missing += all[i].N - all[i-1].N - 1
	}
	require.LessOrEqual(o.t, missing, 1, "but for a call that was under way when the power went")
	var loads []float64
	for _, one := range all {
		if len(loads) == 0 || loads[len(loads)-1] != one.Loaded {
			loads = append(loads, one.Loaded)
		}
	}
	// Loaded anew for its configuration, for another, and when the power came back: not when the network did.
	require.LessOrEqual(o.t, len(loads), 3, "%v", loads)
}
