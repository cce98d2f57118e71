package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dnsLinger = 5 * time.Second // of a port that has asked
	dnsTTL    = 30              // seconds; the host's resolver does not tell the real one
	dnsSmall  = 1232            // bytes of an answer in a datagram; more is fetched over TCP
	dnsMost   = 32              // records of an answer
)

// acceptQuestions answers the questions that come from one port.
func (l *link) acceptQuestions(r *udp.ForwarderRequest) bool {
	select {
	case l.asking <- struct{}{}:
	default:
		return true // too many at once: it is asked again
	}
	var queue waiter.Queue
	end, terr := r.CreateEndpoint(&queue)
	if terr != nil || !l.enter() {
		<-l.asking
		return true
	}
	conn := gonet.NewUDPConn(&queue, end)
	go func() { // Close waits for it
		defer l.work.Done()
		defer func() { <-l.asking }()
		defer conn.Close()
		defer l.closeWith(conn)()
		question := make([]byte, 4<<10)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(dnsLinger))
			n, err := conn.Read(question)
			if err != nil {
				return
			}
			if answer := l.answer(question[:n], dnsSmall); answer != nil {
				_, _ = conn.Write(answer) // it is asked again where this is lost
			}
		}
	}()
	return true
}

// acceptNames answers questions over TCP: each, and each answer, behind its length.
func (l *link) acceptNames(r *tcp.ForwarderRequest) {
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	default:
		r.Complete(true)
		return
	}
	if !l.enter() {
		r.Complete(true)
		return
	}
	defer l.work.Done()
	conn := l.accept(r)
	if conn == nil {
		return
	}
	defer conn.Close()
	defer l.closeWith(conn)()
	for {
		_ = conn.SetDeadline(time.Now().Add(dnsLinger + lookupTime))
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		question := make([]byte, size)
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := l.answer(question, 1<<16-1)
		if answer == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer answers a question about a name, in most bytes; nil for what is none.
func (l *link) answer(question []byte, most int) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(question)
	if err != nil || head.Response {
		return nil
	}
	q, err := parser.Question()
	if err != nil {
		return nil
	}
	records, code := l.look(q)
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true, RCode: code},
		Questions: []dnsmessage.Question{q},
	}
	for _, body := range records[:min(len(records), dnsMost)] {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: dnsTTL}, Body: body})
	}
	text, err := reply.Pack()
	if err != nil || len(text) > most {
		reply.Truncated, reply.Answers = err == nil, nil
		if err != nil {
			reply.RCode = dnsmessage.RCodeServerFailure
		}
		text, _ = reply.Pack() // it was read from a message, so it fits into one
	}
	return text
}

// look finds the records that a policy permits to be told. Only names that it lists are looked for at all: a question alone could
// carry a secret out.
func (l *link) look(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if !l.policy.Open && !l.policy.Names(name) && !l.net.lax[ruleNames] {
		l.refuse("a look-up of "+firstBytes(name, 100), errors.New("the function's egress does not list it"))
		return nil, dnsmessage.RCodeRefused
	}
	if q.Class != dnsmessage.ClassINET {
		return nil, dnsmessage.RCodeNotImplemented
	}
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	var records []dnsmessage.ResourceBody
	var err error
	switch q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
		records, err = l.lookAddresses(ctx, name, q.Type == dnsmessage.TypeAAAA)
	case dnsmessage.TypeTXT, dnsmessage.TypeMX, dnsmessage.TypeSRV:
		records, err = l.lookOthers(ctx, name+".", q.Type)
	default:
		return nil, dnsmessage.RCodeNotImplemented
	}
	var failed *net.DNSError
	switch {
	case errors.As(err, &failed) && failed.IsNotFound:
		return nil, dnsmessage.RCodeNameError
	case err != nil:
		return nil, dnsmessage.RCodeServerFailure
	}
	return records, dnsmessage.RCodeSuccess
}

// lookAddresses finds the addresses of one family. Both are asked for, so that a name without one is not taken for none.
// Addresses that no rule of this server lets anybody reach are left out: a name may not mean something else inside this network.
func (l *link) lookAddresses(ctx context.Context, name string, six bool) ([]dnsmessage.ResourceBody, error) {
	found, err := l.net.cfg.Resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		return nil, err
	}
	var records []dnsmessage.ResourceBody
	var told []netip.Addr
	for _, a := range found {
		a = a.Unmap().WithZone("")
		if kind := l.net.kind(a); kind != "" && !l.net.private(a) && !l.net.lax[ruleAnswers] {
			l.refuse("the address of "+firstBytes(name, 100), errors.New("it is "+kind))
			continue
		}
		if a.Is6() != six || slices.Contains(told, a) {
			continue
		}
		told = append(told, a)
		if six {
			records = append(records, &dnsmessage.AAAAResource{AAAA: a.As16()})
		} else {
			records = append(records, &dnsmessage.AResource{A: a.As4()})
		}
	}
	l.remember(name, told)
	return records, nil
}

func (l *link) lookOthers(ctx context.Context, name string, kind dnsmessage.Type) ([]dnsmessage.ResourceBody, error) {
	var records []dnsmessage.ResourceBody
	switch kind {
	case dnsmessage.TypeTXT:
		texts, err := l.net.cfg.Resolver.LookupTXT(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, t := range texts {
			var parts []string
			for len(t) > 255 {
				parts, t = append(parts, t[:255]), t[255:]
			}
			records = append(records, &dnsmessage.TXTResource{TXT: append(parts, t)})
		}
	case dnsmessage.TypeMX:
		hosts, err := l.net.cfg.Resolver.LookupMX(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			if n, err := dnsmessage.NewName(h.Host); err == nil {
				records = append(records, &dnsmessage.MXResource{Pref: h.Pref, MX: n})
			}
		}
	default:
		_, hosts, err := l.net.cfg.Resolver.LookupSRV(ctx, "", "", name)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			if n, err := dnsmessage.NewName(h.Target); err == nil {
				records = append(records, &dnsmessage.SRVResource{Priority: h.Priority, Weight: h.Weight, Port: h.Port, Target: n})
			}
		}
	}
	return records, nil
}

func firstBytes(text string, n int) string { return text[:min(len(text), n)] }
