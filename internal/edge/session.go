package edge

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Session is an open session of a gateway, as its broker knows it.
type Session struct {
	ID    wire.ID
	Login wire.Login
}

// Login is of Handler. The client id is held to the user name, so that a broker ends the older of two sessions.
func (s *Service) Login(ctx context.Context, client, user, password string) (Session, bool) {
	id, login, ok := wire.ParseUser(user)
	if !ok || client != id.ClientID() {
		s.refused.Inc()
		return Session{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	prove := s.cfg.Identities.Login
	if login == wire.LoginDynamic {
		prove = s.cfg.Identities.LoginProduct
	}
	if err := prove(ctx, faasID(id), password); err != nil {
		s.refused.Inc()
		if faas.CodeOf(err) != faas.CodeUnauthenticated {
			s.cfg.Log.Warn("login of a gateway", "gateway", client, "err", err)
		}
		return Session{}, false
	}
	return Session{ID: id, Login: login}, true
}

// MayPublish tells whether a session may publish on a topic: those of the gateway itself, but not those that the platform speaks on.
func (s *Session) MayPublish(topic string) bool {
	if strings.ContainsAny(topic, "+#") || len(topic) > maxTopic || strings.Count(topic, "/") > maxSlashes {
		return false
	}
	if s.Login == wire.LoginDynamic {
		return topic == s.ID.Password()
	}
	if topic == s.ID.Status() || topic == s.ID.Password() || topic == s.ID.PasswordReply() {
		return false
	}
	if id, channel, ok := wire.ParseTopic(topic); ok {
		for _, up := range wire.UpChannels {
			if id == s.ID && channel == up {
				return true
			}
		}
		return false
	}
	return under(topic, s.ID.Own()) || under(topic, "/"+s.ID.Product+"/"+s.ID.Gateway)
}

// MaySubscribe tells whether a session may listen to a filter: below its own topics, and to what goes to its whole product.
func (s *Session) MaySubscribe(filter string) bool {
	if len(filter) > maxTopic {
		return false
	}
	if s.Login == wire.LoginDynamic {
		return filter == s.ID.PasswordReply()
	}
	return under(filter, s.ID.Own()) || under(filter, "/"+s.ID.Product+"/"+s.ID.Gateway) || under(filter, "/"+s.ID.Product+"/$broadcast")
}

// The vendor's bounds of topics (edge reference 1.5).
const (
	maxTopic   = 128
	maxSlashes = 7
)

func under(topic, prefix string) bool { return strings.HasPrefix(topic, prefix+"/") }

// Came is of Handler.
func (s *Service) Came(one *Session) {
	if one.Login == wire.LoginDynamic {
		return
	}
	s.mu.Lock()
	s.sessions[one.ID] = one
	s.mu.Unlock()
	s.mark(faas.GatewayMark{GatewayID: faasID(one.ID), At: s.cfg.Now(), Online: true})
	s.tellStatus(one.ID, "Online")
}

// Gone is of Handler.
func (s *Service) Gone(one *Session) {
	s.mu.Lock()
	current := s.sessions[one.ID] == one
	if current {
		delete(s.sessions, one.ID)
		delete(s.have, one.ID)
	}
	s.mu.Unlock()
	if current {
		s.gone(one.ID)
	}
}

func (s *Service) gone(id wire.ID) {
	s.mark(faas.GatewayMark{GatewayID: faasID(id), At: s.cfg.Now()})
	s.tellStatus(id, "Offline")
}

func (s *Service) tellStatus(id wire.ID, status string) {
	text, err := json.Marshal(wire.StatusEvent{ProductSN: id.Product, DeviceSN: id.Gateway, Status: status})
	if err == nil {
		err = s.broker.Publish(id.Status(), text)
	}
	if err != nil {
		s.cfg.Log.Warn("tell the status of a gateway", "gateway", id.ClientID(), "err", err)
	}
}

// Message is of Handler.
func (s *Service) Message(id wire.ID, topic string, payload []byte) {
	s.received.Inc()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var err error
	if topic == id.Password() {
		err = s.register(ctx, id, payload)
	} else if _, channel, ok := wire.ParseTopic(topic); ok {
		err = s.take(ctx, id, channel, payload)
	}
	if err != nil {
		s.cfg.Log.Warn("message of a gateway", "topic", topic, "err", err)
	}
}

func (s *Service) take(ctx context.Context, id wire.ID, channel wire.Channel, payload []byte) error {
	switch channel {
	case wire.Hello:
		return s.hello(ctx, id, payload)
	case wire.DesiredGet:
		var m wire.GetMessage
		if err := wire.Decode(payload, &m); err != nil {
			return err
		}
		s.look(id, want{above: m.Version, send: true})
	case wire.Reported:
		return s.report(id, payload)
	case wire.CmdAck:
		return s.acknowledged(ctx, id, payload)
	case wire.Up:
		return s.upstream(ctx, id, payload)
	case wire.Will:
		s.will(id)
	default:
	}
	return nil
}

// Ready is of Handler. Every gateway is asked to say hello, within a time that spreads them.
func (s *Service) Ready() {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	products, err := s.cfg.Store.ProductSNs(ctx)
	if err != nil {
		s.cfg.Log.Warn("ask gateways for a hello; their next report does as well", "err", err)
		return
	}
	for _, sn := range products {
		if err := s.broker.Publish(wire.Resync(sn), []byte("{}")); err != nil {
			s.cfg.Log.Warn("ask gateways for a hello; their next report does as well", "product", sn, "err", err)
		}
	}
}

// hello begins a session of an agent: what it lacks is sent.
func (s *Service) hello(ctx context.Context, id wire.ID, payload []byte) error {
	var m wire.HelloMessage
	if err := wire.Decode(payload, &m); err != nil {
		return err
	}
	s.present(id, m.Version)
	s.look(id, want{above: m.Version})
	if m.CmdSeq > 0 {
		if err := s.cfg.Store.RaiseGatewaySeq(ctx, faasID(id), m.CmdSeq); err != nil {
			return err
		}
	}
	return s.resend(ctx, id)
}

// present notes the version that a gateway has, and one whose session begins elsewhere than in this process: an agent on a broker
// of others says no more than hello.
func (s *Service) present(id wire.ID, version uint64) {
	s.mu.Lock()
	_, known := s.sessions[id]
	s.have[id] = version
	s.mu.Unlock()
	if !known {
		s.Came(&Session{ID: id, Login: wire.LoginStatic})
	}
}

// will ends the session of an agent on a broker that does not tell of ends. Where it does, the session is gone already or is a
// newer one, which the next message shows again.
func (s *Service) will(id wire.ID) {
	if s.cfg.Alone {
		return
	}
	s.mu.Lock()
	_, known := s.sessions[id]
	delete(s.sessions, id)
	delete(s.have, id)
	s.mu.Unlock()
	if known {
		s.gone(id)
	}
}

func (s *Service) report(id wire.ID, payload []byte) error {
	var m wire.ReportedMessage
	if err := wire.Decode(payload, &m); err != nil {
		return err
	}
	s.present(id, m.Version)
	s.mark(faas.GatewayMark{GatewayID: faasID(id), At: s.cfg.Now(), Report: reportOf(&m)})
	s.look(id, want{above: m.Version}) // heals whatever was lost
	return nil
}

const (
	maxReported = 2 * faas.MaxGatewayFunctions
	maxText     = 1000 // bytes of a text in a report
)

func reportOf(m *wire.ReportedMessage) *faas.GatewayReport {
	r := &faas.GatewayReport{
		Boot: cut(m.Boot), Version: m.Version, Good: m.Good, State: cut(m.State), Message: cut(m.Message),
		AgentVersion: cut(m.Agent.Version), AgentReverted: cut(m.Agent.Reverted), OS: cut(m.Agent.OS), Arch: cut(m.Agent.Arch), StartedAt: fromMillis(m.StartedAt),
		CmdSeq: m.CmdSeq, RSS: m.Host.RSS, MemFree: m.Host.MemFree, DiskFree: m.Host.DiskFree,
	}
	for i, f := range m.Functions {
		if i == maxReported {
			break
		}
		r.Functions = append(r.Functions, faas.GatewayFunction{
			Name: cut(f.Name), Hash: cut(f.Hash), State: cut(f.State), Message: cut(f.Message), Calls: f.Calls, Errors: f.Errors, Restarts: f.Restarts,
			LastRun: fromMillis(f.LastRun), NextCron: fromMillis(f.NextCron),
		})
	}
	for i, route := range m.Routes {
		if i == faas.MaxGatewayRoutes {
			break
		}
		r.Routes = append(r.Routes, faas.GatewayRoute(route))
	}
	for i, refusal := range m.Refused {
		if i == 10 {
			break
		}
		r.Refused = append(r.Refused, faas.GatewayRefusal{Version: refusal.Version, Reason: cut(refusal.Reason), At: fromMillis(refusal.At)})
	}
	return r
}

func cut(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// fromMillis gives the zero time for a time that no JSON could hold.
func fromMillis(ms int64) time.Time {
	if ms <= 0 || ms > 1<<47 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// register answers a gateway that proved its product's secret with its own (edge reference 1.5).
func (s *Service) register(ctx context.Context, id wire.ID, payload []byte) error {
	var m wire.PasswordRequest
	answer := wire.PasswordAnswer{}
	err := wire.Decode(payload, &m)
	if err != nil {
		answer.RetCode, answer.Message = 160, "the request is no JSON object"
	} else {
		answer.RequestID = m.RequestID
		answer.Password, err = s.cfg.Identities.Register(ctx, faasID(id))
		var expected *faas.Error
		if errors.As(err, &expected) && expected.Code != faas.CodeInternal {
			answer.RetCode, answer.Message, err = 170, expected.Message, nil
		} else if err != nil {
			answer.RetCode, answer.Message = 999, "internal error"
		}
	}
	text, encodeErr := json.Marshal(answer)
	if encodeErr != nil {
		return encodeErr
	}
	return errors.Join(err, s.broker.Publish(id.PasswordReply(), text))
}

// Online tells whether a gateway has a session here.
func (s *Service) Online(id faas.GatewayID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sessions[wireID(id)]
	return ok
}

// GatewayBarred is of control.GatewayChanges.
func (s *Service) GatewayBarred(id faas.GatewayID) { s.broker.Drop(wireID(id)) }
