package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

var resolver = netip.MustParseAddr("198.18.0.1")

// world is what lies beyond: one server at every address, which tells who was dialled, and names.
type world struct {
	tcp, udp string
	names    map[string][]string

	mu     sync.Mutex
	asked  []string
	dialed []string
}

func newWorld(t *testing.T) *world {
	w := &world{names: map[string][]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				n, _ := io.Copy(c, c)
				fmt.Fprintf(c, "|%d", n)
			}()
		}
	}()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { u.Close() })
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], from)
		}
	}()
	w.tcp, w.udp = l.Addr().String(), u.LocalAddr().String()
	return w
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, network+" "+address)
	w.mu.Unlock()
	if strings.HasSuffix(address, ":81") {
		return nil, syscall.ECONNREFUSED
	}
	to := w.tcp
	if network == "udp" {
		to = w.udp
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

func (w *world) reached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, host)
	found, ok := w.names[strings.TrimSuffix(host, ".")]
	if !ok {
		return nil, &net.DNSError{IsNotFound: true, Name: host}
	}
	var all []netip.Addr
	for _, a := range found {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func (w *world) LookupTXT(context.Context, string) ([]string, error) {
	return []string{strings.Repeat("x", 2000)}, nil
}
func (w *world) LookupMX(context.Context, string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx.example.", Pref: 7}}, nil
}
func (w *world) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", []*net.SRV{{Target: "srv.example.", Port: 99}}, nil
}

// guest is the inside of a sandbox: a network stack at the other end of a device.
type guest struct {
	*stack.Stack
	mu   sync.Mutex
	told []string
}

func (g *guest) tell(line string) { g.mu.Lock(); g.told = append(g.told, line); g.mu.Unlock() }

func (g *guest) said() string { g.mu.Lock(); defer g.mu.Unlock(); return strings.Join(g.told, "\n") }

// network makes a Network over a world.
func (w *world) network(t *testing.T, cfg Config) *Network {
	cfg.DNS, cfg.Resolver, cfg.Dial, cfg.Metrics = []netip.Addr{resolver}, w, w.dial, metrics.NewSet()
	n := New(cfg)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// connect gives a guest that n serves under a policy.
func connect(t *testing.T, n *Network, policy string) (*guest, io.Closer) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	for _, fd := range pair {
		require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<20))
	}
	outer, inner := os.NewFile(uintptr(pair[0]), "device"), os.NewFile(uintptr(pair[1]), "guest")
	e, err := faas.ParseEgress(policy)
	require.NoError(t, err)
	g := &guest{Stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})}
	wire := channel.New(1024, 32<<10, "")
	require.Nil(t, g.CreateNIC(1, wire))
	for _, a := range []string{"198.18.0.2", "fd00::2"} {
		addr := netip.MustParseAddr(a)
		p := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(addr.AsSlice()).WithPrefix()}
		if addr.Is6() {
			p.Protocol = ipv6.ProtocolNumber
		}
		require.Nil(t, g.AddProtocolAddress(1, p, stack.AddressProperties{}))
	}
	g.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}, {Destination: header.IPv6EmptySubnet, NIC: 1}})
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for p := wire.ReadContext(ctx); p != nil; p = wire.ReadContext(ctx) {
			v := p.ToView()
			_, _ = inner.Write(v.AsSlice())
			p.DecRef()
		}
	})
	work.Go(func() {
		b := make([]byte, 64<<10)
		for {
			size, err := inner.Read(b)
			if err != nil || size == 0 {
				return
			}
			protocol := ipv4.ProtocolNumber
			if header.IPVersion(b) == 6 {
				protocol = ipv6.ProtocolNumber
			}
			p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b[:size])})
			wire.InjectInbound(protocol, p)
			p.DecRef()
		}
	})
	c, err := n.Connect(outer, e, g.tell)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		cancel()
		inner.Close()
		work.Wait()
		g.Destroy()
	})
	return g, c
}

func (g *guest) address(to string) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	at := netip.MustParseAddrPort(to)
	protocol := ipv4.ProtocolNumber
	if at.Addr().Is6() {
		protocol = ipv6.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFromSlice(at.Addr().AsSlice()), Port: at.Port()}, protocol
}

// fetch sends a text to a server that sends it back.
func (g *guest) fetch(to, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	at, protocol := g.address(to)
	c, err := gonet.DialContextTCP(ctx, g.Stack, at, protocol)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = c.Write([]byte(text)); _ = c.CloseWrite() }()
	all, err := io.ReadAll(c)
	return string(all), err
}

// datagram sends one and gives what comes back.
func (g *guest) datagram(to string, data []byte) ([]byte, error) {
	at, protocol := g.address(to)
	c, err := gonet.DialUDP(g.Stack, nil, &at, protocol)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(data); err != nil {
		return nil, err
	}
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	return b[:n], err
}

func question(name string, kind dnsmessage.Type) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// look asks for a name and gives the code and what was answered.
func (g *guest) look(t *testing.T, name string, kind dnsmessage.Type) (dnsmessage.RCode, []string) {
	t.Helper()
	b, err := g.datagram(resolver.String()+":53", question(name, kind))
	require.NoError(t, err)
	return parse(t, b)
}

func parse(t *testing.T, b []byte) (dnsmessage.RCode, []string) {
	var m dnsmessage.Message
	require.NoError(t, m.Unpack(b))
	require.Equal(t, uint16(7), m.ID)
	var all []string
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			all = append(all, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			all = append(all, netip.AddrFrom16(body.AAAA).String())
		default:
			all = append(all, body.GoString())
		}
	}
	if m.Truncated {
		all = append(all, "truncated")
	}
	return m.RCode, all
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := ownAddress(t)
	n := w.network(t, Config{Private: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	for policy, want := range map[string]map[string]bool{
		"open": {
			"8.8.8.8:80": true, "[2606:4700::1]:443": true,
			"10.0.0.1:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false, "100.100.100.200:80": false, "198.18.0.9:80": false,
			"10.9.0.1:80": false, // permitted by the operator, but not listed
			"0.0.0.1:80":  false, "[fd00:ec2::254]:80": false, "[fe80::1]:80": false, "[64:ff9b::a00:1]:80": false, "[2002:a00:1::]:80": false,
			own + ":8080": false,
		},
		"8.8.0.0/16:443,10.0.0.0/8": {
			"8.8.8.8:443": true, "8.8.8.8:80": false, "9.9.9.9:443": false, "10.9.3.4:5432": true, "10.8.0.1:5432": false,
		},
		"open,10.9.0.0/24": {"8.8.8.8:80": true, "10.9.0.1:80": true, "10.9.1.1:80": false},
		"0.0.0.0/0,::/0":   {"8.8.8.8:80": true, "10.0.0.1:80": false, "169.254.169.254:80": false, own + ":80": false},
	} {
		g, _ := connect(t, n, policy)
		for to, ok := range want {
			text, err := g.fetch(to, "hello")
			require.Equal(t, ok, err == nil, "%s to %s: %v %s", policy, to, err, g.said())
			if ok {
				require.Equal(t, "hello|5", text)
			} else {
				require.ErrorContains(t, err, "refused")
			}
		}
		require.Contains(t, g.said()+"egress: ", "egress: ")
	}
	for _, to := range w.reached() {
		require.NotContains(t, to, "169.254")
	}
}

// ownAddress is an address of this host that is not loopback, where it has one.
func ownAddress(t *testing.T) string {
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return "127.0.0.1"
}

// TestOwnAddressesAreFoundAmongPublicOnes: a host's public address is as much its own as any other.
func TestOwnAddressesAreFoundAmongPublicOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.network(t, Config{})
	n.lax = map[string]bool{ruleReserved: true} // as if the address of this machine were a public one
	require.ErrorContains(t, n.check(faas.Egress{Open: true}, netip.MustParseAddrPort(ownAddress(t)+":22"), nil), "an address of this host")
	require.ErrorContains(t, n.check(faas.Egress{Open: true}, netip.MustParseAddrPort("[::ffff:"+ownAddress(t)+"]:22"), nil), "an address of this host")
}

func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.names = map[string][]string{
		"api.example.com": {"8.8.4.4", "2606:4700::2"}, "evil.example.com": {"169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1"}, "mixed.example.com": {"10.0.0.1", "9.9.9.9"},
		"db.internal": {"10.9.0.7"}, "other.org": {"7.7.7.7"},
	}
	n := w.network(t, Config{Private: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	g, _ := connect(t, n, "*.example.com:80,db.internal:5432")
	_, err := g.fetch("8.8.4.4:80", "x")
	require.Error(t, err, "nobody has asked for the name yet")
	code, all := g.look(t, "API.example.com", dnsmessage.TypeA)
	require.Equal(t, dnsmessage.RCodeSuccess, code)
	require.Equal(t, []string{"8.8.4.4"}, all)
	_, err = g.fetch("8.8.4.4:80", "x")
	require.NoError(t, err)
	_, err = g.fetch("8.8.4.4:443", "x")
	require.Error(t, err, "another port")
	code, all = g.look(t, "api.example.com", dnsmessage.TypeAAAA)
	require.Equal(t, dnsmessage.RCodeSuccess, code)
	require.Equal(t, []string{"2606:4700::2"}, all)
	_, err = g.fetch("[2606:4700::2]:80", "x")
	require.NoError(t, err)

	code, all = g.look(t, "evil.example.com", dnsmessage.TypeA)
	require.Equal(t, dnsmessage.RCodeSuccess, code)
	require.Empty(t, all, "a name that means something inside is told as one without addresses")
	require.Contains(t, g.said(), "evil.example.com was refused")
	_, all = g.look(t, "mixed.example.com", dnsmessage.TypeA)
	require.Equal(t, []string{"9.9.9.9"}, all)
	_, all = g.look(t, "db.internal", dnsmessage.TypeA)
	require.Equal(t, []string{"10.9.0.7"}, all)
	_, err = g.fetch("10.9.0.7:5432", "x")
	require.NoError(t, err)

	code, _ = g.look(t, "missing.example.com", dnsmessage.TypeA)
	require.Equal(t, dnsmessage.RCodeNameError, code)
	w.mu.Lock()
	w.asked = nil
	w.mu.Unlock()
	for _, name := range []string{"other.org", "secret.other.org", "example.com"} {
		code, _ = g.look(t, name, dnsmessage.TypeA)
		require.Equal(t, dnsmessage.RCodeRefused, code)
	}
	require.Empty(t, w.asked, "a question carries something out: it is not passed on")

	// What the name means may change: the address that is dialled is one that was told and held to the rules then.
	w.mu.Lock()
	w.names["api.example.com"] = []string{"127.0.0.1"}
	w.mu.Unlock()
	_, all = g.look(t, "api.example.com", dnsmessage.TypeA)
	require.Empty(t, all)
	require.Error(t, n.check(faas.Egress{Open: true}, netip.MustParseAddrPort("127.0.0.1:80"), []string{"api.example.com"}))
}

func TestOtherRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, _ := connect(t, w.network(t, Config{}), "open")
	_, all := g.look(t, "x.example", dnsmessage.TypeMX)
	require.Len(t, all, 1)
	require.Contains(t, all[0], "mx.example.")
	_, all = g.look(t, "_mongodb._tcp.x.example", dnsmessage.TypeSRV)
	require.Contains(t, all[0], "srv.example.")
	_, all = g.look(t, "x.example", dnsmessage.TypeTXT)
	require.Equal(t, []string{"truncated"}, all)
	code, _ := g.look(t, "x.example", dnsmessage.TypePTR)
	require.Equal(t, dnsmessage.RCodeNotImplemented, code)
	q := question("x.example", dnsmessage.TypeTXT)
	text, err := g.fetch(resolver.String()+":53", string([]byte{0, byte(len(q))})+string(q))
	require.NoError(t, err)
	_, all = parse(t, []byte(text[2:]))
	require.Len(t, all, 1)
	require.Contains(t, all[0], strings.Repeat("x", 200))
	_, err = g.datagram(resolver.String()+":53", []byte("nonsense"))
	require.Error(t, err)
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, _ := connect(t, w.network(t, Config{}), "open")
	b, err := g.datagram("8.8.8.8:123", []byte("tick"))
	require.NoError(t, err)
	require.Equal(t, "tick", string(b))
	b, err = g.datagram("[2606:4700::2]:123", []byte("tock"))
	require.NoError(t, err)
	require.Equal(t, "tock", string(b))
	_, err = g.datagram("169.254.169.254:123", []byte("tick"))
	require.Error(t, err)
	require.Contains(t, g.said(), "UDP to 169.254.169.254:123 was refused")
	require.Len(t, w.reached(), 2)
}

func TestMuchDataAndHalves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, _ := connect(t, w.network(t, Config{BytesPerSecond: 1 << 30}), "open")
	text := strings.Repeat("0123456789abcdef", 1<<19)
	got, err := g.fetch("8.8.8.8:80", text)
	require.NoError(t, err)
	require.True(t, got == text+fmt.Sprintf("|%d", len(text)), "%d bytes of %d", len(got), len(text))
	_, err = g.fetch("8.8.8.8:81", "x")
	require.ErrorContains(t, err, "refused", "a server that is not there")
}

// TestLimits: places for connections, and bytes in a second.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.network(t, Config{MaxConnections: 3, MaxAll: 4, BytesPerSecond: 1 << 20})
	g, c := connect(t, n, "open")
	other, _ := connect(t, n, "open")
	hold := func(g *guest) error {
		at, protocol := g.address("8.8.8.8:80")
		conn, err := gonet.DialTCP(g.Stack, at, protocol)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return err
	}
	for range 3 {
		require.NoError(t, hold(g))
	}
	require.Error(t, hold(g))
	require.Contains(t, g.said(), "this instance has 3 connections already")
	require.NoError(t, hold(other))
	require.Error(t, hold(other))
	require.Contains(t, other.said(), "this server has 4 connections")
	require.NoError(t, c.Close())
	require.NoError(t, hold(other), "a connection that has ended gives its place back")

	fourth, _ := connect(t, w.network(t, Config{BytesPerSecond: 1 << 20}), "open")
	begun := time.Now()
	text := strings.Repeat("x", 400<<10)
	got, err := fourth.fetch("8.8.8.8:80", text)
	require.NoError(t, err)
	require.Len(t, got, len(text)+len("|409600"))
	require.Greater(t, time.Since(begun), 200*time.Millisecond, "400 KiB at 1 MiB a second, but for the first 128 KiB")
}

// TestGuestsDoNotMeet: each has a stack of its own.
func TestGuestsDoNotMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.network(t, Config{})
	a, _ := connect(t, n, "open")
	b, _ := connect(t, n, "open")
	l, err := gonet.ListenTCP(b.Stack, tcpip.FullAddress{NIC: 1, Port: 9000}, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer l.Close()
	_, err = a.fetch("198.18.0.3:9000", "x")
	require.Error(t, err)
	require.Empty(t, w.reached())
}

// TestClose ends what is connected, and the goroutines with it.
func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.network(t, Config{})
	g, _ := connect(t, n, "open")
	at, protocol := g.address("8.8.8.8:80")
	conn, err := gonet.DialTCP(g.Stack, at, protocol)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, n.Close())
	require.Empty(t, n.all)
	_, err = n.Connect(os.NewFile(uintptr(must(syscall.Dup(0))), "x"), faas.Egress{}, func(string) {})
	require.Error(t, err)
}

func must(fd int, err error) int {
	if err != nil {
		panic(err)
	}
	return fd
}

// TestGarbage: what is no packet harms nobody.
func TestGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.network(t, Config{})
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	inner := os.NewFile(uintptr(pair[1]), "guest")
	c, err := n.Connect(os.NewFile(uintptr(pair[0]), "device"), faas.Egress{Open: true}, func(string) {})
	require.NoError(t, err)
	for _, p := range [][]byte{{0}, {0x45}, make([]byte, 40), {0x60, 0, 0}, append([]byte{0x45, 0, 0xff, 0xff}, make([]byte, 60)...), append([]byte{0x4f}, make([]byte, 20)...), append([]byte{0x60}, make([]byte, 60)...)} {
		_, err := inner.Write(p)
		require.NoError(t, err)
	}
	inner.Close()
	require.NoError(t, c.Close())
}

// TestRules leaves out each rule, and what it keeps out gets through.
func TestRules(t *testing.T) {
	t.Parallel()
	for rule, m := range map[string]struct {
		policy string
		beside []string
		evil   func(t *testing.T, g *guest) bool
	}{
		ruleReserved: {policy: "open", evil: func(_ *testing.T, g *guest) bool { _, err := g.fetch("169.254.169.254:80", "x"); return err == nil }},
		ruleOwn: {policy: "open", beside: []string{ruleReserved}, evil: func(t *testing.T, g *guest) bool {
			_, err := g.fetch(ownAddress(t)+":80", "x")
			return err == nil
		}},
		ruleListed: {policy: "9.9.9.9", evil: func(_ *testing.T, g *guest) bool { _, err := g.fetch("8.8.8.8:80", "x"); return err == nil }},
		ruleNames: {policy: "other.org", evil: func(t *testing.T, g *guest) bool {
			code, _ := g.look(t, "secret.evil.org", dnsmessage.TypeA)
			return code != dnsmessage.RCodeRefused
		}},
		ruleAnswers: {policy: "open", evil: func(t *testing.T, g *guest) bool {
			_, all := g.look(t, "inside.org", dnsmessage.TypeA)
			return len(all) > 0
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for _, left := range []bool{false, true} {
				w := newWorld(t)
				w.names = map[string][]string{"inside.org": {"10.0.0.1"}}
				n := w.network(t, Config{})
				n.lax = map[string]bool{rule: left}
				for _, b := range m.beside {
					n.lax[b] = true
				}
				g, _ := connect(t, n, m.policy)
				require.Equal(t, left, m.evil(t, g))
			}
		})
	}
}

// TestNamesAreBounded keeps the newest.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	l := &link{names: map[netip.Addr][]known{}}
	for i := range maxNames + 10 {
		l.remember("x", []netip.Addr{netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)})})
	}
	require.Equal(t, maxNames, l.count)
	require.Empty(t, l.namesOf(netip.MustParseAddr("1.2.0.0")))
	last := netip.AddrFrom4([4]byte{1, 2, byte((maxNames + 9) >> 8), byte((maxNames + 9) & 255)})
	require.Equal(t, []string{"x"}, l.namesOf(last))
	l.remember("y", []netip.Addr{last})
	l.remember("x", []netip.Addr{last})
	require.ElementsMatch(t, []string{"x", "y"}, l.namesOf(last))
}
