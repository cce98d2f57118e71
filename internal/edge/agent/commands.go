package agent

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/keep"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/link"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/logs"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// received takes what comes from the cloud. It must not wait.
func (a *Agent) received(m link.Message) {
	id, channel, ok := wire.ParseTopic(m.Topic)
	switch {
	case m.Topic == wire.Resync(a.id.Product):
		a.reporter.resync()
	case !ok:
		if payload := m.Payload; len(payload) <= wire.MaxPayload {
			a.hub.message(wire.PlaceCloud, "", m.Topic, payload, 0)
		}
	case id != a.id:
		a.log.Warn("a message for another gateway is dropped", "topic", m.Topic)
	case channel == wire.Desired:
		var e wire.Envelope
		if err := wire.Decode(m.Payload, &e); err != nil {
			a.applier.unreadable(err)
			return
		}
		_ = a.applier.offer(e) // the report says what became of it
	case channel == wire.Cmd:
		var c wire.Command
		if err := wire.Decode(m.Payload, &c); err != nil {
			a.log.Warn("a command cannot be read", "err", err)
			return
		}
		a.commands.take(c)
	case channel == wire.UpAck:
		var ack wire.UpAckMessage
		if err := wire.Decode(m.Payload, &ack); err == nil {
			a.uplink.acked(ack)
		}
	}
}

// unreadable notes a document that cannot be read.
func (p *applier) unreadable(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.refuse(0, err)
}

// linkUp opens a session: the cloud hears who is there and what it has, and sends what is missing.
func (a *Agent) linkUp() {
	a.uplink.turned(true)
	a.reporter.hello()
	a.applier.freshened()
}

func (a *Agent) linkDown(error) { a.uplink.turned(false) }

// commands carries commands out, one after the other, in the order in which they come.
type commands struct {
	a     *Agent
	queue chan wire.Command
	loose []wire.Ack // answers that the disk has no room for, the last maxCommands of them
	stop  context.CancelFunc
	ended chan struct{}
}

// maxCommands is how many may wait; the cloud sends what is beyond once more.
const maxCommands = 100

func newCommands(a *Agent) *commands {
	return &commands{a: a, queue: make(chan wire.Command, maxCommands)}
}

func (c *commands) take(cmd wire.Command) {
	select {
	case c.queue <- cmd:
	default:
		c.a.log.Warn("a command is left for later: too many wait", "seq", cmd.Seq)
	}
}

// Start implements lifecycle.Service.
func (c *commands) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.ended = stop, make(chan struct{})
	go c.run(ctx)
	return nil
}

// Stop implements lifecycle.Service.
func (c *commands) Stop(context.Context) error {
	if c.stop != nil {
		c.stop()
		<-c.ended
	}
	return nil
}

func (c *commands) run(ctx context.Context) {
	defer close(c.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case cmd := <-c.queue:
			ack, err := c.answer(ctx, cmd)
			if ctx.Err() != nil {
				return // it comes again
			}
			if err != nil {
				c.a.log.Error("a command cannot be answered", "seq", cmd.Seq, "err", err)
				continue
			}
			if err := c.a.link.Send(ctx, wire.CmdAck, ack); err != nil {
				c.a.log.Warn("an answer to a command was not sent; the cloud will ask again", "seq", cmd.Seq, "err", err)
			}
		}
	}
}

// answer gives the answer to a command: the one it got, where it was carried out before.
func (c *commands) answer(ctx context.Context, cmd wire.Command) (wire.Ack, error) {
	state, err := c.a.file.Load()
	if err != nil {
		return wire.Ack{}, err
	}
	if cmd.Seq <= state.CmdSeq {
		ack, known, err := c.a.file.Ack(cmd.Seq)
		if err != nil || known && ack.ID == cmd.ID {
			return ack, err
		}
		return wire.Ack{Seq: cmd.Seq, ID: cmd.ID, Code: wire.CodeInternal, Error: "the command was carried out before, and its answer is forgotten"}, nil
	}
	for _, ack := range c.loose {
		if ack.ID == cmd.ID {
			return ack, nil
		}
	}
	ack := wire.Ack{Seq: cmd.Seq, ID: cmd.ID}
	if now := c.a.cfg.Clock(); cmd.Expires != 0 && now.After(keep.SaneTime) && now.UnixMilli() > cmd.Expires {
		ack.Code, ack.Error = wire.CodeExpired, "the command came after its time"
	} else {
		result, err := c.carryOut(ctx, cmd)
		ack = closed(ack, result, err)
	}
	if ctx.Err() != nil {
		return ack, ctx.Err()
	}
	if err := c.a.file.PutAck(ack); err != nil { // who looks into a full disk needs its answers, and they are true
		c.a.log.Error("an answer to a command cannot be kept; an end of the agent forgets it", "seq", cmd.Seq, "err", err)
		c.loose = append(c.loose, ack)
		c.loose = c.loose[max(0, len(c.loose)-maxCommands):]
	}
	return ack, nil
}

// closed completes an answer.
func closed(ack wire.Ack, result any, err error) wire.Ack {
	if err == nil {
		ack.Result, err = json.Marshal(result)
	}
	if err == nil && len(ack.Result) > 3*wire.MaxResult {
		err = faas.Errorf(faas.CodeResultTooLarge, "", "the answer is over %d bytes", wire.MaxResult)
	}
	if err != nil {
		ack.Result, ack.Code, ack.Error = nil, wire.CodeInternal, err.Error()
		var expected *faas.Error
		if errors.As(err, &expected) {
			ack.Code = string(expected.Code)
		}
		return ack
	}
	ack.OK = true
	return ack
}

func (c *commands) carryOut(ctx context.Context, cmd wire.Command) (any, error) {
	switch cmd.Kind {
	case wire.KindInvoke:
		return c.invoke(ctx, cmd.Body)
	case wire.KindLogs:
		var body wire.LogsBody
		if err := json.Unmarshal(cmd.Body, &body); err != nil || body.Function != "" && !isName(body.Function) {
			return nil, faas.Errorf(faas.CodeInvalid, "body", "the command cannot be read")
		}
		name := body.Function
		if name == "" {
			name = logs.Agent
		}
		text, err := c.a.cfg.Logs.Tail(name, max(body.Lines, 1), wire.MaxResult)
		return wire.TextResult{Text: text}, err
	case wire.KindDiagnose:
		var text strings.Builder
		c.a.diagnose(&text)
		return wire.TextResult{Text: text.String()}, nil
	case wire.KindRetryRelease:
		text, err := c.a.retryRelease()
		return wire.TextResult{Text: text}, err
	}
	return nil, faas.Errorf(wire.CodeUnsupported, "kind", "this agent knows no command %.40q", cmd.Kind)
}

// invoke calls a function for the cloud, which waits for the result.
func (c *commands) invoke(ctx context.Context, body json.RawMessage) (any, error) {
	var b wire.InvokeBody
	if err := json.Unmarshal(body, &b); err != nil || len(b.Event) > wire.MaxEvent {
		return nil, faas.Errorf(faas.CodeInvalid, "body", "the command cannot be read, or its event is over %d bytes", wire.MaxEvent)
	}
	one := c.a.functions.get(b.Function)
	if one == nil {
		return nil, faas.NotFound("function", b.Function)
	}
	if len(b.Event) == 0 {
		b.Event = json.RawMessage("{}")
	}
	call := faas.Invocation{ID: b.Call, Source: faas.SourceAPI, Event: b.Event, Timeout: time.Duration(b.Timeout) * time.Millisecond}
	res, err := c.a.functions.call(ctx, one, call)
	if err != nil {
		return nil, err
	}
	out := wire.InvokeResult{
		Output: res.Output, Cold: res.Cold, Init: res.Init.Microseconds(), Run: res.Run.Microseconds(), Memory: res.MemoryPeak,
		Logs: lastLogs(res.Logs),
	}
	if len(res.Output) > wire.MaxResult {
		return nil, faas.Errorf(faas.CodeResultTooLarge, "", "the result is %d bytes of JSON, over the %d that the link carries", len(res.Output), wire.MaxResult)
	}
	if f := res.Failure; f != nil {
		out.Failure = &wire.Failure{Code: string(f.Code), Type: f.Type, Message: f.Message, Stack: f.Stack}
	}
	return out, nil
}

// lastLogs are the last lines of a call that the link carries.
func lastLogs(lines []faas.LogLine) []wire.LogLine {
	room, first := wire.MaxResult/2, len(lines)
	for first > 0 && room > 0 {
		first--
		room -= len(lines[first].Text) + 64
	}
	var all []wire.LogLine
	for _, l := range lines[first:] {
		all = append(all, wire.LogLine{At: l.Time.UnixMilli(), Level: l.Level, Text: l.Text})
	}
	return all
}
