// Package agenttest is a cloud for tests of the agent: a real broker, signed documents, packages over HTTP. It keeps what gateways say.
package agenttest

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// Patience is how long a test waits for what must come.
const Patience = 60 * time.Second

// ID is the gateway of a Cloud.
var ID = wire.ID{Product: "p1", Gateway: "g1"}

// Cloud stands in for the platform.
type Cloud struct {
	T      testing.TB
	Broker *triggertest.Broker
	Web    *httptest.Server
	Key    ed25519.PrivateKey
	client paho.Client

	mu       sync.Mutex
	packages map[string][]byte
	Serve    func(w http.ResponseWriter, r *http.Request, code []byte) // of packages; nil for the usual way
	hellos   []wire.HelloMessage
	reports  []wire.ReportedMessage
	ups      []wire.UpMessage
	seen     map[uint64]bool
	acks     []wire.Ack
	quiet    bool // messages of routes are not acknowledged
	latest   *wire.Envelope
	version  uint64
	news     chan struct{}
}

// Start starts a cloud. It ends with the test.
func Start(t testing.TB) *Cloud {
	c := &Cloud{
		T: t, Broker: triggertest.StartMosquitto(t), packages: map[string][]byte{}, seen: map[uint64]bool{}, news: make(chan struct{}, 1),
		Key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))),
	}
	c.Web = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Web.Close)
	c.Connect()
	return c
}

// Connect begins to listen to the gateway, after a restart of the broker too.
func (c *Cloud) Connect() {
	o := paho.NewClientOptions().AddBroker("tcp://" + c.Broker.Address).SetClientID("cloud").SetAutoReconnect(false).SetOrderMatters(true)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { c.take(m) })
	c.client = paho.NewClient(o)
	require.Eventually(c.T, func() bool {
		t := c.client.Connect()
		return t.WaitTimeout(Patience) && t.Error() == nil
	}, Patience, 100*time.Millisecond, "the broker does not answer")
	c.wait(c.client.Subscribe(ID.Own()+"/#", 1, nil))
	c.T.Cleanup(func() { c.client.Disconnect(0) })
}

func (c *Cloud) wait(t paho.Token) {
	c.T.Helper()
	require.True(c.T, t.WaitTimeout(Patience), "the broker does not answer")
	require.NoError(c.T, t.Error())
}

// Enrollment is the gateway's file.
func (c *Cloud) Enrollment() wire.Enrollment {
	return wire.Enrollment{
		BrokerURL: "mqtt://" + c.Broker.Address, HTTPURL: c.Web.URL, ProductSN: ID.Product, GatewaySN: ID.Gateway, DeviceSecret: "s",
		SigningKeys: []wire.SigningKey{{ID: "k", Public: c.Key.Public().(ed25519.PublicKey)}},
	}
}

// Code keeps a package of one file index.py, and gives what a document says of it.
func (c *Cloud) Code(source string) wire.Code {
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("index.py")
	require.NoError(c.T, err)
	_, err = w.Write([]byte(source))
	require.NoError(c.T, err)
	require.NoError(c.T, z.Close())
	return c.Package(packed.Bytes())
}

// Package keeps a package.
func (c *Cloud) Package(data []byte) wire.Code {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packages[digest] = data
	return wire.Code{Digest: digest, Size: int64(len(data)), Format: wire.FormatZip}
}

// Spoil makes what is served under a digest something else.
func (c *Cloud) Spoil(digest string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packages[digest] = data
}

// ServeBy has packages served by a function; nil for the usual way.
func (c *Cloud) ServeBy(serve func(w http.ResponseWriter, r *http.Request, code []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Serve = serve
}

// Half serves the first half of a package, and then nothing until the other end is gone.
func Half(w http.ResponseWriter, r *http.Request, code []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(code)))
	_, _ = w.Write(code[:len(code)/2]) // it is about to break off
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// Bytes gives a package.
func (c *Cloud) Bytes(digest string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.packages[digest]
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	code, serve := c.packages[strings.TrimPrefix(r.URL.Path, "/")], c.Serve
	c.mu.Unlock()
	if serve != nil {
		serve(w, r, code)
		return
	}
	http.ServeContent(w, r, "code.zip", time.Time{}, bytes.NewReader(code))
}

// Function is a function of one file with the gateway's own contract.
func (c *Cloud) Function(name, source string) wire.Function {
	return wire.Function{
		ID: 1, Project: "p", Package: "default", Name: name, Version: "latest", Runtime: "python3", Handler: "index.handler", Contract: "edge",
		Code: c.Code(source), Timeout: 10_000, MemoryMB: 64, RequestsPer: 1, Config: json.RawMessage(`{}`),
	}
}

// Document begins the next version, with a health window of a second.
func (c *Cloud) Document(functions ...wire.Function) wire.Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	return wire.Document{
		Version: c.version, Product: ID.Product, Gateway: ID.Gateway, IssuedAt: time.Now().UnixMilli(), Functions: functions,
		Health: wire.Health{Window: 500, Failures: 2},
	}
}

// Seal signs a document.
func (c *Cloud) Seal(d wire.Document) wire.Envelope {
	e, err := wire.Seal(d, "k", c.Key)
	require.NoError(c.T, err)
	e.URLs = map[string]string{}
	for _, f := range d.Functions {
		e.URLs[f.Code.Digest] = "/" + f.Code.Digest
	}
	if d.Agent != nil {
		for _, digest := range d.Agent.Digests {
			e.URLs[digest] = "/" + digest
		}
	}
	return e
}

// Push makes a document the one that the gateway shall have: it is sent now, and after each hello of a gateway that has an older.
func (c *Cloud) Push(d wire.Document) {
	e := c.Seal(d)
	c.mu.Lock()
	c.latest = &e
	c.mu.Unlock()
	c.Send(wire.Desired, e)
}

// Hold is Push, but for gateways that come later only.
func (c *Cloud) Hold(d wire.Document) {
	e := c.Seal(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = &e
}

// Send publishes a message to the gateway.
func (c *Cloud) Send(channel wire.Channel, message any) {
	data, err := wire.Encode(message)
	require.NoError(c.T, err)
	c.wait(c.client.Publish(ID.Topic(channel), 1, false, data))
}

// Publish publishes bytes.
func (c *Cloud) Publish(topic string, payload []byte) {
	c.wait(c.client.Publish(topic, 1, false, payload))
}

func (c *Cloud) take(m paho.Message) {
	_, channel, ok := wire.ParseTopic(m.Topic())
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch channel {
	case wire.Hello:
		var h wire.HelloMessage
		if wire.Decode(m.Payload(), &h) == nil {
			c.hellos = append(c.hellos, h)
			c.resend(h.Version)
		}
	case wire.DesiredGet:
		c.resend(0)
	case wire.Reported:
		var r wire.ReportedMessage
		if wire.Decode(m.Payload(), &r) == nil {
			c.reports = append(c.reports, r)
		}
	case wire.CmdAck:
		var a wire.Ack
		if wire.Decode(m.Payload(), &a) == nil {
			c.acks = append(c.acks, a)
		}
	case wire.Up:
		c.takeUp(m.Payload())
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// resend sends the newest document to a gateway that has an older; c.mu is held.
func (c *Cloud) resend(have uint64) {
	if c.latest == nil {
		return
	}
	var d wire.Document
	if json.Unmarshal(c.latest.Payload, &d) == nil && d.Version > have {
		if data, err := wire.Encode(*c.latest); err == nil {
			c.client.Publish(ID.Topic(wire.Desired), 1, false, data)
		}
	}
}

// takeUp keeps messages of routes once each, and acknowledges them; c.mu is held.
func (c *Cloud) takeUp(payload []byte) {
	var b wire.UpBatch
	if wire.Decode(payload, &b) != nil || len(b.Messages) == 0 {
		return
	}
	for _, m := range b.Messages {
		if !c.seen[m.Seq] {
			c.seen[m.Seq] = true
			c.ups = append(c.ups, m)
		}
	}
	if c.quiet {
		return
	}
	if data, err := wire.Encode(wire.UpAckMessage{Stream: b.Stream, Seq: b.Messages[len(b.Messages)-1].Seq}); err == nil {
		c.client.Publish(ID.Topic(wire.UpAck), 1, false, data)
	}
}

// Await waits until what the gateway has said is as look wants it.
func (c *Cloud) Await(what string, look func() bool) {
	c.T.Helper()
	late := time.After(Patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		there := look()
		c.mu.Unlock()
		if there {
			return
		}
		select {
		case <-c.news:
		case <-tick.C:
		case <-late:
			c.mu.Lock()
			defer c.mu.Unlock()
			last, _ := json.MarshalIndent(c.last(), "", " ")
			c.T.Fatalf("%s did not come within %v; the last report was %s; %d messages came", what, Patience, last, len(c.ups))
		}
	}
}

func (c *Cloud) last() *wire.ReportedMessage {
	if len(c.reports) == 0 {
		return nil
	}
	return &c.reports[len(c.reports)-1]
}

// AwaitReport waits for a report.
func (c *Cloud) AwaitReport(what string, fits func(r wire.ReportedMessage) bool) wire.ReportedMessage {
	c.T.Helper()
	var found wire.ReportedMessage
	c.Await(what, func() bool {
		r := c.last()
		if r != nil && fits(*r) {
			found = *r
			return true
		}
		return false
	})
	return found
}

// AwaitGood waits until a version stands and has passed its window.
func (c *Cloud) AwaitGood(version uint64) wire.ReportedMessage {
	c.T.Helper()
	return c.AwaitReport("a good version", func(r wire.ReportedMessage) bool {
		return r.Version == version && r.Good == version && r.State == wire.StateApplied
	})
}

// AwaitUps waits for a number of messages of routes in all, and gives their payloads.
func (c *Cloud) AwaitUps(n int) []string {
	c.T.Helper()
	var all []string
	c.Await("messages of routes", func() bool { return len(c.ups) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.ups {
		all = append(all, string(m.Payload))
	}
	return all
}

// AwaitUpsWithin is AwaitUps for what may not come.
func (c *Cloud) AwaitUpsWithin(n int, limit time.Duration) []wire.UpMessage {
	late := time.After(limit)
	for {
		c.mu.Lock()
		ups := c.ups
		c.mu.Unlock()
		if len(ups) >= n {
			return ups
		}
		select {
		case <-c.news:
		case <-late:
			return nil
		}
	}
}

// AwaitAck waits for the answer to a command.
func (c *Cloud) AwaitAck(seq uint64) wire.Ack {
	c.T.Helper()
	var found wire.Ack
	c.Await("an answer", func() bool {
		for _, a := range c.acks {
			if a.Seq == seq {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// Hellos counts the sessions.
func (c *Cloud) Hellos() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hellos)
}

// Sessions is Hellos for a look of Await.
func (c *Cloud) Sessions() int { return len(c.hellos) }

// Forget forgets all reports and messages.
func (c *Cloud) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports, c.ups, c.acks = nil, nil, nil
}
