package workflow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Begin is what a run begins with.
type Begin struct {
	Input any
	Merge bool // the data of a state stays beneath its output
	At    int64
}

// Machine is one run of a Program: a pure function of the events it has taken in. The same program, beginning and events give the
// same state, effects and end, on any server and in any release. It is not safe for concurrent use.
type Machine struct {
	program *Program
	begin   Begin
	now     int64
	status  faas.FlowStatus
	output  any
	fault   *Fault
	root    *scope
	tasks   map[string]*task
	effects []Effect
	visits  int // so far
	off     guard
	trace   *Trace // nil unless somebody wants to read the run
}

// scope is a block under way.
type scope struct {
	block  *block
	prefix string // of the paths of its states
	above  *visit // nil at the root
	index  int    // among those of above
	visit  *visit // the state it is in
	over   bool
}

// visit is a state under way in a scope: all attempts at it.
type visit struct {
	scope   *scope
	state   *state
	path    string
	number  int // among all visits of the run, so that a state that is entered again waits for other tasks
	data    any // before the filter
	input   any // behind it
	attempt int
	used    []int // attempts that each on_errors has allowed
	over    bool
	gone    bool // the attempt has failed

	value   any // Operation: what the next action is given
	next    int // Operation: the next action; foreach: the next item
	results []any
	ended   int // actions, branches or items that ended well
	failed  int
	active  int // items under way
	paused  bool
	filling bool // foreach is starting items
	inner   []*scope
	items   []any
	answer  any // callback
	heard   bool
}

type taskKind int

const (
	taskCall taskKind = iota
	taskTimer
	taskCallback
	taskChild
)

// task is something that is waited for.
type task struct {
	key   string
	kind  taskKind
	what  string // of a timer: sleep, retry, timeout, interval or run
	visit *visit // nil for that of the whole run
	index int    // of the action
	since int64
	due   int64 // of a timer
	call  *Call
	child *Child
}

// guard is one of the rules that keep a run whole. Tests switch them off one by one, to see that each is needed.
type guard uint32

const (
	guardKnownTask   guard = 1 << iota // what nobody waits for (a second answer, one that comes late) changes nothing
	guardEnded                         // nothing but a retry happens to a run that has ended
	guardDrop                          // what a state waited for is dropped with the state
	guardAttempts                      // retries are bounded
	guardConcurrency                   // items under way are bounded
	guardDue                           // a timer does not fire before its time
	guardDecided                       // a parallel state that is decided takes no further branch in
	guardRetryEnded                    // only a run that has ended badly is retried
	guardKind                          // an answer is for what is waited for in that way
	guardAttempt                       // an answer is for the attempt that is under way
	guardInterval                      // items begin apart
	guardEndDrops                      // nothing is waited for when a run has ended
	guardLast
)

// NewMachine begins a run. Effects gives what is to happen first.
func NewMachine(p *Program, b Begin) *Machine { return newMachine(p, b, nil, 0) }

func newMachine(p *Program, b Begin, trace *Trace, off guard) *Machine {
	m := &Machine{program: p, begin: b, now: b.At, status: faas.FlowRunning, tasks: map[string]*task{}, trace: trace, off: off}
	m.limit()
	m.root = &scope{block: p.start}
	m.enter(m.root, p.start.start, b.Input)
	return m
}

// runTimer is the task that bounds the whole run.
const runTimer = "~run"

func (m *Machine) limit() {
	m.tasks[runTimer] = &task{key: runTimer, kind: taskTimer, what: "run", since: m.now, due: m.now + m.program.Limit.Microseconds()}
}

func (m *Machine) held(g guard) bool { return m.off&g == 0 }

// Effects gives what is to happen since it was asked last.
func (m *Machine) Effects() []Effect {
	all := m.effects
	m.effects = nil
	return all
}

// Status tells how the run stands.
func (m *Machine) Status() faas.FlowStatus { return m.status }

// Output is what the run gave; nil until it succeeded.
func (m *Machine) Output() any { return m.output }

// Fault is why the run did not succeed; nil otherwise.
func (m *Machine) Fault() *Fault { return m.fault }

// Due gives the time of the next timer in microseconds, and which tasks fire by then; ok is false where none is set.
func (m *Machine) Due() (due int64, ok bool) {
	for _, t := range m.tasks {
		if t.kind == taskTimer && (!ok || t.due < due) {
			due, ok = t.due, true
		}
	}
	return due, ok
}

// Fires lists the timers whose time has come, the first first.
func (m *Machine) Fires(now int64) []string {
	var due []*task
	for _, t := range m.tasks {
		if t.kind == taskTimer && t.due <= now {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *task) int {
		if a.due != b.due {
			return int(min(1, max(-1, a.due-b.due)))
		}
		return strings.Compare(a.key, b.key)
	})
	keys := make([]string, 0, len(due))
	for _, t := range due {
		keys = append(keys, t.key)
	}
	return keys
}

// Calls lists the calls that are waited for: those to be made again when the server that made them is gone.
func (m *Machine) Calls() []*Call {
	var all []*Call
	for _, t := range m.tasks {
		if t.kind == taskCall {
			all = append(all, t.call)
		}
	}
	slices.SortFunc(all, func(a, b *Call) int { return strings.Compare(a.Task, b.Task) })
	return all
}

// Apply takes an event in. It tells whether the event counts: one that does not has changed nothing, and must not be recorded.
func (m *Machine) Apply(e Event) bool {
	if e.At < m.now {
		e.At = m.now
	}
	switch {
	case e.Kind == EventRetry:
		return m.retry(e)
	case m.status.Ended() && m.held(guardEnded):
		return false
	case e.Kind == EventCancel:
		m.now = e.At
		if e.Fault != nil { // the platform ends it
			m.end(faas.FlowFailed, nil, e.Fault)
			return true
		}
		m.end(faas.FlowCancelled, nil, faultf(499, string(faas.CodeCancelled), "called off"))
		return true
	}
	key := e.Task
	if e.Kind == EventCallback {
		key = m.callbackOf(e.Task)
	}
	t := m.tasks[key]
	if t == nil && !m.held(guardKnownTask) {
		t = m.stale(key)
	}
	if t == nil && !m.held(guardAttempt) {
		t = m.otherAttempt(key)
	}
	switch {
	case t == nil:
		return false
	case m.held(guardKind) && t.kind != kindOfTask(e.Kind):
		return false
	case t.kind == taskTimer && m.held(guardDue) && e.At < t.due:
		return false
	}
	m.now = e.At
	m.take(t, e)
	return true
}

// Waits tells whether the run waits for a callback at the path of a state.
func (m *Machine) Waits(path string) bool { return m.tasks[m.callbackOf(path)] != nil }

func kindOfTask(k EventKind) taskKind {
	switch k {
	case EventReturn:
		return taskCall
	case EventTimer:
		return taskTimer
	case EventCallback:
		return taskCallback
	}
	return taskChild
}

// callbackOf gives the task of the callback that a state waits for.
func (m *Machine) callbackOf(path string) string {
	for key, t := range m.tasks {
		if t.kind == taskCallback && t.visit.path == path {
			return key
		}
	}
	return ""
}

func (m *Machine) take(t *task, e Event) {
	delete(m.tasks, t.key)
	switch t.kind {
	case taskTimer:
		m.fire(t)
	case taskCall:
		m.trace.returned(t, e)
		m.returned(t, e)
	case taskCallback:
		if e.Fault != nil {
			m.fail(t.visit, e.Fault)
			return
		}
		t.visit.answer, t.visit.heard = m.result(e), true
		m.answered(t.visit)
	case taskChild:
		if e.Fault != nil {
			m.fail(t.visit, e.Fault)
			return
		}
		m.complete(t.visit, m.result(e))
	}
}

// result reads the output of an event; null where it is no JSON, which its maker has seen to.
func (m *Machine) result(e Event) any {
	if len(e.Output) == 0 {
		return nil
	}
	v, err := Decode(e.Output)
	if err != nil {
		return nil
	}
	return v
}

func (m *Machine) fire(t *task) {
	v := t.visit
	switch t.what {
	case "run":
		m.end(faas.FlowTimedOut, nil, faultf(504, string(faas.CodeTimeout), "the run took longer than %s", m.program.Limit))
	case "sleep":
		m.complete(v, v.input)
	case "retry":
		m.try(v)
	case "timeout":
		m.fail(v, faultf(504, string(faas.CodeTimeout), "the state %s took longer than %s", v.path, v.state.timeout))
	case "interval":
		v.paused = false
		m.fill(v)
	}
}

// retry lets a run that ended badly go on: the state of the outermost block in which it ended is tried anew.
func (m *Machine) retry(e Event) bool {
	if m.held(guardRetryEnded) && (!m.status.Ended() || m.status == faas.FlowDone) {
		return false
	}
	m.now = e.At
	m.status, m.fault, m.output = faas.FlowRunning, nil, nil
	m.limit()
	v := m.root.visit
	m.drop(v)
	m.root.over, v.over = false, false
	v.used = make([]int, len(v.state.errors))
	m.try(v)
	return true
}

// end ends the run.
func (m *Machine) end(status faas.FlowStatus, output any, fault *Fault) {
	if m.root.visit != nil && !m.root.visit.over {
		m.trace.ended(m.root.visit, m.now, status, fault)
	}
	m.status, m.output, m.fault, m.root.over = status, output, fault, true
	if !m.held(guardEndDrops) {
		return
	}
	m.trace.cutOff(m.tasks, m.now, status)
	for _, key := range m.sorted(func(*task) bool { return true }) {
		m.forget(m.tasks[key])
	}
}

// sorted gives the keys of those tasks, in order.
func (m *Machine) sorted(of func(*task) bool) []string {
	var keys []string
	for key, t := range m.tasks {
		if of(t) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// forget gives up waiting for something.
func (m *Machine) forget(t *task) {
	delete(m.tasks, t.key)
	if t.kind == taskCall || t.kind == taskChild {
		m.effects = append(m.effects, Effect{Drop: t.key})
	}
}

// within tells whether a visit stands in another, or is it.
func (v *visit) within(other *visit) bool {
	for v != nil && v != other {
		v = v.scope.above
	}
	return v != nil
}

// drop gives up all that a state waits for, those inside it included.
func (m *Machine) drop(v *visit) {
	if !m.held(guardDrop) {
		return
	}
	keys := m.sorted(func(t *task) bool { return t.visit != nil && t.visit.within(v) })
	if len(keys) == 0 {
		return
	}
	gone := map[string]*task{}
	for _, key := range keys {
		gone[key] = m.tasks[key]
		m.forget(m.tasks[key])
	}
	m.trace.dropped(v, gone, m.now)
}

// wait adds something that is waited for.
func (m *Machine) wait(v *visit, kind taskKind, suffix string) *task {
	t := &task{key: fmt.Sprintf("%s@%d.%d%s", v.path, v.number, v.attempt, suffix), kind: kind, visit: v, since: m.now}
	m.tasks[t.key] = t
	return t
}

func (m *Machine) timer(v *visit, what string, after time.Duration) {
	t := m.wait(v, taskTimer, "~"+what)
	t.what, t.due = what, m.now+after.Microseconds()
}

// stale gives, with guardKnownTask switched off, what was waited for once.
func (m *Machine) stale(key string) *task {
	path, rest, ok := strings.Cut(key, "@")
	if !ok || strings.Contains(rest, "~") {
		return nil
	}
	v := m.find(path)
	if v == nil {
		return nil
	}
	return &task{key: key, kind: taskCall, visit: v}
}

// find gives the visit under way at a path.
func (m *Machine) find(path string) *visit {
	var in func(s *scope) *visit
	in = func(s *scope) *visit {
		if s == nil || s.visit == nil {
			return nil
		}
		if s.visit.path == path {
			return s.visit
		}
		for _, inner := range s.visit.inner {
			if v := in(inner); v != nil {
				return v
			}
		}
		return nil
	}
	return in(m.root)
}

// otherAttempt gives, with guardAttempt switched off, the task of another attempt at the same state.
func (m *Machine) otherAttempt(key string) *task {
	path, _, _ := strings.Cut(key, "@")
	_, suffix, ok := cutLast(key, ".")
	if !ok {
		return nil
	}
	for _, other := range m.sorted(func(t *task) bool { return t.visit != nil && t.visit.path == path && t.kind == taskCall }) {
		if _, s, _ := cutLast(other, "#"); strings.HasSuffix(suffix, "#"+s) {
			return m.tasks[other]
		}
	}
	return nil
}

func cutLast(text, at string) (before, after string, ok bool) {
	i := strings.LastIndex(text, at)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(at):], true
}
