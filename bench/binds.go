package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// bound is what was measured of gateways whose agents are the real program.
type bound struct {
	binds        []float64 // ms from the request to bind until a function is online
	spawns       []float64 // ms: as many times what must happen on the gateway, a plain start of its interpreter
	starts       []float64 // ms from a driver's message on the bus of a gateway to the first line of a warm function
	hops         []float64 // ms of as many messages on the same bus, without a function
	idle, loaded float64   // MiB of an agent: with one function at rest, and at 100 messages/s
}

const (
	bindGateways = 3
	binds        = 210
	busMessages  = 1000
	busPace      = 10 * time.Millisecond
	bindTime     = 30 * time.Second
	settleTime   = 40 * time.Second // for an agent to give back the memory of its start

	lineBindP50   = "edge: bind to online, p50"
	lineBindP99   = "edge: bind to online, p99"
	lineBusStart  = "edge: local message to function's start, p50"
	lineBusP99    = "edge: local message to function's start, p99"
	lineAgentIdle = "edge: agent RSS, idle"
	lineAgentBusy = "edge: agent RSS, 100 messages/s"
)

// boundSource tells on the bus when it began, before anything else.
const boundSource = `import time
def handler(event, context):
    context['sdk'].publish_nats_msg('bench.start', str(time.time_ns()).encode())
`

// measureBinds has a few agents come to a server of their own, and binds functions to one after the other.
func (b *bench) measureBinds(ctx context.Context) error {
	mqtt, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	s, done, err := b.ownServer(ctx, "--mqtt-listen", mqtt)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, fleetTime)
	defer cancel()
	bus, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	python, err := s.runtime(ctx, languages()[0].Prefix)
	if err != nil {
		return err
	}
	var agents []*process
	for i := range bindGateways {
		at := "none"
		if i == 0 {
			at = bus
		}
		p, err := b.agent(ctx, s, strconv.Itoa(i), at)
		if err != nil {
			return err
		}
		defer p.stop()
		drain(p)
		agents = append(agents, p)
	}
	b.bound = &bound{}
	if err := b.bound.measureBus(ctx, s, agents[0], bus); err != nil {
		return fmt.Errorf("messages on a gateway: %w", err)
	}
	for i := range binds {
		took, err := s.bind(ctx, fmt.Sprintf("f%d", i), strconv.Itoa(i%bindGateways))
		if err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		b.bound.binds = append(b.bound.binds, ms(took))
		begun := time.Now()
		if err := exec.CommandContext(ctx, python.Path, "-c", "import json, logging").Run(); err != nil {
			return err
		}
		b.bound.spawns = append(b.bound.spawns, ms(time.Since(begun)))
	}
	fmt.Fprintf(b.log, "%d functions bound\n", binds)
	return nil
}

// agent enrolls a gateway and starts its agent, which is beside the server's program.
func (b *bench) agent(ctx context.Context, s *server, sn, bus string) (*process, error) {
	file := filepath.Join(s.dir, sn+".json")
	out, err := exec.CommandContext(ctx, b.opts.binary, "gateway", "enroll", "--product", "bench", "--gateway", sn, "--out", file,
		"--admin-file", filepath.Join(s.dir, "data", "admin.json"), "--endpoint", "http://"+s.address).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("enroll: %w: %s", err, out)
	}
	return start(ctx, os.Environ(), filepath.Join(filepath.Dir(b.opts.binary), "hanshu-edge"), "run", "--config", file, "--data-dir", filepath.Join(s.dir, "edge"+sn),
		"--bus", bus, "--log-level", "error")
}

func (s *server) uiot(ctx context.Context, path string, in map[string]any, out any) error {
	var answer struct{ Data json.RawMessage }
	if err := s.api(ctx, http.MethodPost, "/api/v1/"+path, in, &answer); err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer.Data, out)
}

// bind makes a function, has it run on a gateway, and takes it away again. It gives the time from the request to bind until the server says
// that it is online.
func (s *server) bind(ctx context.Context, name, sn string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	source := base64.StdEncoding.EncodeToString([]byte(boundSource + "# " + name + "\n"))
	if err := s.uiot(ctx, "function/create", map[string]any{"FunctionName": name, "Runtime": "python3", "FunctionCode": source}, nil); err != nil {
		return 0, err
	}
	at := map[string]any{"FunctionName": name, "ProductSN": "bench", "GatewaySN": sn}
	begun := time.Now()
	if err := s.uiot(ctx, "function/bind", at, nil); err != nil {
		return 0, err
	}
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		var list struct {
			FunctionList []struct{ OnlineStatus string } `json:"functionList"`
		}
		if err := s.uiot(ctx, "function/bind/list", at, &list); err != nil {
			return 0, err
		}
		if len(list.FunctionList) == 1 && list.FunctionList[0].OnlineStatus == "online" {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-again.C:
		}
	}
	took := time.Since(begun)
	return took, s.uiot(ctx, "function/unbind", at, nil)
}

// measureBus weighs an agent with one function, and has messages of a driver call that.
func (m *bound) measureBus(ctx context.Context, s *server, agent *process, bus string) error {
	if _, err := s.bind(ctx, "warm", "0"); err != nil {
		return err
	}
	if err := s.uiot(ctx, "function/bind", map[string]any{"FunctionName": "warm", "ProductSN": "bench", "GatewaySN": "0"}, nil); err != nil {
		return err
	}
	if err := s.uiot(ctx, "messagerouter/create", map[string]any{
		"GatewayProductSN": "bench", "GatewaySN": "0", "RouterName": "r", "SrcType": "local", "DestType": "fc", "DestID": "warm",
		"FilterTopic": "/bench/dev/up", "FilterTopicType": "local",
	}, nil); err != nil {
		return err
	}
	conn, err := nats.Connect("nats://"+bus, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		return err
	}
	defer conn.Close()
	told, err := conn.SubscribeSync("bench.>")
	if err != nil {
		return err
	}
	message, err := json.Marshal(map[string]any{"src": "local", "topic": "/bench/dev/up", "payload": make([]byte, 256)})
	if err != nil {
		return err
	}
	if err := m.awaitFunction(ctx, conn, told, message); err != nil {
		return err
	}
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	weight, err := memoryOf(agent.pid())
	if err != nil {
		return err
	}
	m.idle = weight.RSS
	return m.pace(conn, told, message, agent)
}

// awaitFunction waits until the route stands and the function is warm.
func (m *bound) awaitFunction(ctx context.Context, conn *nats.Conn, told *nats.Subscription, message []byte) error {
	for began := time.Now(); time.Since(began) < bindTime; {
		if err := conn.Publish("edge.router.drv", message); err != nil {
			return err
		}
		if _, err := told.NextMsg(500 * time.Millisecond); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.New("no message reaches the function")
}

// pace sends messages at 100 a second, and in between what has no function behind it.
func (m *bound) pace(conn *nats.Conn, told *nats.Subscription, message []byte, agent *process) error {
	tick := time.NewTicker(busPace)
	defer tick.Stop()
	for i := range busMessages {
		<-tick.C
		sent := time.Now()
		if err := conn.Publish("edge.router.drv", message); err != nil {
			return err
		}
		got, err := told.NextMsg(bindTime)
		if err != nil {
			return err
		}
		began, err := strconv.ParseInt(string(got.Data), 10, 64)
		if err != nil {
			return err
		}
		m.starts = append(m.starts, ms(time.Unix(0, began).Sub(sent)))
		sent = time.Now()
		if err := conn.Publish("bench.hop", nil); err != nil {
			return err
		}
		if _, err := told.NextMsg(bindTime); err != nil {
			return err
		}
		m.hops = append(m.hops, ms(time.Since(sent)))
		if i%50 == 0 {
			weight, err := memoryOf(agent.pid())
			if err != nil {
				return err
			}
			m.loaded = max(m.loaded, weight.RSS)
		}
	}
	return nil
}

// rows gives none for nil.
func (m *bound) rows() []row {
	if m == nil {
		return nil
	}
	timed := func(line string, values, floors []float64, part float64) row {
		r := row{Line: line, Unit: millisecond, Value: quantile(values, part), Floor: quantile(floors, part)}
		if r.Floor > 0 {
			r.Ratio = r.Value / r.Floor
		}
		return r
	}
	return []row{
		timed(lineBindP50, m.binds, m.spawns, 0.5), timed(lineBindP99, m.binds, m.spawns, 0.99),
		timed(lineBusStart, m.starts, m.hops, 0.5), timed(lineBusP99, m.starts, m.hops, 0.99),
		{Line: lineAgentIdle, Unit: mebibyte, Value: m.idle}, {Line: lineAgentBusy, Unit: mebibyte, Value: m.loaded},
	}
}

// boundAims are the budgets of gateways.
func boundAims() map[string]aim {
	return map[string]aim{
		lineBindP50: {bound: 1000}, lineBindP99: {bound: 3000}, lineBusStart: {bound: 2}, lineAgentIdle: {bound: 20}, lineAgentBusy: {bound: 30},
	}
}
