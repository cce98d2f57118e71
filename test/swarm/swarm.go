// Package swarm is very many MQTT sessions of gateways in one process: what a server with a fleet has to bear.
//
// It knows topics and credentials as the documents have them. It must not know any package under internal.
package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Account is a gateway's.
type Account struct{ Product, Gateway, Secret string }

func (a Account) topic(channel string) string {
	return "/$system/" + a.Product + "/" + a.Gateway + "/edge/v1/" + channel
}

// Enroll makes n gateways of a product, several at a time, through the dialect of gateways at an endpoint.
func Enroll(ctx context.Context, endpoint, user, password, product string, n int) ([]Account, error) {
	e := &enroller{endpoint: endpoint}
	var login struct{ Token string }
	if err := e.call(ctx, "user/login", map[string]any{"Username": user, "Password": password}, &login); err != nil {
		return nil, err
	}
	e.token = login.Token
	if err := e.call(ctx, "product/create", map[string]any{"ProductName": product, "Description": "", "ProductType": "gateway", "ProductSN": product}, nil); err != nil {
		return nil, err
	}
	all, errs := make([]Account, n), make([]error, n)
	var next atomic.Int64
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				var made struct{ DeviceSN, Password string }
				errs[i] = e.call(ctx, "device/create", map[string]any{"ProductSN": product, "DeviceSN": fmt.Sprintf("g%d", i), "Description": ""}, &made)
				all[i] = Account{product, made.DeviceSN, made.Password}
			}
		})
	}
	work.Wait()
	return all, errors.Join(append(errs, ctx.Err())...)
}

type enroller struct {
	endpoint, token string
}

func (e *enroller) call(ctx context.Context, path string, in map[string]any, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint+"/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", e.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Code    int
		Message string
		Data    any
	}{Data: out}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Code != 0 {
		return fmt.Errorf("%s: %s", path, answer.Message)
	}
	return nil
}

// Swarm is open sessions, each with its subscriptions, a will, and a hello that was acknowledged.
type Swarm struct {
	address string

	mu       sync.Mutex
	sessions []net.Conn
	readers  sync.WaitGroup
	desired  atomic.Int64 // documents that came
	lost     atomic.Int64 // sessions that the server ended
	closing  atomic.Bool
}

const (
	handshake = 30 * time.Second
	keepAlive = 1200 // seconds
	together  = 512  // connections that open at a time
)

// Open opens a session for each account, all at once, trying again what fails with a wait that grows and varies, until ctx ends.
func Open(ctx context.Context, address string, accounts []Account) (*Swarm, error) {
	s := &Swarm{address: address}
	errs := make([]error, len(accounts))
	places := make(chan struct{}, together)
	var work sync.WaitGroup
	for i, a := range accounts {
		work.Go(func() {
			for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
				places <- struct{}{}
				errs[i] = s.open(a)
				<-places
				if errs[i] == nil || ctx.Err() != nil {
					return
				}
				timer := time.NewTimer(rand.N(wait))
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Swarm) open(a Account) error {
	conn, err := net.DialTimeout("tcp", s.address, handshake)
	if err != nil {
		return err
	}
	if err := s.greet(conn, a); err != nil {
		_ = conn.Close() // it is given up
		return fmt.Errorf("%s: %w", a.Gateway, err)
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, conn)
	s.mu.Unlock()
	s.readers.Go(func() { s.read(conn) })
	return nil
}

// greet opens the session: CONNECT, SUBSCRIBE, and a hello, each acknowledged. Documents may come in between.
func (s *Swarm) greet(conn net.Conn, a Account) error {
	if err := conn.SetDeadline(time.Now().Add(handshake)); err != nil {
		return err
	}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.Keepalive = "MQTT", 4, keepAlive
	connect.ClientIdentifier = a.Product + "." + a.Gateway
	connect.UsernameFlag, connect.Username = true, a.Product+"|"+a.Gateway+"|1"
	connect.PasswordFlag, connect.Password = true, []byte(a.Secret)
	connect.WillFlag, connect.WillQos, connect.WillTopic, connect.WillMessage = true, 1, a.topic("will"), []byte(`{"boot":"b"}`)
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{a.topic("desired"), a.topic("cmd")}, []byte{1, 1}
	hello := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	hello.Qos, hello.MessageID, hello.TopicName, hello.Payload = 1, 2, a.topic("hello"), []byte(`{"boot":"b","version":0,"cmd_seq":0,"agent":{}}`)
	for _, step := range []struct {
		send packets.ControlPacket
		done func(packets.ControlPacket) bool
	}{
		{connect, func(p packets.ControlPacket) bool {
			ack, ok := p.(*packets.ConnackPacket)
			return ok && ack.ReturnCode == packets.Accepted
		}},
		{subscribe, func(p packets.ControlPacket) bool { _, ok := p.(*packets.SubackPacket); return ok }},
		{hello, func(p packets.ControlPacket) bool { _, ok := p.(*packets.PubackPacket); return ok }},
	} {
		if err := step.send.Write(conn); err != nil {
			return err
		}
		for done := false; !done; {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				return err
			}
			if c, ok := p.(*packets.ConnackPacket); ok && c.ReturnCode != packets.Accepted {
				return fmt.Errorf("refused with %d", c.ReturnCode)
			}
			if done = step.done(p); !done {
				if err := s.take(conn, p); err != nil {
					return err
				}
			}
		}
	}
	return conn.SetDeadline(time.Time{})
}

// take counts a document and acknowledges it.
func (s *Swarm) take(conn io.Writer, p packets.ControlPacket) error {
	m, ok := p.(*packets.PublishPacket)
	if !ok {
		return nil
	}
	s.desired.Add(1)
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = m.MessageID
	return ack.Write(conn)
}

func (s *Swarm) read(conn net.Conn) {
	for {
		p, err := packets.ReadPacket(conn)
		if err == nil {
			err = s.take(conn, p)
		}
		if err != nil {
			if !s.closing.Load() {
				s.lost.Add(1)
			}
			return
		}
	}
}

// Desired is how many documents came to all sessions together.
func (s *Swarm) Desired() int64 { return s.desired.Load() }

// Lost is how many sessions the server ended.
func (s *Swarm) Lost() int64 { return s.lost.Load() }

// Close ends all sessions without a word, as a network does that goes.
func (s *Swarm) Close() {
	s.closing.Store(true)
	s.mu.Lock()
	for _, conn := range s.sessions {
		_ = conn.Close() // which is the point
	}
	s.sessions = nil
	s.mu.Unlock()
	s.readers.Wait()
}
