package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// flowTimes is what was measured of workflows.
type flowTimes struct {
	steps, calls []float64 // ms: 400 steps of one run, and as many calls one after another
	commits      []float64 // ms: as many commits one after another
	bulk, drain  []float64 // calls per second: of runs of three steps, and of the bare queue
	first        []float64 // ms from the start's request to the function
	asleep       int64     // runs
	asleepRSS    float64   // MiB of the server that has them
	fewRSS       float64   // before
}

const (
	flowSteps    = 400
	flowBulk     = 2000
	flowFirsts   = 200
	flowSleepers = 100_000

	lineFlowSteps  = "workflow, 400 steps in sequence"
	lineFlowCommit = "workflow, 400 steps, by as many bare commits"
	lineFlowBulk   = "workflow, steps of 2,000 runs of three, by the bare queue"
	lineFlowRuns   = "workflow, runs of three steps"
	lineFlowFirst  = "workflow, start to first step, p50"
	lineFlowAsleep = "server RSS, 100,000 runs asleep"
)

// measureFlows measures workflows on a server of their own.
func (b *bench) measureFlows(ctx context.Context) (err error) {
	s, done, err := b.ownServer(ctx)
	if err != nil {
		return err
	}
	defer done()
	l := languages()[0]
	runtime, err := s.runtime(ctx, l.Prefix)
	if err != nil {
		return err
	}
	echo, err := s.create(ctx, l, runtime.Name, "echo")
	if err != nil {
		return err
	}
	for name, states := range map[string]string{"long": flowChain(flowSteps/10, 10), "short": flowChain(3, 1), "asleep": `{"id":"s0","name":"s","type":"Sleep","duration":86400,"end":true}`} {
		if err := s.flow(ctx, name, states); err != nil {
			return err
		}
	}
	b.flows = &flowTimes{}
	for range b.opts.rounds {
		if err := b.flows.round(ctx, b, s, echo); err != nil {
			return err
		}
	}
	if err := b.flows.firsts(ctx, b, s, runtime.Name); err != nil {
		return err
	}
	return b.flows.sleepers(ctx, b, s)
}

// flowChain makes states that follow each other, each of so many calls.
func flowChain(states, calls int) string {
	call := `{"function_ref":{"ref_name":"echo"}}`
	var all []string
	for i := range states {
		next := `"end":true`
		if i+1 < states {
			next = fmt.Sprintf(`"transition":"s%d"`, i+1)
		}
		all = append(all, fmt.Sprintf(`{"id":"s%d","name":"s","type":"Operation","actions":[%s],%s}`, i, strings.TrimSuffix(strings.Repeat(call+",", calls), ","), next))
	}
	return strings.Join(all, ",")
}

func (s *server) flow(ctx context.Context, name, states string) error {
	text := fmt.Sprintf(`{"name":%q,"start":"s0","functions":[{"name":"echo","operation":"echo"}],"constants":{},"retries":[],"states":[%s]}`, name, states)
	return s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/workflows", json.RawMessage(text), nil)
}

func (s *server) startFlow(ctx context.Context, name string) (id string, err error) {
	var got struct {
		ID string `json:"execution_id"`
	}
	err = s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/workflows/"+name+"/executions", json.RawMessage(`{"input":{"n":1}}`), &got)
	return got.ID, err
}

// running counts the runs of a workflow that are under way, up to 500.
func (s *server) running(ctx context.Context, name string) (int, error) {
	var page struct {
		Executions []struct{} `json:"executions"`
	}
	err := s.api(ctx, http.MethodGet, "/v2/"+s.ProjectID+"/fgs/workflows/"+name+"/executions?status=running&limit=500", nil, &page)
	return len(page.Executions), err
}

// over waits until no run of a workflow is under way.
func (s *server) over(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		n, err := s.running(ctx, name)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.New("the runs did not end in time")
		}
	}
}

func (f *flowTimes) round(ctx context.Context, b *bench, s *server, echo target) error {
	direct, err := load(ctx, s.pid(), loadSpec{Target: echo, Clients: 1, Warm: againWarm, Run: b.opts.run})
	if err != nil {
		return err
	}
	bare, err := keepRate(ctx, 1, b.opts.run)
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err := s.startFlow(ctx, "long"); err != nil {
		return err
	}
	if err := s.over(ctx, "long"); err != nil {
		return err
	}
	steps := time.Since(begun)
	f.steps = append(f.steps, float64(steps.Microseconds())/1000)
	f.calls, f.commits = append(f.calls, flowSteps*1000/direct.PerSecond), append(f.commits, flowSteps*1000/bare)

	before, err := s.books(ctx)
	if err != nil {
		return err
	}
	if _, err := load(ctx, s.pid(), loadSpec{Target: later(echo), Clients: 64, Run: b.opts.run}); err != nil {
		return err
	}
	drain, err := s.drain(ctx, before)
	if err != nil {
		return err
	}
	begun = time.Now()
	if err := s.startMany(ctx, "short", flowBulk, 64); err != nil {
		return err
	}
	if err := s.over(ctx, "short"); err != nil {
		return err
	}
	rate := 3 * flowBulk / time.Since(begun).Seconds() // starting them included
	f.bulk, f.drain = append(f.bulk, rate), append(f.drain, drain)
	fmt.Fprintf(b.log, "workflows, 400 steps in %v, as many calls %.0f ms, commits %.0f ms; in bulk %.0f steps/s, the queue %.0f calls/s\n",
		steps.Round(time.Millisecond), flowSteps*1000/direct.PerSecond, flowSteps*1000/bare, rate, drain)
	return nil
}

// startMany starts runs from several clients at a time.
func (s *server) startMany(ctx context.Context, name string, runs int64, clients int) error {
	var left atomic.Int64
	left.Store(runs)
	failed := make(chan error, clients)
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.startFlow(ctx, name); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	work.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// firsts measures the time from the request that starts a run to its first step, by the clock that both read. The function is warm.
func (f *flowTimes) firsts(ctx context.Context, b *bench, s *server, runtime string) error {
	source := []byte("import time\n\ndef handler(event, context):\n    return {'at': time.time_ns()}\n")
	err := s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/functions", map[string]any{
		"func_name": "clock", "package": "default", "runtime": runtime, "handler": "index.handler", "timeout": functionTime,
		"memory_size": memorySize, "code_type": "inline", "func_code": map[string]any{"file": source},
	}, nil)
	if err != nil {
		return err
	}
	text := `{"name":"clock","start":"s0","functions":[{"name":"clock","operation":"clock"}],"constants":{},"retries":[],"states":[
		{"id":"s0","name":"s","type":"Operation","actions":[{"function_ref":{"ref_name":"clock"}}],"end":true}]}`
	if err := s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/workflows", json.RawMessage(text), nil); err != nil {
		return err
	}
	for range flowFirsts {
		begun := time.Now().UnixNano()
		id, err := s.startFlow(ctx, "clock")
		if err != nil {
			return err
		}
		if err := s.over(ctx, "clock"); err != nil {
			return err
		}
		var run struct {
			Output struct{ At int64 } `json:"output"`
		}
		if err := s.api(ctx, http.MethodGet, "/v2/"+s.ProjectID+"/fgs/workflows/clock/executions/"+id, nil, &run); err != nil {
			return err
		}
		f.first = append(f.first, float64(run.Output.At-begun)/1e6)
	}
	fmt.Fprintf(b.log, "workflows, start to first step p50 %.2f ms, p99 %.2f ms\n", quantile(f.first, 0.5), quantile(f.first, 0.99))
	return nil
}

// sleepers lets runs wait, and weighs the server.
func (f *flowTimes) sleepers(ctx context.Context, b *bench, s *server) error {
	few, err := memoryOf(s.pid())
	if err != nil {
		return err
	}
	if err := s.startMany(ctx, "asleep", flowSleepers, 64); err != nil {
		return err
	}
	m, err := memoryOf(s.pid())
	f.asleep, f.asleepRSS, f.fewRSS = flowSleepers, m.RSS, few.RSS
	fmt.Fprintf(b.log, "workflows, %d asleep: %.0f MiB, %.0f before\n", f.asleep, m.RSS, few.RSS)
	return err
}

// rows are the lines of the table.
func (f *flowTimes) rows() []row {
	if f == nil {
		return nil
	}
	var runs []float64
	for _, r := range f.bulk {
		runs = append(runs, r/3)
	}
	return []row{
		{Line: lineFlowSteps, Unit: millisecond, Value: median(f.steps), Floor: median(f.calls), Ratio: medianRatio(f.steps, f.calls)},
		{Line: lineFlowCommit, Unit: millisecond, Value: median(f.steps), Floor: median(f.commits), Ratio: medianRatio(f.steps, f.commits)},
		{Line: lineFlowBulk, Unit: perSecond, Value: median(f.bulk), Floor: median(f.drain), Ratio: medianRatio(f.bulk, f.drain)},
		{Line: lineFlowRuns, Unit: perSecond, Value: median(runs)},
		{Line: lineFlowFirst, Unit: millisecond, Value: quantile(f.first, 0.5)},
		{Line: lineFlowAsleep, Unit: mebibyte, Value: f.asleepRSS, Floor: f.fewRSS},
	}
}
