package mochi_test

import (
	"log/slog"
	"net"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/brokertest"
	"github.com/hanshu-faas/hanshu/internal/edge/mochi"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

func start(t *testing.T, h edge.Handler) (edge.Broker, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b, err := mochi.New(mochi.Config{Listener: l, Handler: h, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Stop(t.Context())) })
	return b, l.Addr().String()
}

func TestBroker(t *testing.T) { brokertest.Run(t, start) }

// TestSessions holds sessions to rules that a broker of others may not have.
func TestSessions(t *testing.T) {
	h := brokertest.NewRecorder()
	b, address := start(t, h)
	one := brokertest.One
	brokertest.Client(t, address, one, func(o *paho.ClientOptions) { o.SetClientID("p1.other") }, false)
	brokertest.Client(t, address, one, func(o *paho.ClientOptions) { o.SetKeepAlive(10 * time.Second) }, false)
	brokertest.Client(t, address, one, func(o *paho.ClientOptions) {
		o.SetWill(brokertest.Other.Topic(wire.Reported), "forged", 1, false)
	}, false)
	lost := make(chan struct{})
	brokertest.Client(t, address, one, func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
	}, true)
	b.Drop(one)
	brokertest.Next(t, lost)
	require.Equal(t, one, brokertest.Next(t, h.Left))
}
