package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	// maxPacket is the largest packet of a device, whatever its MTU.
	maxPacket = 64 << 10
	// queued packets on their way into a sandbox; beyond that they are dropped, as on any wire.
	queued = 256
	// tcpBuffer bounds what waits in either direction of a TCP connection, in bytes.
	tcpBuffer = 128 << 10
	// linesASecond bounds what is told of refusals.
	linesASecond = 5
	nic          = 1
)

// link serves one device. Its stack is made when the first packet comes that is for somebody: a function that may reach the
// network and does not costs a goroutine that waits.
type link struct {
	net    *Network
	device *os.File
	raw    syscall.RawConn
	policy faas.Egress
	tell   func(string)
	places chan struct{} // for connections
	asking chan struct{} // for questions about names
	in     *rate.Limiter // towards the sandbox
	out    *rate.Limiter
	lines  *rate.Limiter
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	stack *stack.Stack // nil before the first packet; of the goroutine that reads
	wire  *channel.Endpoint

	mu     sync.Mutex
	names  map[netip.Addr][]known
	count  int // in names
	closed bool
	deaf   chan struct{} // closed when nothing is read any more
	done   chan struct{}
}

// known is a name that an address was told for.
type known struct {
	name string
	at   time.Time
}

func newLink(n *Network, device *os.File, policy faas.Egress, tell func(string)) (*link, error) {
	raw, err := device.SyscallConn()
	if err != nil {
		return nil, err
	}
	perSecond := rate.Limit(n.cfg.BytesPerSecond)
	burst := max(n.cfg.BytesPerSecond/16, 2*maxPacket)
	l := &link{
		net: n, device: device, raw: raw, policy: policy, tell: tell, done: make(chan struct{}), deaf: make(chan struct{}),
		places: make(chan struct{}, n.cfg.MaxConnections), asking: make(chan struct{}, 32),
		in: rate.NewLimiter(perSecond, burst), out: rate.NewLimiter(perSecond, burst), lines: rate.NewLimiter(linesASecond, linesASecond),
		names: map[netip.Addr][]known{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// Close ends every connection and lets go of the device.
func (l *link) Close() error {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	if already {
		<-l.done
		return nil
	}
	l.cancel()
	l.device.Close()
	<-l.deaf
	if l.stack != nil {
		l.stack.Close() // what is still being opened ends too
	}
	l.work.Wait()
	if l.stack != nil {
		l.stack.Wait()
	}
	l.net.forget(l)
	close(l.done)
	return nil
}

// enter counts a goroutine of the link; false when it is closing.
func (l *link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Add(1)
	return true
}

var packets = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// read takes what the sandbox sends until its device has gone. A buffer is held only while there is something to read.
func (l *link) read() {
	defer close(l.deaf)
	var failed error
	for failed == nil && l.ctx.Err() == nil {
		var size int
		var packet *[maxPacket]byte
		err := l.raw.Read(func(fd uintptr) bool {
			if packet == nil {
				packet = packets.Get().(*[maxPacket]byte)
			}
			size, failed = syscall.Read(int(fd), packet[:])
			for errors.Is(failed, syscall.EINTR) {
				size, failed = syscall.Read(int(fd), packet[:])
			}
			if !errors.Is(failed, syscall.EAGAIN) {
				return true
			}
			packets.Put(packet)
			packet, failed = nil, nil
			return false
		})
		if err != nil {
			return
		}
		if failed == nil && l.out.WaitN(l.ctx, size) == nil {
			failed = l.deliver(packet[:size])
		}
		packets.Put(packet)
	}
}

// deliver hands a packet to the stack, but for those that a kernel sends by itself to nobody in particular.
func (l *link) deliver(packet []byte) error {
	var protocol tcpip.NetworkProtocolNumber
	switch header.IPVersion(packet) {
	case header.IPv4Version:
		if len(packet) < header.IPv4MinimumSize || ignored4(header.IPv4(packet).DestinationAddress().As4()[0]) {
			return nil
		}
		protocol = ipv4.ProtocolNumber
	case header.IPv6Version:
		if len(packet) < header.IPv6MinimumSize || ignored6(header.IPv6(packet).DestinationAddress()) {
			return nil
		}
		protocol = ipv6.ProtocolNumber
	default:
		return nil
	}
	if l.stack == nil {
		if err := l.build(); err != nil {
			l.tell("egress: the network of this instance could not be made: " + err.Error())
			return err
		}
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	l.wire.InjectInbound(protocol, p)
	p.DecRef()
	return nil
}

// ignored4 tells of packets to many, and of those that no kernel sends out.
func ignored4(first byte) bool { return first >= 224 || first == 127 }

func ignored6(to tcpip.Address) bool {
	return to.As16()[0] == 0xff || to == header.IPv6Loopback
}

// build makes the stack. It takes every address for its own: whoever a packet is for, it ends here.
func (l *link) build() error {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	l.wire = channel.New(queued, maxPacket-1, "")
	if err := setUp(s, l.wire); err != nil {
		s.Destroy()
		return err
	}
	for _, addr := range l.net.cfg.DNS {
		protocol := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(addr.AsSlice()).WithPrefix()}
		if addr.Is6() {
			protocol.Protocol = ipv6.ProtocolNumber
		}
		if err := s.AddProtocolAddress(nic, protocol, stack.AddressProperties{}); err != nil {
			s.Destroy()
			return fmt.Errorf("take %s: %s", addr, err)
		}
	}
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, l.net.cfg.MaxConnections, l.acceptTCP).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, l.acceptUDP).HandlePacket)
	l.stack = s
	l.work.Go(l.write)
	return nil
}

func setUp(s *stack.Stack, wire *channel.Endpoint) error {
	if err := s.CreateNIC(nic, wire); err != nil {
		return fmt.Errorf("make device: %s", err)
	}
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("listen to all: %s", err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("answer for all: %s", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: tcpBuffer, Max: tcpBuffer}
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &send); err != nil {
		return fmt.Errorf("bound buffers: %s", err)
	}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: tcpBuffer, Max: tcpBuffer}
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &receive); err != nil {
		return fmt.Errorf("bound buffers: %s", err)
	}
	sack := tcpip.TCPSACKEnabled(true)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return fmt.Errorf("acknowledge in parts: %s", err)
	}
	return nil
}

// write sends what the stack has for the sandbox.
func (l *link) write() {
	for {
		p := l.wire.ReadContext(l.ctx)
		if p == nil {
			return
		}
		view := p.ToView()
		p.DecRef()
		if l.in.WaitN(l.ctx, view.Size()) == nil {
			_, _ = l.device.Write(view.AsSlice()) // a packet that is lost is sent again by who cares
		}
		view.Release()
	}
}

// refuse tells of what was not permitted.
func (l *link) refuse(what string, why error) {
	l.net.refused.Inc()
	if l.lines.Allow() {
		l.tell(fmt.Sprintf("egress: %s was refused: %s", what, why))
	}
}

// remember notes that addresses were told for a name.
func (l *link) remember(name string, addrs []netip.Addr) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range addrs {
		a = a.Unmap()
		l.drop(a, name)
		l.names[a] = append(l.names[a], known{name, now})
		l.count++
	}
	for l.count > maxNames {
		var oldest netip.Addr
		for a, of := range l.names {
			if !oldest.IsValid() || of[0].at.Before(l.names[oldest][0].at) {
				oldest = a
			}
		}
		l.drop(oldest, l.names[oldest][0].name)
	}
}

// drop forgets a name of an address. l.mu is held.
func (l *link) drop(a netip.Addr, name string) {
	for i, k := range l.names[a] {
		if k.name == name {
			l.names[a] = append(l.names[a][:i], l.names[a][i+1:]...)
			l.count--
			break
		}
	}
	if len(l.names[a]) == 0 {
		delete(l.names, a)
	}
}

// namesOf lists the names that an address was told for of late.
func (l *link) namesOf(a netip.Addr) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, k := range l.names[a.Unmap()] {
		if time.Since(k.at) < nameFresh {
			all = append(all, k.name)
		}
	}
	return all
}

// admit holds a connection to the policy and takes a place for it, until the function that it gives is called.
func (l *link) admit(network string, to netip.AddrPort) (leave func(), ok bool) {
	if err := l.net.check(l.policy, to, l.namesOf(to.Addr())); err != nil {
		l.refuse(fmt.Sprintf("%s to %s", network, to), err)
		return nil, false
	}
	select {
	case l.places <- struct{}{}:
	default:
		l.refuse(fmt.Sprintf("%s to %s", network, to), fmt.Errorf("this instance has %d connections already", l.net.cfg.MaxConnections))
		return nil, false
	}
	select {
	case l.net.all <- struct{}{}:
	default:
		<-l.places
		l.refuse(fmt.Sprintf("%s to %s", network, to), fmt.Errorf("this server has %d connections of functions already", l.net.cfg.MaxAll))
		return nil, false
	}
	if !l.enter() {
		<-l.places
		<-l.net.all
		return nil, false
	}
	return func() {
		<-l.places
		<-l.net.all
		l.work.Done()
	}, true
}

// dial connects to an address that was admitted. It is the address itself, so nothing can change its meaning any more.
func (l *link) dial(network string, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, dialTime)
	defer cancel()
	conn, err := l.net.cfg.Dial(ctx, network, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()).String())
	if err == nil {
		l.net.opened.Inc()
	}
	return conn, err
}

// destination is whom a request of the sandbox is for.
func destination(id stack.TransportEndpointID) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(addr, id.LocalPort)
}

// closeWith closes connections when the link ends, until the function that it gives is called.
func (l *link) closeWith(all ...net.Conn) (stop func() bool) {
	return context.AfterFunc(l.ctx, func() {
		for _, c := range all {
			end(c)
		}
	})
}
