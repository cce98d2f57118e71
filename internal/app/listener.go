package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// listener is the HTTP server as a Service.
type listener struct {
	server *http.Server
	on     net.Listener
	ended  chan struct{}
	failed chan error // gets why the server ended by itself
}

func newListener(h http.Handler, on net.Listener, log *slog.Logger) *listener {
	return &listener{server: httpkit.NewServer(h, log), on: httpkit.Guard(on, clientStall), failed: make(chan error, 2)}
}

// Start implements lifecycle.Service.
func (l *listener) Start(context.Context) error {
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		if err := l.server.Serve(l.on); !errors.Is(err, http.ErrServerClosed) {
			l.failed <- fmt.Errorf("the listener ended: %w", err)
		}
	}()
	return nil
}

// Stop refuses new connections and waits for requests under way; those that outlast ctx are cut.
func (l *listener) Stop(ctx context.Context) error {
	if l.ended == nil {
		return nil
	}
	err := l.server.Shutdown(ctx)
	if err != nil {
		err = l.server.Close()
	}
	<-l.ended
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
