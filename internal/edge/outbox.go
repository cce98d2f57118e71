package edge

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Command has a gateway do something once, and waits for its answer until expires or the end of ctx. It is on disk before it is sent, and
// is sent again whenever the gateway comes back, until it is acknowledged or has expired. body is JSON or nil. Errors:
// CodeNotFound, field "gateway"; CodeUnavailable, field "gateway", while the gateway is offline; CodeOverload, field "commands";
// CodeQueueTimeout when no answer came; CodeCancelled.
func (s *Service) Command(ctx context.Context, id faas.GatewayID, kind string, body any, life time.Duration) (faas.GatewayCommand, error) {
	text, err := wire.Canonical(body)
	if err != nil {
		return faas.GatewayCommand{}, err
	}
	if !s.Online(id) {
		return faas.GatewayCommand{}, s.away(ctx, id)
	}
	now := s.cfg.Now()
	c := faas.GatewayCommand{GatewayID: id, ID: uuid.NewString(), Kind: kind, Body: text, CreatedAt: now, ExpiresAt: now.Add(min(life, faas.CommandLife))}
	answer := make(chan faas.GatewayCommand, 1)
	s.mu.Lock()
	s.waiters[c.ID] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiters, c.ID)
		s.mu.Unlock()
	}()
	if err := s.cfg.Store.AddGatewayCommand(ctx, &c, faas.MaxGatewayCommands); err != nil {
		return c, err
	}
	if err := s.sendCommand(c); err != nil {
		return c, err
	}
	timer := time.NewTimer(life)
	defer timer.Stop()
	select {
	case done := <-answer:
		return done, nil
	case <-timer.C:
		return c, faas.Errorf(faas.CodeQueueTimeout, "gateway", "gateway %q has not answered within %v", id.SN, life)
	case <-ctx.Done():
		return c, faas.Errorf(faas.CodeCancelled, "gateway", "the caller went away before gateway %q had answered", id.SN)
	}
}

func (s *Service) sendCommand(c faas.GatewayCommand) error {
	data, err := wire.Encode(wire.Command{Seq: c.Seq, ID: c.ID, Kind: c.Kind, Body: c.Body, Expires: c.ExpiresAt.UnixMilli()})
	if err != nil {
		return err
	}
	s.sent.Inc()
	return s.broker.Publish(wireID(c.GatewayID).Topic(wire.Cmd), data)
}

// resend sends what is open, in order. A gateway answers what it has done already with the answer it gave.
func (s *Service) resend(ctx context.Context, id wire.ID) error {
	open, err := s.cfg.Store.OpenGatewayCommands(ctx, faasID(id), s.cfg.Now())
	for _, c := range open {
		if err := s.sendCommand(c); err != nil {
			return err
		}
	}
	return err
}

func (s *Service) acknowledged(ctx context.Context, id wire.ID, payload []byte) error {
	var a wire.Ack
	if err := wire.Decode(payload, &a); err != nil {
		return err
	}
	c := faas.GatewayCommand{
		GatewayID: faasID(id), Seq: a.Seq, ID: a.ID, EndedAt: s.cfg.Now(), OK: a.OK, Result: a.Result, Code: codeOf(a.Code), Message: cut(a.Error),
	}
	if a.OK {
		c.Code = ""
	}
	ended, err := s.cfg.Store.EndGatewayCommand(ctx, c)
	if err != nil || !ended {
		return err
	}
	s.mu.Lock()
	answer := s.waiters[a.ID]
	s.mu.Unlock()
	if answer != nil {
		answer <- c // one alone ends a command
	}
	return nil
}

// codeOf takes the codes that there are, and calls any other internal.
func codeOf(text string) faas.Code {
	for _, c := range faas.Codes {
		if string(c) == text {
			return c
		}
	}
	return faas.CodeInternal
}

// upstream keeps messages that routes brought, passes on those that are new, and acknowledges all that is kept.
func (s *Service) upstream(ctx context.Context, id wire.ID, payload []byte) error {
	var b wire.UpBatch
	if err := wire.Decode(payload, &b); err != nil {
		return err
	}
	var all []faas.GatewayMessage
	for _, m := range b.Messages {
		if len(m.Payload) <= wire.MaxPayload {
			all = append(all, faas.GatewayMessage{Seq: m.Seq, Route: m.Route, Topic: m.Topic, Payload: m.Payload, At: fromMillis(m.At)})
		}
	}
	fresh, last, err := s.cfg.Store.AddGatewayMessages(ctx, faasID(id), b.Stream, all, faas.MaxGatewayMessages)
	if err != nil {
		return err // not acknowledged: it comes again
	}
	own := Session{ID: id, Login: wire.LoginStatic}
	for _, m := range fresh {
		// To whoever listens on a topic of the gateway itself; any other might be heard as somebody else's word. It is kept anyway.
		if !own.MayPublish(m.Topic) {
			continue
		}
		if err := s.broker.Publish(m.Topic, m.Payload); err != nil {
			s.cfg.Log.Warn("pass on a message of a gateway", "gateway", id.ClientID(), "err", err)
		}
	}
	data, err := wire.Encode(wire.UpAckMessage{Stream: b.Stream, Seq: last})
	if err != nil {
		return err
	}
	return s.broker.Publish(id.Topic(wire.UpAck), data)
}

// Run calls a function on a gateway; the Service is an invoke.Runner for calls that name one. Errors beside those of Command:
// CodeTooLarge, field "event"; what the gateway says of a call that never ran.
func (s *Service) Run(ctx context.Context, id faas.GatewayID, f *faas.Function, call faas.Invocation) (*faas.Result, error) {
	if len(call.Event) > wire.MaxEvent {
		return nil, faas.Errorf(faas.CodeTooLarge, "event", "the event has %d bytes; a gateway takes at most %d", len(call.Event), wire.MaxEvent)
	}
	now := s.cfg.Now()
	limit := call.RunLimit(&f.Spec)
	c, err := s.Command(ctx, id, wire.KindInvoke, wire.InvokeBody{Function: f.Name, Call: call.ID, Event: call.Event, Timeout: limit.Milliseconds()}, call.Deadline.Sub(now))
	if err != nil {
		return nil, err
	}
	if !c.OK {
		return nil, faas.Errorf(c.Code, "gateway", "gateway %q: %s", id.SN, c.Message)
	}
	var r wire.InvokeResult
	if err := json.Unmarshal(c.Result, &r); err != nil {
		return nil, faas.Errorf(faas.CodeResult, "gateway", "the answer of gateway %q is not what it should be", id.SN)
	}
	return resultOf(&r, f, s.cfg.Now().Sub(now)), nil
}

func resultOf(r *wire.InvokeResult, f *faas.Function, took time.Duration) *faas.Result {
	res := &faas.Result{
		Output: r.Output, Cold: r.Cold, Init: time.Duration(r.Init) * time.Microsecond, Run: time.Duration(r.Run) * time.Microsecond,
		MemoryPeak: r.Memory, MemoryMB: f.Spec.MemoryMB,
	}
	res.Queued = max(0, took-res.Run)
	if r.Failure != nil {
		res.Output = nil
		res.Failure = &faas.Failure{Code: codeOf(r.Failure.Code), Type: cut(r.Failure.Type), Message: cut(r.Failure.Message), Stack: r.Failure.Stack}
		if res.Failure.Code.Fault() != faas.FaultFunction {
			res.Failure.Code = faas.CodeException
		}
	} else if len(res.Output) == 0 {
		res.Output = []byte("null")
	}
	for _, line := range r.Logs {
		res.Logs = append(res.Logs, faas.LogLine{Time: fromMillis(line.At), Level: line.Level, Text: line.Text})
	}
	return res
}
