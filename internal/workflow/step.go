package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// store writes a batch, however long that takes; not ok when the run is not held any more, or the engine ends. due tells that the run,
// which was let go of, has to be taken up again.
func (r *run) store(w batch, children []faas.FlowRun, release bool) (due, ok bool) {
	e, m := r.engine, r.machine
	if r.loose {
		return false, true // finish sees to it
	}
	f := faas.FlowWrite{
		Run: r.seq, From: r.row.Events, Events: w.events, Status: m.Status(), At: fromMicros(m.now), Release: release, Taken: w.notes, Children: children,
	}
	if r.row.Mode == faas.FlowExpress {
		f.Events = nil
	}
	if release {
		if due, ok := m.Due(); ok {
			f.WakeAt = fromMicros(due)
		}
	}
	for _, effect := range w.effects {
		if effect.Drop != "" {
			f.Notes = append(f.Notes, faas.FlowNote{Parent: r.seq, Task: effect.Drop, Doc: (&Event{Kind: EventCancel}).Encode()})
		}
	}
	if m.Status().Ended() {
		r.last(&f)
	}
	begun := time.Now()
	for wait := storeAwayLeast; ; wait = min(2*wait, storeAwayMost) {
		var err error
		if due, err = e.cfg.Store.WriteFlowRun(context.WithoutCancel(e.ctx), f); err == nil {
			break
		}
		if code := faas.CodeOf(err); code == faas.CodeConflict || code == faas.CodeNotFound {
			return false, false
		}
		e.cfg.Log.Warn("what happened in a workflow run waits to be stored", "error", err)
		if !e.pause(wait) {
			return false, false
		}
	}
	e.stats.writes.Observe(time.Since(begun))
	r.row.Events += len(f.Events)
	r.row.Status = m.Status()
	if len(children) > 0 {
		e.stir(time.Time{})
	}
	if len(f.Notes) > 0 {
		e.stir(time.Time{})
		e.readNotes(e.ctx)
	}
	return due, true
}

// last adds to a write that the run has ended, and tells the run that waits for it.
func (r *run) last(f *faas.FlowWrite) {
	m := r.machine
	f.EndedAt = fromMicros(m.now)
	if m.Status() == faas.FlowDone {
		f.Output = Encode(m.Output())
	}
	if m.Fault() != nil {
		f.Fault = Encode(m.Fault())
	}
	if r.row.Parent == 0 {
		return
	}
	ev := Event{Kind: EventChild, Task: r.row.ParentTask, Output: f.Output}
	if m.Status() != faas.FlowDone {
		ev.Output, ev.Fault = nil, m.Fault()
	}
	f.Notes = append(f.Notes, faas.FlowNote{Run: r.row.Parent, Doc: ev.Encode()})
}

// finish lets go of a run that has ended, and tells whoever waits for it.
func (r *run) finish() {
	e, m := r.engine, r.machine
	e.stats.ended[m.Status()].Inc()
	r.row.Status, r.row.EndedAt, r.row.UpdatedAt = m.Status(), fromMicros(m.now), fromMicros(m.now)
	if m.Status() == faas.FlowDone {
		r.row.Output = Encode(m.Output())
	}
	if m.Fault() != nil {
		r.row.Fault = Encode(m.Fault())
	}
	if level := m.program.LogLevel; level == "ALL" || level == "ERROR" && m.Status() != faas.FlowDone {
		e.cfg.Log.Info("a workflow run has ended", "workflow", r.row.Flow, "run", r.row.ID, "status", string(m.Status()), "fault", string(r.row.Fault))
	}
	if r.done != nil {
		close(r.done)
	}
	if r.loose {
		if _, err := e.cfg.Store.StartFlowRuns(context.WithoutCancel(e.ctx), []faas.FlowRun{r.row}); err != nil {
			e.cfg.Log.Warn("the end of a short workflow run could not be stored", "error", err)
		}
	}
	r.letGo()
}

// act has effects happen: those of a batch that is on disk.
func (r *run) act(effects []Effect) {
	dropped := map[string]bool{}
	for _, e := range effects {
		if e.Drop != "" {
			dropped[e.Drop] = true
			r.mu.Lock()
			end := r.calls[e.Drop]
			r.mu.Unlock()
			if end != nil {
				end()
			}
		}
	}
	for _, e := range effects {
		if e.Call != nil && !dropped[e.Call.Task] && !r.machine.Status().Ended() {
			r.perform(e.Call)
		}
	}
}

// perform makes a call, when a slot is free, and hands its end to the run.
func (r *run) perform(c *Call) {
	e := r.engine
	ctx, cancel := context.WithCancel(e.ctx)
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		cancel()
		return
	}
	r.calls[c.Task] = cancel
	r.mu.Unlock()
	e.work.Go(func() {
		defer cancel()
		ev, ok := r.await(ctx, c)
		r.mu.Lock()
		delete(r.calls, c.Task)
		r.mu.Unlock()
		if ok {
			r.post(delivery{event: ev})
		}
	})
}

// await makes a call; ok is false when it was cut off, by its run or by the end of the server.
func (r *run) await(ctx context.Context, c *Call) (Event, bool) {
	e := r.engine
	select {
	case <-e.quit: // no step begins once the engine stops
		return Event{}, false
	default:
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return Event{}, false
	case <-e.quit:
		return Event{}, false
	}
	defer func() { <-e.slots }()
	e.stats.steps.Inc()
	in := Invocation{
		Project: r.row.Project, URN: c.Function, Event: c.Event(), Limit: faas.MaxFlowStep,
		Origin: faas.FlowOrigin{Workflow: r.row.Flow, Run: r.row.ID, State: c.Path, Attempt: c.Attempt},
	}
	if in.URN.Project != "" && in.URN.Project != r.row.Project {
		return Event{Kind: EventReturn, Task: c.Task, Fault: FaultOf(faas.CodeNotFound, "", "the function "+in.URN.String()+" is not of this project")}, true
	}
	ev := Event{Kind: EventReturn, Task: c.Task, Began: time.Now().UnixMicro()}
	if c.Detached {
		in.ID = uuid.NewSHA1(namespace, []byte(r.row.Flow+"/"+r.row.ID+"/"+c.Task)).String()
		ev.Call = in.ID
		if err := e.cfg.Invoker.Enqueue(ctx, in); err != nil {
			ev.Fault = faultOf(err)
		}
		ev.Output = Encode(map[string]any{"request_id": in.ID})
		return ev, ctx.Err() == nil
	}
	res, err := r.invoke(ctx, &in)
	ev.Call = in.ID
	switch {
	case ctx.Err() != nil:
		return ev, false
	case err != nil:
		ev.Fault = faultOf(err)
	case res.Failure != nil:
		ev.Fault = FaultOf(res.Failure.Code, res.Failure.Type, res.Failure.Message)
	default:
		ev.Output = res.Output
	}
	return ev, true
}

// patience is how often a call is made again for which the platform had no room.
const patience = 6

// invoke makes a call. For want of room it is made again a little later: that is not the function's doing, and no attempt at the state.
func (r *run) invoke(ctx context.Context, in *Invocation) (*faas.Result, error) {
	for try, wait := 0, storeAwayLeast; ; try, wait = try+1, min(2*wait, storeAwayMost) {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		in.ID = id.String()
		res, err := r.engine.cfg.Invoker.Invoke(ctx, *in)
		switch faas.CodeOf(err) {
		case faas.CodeOverload, faas.CodeQueueTimeout, faas.CodeUnavailable:
			if err != nil && try < patience && r.rest(ctx, wait) {
				continue
			}
		}
		return res, err
	}
}

func (r *run) rest(ctx context.Context, wait time.Duration) bool {
	again := time.NewTimer(wait)
	defer again.Stop()
	select {
	case <-again.C:
		return true
	case <-ctx.Done():
		return false
	case <-r.engine.quit:
		return false
	}
}

// faultOf tells of an error what a user may know of it.
func faultOf(err error) *Fault {
	var expected *faas.Error
	if !errors.As(err, &expected) || expected.Code == faas.CodeInternal {
		return FaultOf(faas.CodeInternal, "", "a fault of the platform; its log says more")
	}
	return FaultOf(expected.Code, "", expected.Message)
}
