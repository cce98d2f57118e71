package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/route"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// maxHops bounds how often a message may come from a function that was called for a message.
const maxHops = 16

// maxTopic is in bytes (edge reference 1.5).
const maxTopic = 128

// hub brings messages where the routes say.
type hub struct {
	a     *Agent
	table atomic.Pointer[route.Table]
	said  atomic.Int64 // when a lost message was last told of, ms since the agent started
}

// quiet is how long nothing more is said of lost messages: routes count them, and logs are not for repetitions.
const quiet = 10 * time.Second

func newHub(a *Agent) *hub {
	h := &hub{a: a}
	h.said.Store(-quiet.Milliseconds())
	h.table.Store(route.NewTable(nil, nil))
	return h
}

// set replaces the routes.
func (h *hub) set(routes []wire.Route) {
	before := len(h.topics())
	old := h.table.Load()
	h.table.Store(route.NewTable(routes, old))
	caches := map[int64]wire.Cache{}
	for _, r := range routes {
		if r.To == wire.PlaceCloud && r.Cache != nil {
			caches[r.ID] = *r.Cache
		}
	}
	h.a.spool.SetCaches(caches)
	if len(h.topics()) != before && h.a.link.Online() {
		h.a.link.Listen()
	}
}

// topics are what the gateway listens to beside its own channels: its user topics, where a route leads from the cloud.
func (h *hub) topics() []string {
	for _, r := range h.table.Load().All() {
		if r.From == wire.PlaceCloud {
			return []string{"/" + h.a.id.Product + "/" + h.a.id.Gateway + "/#"}
		}
	}
	return nil
}

// message brings a message along each route that it fits, and tells how many these were.
func (h *hub) message(from, fromID, topic string, payload []byte, depth int) int {
	if topic == "" || len(topic) > maxTopic || len(payload) > wire.MaxPayload || depth > maxHops {
		h.a.log.Warn("a message is dropped: its topic, its size or its way is over the bounds", "topic", topic[:min(len(topic), maxTopic)], "bytes", len(payload), "hops", depth)
		return 0
	}
	fit := h.table.Load().For(from, fromID, topic)
	for _, r := range fit {
		r.Hits.Add(1)
		if !h.carry(r, from, topic, payload, depth) {
			r.Dropped.Add(1)
		}
	}
	return len(fit)
}

func (h *hub) carry(r *route.Route, from, topic string, payload []byte, depth int) bool {
	switch r.To {
	case wire.PlaceCloud:
		kept, err := h.a.spool.Add(wire.UpMessage{Route: r.ID, Topic: topic, Payload: payload, At: h.a.cfg.Clock().UnixMilli()})
		if now := time.Since(h.a.started).Milliseconds(); err != nil && now-h.said.Load() >= quiet.Milliseconds() {
			h.said.Store(now)
			h.a.log.Warn("messages for the cloud are lost", "route", r.ID, "err", err)
		}
		return kept
	case wire.PlaceFunction:
		return h.a.functions.message(r.Function, from, topic, payload, depth)
	case wire.PlaceLocal:
		return h.a.bus != nil && h.a.bus.ToDevice(topic, payload) > 0
	case wire.PlaceApp:
		return h.a.bus != nil && h.a.bus.ToApp(r.App, topic, payload)
	}
	return false
}

// dropped counts messages that the spool has dropped.
func (h *hub) dropped(id, n int64) {
	if r := h.table.Load().Find(id); r != nil {
		r.Dropped.Add(n)
	}
}

func (h *hub) states() []wire.RouteState {
	var all []wire.RouteState
	for _, r := range h.table.Load().All() {
		all = append(all, wire.RouteState{ID: r.ID, Hits: r.Hits.Load(), Dropped: r.Dropped.Load(), Queued: h.a.spool.Queued(r.ID)})
	}
	return all
}

// peer answers what functions ask while they run.
type peer struct{ a *Agent }

// Tell implements pool.Peer.
func (p peer) Tell(_ context.Context, f *faas.Function, call faas.Invocation, q lang.Question) lang.Answer {
	result, err := p.answer(f, call, q)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(result); err == nil {
			return lang.Answer{Result: text}
		}
	}
	status := 400
	if c := faas.CodeOf(err); c == faas.CodeUnavailable || c == faas.CodeInternal {
		status = 503
	}
	return lang.Answer{Status: status, Reason: err.Error()}
}

func (p peer) answer(f *faas.Function, call faas.Invocation, q lang.Question) (any, error) {
	var args struct {
		Topic   string `json:"topic"`
		Subject string `json:"subject"`
		Payload []byte `json:"payload"`
	}
	switch q.Ask {
	case "publish", "bus":
		if err := json.Unmarshal(q.Data, &args); err != nil {
			return nil, faas.Errorf(faas.CodeInvalid, "data", "the request cannot be read")
		}
		if q.Ask == "bus" {
			return nil, p.bus(args.Subject, args.Payload)
		}
		switch {
		case args.Topic == "" || len(args.Topic) > maxTopic:
			return nil, faas.Errorf(faas.CodeInvalid, "topic", "a topic has 1 to %d bytes", maxTopic)
		case len(args.Payload) > wire.MaxPayload:
			return nil, faas.Errorf(faas.CodeTooLarge, "payload", "a message has at most %d bytes", wire.MaxPayload)
		}
		p.a.hub.message(wire.PlaceFunction, f.Name, args.Topic, args.Payload, call.Depth+1)
		return nil, nil
	case "kv":
		var words [][]byte
		var all []string
		if err := json.Unmarshal(q.Data, &all); err != nil || len(all) == 0 {
			return nil, faas.Errorf(faas.CodeInvalid, "data", "the request cannot be read")
		}
		for _, word := range all[1:] {
			raw, err := base64.StdEncoding.DecodeString(word)
			if err != nil {
				return nil, faas.Errorf(faas.CodeInvalid, "data", "the request cannot be read")
			}
			words = append(words, raw)
		}
		return p.a.store.Do(all[0], words)
	}
	return nil, faas.Errorf(faas.CodeUnsupported, "ask", "a gateway does not know %.40q", q.Ask)
}

func (p peer) bus(subject string, payload []byte) error {
	if p.a.bus == nil {
		return faas.Errorf(faas.CodeUnsupported, "", "this gateway has no local bus")
	}
	if err := p.a.bus.Publish(subject, payload); err != nil {
		return faas.Errorf(faas.CodeInvalid, "subject", "%s", err)
	}
	return nil
}

// driverLine keeps a line that a driver logs.
func (a *Agent) driverLine(module, level, text string) {
	a.cfg.Logs.Say("driver", faas.LevelInfo, fmt.Sprintf("[%s] %s: %s", level, module, text))
}

// uplink sends the spool to the cloud while there is a link.
type uplink struct {
	a     *Agent
	acks  chan wire.UpAckMessage
	again chan struct{} // the link has come or gone
	stop  context.CancelFunc
	ended chan struct{}
}

// The bounds of a batch, and the time after which one that is not acknowledged is sent again.
const (
	batchMessages = 200
	batchBytes    = 160 << 10
	resendAfter   = 15 * time.Second
	tend          = time.Second
)

func newUplink(a *Agent) *uplink {
	return &uplink{a: a, acks: make(chan wire.UpAckMessage, 64), again: make(chan struct{}, 1)}
}

// turned tells that the link has come or gone.
func (u *uplink) turned(up bool) {
	if err := u.a.spool.SetOnline(up); err != nil {
		u.a.log.Warn("messages for the cloud cannot be kept", "err", err)
	}
	poke(u.again)
}

// poke leaves a sign for a reader that looks for itself what there is to do.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// acked takes what the cloud says that it has.
func (u *uplink) acked(ack wire.UpAckMessage) {
	select {
	case u.acks <- ack:
	default: // the next says the same and more
	}
}

// Start implements lifecycle.Service.
func (u *uplink) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	u.stop, u.ended = stop, make(chan struct{})
	go u.run(ctx)
	return nil
}

// Stop implements lifecycle.Service.
func (u *uplink) Stop(context.Context) error {
	if u.stop != nil {
		u.stop()
		<-u.ended
	}
	return nil
}

// run sends one batch at a time: the next goes when the last is acknowledged.
func (u *uplink) run(ctx context.Context) {
	defer close(u.ended)
	tick := time.NewTicker(tend)
	defer tick.Stop()
	acked, open := uint64(0), uint64(0)
	var sent time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.again:
			open = 0
		case ack := <-u.acks:
			if ack.Stream == u.a.spool.Stream() && ack.Seq > acked {
				acked = ack.Seq
				u.a.spool.Acked(ack.Seq)
				if acked >= open {
					open = 0
				}
			}
		case <-u.a.spool.Ready():
		case <-tick.C:
			if err := u.a.spool.Tend(); err != nil {
				u.a.log.Warn("messages for the cloud cannot be kept", "err", err)
			}
			if open != 0 && time.Since(sent) > resendAfter {
				open = 0
			}
		}
		if open == 0 && u.a.link.Online() {
			open, sent = u.send(ctx, acked), time.Now()
		}
	}
}

// send sends the messages behind a number, and gives the last of them; 0 for none.
func (u *uplink) send(ctx context.Context, after uint64) uint64 {
	batch, err := u.a.spool.Next(after, batchMessages, batchBytes)
	if err != nil {
		u.a.log.Warn("messages for the cloud cannot be read", "err", err)
		return 0
	}
	if len(batch) == 0 {
		return 0
	}
	if err := u.a.link.Send(ctx, wire.Up, wire.UpBatch{Stream: u.a.spool.Stream(), Messages: batch}); err != nil {
		return 0 // the link says why
	}
	return batch[len(batch)-1].Seq
}
