package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// errGuarded is why the guard let no connection out. Its text names no address, so that a caller cannot learn what a name
// means inside this network.
var errGuarded = errors.New("the address is private, local or reserved, and not allowed by this server's configuration")

// guard decides which addresses may be dialled. It looks at the address of the connection itself, after the name has been
// resolved, so a name that changes its meaning between a check and its use gains nothing.
type guard struct {
	allowed []netip.Prefix
	hosts   map[string]bool // names allowed whatever they resolve to
	open    net.Dialer
	closed  net.Dialer
}

func newGuard(allow []string) (*guard, error) {
	g := &guard{hosts: map[string]bool{}}
	for _, entry := range allow {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if p, err := netip.ParsePrefix(entry); err == nil {
			g.allowed = append(g.allowed, p)
		} else if a, err := netip.ParseAddr(entry); err == nil {
			a = a.Unmap()
			g.allowed = append(g.allowed, netip.PrefixFrom(a, a.BitLen()))
		} else if entry == "" || strings.ContainsAny(entry, "/: ") {
			return nil, fmt.Errorf("fetch: %q is neither a network, an address nor a host name", entry)
		} else {
			g.hosts[entry] = true
		}
	}
	g.open = net.Dialer{Timeout: 10 * time.Second}
	g.closed = net.Dialer{Timeout: 10 * time.Second, Control: g.control}
	return g, nil
}

// dial connects to a host. It stands behind the HTTP transport, so each redirect passes here too.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] {
		return g.open.DialContext(ctx, network, address)
	}
	return g.closed.DialContext(ctx, network, address)
}

// control runs between resolving a name and connecting, once for each address tried.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errGuarded
	}
	if !g.permits(at.Addr()) {
		return errGuarded
	}
	return nil
}

// Dial connects to an address that the guard permits; its errors for others pass IsGuarded. It is for other clients that must
// not reach into this network.
func (f *Fetcher) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return f.guard.dial(ctx, network, address)
}

// IsGuarded tells an error of Dial that means the address may not be reached.
func IsGuarded(err error) bool { return errors.Is(err, errGuarded) }

// permits tells whether an address may be dialled.
func (g *guard) permits(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range g.allowed {
		if p.Contains(addr) {
			return true
		}
	}
	return !faas.ReservedAddress(addr)
}
