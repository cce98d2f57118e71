package egress

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const dnsPort = 53

// forNames tells whether an address is that of the resolver.
func (l *link) forNames(to netip.AddrPort) bool {
	return to.Port() == dnsPort && slices.Contains(l.net.cfg.DNS, to.Addr())
}

// acceptTCP serves a connection of the sandbox. It is accepted once the one beyond it stands, so that the function sees what a
// failure of that is: a connection that is refused.
func (l *link) acceptTCP(r *tcp.ForwarderRequest) {
	to := destination(r.ID())
	if l.forNames(to) {
		l.acceptNames(r)
		return
	}
	leave, ok := l.admit("TCP", to)
	if !ok {
		r.Complete(true)
		return
	}
	defer leave()
	beyond, err := l.dial("tcp", to)
	if err != nil {
		r.Complete(true)
		return
	}
	defer beyond.Close()
	conn := l.accept(r)
	if conn == nil {
		return
	}
	defer conn.Close()
	defer l.closeWith(conn, beyond)()
	relay(conn, beyond)
}

// accept gives a connection of the sandbox; nil where it has gone.
func (l *link) accept(r *tcp.ForwarderRequest) *gonet.TCPConn {
	var queue waiter.Queue
	end, err := r.CreateEndpoint(&queue)
	if err != nil {
		r.Complete(true)
		return nil
	}
	r.Complete(false)
	return gonet.NewTCPConn(&queue, end)
}

// halves are connections that can be closed for writing alone.
type halves interface {
	net.Conn
	CloseWrite() error
}

var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// relay passes on both ways until both are at their end, or one has failed.
func relay(a *gonet.TCPConn, b net.Conn) {
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		piece := pieces.Get().(*[32 << 10]byte)
		defer pieces.Put(piece)
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, piece[:])
		if half, ok := to.(halves); ok && err == nil {
			_ = half.CloseWrite() // it fails where the whole is closed
			return
		}
		end(a)
		end(b)
	}
	both.Go(func() { pass(b, a) })
	pass(a, b)
	both.Wait()
}

// end closes a connection, and wakes who reads from it: in a stack in user space the one does not do the other.
func end(c net.Conn) {
	_ = c.SetDeadline(time.Unix(1, 0)) // it fails where the connection is closed
	c.Close()
}

// acceptUDP serves what follows a first datagram from one port to another. False has the stack answer that nobody listens.
func (l *link) acceptUDP(r *udp.ForwarderRequest) bool {
	to := destination(r.ID())
	if l.forNames(to) {
		return l.acceptQuestions(r)
	}
	leave, ok := l.admit("UDP", to)
	if !ok {
		return false
	}
	var queue waiter.Queue
	end, terr := r.CreateEndpoint(&queue)
	if terr != nil {
		leave()
		return false
	}
	conn := gonet.NewUDPConn(&queue, end)
	go func() { // leave tells Close of its end
		defer leave()
		defer conn.Close()
		beyond, err := l.dial("udp", to)
		if err != nil {
			return
		}
		defer beyond.Close()
		defer l.closeWith(conn, beyond)()
		exchange(conn, beyond)
	}()
	return true
}

// exchange passes datagrams on both ways until none has come for a while.
func exchange(a, b net.Conn) {
	var both sync.WaitGroup
	var mu sync.Mutex
	last := time.Now()
	touch := func() { mu.Lock(); last = time.Now(); mu.Unlock() }
	quiet := func() bool { mu.Lock(); defer mu.Unlock(); return time.Since(last) >= udpIdle }
	pass := func(to, from net.Conn) {
		defer end(a)
		defer end(b)
		packet := packets.Get().(*[maxPacket]byte)
		defer packets.Put(packet)
		for {
			_ = from.SetReadDeadline(time.Now().Add(udpIdle))
			n, err := from.Read(packet[:])
			if err != nil {
				if late, ok := err.(net.Error); ok && late.Timeout() && !quiet() {
					continue
				}
				return
			}
			touch()
			_, _ = to.Write(packet[:n]) // a datagram may be lost
		}
	}
	both.Go(func() { pass(b, a) })
	pass(a, b)
	both.Wait()
}
