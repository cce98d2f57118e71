package workflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Trace is what a person wants to know of a run: every attempt at every state. Its methods do nothing on nil, so that a run which nobody
// looks at keeps none.
type Trace struct {
	Attempts []*Attempt // in the order of their beginning
	open     map[*visit]*Attempt
}

// Attempt is one attempt at a state.
type Attempt struct {
	Path, Name, Type string
	Number           int
	Status           faas.FlowStatus
	Input, Output    any
	Fault            *Fault
	Began, Ended     int64 // microseconds since 1970; Ended 0 while it is under way
	Calls            []CallEnd
}

// CallEnd is a call that an attempt has made.
type CallEnd struct {
	Function     string // name in the definition
	RequestID    string
	Fault        *Fault
	Began, Ended int64
}

func newTrace() *Trace { return &Trace{open: map[*visit]*Attempt{}} }

func (t *Trace) began(v *visit, now int64) {
	if t == nil {
		return
	}
	a := &Attempt{
		Path: v.path, Name: v.state.name, Type: v.state.kind, Number: v.attempt, Status: faas.FlowRunning, Input: v.input, Began: now,
	}
	t.Attempts = append(t.Attempts, a)
	t.open[v] = a
}

func (t *Trace) close(v *visit, now int64, status faas.FlowStatus, out any, fault *Fault) {
	if t == nil {
		return
	}
	if a := t.open[v]; a != nil {
		a.Ended, a.Status, a.Output, a.Fault = now, status, out, fault
		delete(t.open, v)
	}
}

func (t *Trace) done(v *visit, now int64, out any) { t.close(v, now, faas.FlowDone, out, nil) }

func (t *Trace) failed(v *visit, now int64, f *Fault) {
	status := faas.FlowFailed
	if f.Type == string(faas.CodeTimeout) {
		status = faas.FlowTimedOut
	}
	t.close(v, now, status, nil, f)
}

// ended closes the state that the run ended in.
func (t *Trace) ended(v *visit, now int64, status faas.FlowStatus, f *Fault) {
	if status != faas.FlowDone {
		t.close(v, now, status, nil, f)
	}
}

func (t *Trace) returned(k *task, e Event) {
	if t == nil {
		return
	}
	a := t.open[k.visit]
	if a == nil {
		return
	}
	began := e.Began
	if began == 0 {
		began = k.since
	}
	a.Calls = append(a.Calls, CallEnd{Function: k.visit.state.actions[k.index].ref, RequestID: e.Call, Fault: e.Fault, Began: began, Ended: e.At})
}

// dropped closes what stood inside a state that is over.
func (t *Trace) dropped(v *visit, gone map[string]*task, now int64) {
	if t == nil {
		return
	}
	for inner := range t.open {
		if inner != v && inner.within(v) {
			t.close(inner, now, faas.FlowCancelled, nil, nil)
		}
	}
}

// cutOff closes what the end of the run cuts off.
func (t *Trace) cutOff(tasks map[string]*task, now int64, status faas.FlowStatus) {
	if t == nil {
		return
	}
	for v := range t.open {
		t.close(v, now, faas.FlowCancelled, nil, nil)
	}
}

// Pending is something that a run waits for.
type Pending struct {
	Path    string // of the state; "" for the whole run
	Attempt int
	What    string // call, callback, subflow, or a timer: sleep, retry, timeout, interval, run
	Detail  string // the function, or the workflow
	Since   int64  // microseconds since 1970
	Due     int64  // of a timer; 0 for none
}

// Pending lists what the run waits for, by path; timers that only bound it come last.
func (m *Machine) Pending() []Pending {
	var all []Pending
	for _, key := range m.sorted(func(*task) bool { return true }) {
		t := m.tasks[key]
		p := Pending{Since: t.since, Due: t.due}
		if t.visit != nil {
			p.Path, p.Attempt = t.visit.path, t.visit.attempt
		}
		switch t.kind {
		case taskCall:
			p.What, p.Detail = "call", fmt.Sprintf("%s:%s", t.call.Function.Package, t.call.Function.Name)
		case taskTimer:
			p.What = t.what
		case taskCallback:
			p.What = "callback"
		case taskChild:
			p.What, p.Detail = "subflow", t.child.Flow
		}
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b Pending) int {
		if x, y := bound(a.What), bound(b.What); x != y {
			return x - y
		}
		return strings.Compare(a.Path, b.Path)
	})
	return all
}

func bound(what string) int {
	if what == "timeout" || what == "run" {
		return 1
	}
	return 0
}
