// Package egress is the way out of functions to the network. The packets of a sandbox's network device end here, in a network
// stack in user space, one for each instance; what they ask for is dialled by this process, after the policy of the function and
// the rules of this server have been asked.
//
// It must not know how the device came to be, what a function is, nor who may choose a policy.
package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Resolver finds the addresses and records of names.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Config says how to make a Network. Zero values mean the defaults named.
type Config struct {
	// DNS are the addresses at which sandboxes ask for names.
	DNS []netip.Addr
	// Private are reserved networks, and addresses of this host, that a rule of a function may list.
	Private []netip.Prefix

	MaxConnections int      // of one instance, TCP and UDP together; 128
	MaxAll         int      // of all instances; 8192
	BytesPerSecond int      // of one instance, each way; 32 MiB
	Resolver       Resolver // that of this host
	// Dial connects to an address that has been permitted; a net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Metrics *metrics.Set
}

// The times that things may take.
const (
	dialTime   = 10 * time.Second
	lookupTime = 5 * time.Second
	udpIdle    = time.Minute // after which an exchange of datagrams is forgotten
	ownFresh   = 2 * time.Second
	nameFresh  = time.Hour // how long an address counts as that of the name it was told for
)

// maxNames bounds the addresses that are remembered for the names of one instance; of more the oldest go.
const maxNames = 1024

// Network connects devices of sandboxes. Make one with New; Close ends all that is connected.
type Network struct {
	cfg             Config
	all             chan struct{} // places for connections
	opened, refused metrics.Counter
	lax             map[string]bool // rules left out, by tests only

	mu     sync.Mutex
	own    []netip.Addr
	ownAt  time.Time
	links  map[*link]struct{}
	closed bool
}

// New makes a Network.
func New(cfg Config) *Network {
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 128
	}
	if cfg.MaxAll == 0 {
		cfg.MaxAll = 8192
	}
	if cfg.BytesPerSecond == 0 {
		cfg.BytesPerSecond = 32 << 20
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTime}).DialContext
	}
	n := &Network{
		cfg: cfg, all: make(chan struct{}, cfg.MaxAll), links: map[*link]struct{}{},
		opened: cfg.Metrics.Counter(`hanshu_egress_connections_total{outcome="opened"}`), refused: cfg.Metrics.Counter(`hanshu_egress_connections_total{outcome="refused"}`),
	}
	cfg.Metrics.Gauge("hanshu_egress_connections", func() float64 { return float64(len(n.all)) })
	return n
}

// Connect serves the network device of a sandbox, a non-blocking TUN of bare IP packets, under a policy, until what it gives is closed, which waits until every
// connection has ended; the file is its own from then on. tell gets a line for people for what was refused, some in a second at most, from any goroutine.
func (n *Network) Connect(device *os.File, policy faas.Egress, tell func(line string)) (io.Closer, error) {
	l, err := newLink(n, device, policy, tell)
	if err != nil {
		device.Close()
		return nil, fmt.Errorf("connect sandbox: %w", err)
	}
	n.mu.Lock()
	closed := n.closed
	if !closed {
		n.links[l] = struct{}{}
	}
	n.mu.Unlock()
	if closed {
		device.Close()
		return nil, errors.New("connect sandbox: the network is closed")
	}
	l.work.Go(l.read)
	return l, nil
}

// Close ends all connections.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	links := make([]*link, 0, len(n.links))
	for l := range n.links {
		links = append(links, l)
	}
	n.mu.Unlock()
	for _, l := range links {
		l.Close()
	}
	return nil
}

func (n *Network) forget(l *link) {
	n.mu.Lock()
	delete(n.links, l)
	n.mu.Unlock()
}

// Rules that tests leave out one at a time.
const (
	ruleReserved = "reserved addresses"
	ruleOwn      = "addresses of this host"
	ruleListed   = "list of the function"
	ruleNames    = "names of the function"
	ruleAnswers  = "reserved addresses in answers"
)

// check tells why a policy does not permit a port of an address that is known for names; nil where it does.
func (n *Network) check(policy faas.Egress, to netip.AddrPort, names []string) error {
	addr := to.Addr().Unmap().WithZone("")
	listed := policy.Lists(addr, to.Port(), names)
	kind := n.kind(addr)
	switch {
	case kind != "" && !n.private(addr):
		return fmt.Errorf("%s is %s; the operator can permit it with --egress-private", addr, kind)
	case kind != "" && !listed:
		return fmt.Errorf("%s is %s, which the function's egress must list", addr, kind)
	case !policy.Open && !listed && !n.lax[ruleListed]:
		return fmt.Errorf("the function's egress does not list it")
	}
	return nil
}

// kind tells what an address is that is not simply one of the public internet.
func (n *Network) kind(addr netip.Addr) string {
	switch {
	case faas.ReservedAddress(addr) && !n.lax[ruleReserved]:
		return "a private, local or reserved address"
	case !n.lax[ruleOwn] && n.isOwn(addr):
		return "an address of this host"
	}
	return ""
}

func (n *Network) private(addr netip.Addr) bool {
	return slices.ContainsFunc(n.cfg.Private, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// isOwn tells whether an address is one of this host, which may get and lose some while it runs.
func (n *Network) isOwn(addr netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.ownAt) > ownFresh {
		if found, err := net.InterfaceAddrs(); err == nil { // otherwise what was known still holds
			n.own, n.ownAt = nil, now
			for _, a := range found {
				if p, err := netip.ParsePrefix(a.String()); err == nil {
					n.own = append(n.own, p.Addr().Unmap().WithZone(""))
				}
			}
		}
	}
	return slices.Contains(n.own, addr)
}
