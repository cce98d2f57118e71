package workflow

import (
	"fmt"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// The types of states. The first three are the vendor's, and are written as there; the others are named after CNCF Serverless
// Workflow 0.8.
const (
	typeOperation = "Operation"
	typeSleep     = "Sleep"
	typeEnd       = "End"
	typeSwitch    = "switch"
	typeParallel  = "parallel"
	typeForeach   = "foreach"
	typeInject    = "inject"
	typeSubflow   = "subflow"
	typeCallback  = "callback"
)

var stateTypes = []string{typeOperation, typeSleep, typeEnd, typeSwitch, typeParallel, typeForeach, typeInject, typeSubflow, typeCallback}

// Program is a definition that has been checked, ready to run. It does not change.
type Program struct {
	Name        string
	Description string
	Mode        string
	Enterprise  string
	Streaming   bool
	LogLevel    string // ALL, ERROR or NONE
	Limit       time.Duration
	Triggers    []Trigger

	start     *block
	constants any
}

// Trigger starts runs of a workflow by itself.
type Trigger struct {
	Name    string
	Type    string // FLOWTIMER, SMN, APIG, APIG_DE or OBS
	Enabled bool
	Config  map[string]any // nil for none
}

// block is states that follow each other: the whole of a workflow, a branch, or what a foreach does with each item.
type block struct {
	name   string // of a branch
	start  *state
	states map[string]*state
}

type state struct {
	id, name, kind string
	path           string // in the definition
	next           string // id; "" where the block ends behind it
	input, output  *path  // filters; nil for none
	errors         []onError
	timeout        time.Duration // 0 for none

	actions  []action
	parallel bool // actions at the same time

	duration time.Duration // Sleep
	cases    []exit        // switch, the default last
	data     any           // inject

	branches []*block // parallel
	need     int      // branches that must end well
	result   string   // field that the result of parallel or foreach is laid in

	items       *path // foreach
	param       string
	body        *block
	concurrency int // 0 for no bound
	interval    time.Duration

	flow     string // subflow: id, name or URN
	args     *template
	detached bool // nobody waits for it
}

type action struct {
	ref      string
	function faas.URN
	args     *template // nil for all the data
	detached bool
}

type onError struct {
	when     *condition
	attempts int // further ones; 0 for none
	delay    time.Duration
	next     string // "" for none
}

type exit struct {
	when *condition // nil for the default
	next string     // "" for the end of the block
}

const (
	maxFunctions   = 100
	maxRetries     = 200
	maxActions     = 10
	maxBranches    = 20
	maxExits       = 20
	maxConcurrency = 100
	maxDelay       = 30 * time.Second
	maxDuration    = 24 * time.Hour
)

// Parse reads and checks a definition (FunctionGraph reference, WorkflowCreateBody; docs/WORKFLOWS.md for the whole). Error:
// CodeInvalid, field "definition", whose message begins with the path of the fault.
func Parse(text []byte) (*Program, error) {
	if len(text) > faas.MaxFlowDefinition {
		return nil, faas.Errorf(faas.CodeTooLarge, "definition", "a definition has at most %d bytes", faas.MaxFlowDefinition)
	}
	o, err := newObject(text)
	if err != nil {
		return nil, err
	}
	p := &parser{functions: map[string]faas.URN{}, retries: map[string]onError{}, ids: map[string]string{}}
	program := p.program(o)
	if *o.fault != nil {
		return nil, *o.fault
	}
	return program, nil
}

type parser struct {
	functions map[string]faas.URN
	retries   map[string]onError
	ids       map[string]string // of all states: where each stands
	express   bool
}

func (p *parser) program(o *object) *Program {
	g := &Program{
		Name: o.word("name", 1, 64), Description: o.word2("description", 512), Enterprise: o.text("enterprise_project_id", 0, 64),
		Mode:      o.choice("mode", faas.FlowNormal, faas.FlowNormal, faas.FlowExpress),
		Streaming: o.flag("enable_stream_response", false), LogLevel: "NONE",
	}
	if e := o.inner("express_config"); e != nil {
		g.LogLevel = e.choice("log_level", "NONE", "ALL", "ERROR", "NONE")
		e.done()
	}
	p.express = g.Mode == faas.FlowExpress
	most := faas.MaxFlowTime
	if g.Mode == faas.FlowExpress {
		most = faas.MaxExpressFlowTime
	}
	g.Limit = seconds(o.number("timeout", most.Seconds(), 1, most.Seconds()))
	g.constants = map[string]any{}
	if v := o.take("constants"); v != nil {
		if _, ok := v.(map[string]any); !ok {
			o.bad("constants", "must be an object, not %s", kindOf(v))
		}
		g.constants = v
	}
	p.readFunctions(o)
	p.readRetries(o)
	g.Triggers = readTriggers(o)
	g.start = p.block(o, "")
	o.done()
	return g
}

// word2 reads a description: blanks and punctuation are welcome there.
func (o *object) word2(name string, most int) string { return o.text(name, 0, most) }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (p *parser) readFunctions(o *object) {
	for _, f := range o.list("functions", 0, maxFunctions) {
		name, operation := f.text("name", 1, 256), f.text("operation", 1, 256)
		f.take("metadata")
		f.done()
		urn, err := faas.ParseURN(operation)
		if err != nil {
			f.bad("operation", "is %q, which is no function's URN", operation)
		}
		if _, twice := p.functions[name]; twice {
			f.bad("name", "%q is there twice", name)
		}
		p.functions[name] = urn
	}
}

func (p *parser) readRetries(o *object) {
	for _, r := range o.list("retries", 0, maxRetries) {
		name := r.word("name", 1, 256)
		if _, twice := p.retries[name]; twice {
			r.bad("name", "%q is there twice", name)
		}
		p.retries[name] = onError{
			delay: seconds(r.number("delay", 1, 1, maxDelay.Seconds())), attempts: r.whole("max_attempts", 3, 1, 8),
		}
		r.done()
	}
}

func readTriggers(o *object) []Trigger {
	var all []Trigger
	for _, t := range o.list("triggers", 0, faas.MaxTriggers) {
		one := Trigger{
			Name: t.text("trigger_name", 1, 256), Enabled: t.flag("enabled", true),
			Type: t.choice("trigger_type", "", "FLOWTIMER", "SMN", "APIG", "APIG_DE", "OBS"),
		}
		if one.Type == "" {
			t.bad("trigger_type", "is missing")
		}
		if c := t.inner("trigger_config"); c != nil {
			one.Config = c.fields
		}
		t.done()
		all = append(all, one)
	}
	return all
}

// block reads "start" and "states" of an object, and holds them to be a graph without rings in which every state can be reached.
func (p *parser) block(o *object, name string) *block {
	b := &block{name: name, states: map[string]*state{}}
	start := o.text("start", 1, 256)
	var order []*state
	for _, s := range o.list("states", 1, faas.MaxFlowStates) {
		one := p.state(s)
		if one.id == "" {
			continue
		}
		if where, twice := p.ids[one.id]; twice {
			s.bad("id", "%q is that of %s too", one.id, where)
		}
		p.ids[one.id] = s.path
		b.states[one.id] = one
		order = append(order, one)
	}
	if len(p.ids) > faas.MaxFlowStates {
		o.bad("states", "are more than %d, those inside others included", faas.MaxFlowStates)
	}
	b.start = b.states[start]
	if b.start == nil {
		o.bad("start", "is %q, and no state has that id", start)
		return b
	}
	for _, s := range order {
		for field, next := range s.exits() {
			if next != "" && b.states[next] == nil {
				(&object{path: s.path, fault: o.fault}).bad(field, "is %q, and no state beside it has that id", next)
			}
		}
	}
	b.checkGraph(o, order)
	return b
}

// exits gives where a state can lead, by the field that says so.
func (s *state) exits() map[string]string {
	all := map[string]string{}
	if s.kind != typeSwitch && s.kind != typeEnd {
		all["transition"] = s.next
	}
	for i, e := range s.errors {
		all[fmt.Sprintf("on_errors[%d].transition", i)] = e.next
	}
	for i, c := range s.cases {
		field := fmt.Sprintf("data_conditions[%d].transition", i)
		if c.when == nil {
			field = "default_condition.transition"
		}
		all[field] = c.next
	}
	return all
}

func (b *block) checkGraph(o *object, order []*state) {
	const open, done = 1, 2
	seen := map[string]int{}
	var ring string
	var visit func(s *state)
	visit = func(s *state) {
		seen[s.id] = open
		for _, next := range s.exits() {
			to := b.states[next]
			if to == nil {
				continue
			}
			switch seen[next] {
			case open:
				ring = s.id + " -> " + next
			case 0:
				visit(to)
			}
		}
		seen[s.id] = done
	}
	visit(b.start)
	if ring != "" {
		o.bad("states", "lead in a ring at %s; a foreach or retries can do what a ring would", ring)
	}
	for _, s := range order {
		if seen[s.id] == 0 {
			(&object{path: s.path, fault: o.fault}).bad("", "(id %q) is not reached from start", s.id)
		}
	}
}

// path of a filter; nil for "".
func filter(o *object, name string) *path {
	text := o.text(name, 0, maxPath)
	if text == "" || text == "$" {
		return nil
	}
	p, err := parsePath(text)
	if err != nil {
		o.bad(name, "%v", err)
	}
	return p
}

func (p *parser) state(o *object) *state {
	s := &state{id: o.text("id", 1, 64), name: o.word("name", 1, 256), kind: o.choice("type", "", stateTypes...), path: o.path}
	if strings.ContainsAny(s.id, "/[]@~") {
		o.bad("id", "%q must not hold / [ ] @ or ~", s.id)
	}
	if s.kind == "" {
		o.bad("type", "is missing; it is one of %q", stateTypes)
	}
	s.next = o.text("transition", 0, 256)
	end := o.flag("end", s.kind == typeEnd)
	switch {
	case s.kind == typeEnd && (!end || s.next != ""):
		o.bad("end", "must be true, and transition empty, for a state of type End")
	case s.kind == typeSwitch && (end || s.next != ""):
		o.bad("transition", "and end stand in the conditions of a switch")
	case s.kind != typeEnd && s.kind != typeSwitch && end == (s.next != ""):
		o.bad("transition", "must name the next state, or end must be true, and not both")
	}
	if f := o.inner("state_data_filter"); f != nil {
		s.input, s.output = filter(f, "input"), filter(f, "output")
		f.done()
	}
	p.onErrors(o, s)
	s.timeout = seconds(o.number("timeout", 0, 1, faas.MaxFlowTime.Seconds()))
	if s.timeout > 0 && (s.kind == typeSleep || s.kind == typeEnd || s.kind == typeSwitch || s.kind == typeInject) {
		o.bad("timeout", "has no meaning for a state of type %s", s.kind)
	}
	if p.express && (s.kind == typeSubflow || s.kind == typeCallback) {
		o.bad("type", "is %s, which a workflow of mode EXPRESS cannot have: it keeps nothing that could be waited for", s.kind)
	}
	p.kind(o, s)
	p.leftOver(o, s)
	o.done()
	return s
}

// kind reads what is of the state's own type.
func (p *parser) kind(o *object, s *state) {
	switch s.kind {
	case typeOperation:
		s.actions = p.actions(o, 1)
		s.parallel = o.choice("action_mode", "sequential", "sequential", "parallel") == "parallel"
	case typeSleep:
		if o.fields["duration"] == nil {
			o.bad("duration", "is missing")
		}
		s.duration = seconds(o.number("duration", 1, 0.001, maxDuration.Seconds()))
	case typeSwitch:
		p.cases(o, s)
	case typeInject:
		if s.data = o.take("data"); s.data == nil {
			o.bad("data", "is missing")
		}
	case typeParallel:
		p.branches(o, s)
	case typeForeach:
		p.foreach(o, s)
	case typeSubflow:
		p.subflow(o, s)
	case typeCallback:
		s.actions = p.actions(o, 0)
	}
}

// leftOver takes in what the vendor's clients send with every state, where it is empty.
func (p *parser) leftOver(o *object, s *state) {
	if list, ok := o.fields["actions"].([]any); ok && len(list) == 0 || o.fields["actions"] == nil {
		o.read["actions"] = true
	}
	if text, ok := o.fields["action_mode"].(string); ok && (text == "" || text == "sequential") || o.fields["action_mode"] == nil {
		o.read["action_mode"] = true
	}
	if n, ok := toFloat(o.fields["duration"]); ok && n == 0 || o.fields["duration"] == nil {
		o.read["duration"] = true
	}
	if len(s.errors) > 0 && (s.kind == typeSleep || s.kind == typeEnd || s.kind == typeInject) {
		o.bad("on_errors", "has no meaning for a state of type %s, which cannot fail", s.kind)
	}
}

func (p *parser) onErrors(o *object, s *state) {
	for _, e := range o.list("on_errors", 0, 200) {
		var one onError
		if ref := e.text("retry_ref", 0, 256); ref != "" {
			retry, there := p.retries[ref]
			if !there {
				e.bad("retry_ref", "is %q, and no entry of retries has that name", ref)
			}
			one = retry
		}
		var err error
		if one.when, err = parseCondition(e.text("error", 0, maxCondition)); err != nil {
			e.bad("error", "%v", err)
		}
		one.next = e.text("transition", 0, 256)
		e.done()
		s.errors = append(s.errors, one)
	}
}

func (p *parser) actions(o *object, least int) []action {
	var all []action
	for _, a := range o.list("actions", least, maxActions) {
		ref := a.inner("function_ref")
		if ref == nil {
			a.bad("function_ref", "is missing")
			continue
		}
		one := action{ref: ref.text("ref_name", 1, 256), args: arguments(ref)}
		one.detached = ref.choice("invoke_mode", "synchronize", "synchronize", "asynchronize") == "asynchronize"
		var there bool
		if one.function, there = p.functions[one.ref]; !there {
			ref.bad("ref_name", "is %q, and no entry of functions has that name", one.ref)
		}
		ref.done()
		a.done()
		all = append(all, one)
	}
	return all
}

// arguments reads those of a call; nil, for all the data, where there are none.
func arguments(o *object) *template {
	v := o.take("arguments")
	if v == nil {
		return nil
	}
	fields, ok := v.(map[string]any)
	if !ok {
		o.bad("arguments", "must be an object, not %s", kindOf(v))
	}
	if len(fields) == 0 {
		return nil
	}
	t, err := newTemplate(v, o.at("arguments"))
	if err != nil && *o.fault == nil {
		*o.fault = faas.Errorf(faas.CodeInvalid, "definition", "%v", err)
	}
	return t
}

func (p *parser) cases(o *object, s *state) {
	for _, c := range o.list("data_conditions", 1, maxExits) {
		c.text("name", 0, 256)
		var e exit
		var err error
		if e.when, err = parseCondition(c.text("condition", 1, maxCondition)); err != nil {
			c.bad("condition", "%v", err)
		}
		e.next = exitOf(c)
		s.cases = append(s.cases, e)
	}
	if d := o.inner("default_condition"); d != nil {
		s.cases = append(s.cases, exit{next: exitOf(d)})
	}
}

func exitOf(o *object) string {
	next, end := o.text("transition", 0, 256), o.flag("end", false)
	if end == (next != "") {
		o.bad("transition", "must name the next state, or end must be true, and not both")
	}
	o.done()
	return next
}

// field reads the name of a field that something is laid in.
func field(o *object, name, standard string) string {
	text := o.text(name, 0, 64)
	if text == "" {
		return standard
	}
	return text
}

func (p *parser) branches(o *object, s *state) {
	names := map[string]bool{}
	for _, b := range o.list("branches", 1, maxBranches) {
		name := b.text("name", 1, 256)
		if names[name] {
			b.bad("name", "%q is there twice", name)
		}
		names[name] = true
		s.branches = append(s.branches, p.block(b, name))
		b.done()
	}
	s.result = field(o, "result_path", "result")
	switch o.choice("completion_type", "all_of", "all_of", "any_of", "at_least") {
	case "all_of":
		s.need = len(s.branches)
	case "any_of":
		s.need = 1
	case "at_least":
		s.need = o.whole("num_completed", 0, 1, max(1, len(s.branches)))
		if s.need == 0 {
			o.bad("num_completed", "is missing")
		}
	}
}

func (p *parser) foreach(o *object, s *state) {
	if s.items = filter(o, "input_collection"); s.items == nil && o.fields["input_collection"] != "$" {
		o.bad("input_collection", "is missing")
	}
	s.param, s.result = field(o, "iteration_param", "item"), field(o, "result_path", "result")
	s.concurrency = o.whole("concurrency", 1, 0, maxConcurrency)
	s.interval = seconds(o.number("interval", 0, 0, maxDuration.Seconds()))
	s.body = p.block(o, "")
}

func (p *parser) subflow(o *object, s *state) {
	ref := o.inner("sub_flow_ref")
	if ref == nil {
		o.bad("sub_flow_ref", "is missing")
		return
	}
	s.flow, s.args = ref.text("workflow_id", 1, 512), arguments(ref)
	s.detached = ref.choice("invoke_mode", "synchronize", "synchronize", "asynchronize") == "asynchronize"
	ref.done()
}
