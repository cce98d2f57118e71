package faas

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The egress policies that are a word. Any other is a list.
const (
	EgressNone = "none" // no network but the sandbox's own loopback
	EgressOpen = "open" // the public internet
)

// Limits of a list.
const (
	MaxEgressRules = 50
	MaxEgressText  = 4096 // bytes
)

// Egress is what a function may reach over the network. The zero Egress is EgressNone. What it permits is still held to what the
// server permits: an address that ReservedAddress names, or that is the server's own, is reached only where the operator allows it
// and a rule lists it.
type Egress struct {
	Open  bool // every address of the public internet
	Rules []EgressRule
}

// EgressRule permits a host or a network, at some ports.
type EgressRule struct {
	Name      string       // lower case; "*.x" for every name below x; "" for a rule by network
	Network   netip.Prefix // of a rule by network
	Low, High uint16       // ports, both included
}

var egressName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
})

// ParseEgress reads a policy: "none", "open", or a list, parted by commas, of host names ("api.example.com", "*.example.com") and
// networks ("10.1.0.0/16", "[2001:db8::]/32", an address), each with ":443" or ":8000-8100" behind it where not all ports are
// meant. "open" may stand in a list, beside networks that the operator permits. "" is none. Error: CodeInvalid, field "egress".
func ParseEgress(text string) (Egress, error) {
	var e Egress
	if len(text) > MaxEgressText {
		return e, Errorf(CodeInvalid, "egress", "egress is over %d bytes", MaxEgressText)
	}
	if text = strings.TrimSpace(text); text == "" || text == EgressNone {
		return e, nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == EgressOpen {
			e.Open = true
			continue
		}
		rule, err := parseEgressRule(entry)
		if err != nil {
			return Egress{}, Errorf(CodeInvalid, "egress", "egress: %.100q %s; give none, open, or a list such as api.example.com:443,10.1.0.0/16", entry, err.Error())
		}
		e.Rules = append(e.Rules, rule)
	}
	if len(e.Rules) > MaxEgressRules {
		return Egress{}, Errorf(CodeInvalid, "egress", "egress lists %d hosts and networks, and may list %d", len(e.Rules), MaxEgressRules)
	}
	return e, nil
}

func parseEgressRule(entry string) (EgressRule, error) {
	rule := EgressRule{Low: 1, High: 65535}
	host, ports, hasPorts := entry, "", false
	switch bracketed := strings.HasPrefix(entry, "["); {
	case bracketed:
		inner, rest, ok := strings.Cut(entry[1:], "]")
		if !ok {
			return rule, fmt.Errorf("has a bracket that does not close")
		}
		bits, p, has := strings.Cut(rest, ":")
		host, ports, hasPorts = inner+bits, p, has
	case strings.Count(entry, ":") == 1:
		host, ports, hasPorts = strings.Cut(entry, ":")
	}
	if hasPorts {
		low, high, isRange := strings.Cut(ports, "-")
		if !isRange {
			high = low
		}
		var errLow, errHigh error
		rule.Low, errLow = parsePort(low)
		rule.High, errHigh = parsePort(high)
		if errLow != nil || errHigh != nil || rule.Low > rule.High {
			return rule, fmt.Errorf("has no port or range of ports behind its ':'")
		}
	}
	if network, err := netip.ParsePrefix(host); err == nil {
		rule.Network = network.Masked()
		return rule, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		rule.Network = netip.PrefixFrom(addr, addr.BitLen())
		return rule, nil
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 || host == EgressNone || !egressName().MatchString(host) || strings.Trim(host, "0123456789.") == "" {
		return rule, fmt.Errorf("is neither a host name nor a network")
	}
	rule.Name = host
	return rule, nil
}

// CheckEgress is ParseEgress for a policy that somebody sets: it also refuses to list what no list can open, the loopback, which is a
// function's own. Error: CodeInvalid, field "egress".
func CheckEgress(text string) error {
	e, err := ParseEgress(text)
	if err != nil {
		return err
	}
	for _, r := range e.Rules {
		if r.Name == "localhost" || r.Name == "" && r.Network.Addr().IsLoopback() {
			return Errorf(CodeInvalid, "egress", "egress lists the loopback, which is the function's own and never this host's; list another address of this host, one that "+
				"the operator permits with --egress-private")
		}
	}
	return nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return uint16(n), err
}

// None tells whether a policy permits nothing.
func (e Egress) None() bool { return !e.Open && len(e.Rules) == 0 }

// Names tells whether a policy lists a host name, in lower case and without a dot at its end.
func (e Egress) Names(name string) bool {
	return slices.ContainsFunc(e.Rules, func(r EgressRule) bool { return r.names(name) })
}

// Lists tells whether a rule permits a port of an address that one of names was found to have.
func (e Egress) Lists(addr netip.Addr, port uint16, names []string) bool {
	return slices.ContainsFunc(e.Rules, func(r EgressRule) bool {
		if port < r.Low || port > r.High {
			return false
		}
		return r.Name == "" && r.Network.Contains(addr.Unmap()) || slices.ContainsFunc(names, r.names)
	})
}

func (r EgressRule) names(name string) bool {
	if below, ok := strings.CutPrefix(r.Name, "*"); ok {
		return strings.HasSuffix(name, below) && len(name) > len(below)
	}
	return r.Name != "" && r.Name == name
}
