package edge_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/control/controltest"
	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/mochi"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

const patience = 20 * time.Second

// cloud is the cloud's side over the real store and use cases, with the broker inside.
type cloud struct {
	*edge.Service
	functions *control.Functions
	placed    *control.Gateways
	db        *store.DB
	sealer    *auth.Sealer
	key       ed25519.PrivateKey
	dir       string
	broker    edge.Broker
	address   string
	refuse    atomic.Bool // the store loses what gateways send up
}

// forgetful loses messages on demand.
type forgetful struct {
	*store.DB
	cloud *cloud
}

func (f forgetful) AddGatewayMessages(ctx context.Context, id faas.GatewayID, stream string, all []faas.GatewayMessage, most int) ([]faas.GatewayMessage, uint64, error) {
	if f.cloud.refuse.Load() {
		return nil, 0, errors.New("the disk is full")
	}
	return f.DB.AddGatewayMessages(ctx, id, stream, all, most)
}

// both hears of changes of functions for the service.
type both struct{ cloud *cloud }

func (b both) FunctionChanged(key faas.FunctionKey) { b.cloud.FunctionChanged(key) }

func newCloud(t testing.TB) *cloud {
	t.Helper()
	c := &cloud{dir: t.TempDir()}
	c.db = freshtest.Open(t)
	packages, err := blob.OpenDisk(filepath.Join(c.dir, "packages"))
	require.NoError(t, err)
	c.sealer, err = auth.NewSealer(filepath.Join(c.dir, "key"), true)
	require.NoError(t, err)
	seed, err := c.sealer.Derive("test")
	require.NoError(t, err)
	c.key = ed25519.NewKeyFromSeed(seed)
	c.functions = control.NewFunctions(control.FunctionsConfig{
		Store: c.db, Packages: packages, Sealer: c.sealer, Changes: both{c}, Fetcher: controltest.Fetcher{}, Runtimes: controltest.Runtimes{},
		Quota: faas.DefaultQuota, Region: "local",
	})
	c.placed = control.NewGateways(control.GatewaysConfig{Store: c.db, Functions: c.functions, Packages: packages, Sealer: c.sealer, Changes: changes{c}})
	c.start(t)
	t.Cleanup(func() { c.stop(t) })
	return c
}

// changes passes on to the service of the moment.
type changes struct{ cloud *cloud }

func (c changes) GatewayChanged(id faas.GatewayID) { c.cloud.GatewayChanged(id) }
func (c changes) GatewayBarred(id faas.GatewayID)  { c.cloud.GatewayBarred(id) }

// start starts service and broker, on the address that they had.
func (c *cloud) start(t testing.TB) {
	t.Helper()
	var err error
	c.Service, err = edge.New(edge.Config{
		Store: forgetful{c.db, c}, Identities: c.placed, Source: source{c.placed}, Key: c.key, Zone: "Asia/Shanghai", Alone: true,
		URL: func(f *faas.Function) (string, error) { return "/code/" + f.Name, nil },
		ProgramURL: func(version string, p faas.ReleaseProgram) (string, error) {
			return "/agent/" + version + "/" + p.Arch, nil
		},
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	require.NoError(t, err)
	at := c.address
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	require.NoError(t, err)
	c.address = l.Addr().String()
	c.broker, err = mochi.New(mochi.Config{Listener: l, Handler: c.Service, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	c.Use(c.broker)
	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, c.broker.Start(t.Context()))
}

func (c *cloud) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, errors.Join(c.broker.Stop(context.Background()), c.Stop(context.Background())))
}

// source is as app ties it.
type source struct{ placed *control.Gateways }

func (s source) ReleaseOn(ctx context.Context, one *faas.Gateway) (*faas.Release, error) {
	return s.placed.ReleaseOn(ctx, one)
}

func (s source) Wanted(ctx context.Context, one *faas.Gateway) ([]edge.Wanted, []faas.MessageRoute, error) {
	placed, err := s.placed.OnGateway(ctx, one)
	var all []edge.Wanted
	for _, p := range placed {
		w := edge.Wanted{Function: p.Function, SHA256: strings.Repeat("ab", 32)}
		if p.Setting != nil {
			w.Setting = *p.Setting
		}
		w.Setting.Config = p.ConfigOf()
		all = append(all, w)
	}
	routes, routesErr := s.placed.RoutesOn(ctx, one)
	return all, routes, errors.Join(err, routesErr)
}

const project = "p"

// gateway makes a gateway of a product, and gives its secret.
func (c *cloud) gateway(t testing.TB, product, sn string) (wire.ID, string) {
	t.Helper()
	if _, err := c.placed.Product(t.Context(), project, product); err != nil {
		_, err := c.placed.CreateProduct(t.Context(), faas.Product{SN: product, Project: project, Name: product})
		require.NoError(t, err)
	}
	g, err := c.placed.CreateGateway(t.Context(), project, faas.GatewayID{Product: product, SN: sn}, "")
	require.NoError(t, err)
	secret, err := c.placed.Secret(&g)
	require.NoError(t, err)
	return wire.ID{Product: product, Gateway: sn}, secret
}

func (c *cloud) function(t testing.TB, name string) faas.URN {
	t.Helper()
	runtime, handler, contract, seconds, memory := "Python3.9", "index.handler", faas.ContractEdge, 10, 128
	_, err := c.functions.Create(t.Context(), project, control.NewFunction{Name: name, Code: control.Code{Data: []byte("x")},
		Settings: control.Settings{Runtime: &runtime, Handler: &handler, Contract: &contract, TimeoutSec: &seconds, MemoryMB: &memory}})
	require.NoError(t, err)
	return faas.URN{Package: faas.DefaultPackage, Name: name}
}

// device is an agent of the test's.
type device struct {
	t    testing.TB
	id   wire.ID
	keys map[string]ed25519.PublicKey
	c    paho.Client

	version  uint64
	desired  chan wire.Document
	commands chan wire.Command
	acks     chan wire.UpAckMessage
}

func (c *cloud) device(t testing.TB, id wire.ID, secret string) *device {
	t.Helper()
	d := &device{t: t, id: id, keys: map[string]ed25519.PublicKey{edge.KeyID(c.key): c.key.Public().(ed25519.PublicKey)},
		desired: make(chan wire.Document, 100), commands: make(chan wire.Command, 100), acks: make(chan wire.UpAckMessage, 100)}
	o := paho.NewClientOptions().AddBroker("tcp://" + c.address).SetClientID(id.ClientID()).SetUsername(id.User(wire.LoginStatic)).SetPassword(secret).
		SetKeepAlive(60 * time.Second).SetAutoReconnect(false).SetCleanSession(false)
	o.SetDefaultPublishHandler(d.take)
	d.c = paho.NewClient(o)
	token := d.c.Connect()
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
	t.Cleanup(func() { d.c.Disconnect(0) })
	filters := map[string]byte{}
	for _, f := range id.Subscriptions() {
		filters[f] = 1
	}
	sub := d.c.SubscribeMultiple(filters, nil)
	require.True(t, sub.WaitTimeout(patience))
	require.NoError(t, sub.Error())
	return d
}

func (d *device) take(_ paho.Client, m paho.Message) {
	_, channel, _ := wire.ParseTopic(m.Topic())
	switch channel {
	case wire.Desired:
		var e wire.Envelope
		if wire.Decode(m.Payload(), &e) == nil {
			if doc, err := e.Open(d.keys, d.id, d.version); err == nil || errors.Is(err, wire.ErrSame) {
				d.version = doc.Version
				d.desired <- doc
			}
		}
	case wire.Cmd:
		var c wire.Command
		if wire.Decode(m.Payload(), &c) == nil {
			d.commands <- c
		}
	case wire.UpAck:
		var a wire.UpAckMessage
		if wire.Decode(m.Payload(), &a) == nil {
			d.acks <- a
		}
	default:
	}
}

func (d *device) say(channel wire.Channel, message any) {
	d.t.Helper()
	data, err := wire.Encode(message)
	require.NoError(d.t, err)
	require.True(d.t, d.c.Publish(d.id.Topic(channel), 1, false, data).WaitTimeout(patience))
}

// report says that all of a document runs.
func (d *device) report(doc wire.Document) {
	d.t.Helper()
	m := wire.ReportedMessage{Version: doc.Version, Good: doc.Version, State: wire.StateApplied}
	for _, f := range doc.Functions {
		m.Functions = append(m.Functions, wire.FunctionState{Name: f.Name, State: wire.FunctionRunning})
	}
	d.say(wire.Reported, m)
}

func next[T any](t testing.TB, c <-chan T) (one T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case one = <-c:
	case <-timer.C:
		require.FailNow(t, "nothing came")
	}
	return one
}

// eventually asks until it is so: what gateways report is stored behind their backs.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	require.Eventually(t, so, patience, 5*time.Millisecond)
}

func (c *cloud) status(t testing.TB, id wire.ID, function string) control.OnlineStatus {
	t.Helper()
	placed, err := c.placed.On(t.Context(), project, faas.GatewayID{Product: id.Product, SN: id.Gateway})
	require.NoError(t, err)
	for _, p := range placed {
		if p.Function.Name == function {
			return p.Status
		}
	}
	return ""
}

// TestDesired follows a function to the gateways of a product and back.
func TestDesired(t *testing.T) {
	c := newCloud(t)
	one, secret := c.gateway(t, "pumps", "one")
	two, secretTwo := c.gateway(t, "pumps", "two")
	other, secretOther := c.gateway(t, "fans", "one")
	urn := c.function(t, "f1")
	d, far := c.device(t, one, secret), c.device(t, other, secretOther)
	d.say(wire.Hello, wire.HelloMessage{Boot: "b"})
	far.say(wire.Hello, wire.HelloMessage{Boot: "b"})
	require.Empty(t, next(t, d.desired).Functions)
	require.Empty(t, next(t, far.desired).Functions)

	require.NoError(t, c.placed.Bind(t.Context(), project, urn, faas.GatewayID{Product: "pumps"}))
	doc := next(t, d.desired)
	require.Len(t, doc.Functions, 1)
	f := doc.Functions[0]
	require.Equal(t, []any{"f1", "edge", "{}", int64(10000), "source", "index.py"}, []any{f.Name, f.Contract, string(f.Config), f.Timeout, f.Code.Format, f.Code.Filename})
	require.Equal(t, control.Unreported, c.status(t, one, "f1"))
	d.report(doc)
	eventually(t, func() bool { return c.status(t, one, "f1") == control.Online })

	// A gateway that comes later has it too.
	late := c.device(t, two, secretTwo)
	late.say(wire.Hello, wire.HelloMessage{Boot: "b"})
	require.Len(t, next(t, late.desired).Functions, 1)

	// A default reaches those who have no setting of their own.
	set := faas.GatewaySetting{Cron: "*/5 * * * * *", CronEnable: true, Config: `{"a":1}`}
	require.NoError(t, c.placed.Configure(t.Context(), project, urn, faas.GatewayID{Product: "pumps", SN: "one"}, set))
	doc = next(t, d.desired)
	require.Equal(t, []any{`{"a":1}`, "*/5 * * * * *", "Asia/Shanghai"}, []any{string(doc.Functions[0].Config), doc.Functions[0].Cron, doc.Functions[0].TimeZone})
	config := `{"a":0}`
	_, err := c.functions.UpdateConfig(t.Context(), project, urn, control.Settings{Config: &config})
	require.NoError(t, err)
	require.JSONEq(t, config, string(next(t, late.desired).Functions[0].Config))
	require.Empty(t, d.desired, "its own setting hides the default, so nothing changed there")

	require.NoError(t, c.placed.Unbind(t.Context(), project, urn, faas.GatewayID{Product: "pumps"}))
	require.Empty(t, next(t, d.desired).Functions)
	require.Empty(t, next(t, late.desired).Functions)
	require.Empty(t, far.desired)
	require.NoError(t, c.functions.Delete(t.Context(), project, urn))
}

// TestSameVersionNoAction: a gateway that comes back with what it shall have is sent nothing, and one that asks is sent fresh addresses.
func TestSameVersionNoAction(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	urn := c.function(t, "f1")
	require.NoError(t, c.placed.Bind(t.Context(), project, urn, faas.GatewayID{Product: "pumps", SN: "one"}))
	d := c.device(t, id, secret)
	d.say(wire.Hello, wire.HelloMessage{})
	doc := next(t, d.desired)
	d.say(wire.Hello, wire.HelloMessage{Version: doc.Version})
	d.report(doc)
	d.say(wire.DesiredGet, wire.GetMessage{Version: doc.Version})
	require.Equal(t, doc, next(t, d.desired))
	require.Empty(t, d.desired, "one answer, and that to the question")

	// A database that was put back from a backup gives a version that the gateway has not seen.
	d.say(wire.Hello, wire.HelloMessage{Version: 40})
	require.EqualValues(t, 41, next(t, d.desired).Version)
}

// TestCommands holds the outbox to: on disk before it is sent, sent again until it is acknowledged, answered once.
func TestCommands(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	gid := faas.GatewayID{Product: "pumps", SN: "one"}
	_, err := c.Command(t.Context(), gid, wire.KindDiagnose, struct{}{}, time.Second)
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(err))
	d := c.device(t, id, secret)
	d.say(wire.Hello, wire.HelloMessage{})
	eventually(t, func() bool { return c.Online(gid) })

	type outcome struct {
		c   faas.GatewayCommand
		err error
	}
	ask := func() chan outcome {
		done := make(chan outcome, 1)
		go func() {
			got, err := c.Command(t.Context(), gid, wire.KindLogs, wire.LogsBody{Lines: 3}, patience)
			done <- outcome{got, err}
		}()
		return done
	}
	done := ask()
	first := next(t, d.commands)
	require.Equal(t, []any{uint64(1), wire.KindLogs, `{"lines":3}`}, []any{first.Seq, first.Kind, string(first.Body)})
	d.say(wire.Hello, wire.HelloMessage{}) // it came back without having done it
	require.Equal(t, first, next(t, d.commands))
	ack := wire.Ack{Seq: first.Seq, ID: first.ID, OK: true, Result: json.RawMessage(`{"text":"x"}`)}
	d.say(wire.CmdAck, ack)
	d.say(wire.CmdAck, ack)
	got := next(t, done)
	require.NoError(t, got.err)
	require.JSONEq(t, `{"text":"x"}`, string(got.c.Result))
	d.say(wire.Hello, wire.HelloMessage{CmdSeq: 7}) // an agent that remembers more than this database
	done = ask()
	second := next(t, d.commands)
	require.Greater(t, second.Seq, uint64(1))
	d.say(wire.CmdAck, wire.Ack{Seq: second.Seq, ID: second.ID, Code: "unsupported", Error: "no"})
	got = next(t, done)
	require.NoError(t, got.err)
	require.Equal(t, []any{false, faas.CodeUnsupported, "no"}, []any{got.c.OK, got.c.Code, got.c.Message})
}

// TestRun calls a function on a gateway.
func TestRun(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	gid := faas.GatewayID{Product: "pumps", SN: "one"}
	d := c.device(t, id, secret)
	d.say(wire.Hello, wire.HelloMessage{})
	eventually(t, func() bool { return c.Online(gid) })
	f := &faas.Function{Name: "f", Spec: faas.Spec{Timeout: time.Second, MemoryMB: 128}}
	call := faas.Invocation{ID: "call", Event: []byte(`{"a":1}`), Deadline: time.Now().Add(patience)}
	for name, tt := range map[string]struct {
		ack  wire.Ack
		want string
	}{
		"result":       {wire.Ack{OK: true, Result: json.RawMessage(`{"output":[1],"run_us":5}`)}, `[1]`},
		"failure":      {wire.Ack{OK: true, Result: json.RawMessage(`{"failure":{"code":"exception","type":"E","message":"m"}}`)}, "exception E m"},
		"no result":    {wire.Ack{OK: true, Result: json.RawMessage(`1`)}, "result"},
		"not there":    {wire.Ack{Code: "not_found", Error: "none"}, "not_found"},
		"unknown code": {wire.Ack{Code: "flat", Error: "none"}, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			go func() {
				cmd := <-d.commands
				tt.ack.Seq, tt.ack.ID = cmd.Seq, cmd.ID
				d.say(wire.CmdAck, tt.ack)
			}()
			res, err := c.Run(t.Context(), gid, f, call)
			got := string(faas.CodeOf(err))
			if err == nil {
				got = string(res.Output)
				if res.Failure != nil {
					got = fmt.Sprintf("%s %s %s", res.Failure.Code, res.Failure.Type, res.Failure.Message)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
	call.Event = make([]byte, wire.MaxEvent+1)
	_, err := c.Run(t.Context(), gid, f, call)
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
}

// TestUpstream keeps each message once and in order, and acknowledges nothing that is not on disk.
func TestUpstream(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	d := c.device(t, id, secret)
	batch := func(seqs ...uint64) wire.UpBatch {
		b := wire.UpBatch{Stream: "s"}
		for _, seq := range seqs {
			b.Messages = append(b.Messages, wire.UpMessage{Seq: seq, Route: 1, Topic: "/pumps/one/upload", Payload: fmt.Append(nil, seq)})
		}
		return b
	}
	d.say(wire.Up, batch(1, 2))
	require.Equal(t, wire.UpAckMessage{Stream: "s", Seq: 2}, next(t, d.acks))
	c.refuse.Store(true)
	d.say(wire.Up, batch(3))
	c.refuse.Store(false)
	d.say(wire.Up, batch(1, 2, 3, 4))
	require.Equal(t, wire.UpAckMessage{Stream: "s", Seq: 4}, next(t, d.acks), "the one that was lost was not acknowledged")
	kept, err := c.db.GatewayMessages(t.Context(), faas.GatewayID{Product: "pumps", SN: "one"}, 10)
	require.NoError(t, err)
	var seqs []uint64
	for _, m := range kept {
		seqs = append(seqs, m.Seq)
	}
	require.Equal(t, []uint64{1, 2, 3, 4}, seqs)
}

// TestRestart: what a broker knew is gone with the server, and nothing is missed for it.
func TestRestart(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	gid := faas.GatewayID{Product: "pumps", SN: "one"}
	urn := c.function(t, "f1")
	d := c.device(t, id, secret)
	d.say(wire.Hello, wire.HelloMessage{})
	doc := next(t, d.desired)
	d.report(doc)
	eventually(t, func() bool {
		g, err := c.db.Gateway(t.Context(), gid)
		return err == nil && g.Report != nil
	})
	c.stop(t)
	g, err := c.db.Gateway(t.Context(), gid)
	require.NoError(t, err)
	require.False(t, g.Online, "the end of the broker ended its session")
	c.start(t)
	require.NoError(t, c.placed.Bind(t.Context(), project, urn, gid)) // while it is away
	again := c.device(t, id, secret)
	again.version = doc.Version
	again.say(wire.Hello, wire.HelloMessage{Version: doc.Version})
	require.Len(t, next(t, again.desired).Functions, 1)
}

// TestBarred cuts off a gateway whose credentials went.
func TestBarred(t *testing.T) {
	c := newCloud(t)
	id, secret := c.gateway(t, "pumps", "one")
	gid := faas.GatewayID{Product: "pumps", SN: "one"}
	d := c.device(t, id, secret)
	require.True(t, d.c.IsConnectionOpen())
	_, err := c.placed.UpdateGateway(t.Context(), project, gid, control.GatewayUpdate{Renew: true})
	require.NoError(t, err)
	eventually(t, func() bool { return !d.c.IsConnectionOpen() })
	_, ok := c.Login(t.Context(), id.ClientID(), id.User(wire.LoginStatic), secret)
	require.False(t, ok, "the old secret")
	g, err := c.placed.Gateway(t.Context(), project, gid)
	require.NoError(t, err)
	fresh, err := c.placed.Secret(&g)
	require.NoError(t, err)
	_, ok = c.Login(t.Context(), id.ClientID(), id.User(wire.LoginStatic), fresh)
	require.True(t, ok)
	off := true
	_, err = c.placed.UpdateGateway(t.Context(), project, gid, control.GatewayUpdate{Disabled: &off})
	require.NoError(t, err)
	_, ok = c.Login(t.Context(), id.ClientID(), id.User(wire.LoginStatic), fresh)
	require.False(t, ok, "disabled")
}

// TestTopics is who may speak and listen where.
func TestTopics(t *testing.T) {
	id := wire.ID{Product: "p", Gateway: "g"}
	static, dynamic := edge.Session{ID: id, Login: wire.LoginStatic}, edge.Session{ID: id, Login: wire.LoginDynamic}
	for topic, want := range map[string][4]bool{ // publish and subscribe, static and dynamic
		id.Topic(wire.Hello):                {true, true},
		id.Topic(wire.Desired):              {false, true},
		id.Topic(wire.Cmd):                  {false, true},
		id.Topic(wire.UpAck):                {false, true},
		id.Status():                         {false, true},
		id.Password():                       {false, true, true, false},
		id.PasswordReply():                  {false, true, false, true},
		"/$system/p/g/shadow/upstream":      {true, true},
		"/p/g/upload":                       {true, true},
		"/p/g/#":                            {false, true},
		"/p/$broadcast/edge/v1/resync":      {false, true},
		"/p/other/upload":                   {},
		"/$system/p/other/edge/v1/reported": {},
		"/$system/p/g2/x":                   {},
		"/$system/p/+/edge/v1/desired":      {},
		"/$system/#":                        {},
		"#":                                 {},
		"/p/#":                              {},
		"/p/+/upload":                       {},
		"$SYS/broker/clients":               {},
		"/p/g/1/2/3/4/5/6/7":                {false, true},
		"/p/g/" + strings.Repeat("x", 128):  {},
	} {
		got := [4]bool{static.MayPublish(topic), static.MaySubscribe(topic), dynamic.MayPublish(topic), dynamic.MaySubscribe(topic)}
		require.Equal(t, want, got, topic)
	}
}
