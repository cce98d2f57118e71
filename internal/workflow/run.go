package workflow

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func chance() int { return rand.IntN(1 << 10) }

// run is a run that this server holds.
type run struct {
	engine *Engine
	seq    int64

	// Touched by whoever has set busy.
	row     faas.FlowRun
	machine *Machine
	bytes   int
	loose   bool // nothing is on disk before the end: a run that somebody waits for
	noted   map[int64]bool

	mu    sync.Mutex
	box   []delivery
	busy  bool
	gone  bool // not held any more
	calls map[string]context.CancelFunc
	alarm *time.Timer
	done  chan struct{} // closed at the end; nil where nobody waits
}

// delivery is an event on its way to a run.
type delivery struct {
	event Event
	note  int64
	reply chan verdict // nil where nobody waits
}

type verdict int

const (
	accepted  verdict = iota // it is on disk
	refused                  // it does not count
	elsewhere                // this server does not hold the run any more
)

// post hands an event to the run; false when it is not held any more.
func (r *run) post(d delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false
	}
	r.box = append(r.box, d)
	if !r.busy {
		r.busy = true
		r.engine.work.Go(r.drain)
	}
	return true
}

// load rebuilds the run from what is on disk, and has what it waits for happen. It tells whether the run is held.
func (r *run) load() bool {
	e := r.engine
	var log faas.FlowLog
	for wait := storeAwayLeast; ; wait = min(2*wait, storeAwayMost) {
		var err error
		if log, err = e.cfg.Store.FlowLog(e.ctx, r.seq); err == nil {
			break
		}
		if faas.CodeOf(err) == faas.CodeNotFound || !e.pause(wait) {
			r.letGo()
			return false
		}
		e.cfg.Log.Warn("a workflow run cannot be read", "error", err)
	}
	r.row = log.Run
	m, err := rebuild(e, &log, nil)
	if err != nil {
		e.cfg.Log.Error("a workflow run cannot be rebuilt, so it ends", "run", r.row.ID, "workflow", r.row.Flow, "error", err)
		r.giveUp()
		return false
	}
	r.machine = m
	for _, d := range log.Events {
		r.bytes += len(d)
	}
	e.mu.Lock()
	e.byID[runName{r.row.Flow, r.row.ID}] = r
	e.mu.Unlock()
	first := m.Effects()
	r.takeNotes(log.Notes)
	if r.row.Events == 0 && len(log.Notes) == 0 && !r.row.Status.Ended() {
		// It may have been cut off before its first subflows were started. They are started once: their ids are made of what asks for
		// them. Notes show that they were.
		return r.step(batch{effects: first}, nil, nil)
	}
	for _, c := range m.Calls() {
		r.perform(c)
	}
	return true
}

// rebuild folds what is recorded of a run. It leaves in the Machine the effects of the beginning where nothing is recorded yet.
func rebuild(e *Engine, log *faas.FlowLog, trace *Trace) (*Machine, error) {
	p, err := e.program(log.Run.Flow, log.Run.Revision, log.Definition)
	if err != nil {
		return nil, err
	}
	input, err := Decode(log.Run.Input)
	if err != nil {
		return nil, err
	}
	m := newMachine(p, Begin{Input: input, Merge: log.Run.Merge, At: micros(log.Run.BeganAt)}, trace, 0)
	for _, text := range log.Events {
		m.Effects()
		ev, err := DecodeEvent(text)
		if err != nil {
			return nil, err
		}
		if !m.Apply(ev) {
			return nil, errors.New("an event that is recorded does not fit: " + string(ev.Kind) + " " + ev.Task)
		}
	}
	return m, nil
}

// giveUp ends a run that nothing can be done with.
func (r *run) giveUp() {
	fault := Encode(faultf(500, string(faas.CodeInternal), "what is recorded of the run cannot be read; the server's log says more"))
	now := time.Now()
	_, err := r.engine.cfg.Store.WriteFlowRun(r.engine.ctx, faas.FlowWrite{
		Run: r.seq, From: r.row.Events, Status: faas.FlowFailed, Fault: fault, At: now, EndedAt: now,
	})
	if err != nil {
		r.engine.cfg.Log.Error("a workflow run cannot be ended", "run", r.row.ID, "error", err)
	}
	r.letGo()
}

// letGo forgets the run here. What was on its way to it learns that.
func (r *run) letGo() {
	e := r.engine
	r.mu.Lock()
	r.gone, r.busy = true, false
	box := r.box
	r.box = nil
	if r.alarm != nil {
		r.alarm.Stop()
	}
	for _, end := range r.calls {
		end()
	}
	r.mu.Unlock()
	for _, d := range box {
		if d.reply != nil {
			d.reply <- elsewhere
		}
	}
	e.mu.Lock()
	full := len(e.held) >= e.cfg.Runs
	if e.held[r.seq] == r {
		delete(e.held, r.seq)
	}
	if name := (runName{r.row.Flow, r.row.ID}); e.byID[name] == r {
		delete(e.byID, name)
	}
	e.mu.Unlock()
	if full {
		e.stir(time.Time{})
	}
}

// look takes in the notes for the run.
func (r *run) look(ctx context.Context) {
	notes, err := r.engine.cfg.Store.FlowNotes(ctx, r.seq)
	if err != nil {
		r.engine.cfg.Log.Warn("notes for a workflow run cannot be read", "error", err)
		return
	}
	for _, n := range notes {
		ev, err := DecodeEvent(n.Doc)
		if err != nil {
			continue // never: we have written it
		}
		r.post(delivery{event: ev, note: n.ID})
	}
}

// takeNotes is look for a run that is being loaded.
func (r *run) takeNotes(notes []faas.FlowNote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range notes {
		if ev, err := DecodeEvent(n.Doc); err == nil {
			r.box = append(r.box, delivery{event: ev, note: n.ID})
		}
	}
}

// drain takes in what has come, stores it, and has happen what follows, until nothing more has come.
func (r *run) drain() {
	for {
		r.mu.Lock()
		if r.gone {
			r.mu.Unlock()
			return
		}
		box := r.box
		r.box = nil
		r.mu.Unlock()
		w, verdicts := r.apply(box)
		if !r.step(w, box, verdicts) {
			return
		}
		r.mu.Lock()
		if len(r.box) == 0 {
			r.busy = false
			r.arm()
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
}

// batch is what one transaction will hold.
type batch struct {
	events  [][]byte
	effects []Effect
	notes   []int64
}

// apply has the machine take events in, with the timers whose time has come.
func (r *run) apply(box []delivery) (batch, []verdict) {
	var w batch
	verdicts := make([]verdict, len(box))
	take := func(ev Event) bool {
		if len(ev.Output) > faas.MaxFlowResult {
			ev.Output, ev.Fault = nil, faultf(413, string(faas.CodeResultTooLarge), "the result has %d bytes, and %d is the limit of a step", len(ev.Output), faas.MaxFlowResult)
		}
		ev.At = max(ev.At, r.machine.now)
		if !r.machine.Apply(ev) {
			return false
		}
		text := ev.Encode()
		r.bytes += len(text)
		w.events = append(w.events, text)
		return true
	}
	for i, d := range box {
		if d.note != 0 {
			if r.noted[d.note] {
				continue
			}
			r.noted[d.note] = true
			w.notes = append(w.notes, d.note)
		}
		if d.event.Kind == "" {
			continue // only a reason to look at the clock
		}
		verdicts[i] = refused
		if d.event.At == 0 {
			d.event.At = time.Now().UnixMicro()
		}
		if take(d.event) {
			verdicts[i] = accepted
		}
	}
	now := time.Now().UnixMicro()
	for _, key := range r.machine.Fires(now) {
		take(Event{Kind: EventTimer, Task: key, At: now})
	}
	if !r.machine.Status().Ended() && (r.bytes > r.engine.cfg.History || r.row.Events+len(w.events) > faas.MaxFlowEvents) {
		r.overflow(&w)
	}
	w.effects = r.machine.Effects()
	return w, verdicts
}

// overflow ends a run whose history is over its limits. It is recorded as a call-off, since the machine knows no limits.
func (r *run) overflow(w *batch) {
	r.engine.cfg.Log.Warn("a workflow run is over its limits, so it ends", "run", r.row.ID, "workflow", r.row.Flow, "events", r.row.Events, "bytes", r.bytes)
	ev := Event{Kind: EventCancel, At: r.machine.now, Fault: faultf(413, string(faas.CodeTooLarge), "the run has more than %d events or %d bytes of results",
		faas.MaxFlowEvents, r.engine.cfg.History)}
	if r.machine.Apply(ev) {
		w.events = append(w.events, ev.Encode())
	}
}

// step stores a batch and has its effects happen; false when the run is not held any more.
func (r *run) step(w batch, box []delivery, verdicts []verdict) bool {
	if r.row.Status.Ended() && len(w.events) == 0 {
		return r.leave(box) // it was to be retried, and was not
	}
	children := r.children(&w)
	ended := r.machine.Status().Ended()
	release := !ended && !r.loose && r.row.Mode == faas.FlowNormal && r.restful()
	write := r.row.Mode == faas.FlowNormal && (len(w.events) > 0 || len(w.notes) > 0 || len(children) > 0 || release) || ended
	noted := false
	if write {
		var ok bool
		if noted, ok = r.store(w, children, release); !ok {
			r.letGo()
			return false
		}
	}
	for i, d := range box {
		if d.reply != nil {
			d.reply <- verdicts[i]
		}
	}
	switch {
	case ended:
		r.act(w.effects) // calls that nobody waits for any more
		r.finish()
		return false
	case release:
		due, ok := r.machine.Due()
		r.letGo()
		switch {
		case noted: // whoever left the note found the run held still
			r.engine.stir(time.Time{})
		case ok:
			r.engine.stir(fromMicros(due))
		}
		return false
	}
	r.act(w.effects)
	return true
}

// leave lets go of a run that had ended before, and to which nothing has happened.
func (r *run) leave(box []delivery) bool {
	if err := r.engine.cfg.Store.LeaveFlowRun(r.engine.ctx, r.seq); err != nil {
		r.engine.cfg.Log.Warn("a workflow run stays held until the server starts again", "run", r.row.ID, "error", err)
	}
	for _, d := range box {
		if d.reply != nil {
			d.reply <- refused
		}
	}
	r.letGo()
	return false
}

// restful tells whether the run only waits, and for long enough to be let go of.
func (r *run) restful() bool {
	if len(r.machine.Calls()) > 0 {
		return false
	}
	r.mu.Lock()
	waiting := len(r.box)
	r.mu.Unlock()
	due, ok := r.machine.Due()
	return waiting == 0 && (!ok || time.Until(fromMicros(due)) > r.engine.cfg.Doze)
}

// arm sets the clock for the next timer; r.mu is held.
func (r *run) arm() {
	if r.alarm != nil {
		r.alarm.Stop()
	}
	if due, ok := r.machine.Due(); ok && !r.gone {
		r.alarm = time.AfterFunc(max(0, time.Until(fromMicros(due))), func() {
			if r.engine.enter() {
				r.post(delivery{})
				r.engine.work.Done()
			}
		})
	}
}

// namespace keeps ids of runs and calls that are made of a text apart from all others.
var namespace = uuid.MustParse("9d9f4a1e-5f0e-4a55-8a1d-3c1f6a6f2a10")

// children makes the runs that a batch starts. One that cannot be started is an event of the same batch.
func (r *run) children(w *batch) []faas.FlowRun {
	var all []faas.FlowRun
	for i := 0; i < len(w.effects); i++ {
		c := w.effects[i].Child
		if c == nil {
			continue
		}
		child, err := r.child(c)
		var ev Event
		switch {
		case err != nil:
			var expected *faas.Error
			message := "the workflow cannot be read at the moment"
			if errors.As(err, &expected) {
				message = expected.Message
			}
			ev = Event{Kind: EventChild, Task: c.Task, Fault: FaultOf(faas.CodeOf(err), "", message)}
		case c.Detached:
			all = append(all, child)
			ev = Event{Kind: EventChild, Task: c.Task, Output: Encode(map[string]any{"execution_id": child.ID})}
		default:
			all = append(all, child)
			continue
		}
		ev.At = r.machine.now
		if r.machine.Apply(ev) {
			w.events = append(w.events, ev.Encode())
			w.effects = append(w.effects, r.machine.Effects()...)
		}
	}
	return all
}

func (r *run) child(c *Child) (faas.FlowRun, error) {
	e := r.engine
	if r.row.Depth >= faas.MaxFlowDepth {
		return faas.FlowRun{}, faas.Errorf(faas.CodeInvalid, "", "runs start each other more than %d deep", faas.MaxFlowDepth)
	}
	f, err := e.find(e.ctx, r.row.Project, c.Flow)
	if err != nil {
		return faas.FlowRun{}, err
	}
	task := r.row.ID + "/" + c.Task
	child := faas.FlowRun{
		Seq: e.number(), ID: uuid.NewSHA1(namespace, []byte(r.row.Flow+"/"+task)).String(), Flow: f.ID, Project: f.Project, Revision: f.Revision,
		Mode: f.Mode, Status: faas.FlowRunning, Source: faas.SourceFlow, Merge: r.row.Merge, Input: c.Input, CreatedBy: r.row.CreatedBy,
		BeganAt: fromMicros(r.machine.now), Depth: r.row.Depth + 1, Asleep: true, WakeAt: fromMicros(r.machine.now),
	}
	if !c.Detached {
		child.Parent, child.ParentTask = r.seq, c.Task
	}
	return child, nil
}

// find gives a workflow by its id, name or URN.
func (e *Engine) find(ctx context.Context, project, what string) (*faas.Flow, error) {
	if of, name, ok := faas.ParseFlowURN(what); ok {
		if of != project {
			return nil, faas.NotFound("workflow", what)
		}
		return e.cfg.Store.FlowNamed(ctx, project, name)
	}
	f, err := e.cfg.Store.Flow(ctx, project, what)
	if faas.CodeOf(err) == faas.CodeNotFound && err != nil {
		return e.cfg.Store.FlowNamed(ctx, project, what)
	}
	return f, err
}

// pause waits; false when the engine ends.
func (e *Engine) pause(wait time.Duration) bool {
	again := time.NewTimer(wait)
	defer again.Stop()
	select {
	case <-again.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}
