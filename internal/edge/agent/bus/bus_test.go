package bus_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/bus"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// TestAskedWhileItStarts has others ask for the address and publish while the bus comes up, as the agent's control socket and its
// functions do, which are there before it.
func TestAskedWhileItStarts(t *testing.T) {
	t.Parallel()
	b, err := bus.New(bus.Config{Address: "127.0.0.1:0", ID: wire.ID{Product: "p", Gateway: "g"}, File: filepath.Join(t.TempDir(), "topology"), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.ErrorContains(t, b.Publish("any", nil), "not up")
	started, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for up := false; !up; {
			select {
			case <-started:
				up = true
			default:
			}
			_ = b.Address()
			_ = b.Publish("any", []byte("x")) // what comes too early is refused
		}
	}()
	err = b.Start(t.Context())
	close(started)
	<-asked
	require.NoError(t, err)
	require.NotEmpty(t, b.Address())
	require.NoError(t, b.Publish("any", []byte("x")))
	require.NoError(t, b.Stop(t.Context()))
}
