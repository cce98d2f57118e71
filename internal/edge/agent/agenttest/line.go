package agenttest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Line is a way to an address that can be cut.
type Line struct {
	Address string
	to      string

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
	work sync.WaitGroup
}

// NewLine makes a way. It ends with the test.
func NewLine(t testing.TB, to string) *Line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Line{Address: listener.Addr().String(), to: to, open: map[net.Conn]bool{}}
	l.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.SetCut(true)
		l.work.Wait()
	})
	return l
}

// SetCut cuts the way, with all that is under way, or mends it.
func (l *Line) SetCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for conn := range l.open {
		if cut {
			_ = conn.Close()
		}
	}
}

func (l *Line) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.open[conn] = true
	return true
}

func (l *Line) carry(near net.Conn) {
	defer near.Close()
	if !l.keep(near) {
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(far) {
		return
	}
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // either end closes it
		done <- struct{}{}
	}
	go pass(far, near)
	go pass(near, far)
	<-done
	_ = near.Close()
	_ = far.Close()
	<-done
}
