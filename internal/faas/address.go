package faas

import (
	"net/netip"
	"sync"
)

// reservedPrefixes are the networks that are not the public internet: loopback, private, link-local (with the metadata
// service), shared (with another cloud's metadata service), documentation, benchmark, multicast and reserved ones, and
// the IPv6 forms that carry an IPv4 address inside.
var reservedPrefixes = sync.OnceValue(func() []netip.Prefix {
	texts := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7",
		"fe80::/10", "fec0::/10", "ff00::/8",
	}
	prefixes := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		prefixes[i] = netip.MustParsePrefix(t)
	}
	return prefixes
})

// ReservedAddress tells whether an address is not one of the public internet: where a server that dials for others must not be
// led. An IPv4 address in the form of IPv6 counts as what it is.
func ReservedAddress(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range reservedPrefixes() {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
