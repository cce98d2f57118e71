package sandbox

import "net/netip"

// NetworkAddresses are those that a sandbox with a network device has: of ranges that are used nowhere else.
func NetworkAddresses() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("198.18.0.2/30"), netip.MustParsePrefix("fd00:6861:6e73::2/64")}
}

// Resolvers are where every sandbox asks for the addresses of names: whoever is behind its device has to answer there. Without a
// device nobody does.
func Resolvers() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("fd00:6861:6e73::1")}
}

// ResolverFile is the /etc/resolv.conf of sandboxes. It names one address, so that what has no device fails at once and once.
const ResolverFile = "nameserver 198.18.0.1\noptions timeout:3 attempts:2\n"
