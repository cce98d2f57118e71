package workflow

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// StartRun starts a run of a workflow, and returns when it is on disk: from then on it goes to its end, whatever happens to this server.
// A run of the same id that is there already is given back.
//
// Errors: CodeInvalid, field "input"; CodeTooLarge, field "input"; CodeNotFound, field "workflow", when it went meanwhile.
func (e *Engine) StartRun(ctx context.Context, f *faas.Flow, s faas.FlowStart) (faas.FlowRun, error) {
	r, err := e.prepare(f, s)
	if err != nil {
		return faas.FlowRun{}, err
	}
	held := e.admit(r, f)
	fresh, err := e.cfg.Store.StartFlowRuns(ctx, []faas.FlowRun{r.row})
	if err != nil || !fresh[0] {
		if held {
			r.letGo()
			e.work.Done()
		}
		if err != nil {
			return faas.FlowRun{}, err
		}
		return e.cfg.Store.FlowRun(ctx, f.ID, r.row.ID)
	}
	e.stats.started.Inc()
	started := r.row
	if !held {
		e.begun(r)
		return started, nil
	}
	e.mu.Lock()
	e.byID[runName{f.ID, r.row.ID}] = r
	e.mu.Unlock()
	go func() {
		defer e.work.Done()
		r.run()
	}()
	return started, nil
}

// admit decides where a new run begins, and lays that into its row: here at once, where there is room (then work is entered); asleep,
// where it only waits or there is no room; or nowhere, where it has ended at its beginning.
func (e *Engine) admit(r *run, f *faas.Flow) bool {
	m := r.machine
	if m.Status().Ended() {
		r.row.Status, r.row.EndedAt = m.Status(), fromMicros(m.now)
		if m.Status() == faas.FlowDone {
			r.row.Output = Encode(m.Output())
		}
		if m.Fault() != nil {
			r.row.Fault = Encode(m.Fault())
		}
		return false
	}
	if due, ok := m.Due(); f.Mode == faas.FlowNormal && len(m.effects) == 0 && r.restful() {
		r.row.Asleep = true
		if ok {
			r.row.WakeAt = fromMicros(due)
		}
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.held) >= e.cfg.Runs || !e.started || e.stopping {
		r.row.Asleep, r.row.WakeAt = true, r.row.BeganAt
		return false
	}
	e.held[r.seq] = r
	e.work.Add(1)
	return true
}

// begun sees to a stored run that is not held.
func (e *Engine) begun(r *run) {
	if r.row.Status.Ended() {
		e.stats.ended[r.row.Status].Inc()
	} else if !r.row.WakeAt.IsZero() {
		e.stir(r.row.WakeAt)
	}
}

// run brings a run that was just stored under way.
func (r *run) run() {
	var w batch
	w.effects = r.machine.Effects()
	if r.step(w, nil, nil) {
		r.drain()
	}
}

// RunNow runs a workflow of FlowExpress to its end, and gives the run as it ended. It goes on when ctx ends before.
//
// Errors: as StartRun; CodeUnsupported, field "mode", for a workflow of FlowNormal.
func (e *Engine) RunNow(ctx context.Context, f *faas.Flow, s faas.FlowStart) (faas.FlowRun, error) {
	if f.Mode != faas.FlowExpress {
		return faas.FlowRun{}, faas.Errorf(faas.CodeUnsupported, "mode", "only a workflow of mode EXPRESS can be waited for; start this one, and ask for its run")
	}
	r, err := e.prepare(f, s)
	if err != nil {
		return faas.FlowRun{}, err
	}
	r.loose, r.done = true, make(chan struct{})
	e.mu.Lock()
	full := len(e.held) >= e.cfg.Runs || !e.started || e.stopping
	if !full {
		e.held[r.seq] = r
		e.byID[runName{f.ID, r.row.ID}] = r
		e.work.Add(1)
	}
	e.mu.Unlock()
	if full {
		return faas.FlowRun{}, faas.Errorf(faas.CodeOverload, "", "%d runs are under way already, as many as may be; try again later", e.cfg.Runs)
	}
	e.stats.started.Inc()
	go func() {
		defer e.work.Done()
		r.run()
	}()
	select {
	case <-r.done:
		return r.row, nil
	case <-ctx.Done():
		return faas.FlowRun{}, faas.Errorf(faas.CodeCancelled, "", "the caller went away; the run goes on")
	case <-e.ctx.Done():
		return faas.FlowRun{}, faas.Errorf(faas.CodeUnavailable, "", "the server ends")
	}
}

// prepare makes a run that nobody knows of yet.
func (e *Engine) prepare(f *faas.Flow, s faas.FlowStart) (*run, error) {
	if len(s.Input) > faas.MaxFlowInput {
		return nil, faas.Errorf(faas.CodeTooLarge, "input", "the input has %d bytes, and %d is the limit", len(s.Input), faas.MaxFlowInput)
	}
	input, err := Decode(s.Input)
	if err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "input", "the input is not JSON: %v", err)
	}
	p, err := e.program(f.ID, f.Revision, f.Definition)
	if err != nil {
		return nil, err
	}
	if s.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		s.ID = id.String()
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := &run{
		engine: e, seq: e.number(), busy: true, calls: map[string]context.CancelFunc{}, noted: map[int64]bool{},
		machine: NewMachine(p, Begin{Input: input, Merge: s.Merge, At: now.UnixMicro()}),
	}
	r.row = faas.FlowRun{
		Seq: r.seq, ID: s.ID, Flow: f.ID, Project: f.Project, Revision: f.Revision, Mode: f.Mode, Status: faas.FlowRunning, Source: s.Source,
		Merge: s.Merge, Input: s.Input, Headers: s.Headers, CreatedBy: s.CreatedBy, BeganAt: now, UpdatedAt: now,
	}
	return r, nil
}

// StopRun calls a run off: calls under way are ended with their instances, and runs that it waits for are called off too.
//
// Errors: CodeNotFound and CodeConflict, field "execution": it has ended.
func (e *Engine) StopRun(ctx context.Context, flow, id string) error {
	return e.tell(ctx, flow, id, Event{Kind: EventCancel}, "the run has ended already")
}

// RetryRun lets a run of FlowNormal that ended badly go on from the state in which it ended.
//
// Errors: CodeNotFound and CodeConflict, field "execution"; CodeUnsupported, field "mode", for a run of FlowExpress.
func (e *Engine) RetryRun(ctx context.Context, flow, id string) error {
	return e.tell(ctx, flow, id, Event{Kind: EventRetry}, "the run has not ended badly: only such a run can be retried")
}

// Answer ends what a state of the kind callback waits for. state is its path within the run; fault "" for success.
//
// Errors: CodeNotFound, field "execution"; CodeConflict, field "state", when nothing waits there; CodeTooLarge, field "output".
func (e *Engine) Answer(ctx context.Context, flow, id, state string, output []byte, fault string, failed bool) error {
	if len(output) > faas.MaxFlowResult {
		return faas.Errorf(faas.CodeTooLarge, "output", "the output has %d bytes, and %d is the limit", len(output), faas.MaxFlowResult)
	}
	ev := Event{Kind: EventCallback, Task: state, Output: output}
	if failed {
		ev.Output = nil
		ev.Fault = faultf(500, fault, "%s", fault)
		if fault == "" {
			ev.Fault = faultf(500, "callback", "the callback says that it failed")
		}
		if len(output) > 0 && string(output) != "null" {
			ev.Fault.Message = faas.Clip(ev.Fault.Message+": "+string(output), maxMessage)
		}
	}
	err := e.tell(ctx, flow, id, ev, "")
	if faas.CodeOf(err) == faas.CodeConflict && err != nil {
		return faas.Errorf(faas.CodeConflict, "state", "the run does not wait for a callback at state %.200q", state)
	}
	return err
}

const (
	glance        = 2 * time.Millisecond // a run may be between the hands of this server for so long
	patienceOfOne = 30 * time.Second     // the longest an event may take to be stored before whoever brought it is told
)

// tell hands an event to a run, and returns when it is on disk.
func (e *Engine) tell(ctx context.Context, flow, id string, ev Event, refusal string) error {
	conflict := faas.Errorf(faas.CodeConflict, "execution", "%s", refusal)
	for {
		d := delivery{event: ev, reply: make(chan verdict, 1)}
		e.mu.Lock()
		r := e.byID[runName{flow, id}]
		e.mu.Unlock()
		if r == nil || !r.post(d) {
			done, err := e.reach(ctx, flow, id, d, conflict)
			if done || err != nil {
				return err
			}
		}
		again := time.NewTimer(patienceOfOne)
		select {
		case v := <-d.reply:
			again.Stop()
			if v == accepted {
				return nil
			}
			if v == refused {
				return conflict
			}
		case <-again.C:
			return faas.Errorf(faas.CodeUnavailable, "execution", "the run is out of reach at the moment")
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

// reach has this server hold a run that it does not hold, with an event on its way to it; done when the event is in other hands.
func (e *Engine) reach(ctx context.Context, flow, id string, d delivery, conflict error) (done bool, err error) {
	row, err := e.cfg.Store.FlowRun(ctx, flow, id)
	if err != nil {
		return false, err
	}
	again := d.event.Kind == EventRetry
	switch {
	case again && row.Mode == faas.FlowExpress:
		return false, faas.Errorf(faas.CodeUnsupported, "mode", "a run of mode EXPRESS keeps no history, so it cannot be retried; start another")
	case row.Status.Ended() != again, again && row.Status == faas.FlowDone:
		return false, conflict
	}
	held, err := e.cfg.Store.HoldFlowRun(ctx, row.Seq, again)
	if err != nil {
		return false, err
	}
	if held {
		e.take(row.Seq, d)
		return false, nil
	}
	e.mu.Lock()
	here := e.held[row.Seq] != nil
	e.mu.Unlock()
	if e.cfg.Store.Shared() && !again && !row.Asleep && !here { // another server takes it in with its next look
		d.event.At = time.Now().UnixMicro()
		return true, e.cfg.Store.NoteFlowRun(ctx, faas.FlowNote{Run: row.Seq, Doc: d.event.Encode()})
	}
	// Between two hands of this server: asked again in a moment.
	time.AfterFunc(glance, func() { d.reply <- elsewhere })
	return false, nil
}

// Show gives a run with every attempt at every state, and what it waits for. Error: CodeNotFound, field "execution".
func (e *Engine) Show(ctx context.Context, flow, id string) (faas.FlowView, error) {
	row, err := e.cfg.Store.FlowRun(ctx, flow, id)
	if err != nil {
		return faas.FlowView{}, err
	}
	view := faas.FlowView{Run: row}
	if row.Mode == faas.FlowExpress {
		return view, nil
	}
	log, err := e.cfg.Store.FlowLog(ctx, row.Seq)
	if err != nil {
		return view, err
	}
	view.Run = log.Run
	trace := newTrace()
	m, err := rebuild(e, &log, trace)
	if err != nil {
		return view, err
	}
	for _, a := range trace.Attempts {
		view.Attempts = append(view.Attempts, a.view())
	}
	for _, p := range m.Pending() {
		view.Waits = append(view.Waits, faas.FlowWait{
			State: p.Path, Attempt: p.Attempt, What: p.What, Detail: p.Detail, Since: fromMicros(p.Since), Until: fromMicros(p.Due),
		})
	}
	return view, nil
}

func (a *Attempt) view() faas.FlowAttempt {
	v := faas.FlowAttempt{
		State: a.Path, Name: a.Name, Type: a.Type, Number: a.Number, Status: a.Status, Input: Encode(a.Input), Fault: faultText(a.Fault),
		BeganAt: fromMicros(a.Began), EndedAt: fromMicros(a.Ended),
	}
	if a.Status == faas.FlowDone {
		v.Output = Encode(a.Output)
	}
	for _, c := range a.Calls {
		v.Calls = append(v.Calls, faas.FlowCall{
			Function: c.Function, RequestID: c.RequestID, Fault: faultText(c.Fault), BeganAt: fromMicros(c.Began), EndedAt: fromMicros(c.Ended),
		})
	}
	return v
}

func faultText(f *Fault) []byte {
	if f == nil {
		return nil
	}
	return Encode(f)
}

// GoneNote is what a run learns whose subflow was deleted.
func GoneNote() []byte {
	return (&Event{Kind: EventChild, Fault: FaultOf(faas.CodeNotFound, "", "the workflow that the run waited for was deleted")}).Encode()
}

// Forget lets go of the runs of a workflow that was deleted.
func (e *Engine) Forget(flow string) {
	e.mu.Lock()
	var gone []*run
	for name, r := range e.byID {
		if name.flow == flow {
			gone = append(gone, r)
		}
	}
	for key := range e.programs {
		if key.flow == flow {
			delete(e.programs, key)
		}
	}
	e.mu.Unlock()
	for _, r := range gone {
		r.post(delivery{event: Event{Kind: EventCancel}}) // its end finds nothing to be written to
	}
	e.stir(time.Time{})
}

// Check holds a definition to its rules, and tells what others want to know of it. Error: as Parse.
func Check(definition []byte) (*Program, error) { return Parse(definition) }
