package workflow

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

var schedules = flag.Int("flow.schedules", 2_000, "how many random schedules the simulation tries; 1000000 is the whole of it")
var seedOf = flag.Uint64("flow.seed", 0, "replay this one schedule")

// drawn makes random definitions.
type drawn struct {
	r *rand.Rand
	n int
}

func (d *drawn) id() string {
	d.n++
	return fmt.Sprintf("s%d", d.n)
}

func (d *drawn) definition() []byte {
	start, states := d.block(2, 1+d.r.IntN(3))
	return []byte(`{"name":"t","start":"` + start + `","functions":[{"name":"f","operation":"f"}],"constants":{},
		"retries":[{"name":"one","delay":1,"max_attempts":1},{"name":"two","delay":2,"max_attempts":2}],"states":[` + states + `]}`)
}

// block draws states that follow each other.
func (d *drawn) block(depth, n int) (start, states string) {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = d.id()
	}
	var all []string
	for i, id := range ids {
		next := `"end":true`
		if i+1 < n {
			next = `"transition":"` + ids[i+1] + `"`
		}
		catch := ""
		if i+1 < n {
			catch = ids[n-1]
		}
		all = append(all, d.state(id, next, catch, depth))
	}
	return ids[0], strings.Join(all, ",")
}

func (d *drawn) onErrors(catch string) string {
	switch d.r.IntN(4) {
	case 0:
		return `,"on_errors":[{"error":"$.errorCode == 500","retry_ref":"two"}]`
	case 1:
		if catch != "" {
			return `,"on_errors":[{"error":"$.errorCode == 404","retry_ref":"two"},{"error":"","retry_ref":"one","transition":"` + catch + `"}]`
		}
	}
	return ""
}

func (d *drawn) state(id, next, catch string, depth int) string {
	head := `{"id":"` + id + `","name":"s",` + next
	kinds := 9
	if depth == 0 {
		kinds = 5
	}
	timeout := ""
	if d.r.IntN(3) == 0 {
		timeout = `,"timeout":1000000`
	}
	switch d.r.IntN(kinds) {
	case 0:
		return head + `,"type":"Sleep","duration":1}`
	case 1:
		return head + `,"type":"inject","data":{"k":` + fmt.Sprint(d.r.IntN(3)) + `}}`
	case 2:
		mode, first := "sequential", ""
		if d.r.IntN(2) == 0 { // the filter keeps a list for a foreach behind it
			mode, first = "parallel", `,"state_data_filter":{"output":"$[0]"}`
		}
		return head + timeout + `,"type":"Operation","action_mode":"` + mode + `","actions":[{"function_ref":{"ref_name":"f"}},{"function_ref":{"ref_name":"f"}}]` + first + d.onErrors(catch) + `}`
	case 3:
		return head + timeout + `,"type":"callback"` + d.onErrors(catch) + `}`
	case 4:
		return head + timeout + `,"type":"Operation","actions":[{"function_ref":{"ref_name":"f"}}]` + d.onErrors(catch) + `}`
	case 5:
		return head + `,"type":"subflow","sub_flow_ref":{"workflow_id":"w"}` + d.onErrors(catch) + `}`
	case 6:
		return d.parallel(head+timeout, catch, depth)
	default:
		return d.foreach(head, catch, depth)
	}
}

func (d *drawn) parallel(head, catch string, depth int) string {
	var all []string
	n := 1 + d.r.IntN(3)
	for i := range n {
		start, states := d.block(depth-1, 1+d.r.IntN(2))
		all = append(all, fmt.Sprintf(`{"name":"b%d","start":%q,"states":[%s]}`, i, start, states))
	}
	how := []string{"", `,"completion_type":"any_of"`, `,"completion_type":"at_least","num_completed":` + fmt.Sprint(1+d.r.IntN(n))}[d.r.IntN(3)]
	return head + `,"type":"parallel","branches":[` + strings.Join(all, ",") + `]` + how + d.onErrors(catch) + `}`
}

// foreach has a body that begins with a call, so that the simulation sees each item begin.
func (d *drawn) foreach(head, catch string, depth int) string {
	first := d.id()
	call := `{"id":"` + first + `","name":"s","type":"Operation","actions":[{"function_ref":{"ref_name":"f"}}],`
	body := call + `"end":true}`
	if d.r.IntN(2) == 0 {
		start, states := d.block(depth-1, 1)
		body = call + `"transition":"` + start + `"},` + states
	}
	interval := ""
	if d.r.IntN(2) == 0 {
		interval = `,"interval":3`
	}
	return head + fmt.Sprintf(`,"type":"foreach","input_collection":"$.list","concurrency":%d,"start":%q,"states":[%s]%s%s}`, d.r.IntN(3), first, body, interval, d.onErrors(catch))
}

// world is one schedule: a machine, what is recorded of it, and what it has asked for.
type world struct {
	seed     uint64
	r        *rand.Rand
	program  *Program
	begin    Begin
	off      guard
	m        *Machine
	log      [][]byte
	now      int64
	flight   []Event         // answers on their way
	recorded map[string]bool // tasks of calls whose answer is recorded
	old      []Event         // answers that came once
	items    map[string]int64
	steps    int
	retried  bool
	called   bool // off
}

func newWorld(seed uint64, p *Program, off guard) *world {
	w := &world{
		seed: seed, r: rand.New(rand.NewPCG(seed, 7)), program: p, off: off, now: 1000, recorded: map[string]bool{}, items: map[string]int64{},
		begin: Begin{Input: map[string]any{"list": []any{int64(1), int64(2), int64(3), int64(4)}, "k": int64(1)}, At: 1000},
	}
	w.m = newMachine(p, w.begin, nil, off)
	return w
}

// ask takes effects in: calls go on their way.
func (w *world) ask(effects []Effect) error {
	for _, e := range effects {
		switch {
		case e.Call != nil:
			if w.m.status.Ended() {
				continue
			}
			if err := w.issue(e.Call); err != nil {
				return err
			}
		case e.Child != nil:
			t := w.m.tasks[e.Child.Task]
			if t == nil {
				continue
			}
			out, fault := outcome(w.seed, t.visit.path, t.visit.attempt, "child")
			w.flight = append(w.flight, Event{Kind: EventChild, Task: e.Child.Task, Output: Encode(out), Fault: fault})
		}
	}
	return nil
}

func (w *world) issue(c *Call) error {
	if w.recorded[c.Task] {
		return fmt.Errorf("%s is called again although its result is recorded", c.Task)
	}
	t := w.m.tasks[c.Task]
	if t == nil {
		return nil // dropped at once
	}
	if w.m.tasks[c.Task] != nil && !w.retried {
		most := 1
		for _, e := range t.visit.state.errors {
			most += e.attempts
		}
		if c.Attempt > most {
			return fmt.Errorf("%s is attempt %d of %d", c.Task, c.Attempt, most)
		}
	}
	if err := w.apart(t); err != nil {
		return err
	}
	out, fault := outcome(w.seed, c.Path, c.Attempt, fmt.Sprint(t.index))
	w.flight = append(w.flight, Event{Kind: EventReturn, Task: c.Task, Output: Encode(out), Fault: fault})
	return nil
}

// apart checks that items of a foreach begin as far from each other as its interval wants.
func (w *world) apart(t *task) error {
	above := t.visit.scope.above
	if above == nil || above.state.kind != typeForeach || above.state.interval == 0 || t.visit.state != above.state.body.start || t.visit.attempt > 1 {
		return nil
	}
	of := fmt.Sprintf("%s@%d.%d", above.path, above.number, above.attempt)
	item := fmt.Sprintf("%s#%d", of, t.visit.scope.index)
	if _, known := w.items[item]; known {
		return nil
	}
	w.items[item] = w.now
	if last, known := w.items[of]; known && w.now-last < above.state.interval.Microseconds() {
		return fmt.Errorf("%s began %d us after the one before", item, w.now-last)
	}
	w.items[of] = w.now
	return nil
}

// give hands an event to the machine and records it when it counts. may says that it may count.
func (w *world) give(e Event, may bool) error {
	e.At = w.now
	wasTask := w.m.tasks[e.Task]
	ended := w.m.status
	if !w.m.Apply(e) {
		return nil
	}
	if !may {
		return fmt.Errorf("%s of %s counts, and must not", e.Kind, e.Task)
	}
	if ended.Ended() && (e.Kind != EventRetry || ended == faas.FlowDone) {
		return fmt.Errorf("%s counts after the end", e.Kind)
	}
	if e.Kind == EventRetry && !ended.Ended() {
		return fmt.Errorf("a retry counts while the run is under way")
	}
	if e.Kind == EventReturn {
		if w.recorded[e.Task] || wasTask == nil {
			return fmt.Errorf("a second answer of %s counts", e.Task)
		}
		w.recorded[e.Task] = true
	}
	w.log = append(w.log, e.Encode())
	if err := w.ask(w.m.Effects()); err != nil {
		return err
	}
	return w.whole()
}

// whole checks what must hold at any time.
func (w *world) whole() error {
	live := map[*visit]bool{}
	var walk func(s *scope) error
	walk = func(s *scope) error {
		if s == nil || s.visit == nil || s.over {
			return nil
		}
		v := s.visit
		live[v] = !v.over
		if most := v.state.concurrency; v.state.kind == typeForeach && most > 0 && v.active > most && !v.gone {
			return fmt.Errorf("%s has %d items under way", v.path, v.active)
		}
		for _, inner := range v.inner {
			if err := walk(inner); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(w.m.root); err != nil {
		return err
	}
	for key, t := range w.m.tasks {
		switch {
		case w.m.status.Ended():
			return fmt.Errorf("%s is waited for after the end", key)
		case t.visit != nil && !live[t.visit]:
			return fmt.Errorf("%s is waited for by a state that is over", key)
		}
	}
	if !w.m.status.Ended() && len(w.m.tasks) < 2 {
		return fmt.Errorf("nothing is waited for, and the run has not ended")
	}
	return nil
}

// crash forgets the machine, and rebuilds it from what is recorded. Calls that it waits for are made again; those from before may still answer.
func (w *world) crash() error {
	m := newMachine(w.program, w.begin, nil, w.off)
	for _, text := range w.log {
		m.Effects()
		e, err := DecodeEvent(text)
		if err != nil {
			return err
		}
		if !m.Apply(e) {
			return fmt.Errorf("a recorded %s of %s does not fit", e.Kind, e.Task)
		}
	}
	was, is := slices.Sorted(maps.Keys(w.m.tasks)), slices.Sorted(maps.Keys(m.tasks))
	if !slices.Equal(was, is) || m.status != w.m.status || string(Encode(m.output)) != string(Encode(w.m.output)) {
		return fmt.Errorf("rebuilt as %v %s, was %v %s", is, m.status, was, w.m.status)
	}
	m.Effects()
	w.m = m
	for _, c := range m.Calls() {
		if err := w.issue(c); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing at random.
func (w *world) step() error {
	switch n := w.r.IntN(100); {
	case n < 55 && len(w.flight) > 0:
		i := w.r.IntN(len(w.flight))
		e := w.flight[i]
		w.flight = slices.Delete(w.flight, i, i+1)
		w.old = append(w.old, e)
		return w.give(e, w.m.tasks[e.Task] != nil)
	case n < 65 && len(w.old) > 0: // once more
		e := w.old[w.r.IntN(len(w.old))]
		return w.give(e, w.m.tasks[e.Task] != nil)
	case n < 70:
		return w.crash()
	case n < 73: // an answer of the wrong kind
		if keys := w.m.sorted(func(t *task) bool { return t.kind != taskChild }); len(keys) > 0 {
			return w.give(Event{Kind: EventChild, Task: keys[w.r.IntN(len(keys))]}, false)
		}
	case n < 76: // a timer before its time
		for _, key := range w.m.sorted(func(t *task) bool { return t.kind == taskTimer && t.due > w.now }) {
			if err := w.give(Event{Kind: EventTimer, Task: key}, false); err != nil {
				return err
			}
		}
	case n < 77:
		w.retried = w.retried || w.m.status.Ended() && w.m.status != faas.FlowDone
		return w.give(Event{Kind: EventRetry}, true)
	case n < 78 && w.seed%5 == 0:
		w.called = w.called || !w.m.status.Ended()
		return w.give(Event{Kind: EventCancel}, true)
	default:
		return w.outside()
	}
	return nil
}

// outside answers a callback, or lets time pass until the next timer but those that only bound.
func (w *world) outside() error {
	keys := w.m.sorted(func(t *task) bool { return t.kind == taskCallback })
	if len(keys) > 0 && w.r.IntN(2) == 0 {
		v := w.m.tasks[keys[w.r.IntN(len(keys))]].visit
		out, fault := outcome(w.seed, v.path, v.attempt, "callback")
		return w.give(Event{Kind: EventCallback, Task: v.path, Output: Encode(out), Fault: fault}, true)
	}
	due, ok := w.m.Due()
	if !ok || due > 1e11 {
		return nil
	}
	w.now = max(w.now, due) + int64(w.r.IntN(1000))
	for _, key := range w.m.Fires(w.now) {
		if err := w.give(Event{Kind: EventTimer, Task: key}, true); err != nil {
			return err
		}
	}
	return nil
}

// run lets a schedule go to its end, and a little further, and compares the end with the model.
func (w *world) run() error {
	if err := w.ask(w.m.Effects()); err != nil {
		return err
	}
	for after := 0; after < 10; w.steps++ {
		if w.steps > 1500 {
			return fmt.Errorf("the run does not end; it waits for %v", slices.Sorted(maps.Keys(w.m.tasks)))
		}
		if err := w.step(); err != nil {
			return err
		}
		if w.m.status.Ended() {
			after++
		}
	}
	if w.called || w.retried {
		return nil
	}
	want, fault := (&model{w.seed}).block(w.program.start, "", w.begin.Input)
	switch {
	case fault != nil && (w.m.status != faas.FlowFailed || w.m.fault.Code != fault.Code):
		return fmt.Errorf("ended as %s %v, and the model says %v", w.m.status, w.m.fault, fault)
	case fault == nil && (w.m.status != faas.FlowDone || !agrees(want, w.m.output)):
		return fmt.Errorf("ended as %s with %s, and the model says %v", w.m.status, Encode(w.m.output), want)
	}
	return nil
}

// simulate tries schedules until one breaks a rule. It gives the seed and the rule.
func simulate(t *testing.T, from, n uint64, off guard) (uint64, error) {
	t.Helper()
	var p *Program
	var drawnOf uint64 = 1 << 63
	for seed := from; seed < from+n; seed++ {
		if seed/10 != drawnOf {
			drawnOf = seed / 10
			var err error
			p, err = Parse((&drawn{r: rand.New(rand.NewPCG(drawnOf, 1))}).definition())
			require.NoError(t, err)
		}
		if err := newWorld(seed, p, off).run(); err != nil {
			return seed, err
		}
	}
	return 0, nil
}

// TestSimulation lets random workflows run through random schedules of crashes, answers that come twice or late, timers, call-offs and
// retries, and holds each to a model. A schedule is replayed by its seed.
func TestSimulation(t *testing.T) {
	t.Parallel()
	from, n := uint64(0), uint64(*schedules)
	if *seedOf > 0 {
		from, n = *seedOf, 1
	}
	seed, err := simulate(t, from, n, 0)
	require.NoError(t, err, "schedule %d; replay it with -flow.seed", seed)
}

// TestGuards switches off each rule of the interpreter in turn: the simulation must see it.
func TestGuards(t *testing.T) {
	t.Parallel()
	for g := guard(1); g < guardLast; g <<= 1 {
		seed, err := simulate(t, 0, 30_000, g)
		require.Error(t, err, "guard %d is not needed, or nothing sees that it is", g)
		t.Logf("guard %d: schedule %d: %v", g, seed, err)
	}
}
