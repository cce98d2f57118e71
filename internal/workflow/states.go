package workflow

import (
	"fmt"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// enter brings a scope into a state.
func (m *Machine) enter(s *scope, next *state, data any) {
	v := &visit{scope: s, state: next, path: s.prefix + next.id, data: data, used: make([]int, len(next.errors))}
	m.visits++
	v.number = m.visits
	s.visit = v
	m.try(v)
}

// try makes one attempt at a state.
func (m *Machine) try(v *visit) {
	v.attempt++
	v.next, v.ended, v.failed, v.active, v.paused, v.filling, v.heard, v.gone, v.answer = 0, 0, 0, 0, false, false, false, false, nil
	v.inner, v.results, v.items = nil, nil, nil
	v.input = v.data
	if v.state.input != nil {
		v.input, _ = v.state.input.of(v.data)
	}
	m.trace.began(v, m.now)
	if v.state.timeout > 0 {
		m.timer(v, "timeout", v.state.timeout)
	}
	switch v.state.kind {
	case typeOperation:
		m.operate(v)
	case typeSleep:
		m.timer(v, "sleep", v.state.duration)
	case typeEnd:
		m.complete(v, v.input)
	case typeInject:
		m.complete(v, merged(v.input, v.state.data))
	case typeSwitch:
		m.choose(v)
	case typeParallel:
		m.fork(v)
	case typeForeach:
		m.loop(v)
	case typeSubflow:
		m.start(v)
	case typeCallback:
		m.wait(v, taskCallback, "~callback")
		v.value = v.input
		if len(v.state.actions) > 0 {
			m.call(v, 0, v.value)
		}
	}
}

func (m *Machine) operate(v *visit) {
	v.value = v.input
	v.results = make([]any, len(v.state.actions))
	if !v.state.parallel {
		m.call(v, 0, v.value)
		return
	}
	for i := range v.state.actions {
		m.call(v, i, v.input)
	}
}

func (m *Machine) call(v *visit, i int, data any) {
	a := &v.state.actions[i]
	t := m.wait(v, taskCall, fmt.Sprintf("#%d", i))
	t.index = i
	t.call = &Call{
		Task: t.key, Function: a.function, Path: v.path, Attempt: v.attempt, Detached: a.detached, data: data, args: a.args, consts: m.program.constants,
	}
	m.effects = append(m.effects, Effect{Call: t.call})
}

// returned takes the end of a call in.
func (m *Machine) returned(t *task, e Event) {
	v := t.visit
	if e.Fault != nil {
		m.fail(v, e.Fault)
		return
	}
	out := m.result(e)
	if t.index < len(v.results) {
		v.results[t.index] = out
	}
	v.ended++
	switch {
	case v.state.parallel && v.ended < len(v.state.actions):
	case v.state.parallel && len(v.results) > 1:
		m.complete(v, v.results)
	case v.state.parallel:
		m.complete(v, out)
	default:
		m.pipe(v, out)
	}
}

// pipe gives the result of one action to the next.
func (m *Machine) pipe(v *visit, out any) {
	if m.begin.Merge {
		v.value = merged(v.value, out)
	} else {
		v.value = out
	}
	if v.next++; v.next < len(v.state.actions) {
		m.call(v, v.next, v.value)
		return
	}
	if v.state.kind == typeCallback {
		m.answered(v)
		return
	}
	m.complete(v, v.value)
}

// answered completes a callback once it was heard of and its actions have ended.
func (m *Machine) answered(v *visit) {
	if v.heard && v.next == len(v.state.actions) {
		m.complete(v, v.answer)
	}
}

func (m *Machine) choose(v *visit) {
	for i := range v.state.cases {
		c := &v.state.cases[i]
		if c.when == nil || c.when.holds(v.input) {
			m.leave(v, v.input, c.next)
			return
		}
	}
	m.fail(v, faultf(400, string(faas.CodeInvalid), "no condition of %s holds, and it has no default_condition", v.path))
}

// fork enters all branches. A branch that ends at once may decide the state, or the run, before the others begin.
func (m *Machine) fork(v *visit) {
	v.results = make([]any, len(v.state.branches))
	for i, b := range v.state.branches {
		s := &scope{block: b, prefix: v.scope.prefix, above: v, index: i}
		v.inner = append(v.inner, s)
		m.enter(s, b.start, v.input)
		if (v.over || v.gone || m.status.Ended()) && m.held(guardDecided) {
			return
		}
	}
}

func (m *Machine) loop(v *visit) {
	found := v.input
	if v.state.items != nil {
		found, _ = v.state.items.of(v.input)
	}
	items, ok := found.([]any)
	switch {
	case !ok:
		m.fail(v, faultf(400, string(faas.CodeInvalid), "input_collection of %s finds %s, not a list", v.path, kindOf(found)))
		return
	case len(items) > faas.MaxFlowItems:
		m.fail(v, faultf(400, string(faas.CodeTooLarge), "input_collection of %s has %d items, and %d is the limit", v.path, len(items), faas.MaxFlowItems))
		return
	}
	v.items, v.results, v.inner = items, make([]any, len(items)), make([]*scope, len(items))
	m.fill(v)
}

// fill begins as many items as may be under way, and completes the state when all have ended.
func (m *Machine) fill(v *visit) {
	if v.filling {
		return // an item that ended at once: the loop below goes on
	}
	v.filling = true
	for v.next < len(v.items) && (!v.paused || !m.held(guardInterval)) {
		if most := v.state.concurrency; most > 0 && v.active >= most && m.held(guardConcurrency) {
			break
		}
		i := v.next
		v.next++
		v.active++
		if v.state.interval > 0 && v.next < len(v.items) {
			v.paused = true
			m.timer(v, "interval", v.state.interval)
		}
		s := &scope{block: v.state.body, prefix: fmt.Sprintf("%s[%d]/", v.path, i), above: v, index: i}
		v.inner[i] = s
		data := with(with(v.input, v.state.param, v.items[i]), "index", int64(i))
		m.enter(s, s.block.start, data)
		if v.gone || m.status.Ended() {
			return
		}
	}
	v.filling = false
	if v.ended == len(v.items) {
		m.complete(v, with(v.input, v.state.result, v.results))
	}
}

func (m *Machine) start(v *visit) {
	input := v.input
	if v.state.args != nil {
		input = v.state.args.of(v.input, m.program.constants)
	}
	t := m.wait(v, taskChild, "~child")
	t.child = &Child{Task: t.key, Flow: v.state.flow, Input: Encode(input), Detached: v.state.detached}
	m.effects = append(m.effects, Effect{Child: t.child})
}

// complete ends a state well, and goes on.
func (m *Machine) complete(v *visit, out any) {
	if v.state.output != nil {
		out, _ = v.state.output.of(out)
	}
	if m.begin.Merge && v.state.kind == typeOperation {
		out = merged(v.data, out)
	}
	m.leave(v, out, v.state.next)
}

func (m *Machine) leave(v *visit, out any, next string) {
	v.over = true
	m.trace.done(v, m.now, out)
	m.drop(v)
	v.inner, v.results, v.items = nil, nil, nil
	s := v.scope
	if next != "" {
		m.enter(s, s.block.states[next], out)
		return
	}
	s.over = true
	if s.above == nil {
		m.end(faas.FlowDone, out, nil)
		return
	}
	m.joined(s, out)
}

// joined takes the good end of a branch or an item in.
func (m *Machine) joined(s *scope, out any) {
	v := s.above
	if s.index < len(v.results) {
		v.results[s.index] = out
	}
	v.ended++
	if v.state.kind == typeForeach {
		v.inner[s.index] = nil
		v.active--
		m.fill(v)
		return
	}
	if v.ended < v.state.need {
		return
	}
	all := map[string]any{}
	for i, b := range v.state.branches {
		if i < len(v.inner) && v.inner[i].over && v.inner[i].visit.over {
			all[b.name] = v.results[i]
		}
	}
	m.complete(v, with(v.input, v.state.result, all))
}

// fail ends an attempt at a state badly: it is tried again, caught, or ends what the state stands in.
func (m *Machine) fail(v *visit, f *Fault) {
	if f.State == "" {
		of := *f
		of.State = v.path
		f = &of
	}
	m.trace.failed(v, m.now, f)
	m.drop(v)
	v.inner, v.gone = nil, true
	value := f.value()
	for i := range v.state.errors {
		e := &v.state.errors[i]
		if !e.when.holds(value) {
			continue
		}
		if v.used[i] < e.attempts || e.attempts > 0 && !m.held(guardAttempts) {
			v.used[i]++
			m.timer(v, "retry", e.delay)
			return
		}
		if e.next != "" {
			v.over = true
			m.enter(v.scope, v.scope.block.states[e.next], with(v.data, "error", value))
			return
		}
		break
	}
	m.spread(v, f)
}

// spread ends what a failed state stands in.
func (m *Machine) spread(v *visit, f *Fault) {
	s := v.scope
	if s.above == nil {
		m.end(faas.FlowFailed, nil, f)
		return
	}
	s.over = true
	above := s.above
	above.failed++
	if above.state.kind == typeParallel && len(above.state.branches)-above.failed >= above.state.need {
		m.drop(v)
		return
	}
	m.fail(above, f)
}
