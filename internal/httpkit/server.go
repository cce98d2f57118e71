package httpkit

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// NewServer gives a server for untrusted clients. There is no write timeout, as a call may run for days: Guard bounds the
// writing itself, and a Mux the arrival of bodies.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Guard wraps a listener so that one write to a client takes at most stall; a client that stops reading is cut off.
func Guard(l net.Listener, stall time.Duration) net.Listener { return guardedListener{l, stall} }

type guardedListener struct {
	net.Listener
	stall time.Duration
}

func (l guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return guardedConn{c, l.stall}, nil
}

type guardedConn struct {
	net.Conn
	stall time.Duration
}

func (c guardedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
