// Package brokertest holds the promises of an edge.Broker as tests, to be run over each.
package brokertest

import (
	"context"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

const patience = 20 * time.Second

// One and Other are gateways that the broker lets in, with Secret.
var (
	One   = wire.ID{Product: "p1", Gateway: "one"}
	Other = wire.ID{Product: "p1", Gateway: "other"}
)

// Secret is that of both.
const Secret = "a-secret"

// Heard is a message that reached the handler.
type Heard struct {
	ID      wire.ID
	Topic   string
	Payload string
}

// Recorder is an edge.Handler that lets One and Other in and tells what it is told.
type Recorder struct {
	Messages chan Heard
	Left     chan wire.ID
}

// NewRecorder makes one.
func NewRecorder() *Recorder {
	return &Recorder{Messages: make(chan Heard, 100), Left: make(chan wire.ID, 100)}
}

// Login is of edge.Handler.
func (r *Recorder) Login(_ context.Context, client, user, password string) (edge.Session, bool) {
	id, login, ok := wire.ParseUser(user)
	return edge.Session{ID: id, Login: login}, ok && client == id.ClientID() && password == Secret && (id == One || id == Other)
}

// Came is of edge.Handler.
func (r *Recorder) Came(*edge.Session) {}

// Ready is of edge.Handler.
func (r *Recorder) Ready() {}

// Gone is of edge.Handler.
func (r *Recorder) Gone(s *edge.Session) { r.Left <- s.ID }

// Message is of edge.Handler.
func (r *Recorder) Message(id wire.ID, topic string, payload []byte) {
	if topic == id.Topic(wire.Will) {
		r.Left <- id
		return
	}
	r.Messages <- Heard{id, topic, string(payload)}
}

// Client connects as a gateway, and fails the test where it should have been let in or out otherwise.
func Client(t testing.TB, address string, id wire.ID, change func(*paho.ClientOptions), in bool) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id.ClientID()).SetUsername(id.User(wire.LoginStatic)).SetPassword(Secret).
		SetKeepAlive(60 * time.Second).SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(patience)
	if change != nil {
		change(o)
	}
	c := paho.NewClient(o)
	token := c.Connect()
	require.True(t, token.WaitTimeout(patience))
	require.Equal(t, in, token.Error() == nil, "%v", token.Error())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// Listen gives what arrives on a filter, and whether the broker took the subscription.
func Listen(t testing.TB, c paho.Client, filter string) (arrived chan Heard, granted bool) {
	t.Helper()
	arrived = make(chan Heard, 100)
	token := c.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) { arrived <- Heard{Topic: m.Topic(), Payload: string(m.Payload())} })
	require.True(t, token.WaitTimeout(patience))
	sub, ok := token.(*paho.SubscribeToken)
	require.True(t, ok)
	return arrived, token.Error() == nil && sub.Result()[filter] != 0x80
}

// Next waits for one of something.
func Next[T any](t testing.TB, c <-chan T) (one T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case one = <-c:
	case <-timer.C:
		t.Fatal("nothing came")
	}
	return one
}

func publish(t testing.TB, c paho.Client, topic, payload string) {
	t.Helper()
	require.True(t, c.Publish(topic, 1, false, payload).WaitTimeout(patience))
}

// Run holds a broker to its promises. start gives one that has started, tells a handler, and listens on an address.
func Run(t *testing.T, start func(t *testing.T, h edge.Handler) (b edge.Broker, address string)) {
	t.Run("both ways", func(t *testing.T) {
		h := NewRecorder()
		b, address := start(t, h)
		c := Client(t, address, One, nil, true)
		down, granted := Listen(t, c, One.Topic(wire.Desired))
		require.True(t, granted)
		publish(t, c, One.Topic(wire.Hello), `{"boot":"b"}`)
		require.Equal(t, Heard{One, One.Topic(wire.Hello), `{"boot":"b"}`}, Next(t, h.Messages))
		require.NoError(t, b.Publish(One.Topic(wire.Desired), []byte("x")))
		require.Equal(t, Heard{Topic: One.Topic(wire.Desired), Payload: "x"}, Next(t, down))
	})
	t.Run("in order", func(t *testing.T) {
		h := NewRecorder()
		b, address := start(t, h)
		c := Client(t, address, One, nil, true)
		down, _ := Listen(t, c, One.Topic(wire.Cmd))
		for _, text := range []string{"1", "2", "3", "4", "5"} {
			publish(t, c, One.Topic(wire.Up), text)
			require.NoError(t, b.Publish(One.Topic(wire.Cmd), []byte(text)))
		}
		for _, text := range []string{"1", "2", "3", "4", "5"} {
			require.Equal(t, text, Next(t, h.Messages).Payload)
			require.Equal(t, text, Next(t, down).Payload)
		}
	})
	t.Run("strangers", func(t *testing.T) {
		_, address := start(t, NewRecorder())
		Client(t, address, One, func(o *paho.ClientOptions) { o.SetPassword("wrong") }, false)
		Client(t, address, One, func(o *paho.ClientOptions) { o.SetUsername("").SetPassword("") }, false)
		Client(t, address, wire.ID{Product: "p1", Gateway: "none"}, nil, false)
	})
	t.Run("own topics only", func(t *testing.T) {
		h := NewRecorder()
		b, address := start(t, h)
		mine, theirs := Client(t, address, One, nil, true), Client(t, address, Other, nil, true)
		down, _ := Listen(t, theirs, Other.Topic(wire.Desired))
		spied, _ := Listen(t, mine, Other.Topic(wire.Desired)) // refused, or deaf
		require.NoError(t, b.Publish(Other.Topic(wire.Desired), []byte("secret")))
		require.Equal(t, "secret", Next(t, down).Payload)
		// The connection may be cut for this, and the message must reach nobody.
		mine.Publish(Other.Topic(wire.Reported), 1, false, "forged")
		publish(t, theirs, Other.Topic(wire.Reported), "true")
		require.Equal(t, "true", Next(t, h.Messages).Payload)
		require.Empty(t, spied)
	})
	t.Run("a lost session is told", func(t *testing.T) {
		h := NewRecorder()
		_, address := start(t, h)
		var once sync.Once
		lose := make(chan struct{})
		c := Client(t, address, One, func(o *paho.ClientOptions) {
			o.SetWill(One.Topic(wire.Will), `{"boot":"b"}`, 1, false)
			o.SetCustomOpenConnectionFn(breakable(address, lose))
		}, true)
		publish(t, c, One.Topic(wire.Hello), `{}`)
		Next(t, h.Messages)
		once.Do(func() { close(lose) })
		require.Equal(t, One, Next(t, h.Left))
	})
	t.Run("the younger session stays", func(t *testing.T) {
		h := NewRecorder()
		b, address := start(t, h)
		Client(t, address, One, nil, true)
		young := Client(t, address, One, nil, true)
		down, _ := Listen(t, young, One.Topic(wire.Cmd))
		require.NoError(t, b.Publish(One.Topic(wire.Cmd), []byte("x")))
		require.Equal(t, "x", Next(t, down).Payload)
	})
}
