//go:build linux

package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// run is the record of a call as `hanshu logs` has it.
type run struct {
	Seq                uint64
	ID, Source, Status string
	Logs               []struct{ Text string }
}

// runsAfter waits a little for runs of a function behind a position.
func (h *host) runsAfter(t *testing.T, name string, after uint64) []run {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodGet, fmt.Sprintf("/admin/v1/projects/%s/functions/default/%s/runs?after=%d&wait=5&limit=500", h.ProjectID, name, after), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var list struct{ Runs []run }
	require.NoError(t, json.Unmarshal(a.body, &list))
	return list.Runs
}

// trigger makes one, and gives the address that it tells.
func (h *host) trigger(t *testing.T, name, kind string, data map[string]any) (invokeURL string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"trigger_type_code": kind, "trigger_status": "ACTIVE", "event_data": data})
	require.NoError(t, err)
	a, err := h.do(t.Context(), http.MethodPost, strings.Replace(h.function(name), "/fgs/functions/", "/fgs/triggers/", 1)+":latest", body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, a.status, "%s: %s", kind, a.body)
	var made struct {
		URL string `json:"invoke_url"`
	}
	require.NoError(t, json.Unmarshal(a.body, &made))
	return made.URL
}

// postTo sends a request from outside, without any credentials.
func postTo(t *testing.T, url, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, text.Bytes()}
}

// TestSources has every source of events cause a call through the queue, each from a real sender, and finds the call among
// the records under the name of its source.
func TestSources(t *testing.T) {
	t.Parallel()
	rabbit, mosquitto := triggertest.StartRabbitMQ(t), triggertest.StartMosquitto(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	sendRabbit(t, rabbit.Address, "ready", "from rabbitmq")
	sendMQTT(t, mosquitto.Address, "home/kitchen", "from mqtt")
	sendKafka(t, cluster, "orders", "from kafka")

	h := start(t)
	h.create(t, function{name: "heard", runtime: python, source: "import json\n\ndef handler(event, context):\n    print(json.dumps(event))\n    return 1\n"})
	h.trigger(t, "heard", "TIMER", map[string]any{"name": "tick", "schedule_type": "Cron", "schedule": "@every 1s", "user_event": "from timer"})
	h.trigger(t, "heard", "RABBITMQ", map[string]any{"connect_address": rabbit.Address, "access_user": "guest", "access_password": "guest", "queue_name": "ready"})
	h.trigger(t, "heard", "MQTT", map[string]any{"broker_url": "mqtt://" + mosquitto.Address, "topic": "home/#", "qos": 1})
	h.trigger(t, "heard", "OPENSOURCEKAFKA", map[string]any{
		"instance_id": "i-1", "topic_ids": []string{"orders"}, "kafka_connect_address": strings.Join(cluster.ListenAddrs(), ","), "sharditerator_type": "TRIM_HORIZON",
	})
	a := postTo(t, h.trigger(t, "heard", "APIG", map[string]any{
		"name": "later", "path": "/later", "auth": "NONE", "req_method": "POST", "func_info": map[string]any{"timeout": 5000, "invocation_type": "async"},
	})+"?said=from+apig", "")
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	a = postTo(t, h.trigger(t, "heard", "SMN", map[string]any{"topic_urn": "urn:smn:local-1:p:alarms"}), `{"message":"from smn"}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	a = postTo(t, h.trigger(t, "heard", "OBS", map[string]any{"bucket": "pics", "events": []string{"s3:ObjectCreated:*"}, "name": "thumbs"}),
		`{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"pics"},"object":{"key":"from-obs"}}}]}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)

	awaited := map[string]string{"timer": "from timer", "apig": "from apig", "smn": "from smn", "obs": "from-obs", "rabbitmq": "from rabbitmq", "mqtt": "from mqtt", "kafka": "from kafka"}
	ids := h.awaitSources(t, "heard", awaited)
	for source, id := range ids {
		require.Eventually(t, func() bool { return h.asyncPages(t, "heard", false)[id].Status == "SUCCESS" }, time.Minute, 50*time.Millisecond,
			"%s is among the asynchronous calls", source)
	}
}

// TestBrokerOutOfReach asks for the triggers of a function, of which one has a broker that is not there.
func TestBrokerOutOfReach(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.create(t, function{name: "deaf", runtime: python, source: pythonEcho})
	h.trigger(t, "deaf", "TIMER", map[string]any{"name": "tick", "schedule_type": "Rate", "schedule": "1d"})
	h.trigger(t, "deaf", "MQTT", map[string]any{"broker_url": "mqtt://127.0.0.1:1", "topic": "home/#"})
	list := strings.Replace(h.function("deaf"), "/fgs/functions/", "/fgs/triggers/", 1) + ":latest"
	require.Eventually(t, func() bool {
		a, err := h.do(t.Context(), http.MethodGet, list, nil)
		require.NoError(t, err)
		var all []struct {
			Kind      string         `json:"trigger_type_code"`
			Data      map[string]any `json:"event_data"`
			LastError string         `json:"last_error"`
		}
		require.NoError(t, json.Unmarshal(a.body, &all), "%s", a.body)
		require.Len(t, all, 2)
		errors := map[string]string{}
		for _, one := range all {
			require.NotContains(t, one.Data, "last_error", "what was sent is given back")
			errors[one.Kind] = one.LastError
		}
		require.Empty(t, errors["TIMER"])
		return strings.Contains(errors["MQTT"], "refused")
	}, time.Minute, 50*time.Millisecond, "nobody learns that the broker is not there")
}

// awaitSources waits until each source has caused a good run that says its word, and gives those runs' ids by source.
func (h *host) awaitSources(t *testing.T, name string, awaited map[string]string) map[string]string {
	t.Helper()
	ids, seen := map[string]string{}, []run{}
	end := time.Now().Add(time.Minute)
	for after := uint64(0); len(ids) < len(awaited); {
		require.True(t, time.Now().Before(end), "ran: %+v", seen)
		for _, r := range h.runsAfter(t, name, after) {
			after, seen = r.Seq, append(seen, r)
			require.Equal(t, "ok", r.Status, "%+v", r)
			var said strings.Builder
			for _, line := range r.Logs {
				said.WriteString(line.Text)
			}
			word, known := awaited[r.Source]
			require.True(t, known, "a run of source %q", r.Source)
			require.Contains(t, said.String(), word, r.Source)
			ids[r.Source] = r.ID
		}
	}
	return ids
}

func sendRabbit(t *testing.T, address, queue, message string) {
	t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + address + "/")
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	channel, err := conn.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.Confirm(false))
	_, err = channel.QueueDeclare(queue, true, false, false, false, nil)
	require.NoError(t, err)
	sent, err := channel.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, amqp.Publishing{Body: []byte(message)})
	require.NoError(t, err)
	taken, err := sent.WaitContext(t.Context())
	require.NoError(t, err)
	require.True(t, taken)
}

// sendMQTT leaves a message that whoever subscribes is given.
func sendMQTT(t *testing.T, address, topic, message string) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID("publisher"))
	for _, step := range []func() paho.Token{c.Connect, func() paho.Token { return c.Publish(topic, 1, true, message) }} {
		token := step()
		require.True(t, token.WaitTimeout(time.Minute))
		require.NoError(t, token.Error())
	}
	c.Disconnect(100)
}

func sendKafka(t *testing.T, cluster *kfake.Cluster, topic, message string) {
	t.Helper()
	p, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(message)}).FirstErr())
}
