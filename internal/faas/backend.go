package faas

import (
	"context"
	"net"
)

// Backend is an instance that serves HTTP by itself (runtime http, custom images of the HTTP type): whoever has the call
// speaks HTTP over connections to it.
type Backend interface {
	// ID tells instances apart, so that connections can be kept and used again; it is never used twice.
	ID() string
	// Dial opens a connection to the port that the function listens on.
	Dial(ctx context.Context) (net.Conn, error)
}
