package workflow

import (
	"fmt"
	"hash/fnv"
)

// outcome is what the world answers to a task: always the same for the same attempt at the same state.
func outcome(seed uint64, path string, attempt int, what string) (any, *Fault) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%d/%s", seed, path, attempt, what)
	if h.Sum64()>>8%4 == 0 {
		return nil, &Fault{Code: 500, Type: "x", Message: "no"}
	}
	return map[string]any{"p": path, "w": what, "list": []any{int64(1), int64(2), int64(3)}}, nil
}

// model says how a run must end when nothing is called off: it walks the definition as one would read it.
type model struct{ seed uint64 }

// some stands in a model's value for any n of the fields.
type some struct {
	n   int
	all map[string]any
}

func (w *model) block(b *block, prefix string, data any) (any, *Fault) {
	for s := b.start; ; {
		out, next, fault := w.state(s, prefix, data)
		if fault != nil || next == "" {
			return out, fault
		}
		s, data = b.states[next], out
	}
}

func (w *model) state(s *state, prefix string, data any) (any, string, *Fault) {
	used := make([]int, len(s.errors))
	for attempt := 1; ; attempt++ {
		out, fault := w.attempt(s, prefix+s.id, prefix, attempt, data)
		if fault == nil {
			return out, s.next, nil
		}
		again, catch := false, ""
		for i, e := range s.errors {
			if !e.when.holds(fault.value()) {
				continue
			}
			if used[i] < e.attempts {
				used[i]++
				again = true
			} else {
				catch = e.next
			}
			break
		}
		switch {
		case again:
		case catch != "":
			return with(data, "error", fault.value()), catch, nil
		default:
			return nil, "", fault
		}
	}
}

func (w *model) attempt(s *state, path, prefix string, attempt int, data any) (any, *Fault) {
	switch s.kind {
	case typeInject:
		return merged(data, s.data), nil
	case typeSleep:
		return data, nil
	case typeCallback:
		return outcome(w.seed, path, attempt, "callback")
	case typeSubflow:
		return outcome(w.seed, path, attempt, "child")
	case typeOperation:
		var all []any
		for i := range s.actions {
			out, fault := outcome(w.seed, path, attempt, fmt.Sprint(i))
			if fault != nil {
				return nil, fault
			}
			all = append(all, out)
		}
		if s.parallel && len(all) > 1 {
			out, _ := s.output.of(all)
			return out, nil
		}
		return all[len(all)-1], nil
	case typeParallel:
		ok, last := map[string]any{}, (*Fault)(nil)
		for _, b := range s.branches {
			if out, fault := w.block(b, prefix, data); fault != nil {
				last = fault
			} else {
				ok[b.name] = out
			}
		}
		if len(ok) < s.need {
			return nil, last
		}
		return with(data, s.result, some{s.need, ok}), nil
	}
	return w.items(s, path, data)
}

func (w *model) items(s *state, path string, data any) (any, *Fault) {
	found, _ := s.items.of(data)
	list, ok := found.([]any)
	if !ok {
		return nil, &Fault{Code: 400, Type: "invalid", Message: fmt.Sprintf("input_collection of %s finds %s, not a list", path, kindOf(found))}
	}
	all := make([]any, len(list))
	for i, item := range list {
		out, fault := w.block(s.body, fmt.Sprintf("%s[%d]/", path, i), with(with(data, s.param, item), "index", int64(i)))
		if fault != nil {
			return nil, fault
		}
		all[i] = out
	}
	return with(data, s.result, all), nil
}

// agrees compares what a run gave with what the model wants.
func agrees(want, got any) bool {
	switch want := want.(type) {
	case some:
		fields, ok := got.(map[string]any)
		if !ok || len(fields) != want.n {
			return false
		}
		for name, v := range fields {
			if w, known := want.all[name]; !known || !agrees(w, v) {
				return false
			}
		}
		return true
	case map[string]any:
		fields, ok := got.(map[string]any)
		if !ok || len(fields) != len(want) {
			return false
		}
		for name, w := range want {
			v, known := fields[name]
			if !known || !agrees(w, v) {
				return false
			}
		}
		return true
	case []any:
		items, ok := got.([]any)
		if !ok || len(items) != len(want) {
			return false
		}
		for i := range want {
			if !agrees(want[i], items[i]) {
				return false
			}
		}
		return true
	}
	return want == got
}
