package app

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/trigger/all"
	"github.com/hanshu-faas/hanshu/internal/workflow"
)

var (
	_ workflow.Store          = (*store.DB)(nil)
	_ control.FlowStore       = (*store.DB)(nil)
	_ functiongraph.FlowRuns  = (*workflow.Engine)(nil)
	_ functiongraph.FlowLists = (*store.DB)(nil)
	_ all.Sink                = (*flowSink)(nil)
)

// newFlows makes the engine of workflows.
func (s *Server) newFlows(db *store.DB, invoker *invoke.Invoker, jobs *queue.Queue, counters *metrics.Set) *workflow.Engine {
	return workflow.New(workflow.Config{
		Store: db, Invoker: flowInvoker{invoker, jobs}, Log: s.log, Metrics: counters, Slots: s.cfg.MaxInstances,
	})
}

// flows makes the use cases on workflows.
func (s *Server) flows(db *store.DB, engine *workflow.Engine, triggers *control.Triggers) *control.Flows {
	return control.NewFlows(control.FlowsConfig{Store: db, Interpreter: interpreter{engine}, Triggers: triggers, Region: s.cfg.Region})
}

// flowInvoker makes the calls of steps.
type flowInvoker struct {
	invoker *invoke.Invoker
	jobs    *queue.Queue
}

func (i flowInvoker) Invoke(ctx context.Context, c workflow.Invocation) (*faas.Result, error) {
	return i.invoker.Invoke(ctx, invoke.Request{Key: flowKey(c), Alias: c.URN.Alias, Call: faas.Invocation{
		ID: c.ID, Source: faas.SourceFlow, Event: c.Event, Alias: c.URN.Alias, Timeout: c.Limit, Kill: ctx.Done(), Flow: &c.Origin,
	}})
}

func (i flowInvoker) Enqueue(ctx context.Context, c workflow.Invocation) error {
	key := flowKey(c)
	if _, err := i.invoker.Find(ctx, invoke.Request{Key: key, Alias: c.URN.Alias}); err != nil {
		return err
	}
	return i.jobs.Enqueue(ctx, faas.Job{ID: c.ID, Key: key, Alias: c.URN.Alias, Source: faas.SourceFlow, Event: c.Event})
}

func flowKey(c workflow.Invocation) faas.FunctionKey {
	return faas.FunctionKey{Project: c.Project, Package: c.URN.Package, Name: c.URN.Name, Version: c.URN.Version}
}

// interpreter shows control what a definition means.
type interpreter struct{ engine *workflow.Engine }

// flowTriggers are the kinds of triggers by the names that definitions have for them.
func flowTriggers() map[string]string {
	return map[string]string{"FLOWTIMER": "TIMER", "SMN": "SMN", "APIG": "APIG", "APIG_DE": "DEDICATEDGATEWAY", "OBS": "OBS"}
}

func (i interpreter) Check(definition []byte) (faas.Flow, []control.FlowTrigger, error) {
	p, err := workflow.Parse(definition)
	if err != nil {
		return faas.Flow{}, nil, err
	}
	kinds := flowTriggers()
	var all []control.FlowTrigger
	for _, t := range p.Triggers {
		all = append(all, control.FlowTrigger{Name: t.Name, Kind: kinds[t.Type], Enabled: t.Enabled, Data: t.Config})
	}
	return faas.Flow{Name: p.Name, Description: p.Description, Mode: p.Mode, EnterpriseID: p.Enterprise, Streaming: p.Streaming}, all, nil
}

func (interpreter) GoneNote() []byte { return workflow.GoneNote() }

func (i interpreter) Forget(id string) { i.engine.Forget(id) }

// flowSink takes over what triggers hand in: a job for a function, or the start of a workflow.
type flowSink struct {
	jobs   *queue.Queue
	flows  *store.DB
	engine *workflow.Engine
}

// Enqueue is of trigger.Sink. The id of the job names the run, so that an event seen twice starts one.
func (s *flowSink) Enqueue(ctx context.Context, job faas.Job) error {
	if job.Key.Package != faas.FlowPackage {
		return s.jobs.Enqueue(ctx, job)
	}
	f, err := s.flows.Flow(ctx, job.Key.Project, job.Key.Name)
	if err != nil {
		return err
	}
	_, err = s.engine.StartRun(ctx, f, faas.FlowStart{ID: job.ID, Input: flowInput(job.Source, job.Event), Source: job.Source, CreatedBy: job.Source})
	return err
}

// flowInput makes the input of a run of an event: of a timer what its user_event says is "input", of an HTTP request its body where that is
// JSON, and of others the event as it is.
func flowInput(source string, event []byte) []byte {
	switch source {
	case faas.SourceTimer:
		var e struct {
			UserEvent string `json:"user_event"`
		}
		var user struct {
			Input json.RawMessage `json:"input"`
		}
		if json.Unmarshal(event, &e) == nil && json.Unmarshal([]byte(e.UserEvent), &user) == nil && len(user.Input) > 0 {
			return user.Input
		}
	case faas.SourceAPIG:
		var e struct {
			Body    []byte `json:"body"` // base64
			Encoded bool   `json:"isBase64Encoded"`
		}
		if json.Unmarshal(event, &e) == nil && e.Encoded && len(e.Body) > 0 && json.Valid(e.Body) {
			return e.Body
		}
	}
	return event
}

// flowGateway answers the requests of a route that leads to a workflow, and hands on those for functions.
type flowGateway struct {
	*invoke.Invoker
	sink *flowSink
}

// Find gives a function without a runtime for a workflow: no web server.
func (g flowGateway) Find(ctx context.Context, r invoke.Request) (*faas.Function, error) {
	if r.Key.Package == faas.FlowPackage {
		return &faas.Function{}, nil
	}
	return g.Invoker.Find(ctx, r)
}

// Invoke starts a run of a workflow and answers its id, or, for one of mode EXPRESS, waits for its end and answers its output.
func (g flowGateway) Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error) {
	if r.Key.Package != faas.FlowPackage {
		return g.Invoker.Invoke(ctx, r)
	}
	f, err := g.sink.flows.Flow(ctx, r.Key.Project, r.Key.Name)
	if err != nil {
		return nil, err
	}
	start := faas.FlowStart{ID: r.Call.ID, Input: flowInput(faas.SourceAPIG, r.Call.Event), Source: faas.SourceAPIG, CreatedBy: faas.SourceAPIG}
	if f.Mode == faas.FlowExpress {
		run, err := g.sink.engine.RunNow(ctx, f, start)
		if err != nil {
			return nil, err
		}
		if run.Status == faas.FlowDone {
			return httpAnswer(http.StatusOK, run.Output)
		}
		return httpAnswer(http.StatusBadGateway, run.Fault)
	}
	run, err := g.sink.engine.StartRun(ctx, f, start)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]string{"execution_id": run.ID})
	if err != nil {
		return nil, err
	}
	return httpAnswer(http.StatusAccepted, text)
}

// httpAnswer is what a function answers to an HTTP request.
func httpAnswer(status int, body []byte) (*faas.Result, error) {
	text, err := json.Marshal(map[string]any{
		"statusCode": status, "headers": map[string]string{"Content-Type": "application/json"}, "body": cmp.Or(string(body), "null"),
	})
	return &faas.Result{Output: text}, err
}
