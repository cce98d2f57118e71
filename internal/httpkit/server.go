package httpkit

import (
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
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

// Guard wraps a listener so that one write to a client takes at most stall, and no less than seven eighths of it; a client
// that stops reading is cut off.
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
	return &guardedConn{Conn: c, stall: l.stall, made: time.Now()}, nil
}

type guardedConn struct {
	net.Conn
	stall time.Duration
	made  time.Time
	set   atomic.Int64 // when the deadline was set, after made; writes that follow quickly share one
}

func (c *guardedConn) Write(p []byte) (int, error) {
	now := time.Since(c.made)
	if last := c.set.Load(); last == 0 || now-time.Duration(last) > c.stall/8 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return 0, err
		}
		c.set.Store(max(1, int64(now)))
	}
	return c.Conn.Write(p)
}

// SetDeadline is called by a user who takes the connection over: what follows is guarded anew.
func (c *guardedConn) SetDeadline(t time.Time) error {
	c.set.Store(0)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline is alike.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	c.set.Store(0)
	return c.Conn.SetWriteDeadline(t)
}
