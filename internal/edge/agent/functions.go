package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/cron"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

const (
	goos   = runtime.GOOS
	goarch = runtime.GOARCH
)

// The bounds of what waits for one function. It takes its events one after the other, in the order in which they came, unless it
// takes several calls at a time.
const (
	maxWaiting   = 1000
	waitingBytes = 8 << 20
	warmTime     = time.Minute
	callWait     = 30 * time.Second // of a command's call, for its turn
	usualTimeout = 30 * time.Second
	usualMemory  = 128 // MB
	leastMemory  = 32
)

// functions are those that run. One of them changes only as a whole.
type functions struct {
	a *Agent

	mu     sync.RWMutex
	byName map[string]*function
	byID   map[string]*function // by faas.Function.ID, of those being tried too

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// function is one revision of a function.
type function struct {
	def     wire.Function
	hash    string // of all
	run     string // of what an instance knows: a change of the rest needs no new one
	f       *faas.Function
	events  chan event
	waiting atomic.Int64 // bytes
	done    chan struct{}
	timing  atomic.Bool // a timer's call waits or runs

	*tally
}

// tally outlives revisions.
type tally struct {
	calls, errors, restarts, lastRun atomic.Int64
	crashes                          atomic.Int64 // of this revision
}

// event is a message or a timer's call.
type event struct {
	source string
	data   []byte
	depth  int
}

func newFunctions(a *Agent) *functions {
	fs := &functions{a: a, byName: map[string]*function{}, byID: map[string]*function{}}
	fs.ctx, fs.stop = context.WithCancel(context.Background())
	return fs
}

// Start implements lifecycle.Service.
func (fs *functions) Start(context.Context) error { return nil }

// Stop ends the handing out of events. Calls under way end by themselves.
func (fs *functions) Stop(ctx context.Context) error {
	fs.stop()
	ended := make(chan struct{})
	go func() { fs.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return nil
}

// runHash names what an instance of a function knows.
func runHash(def wire.Function) (string, error) {
	def.Cron, def.CronEnable, def.TimeZone, def.IdleTimeout = "", false, "", 0
	return def.Hash()
}

// prepare makes a revision, which is not called yet.
func (fs *functions) prepare(def wire.Function) (*function, error) {
	hash, err := def.Hash()
	if err != nil {
		return nil, err
	}
	run, err := runHash(def)
	if err != nil {
		return nil, err
	}
	name, err := fs.a.runtimeName(def.Runtime)
	if err != nil {
		return nil, err
	}
	contract := contractOf(def, name)
	if contract == faas.ContractCallback {
		return nil, faas.Errorf(faas.CodeUnsupported, "contract", "a function that answers by a callback cannot run on a gateway")
	}
	at := 1
	if contract == faas.ContractContext {
		at = max(1, min(def.RequestsPer, 64))
	}
	f := &faas.Function{
		ID: run, Project: def.Project, Package: def.Package, Name: def.Name, Version: run[:16], Revision: 1,
		Spec: faas.Spec{
			Runtime: name, Handler: def.Handler, Contract: contract, Timeout: whole(def.Timeout, usualTimeout),
			MemoryMB: def.MemoryMB, TmpMB: 512, InitHandler: def.InitHandler, InitTimeout: whole(def.InitTimeout, 0),
			MaxInstances: 1, RequestsPer: at,
		},
		Code: faas.Package{
			Kind: faas.KindZip, Filename: def.Code.Filename, Digest: def.Code.Digest, Size: def.Code.Size, Source: def.Code.Format == wire.FormatSource,
		},
	}
	if f.Spec.MemoryMB == 0 {
		f.Spec.MemoryMB = usualMemory
	}
	f.Spec.MemoryMB = max(f.Spec.MemoryMB, leastMemory)
	if f.Spec.InitHandler != "" && f.Spec.InitTimeout == 0 {
		f.Spec.InitTimeout = usualTimeout
	}
	one := &function{def: def, hash: hash, run: run, f: f, events: make(chan event, maxWaiting), done: make(chan struct{}), tally: &tally{}}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.byID[f.ID] = one
	return one, nil
}

// contractOf is how a handler is called. Only Python knows the gateway's own contract; others get the same events as JSON.
func contractOf(def wire.Function, runtimeName string) string {
	if def.Contract == faas.ContractEdge && !strings.HasPrefix(runtimeName, "Python3") {
		return faas.ContractContext
	}
	return def.Contract
}

// whole gives whole seconds, as calls know them.
func whole(ms int64, usual time.Duration) time.Duration {
	if ms <= 0 {
		return usual
	}
	return (time.Duration(ms)*time.Millisecond + time.Second - 1).Truncate(time.Second)
}

// runtimeName finds the name that this host knows: "python3" in any letter case is the newest that is installed.
func (a *Agent) runtimeName(name string) (string, error) {
	if _, err := a.catalogue.Resolve(name); err == nil {
		return name, nil
	}
	best := ""
	if strings.HasPrefix(strings.ToLower(name), "python3") {
		for _, i := range a.catalogue.List() {
			if strings.HasPrefix(i.Name, "Python3") && i.Status == lang.StatusExact {
				best = i.Name
			}
		}
	}
	if best == "" {
		_, err := a.catalogue.Resolve(name)
		return "", err
	}
	return best, nil
}

// warm loads an instance of a revision, and says why that is not possible.
func (fs *functions) warm(ctx context.Context, one *function) string {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	res, err := fs.a.pool.Warm(ctx, one.f, time.Now().Add(warmTime))
	if err != nil {
		return err.Error()
	}
	fs.a.cfg.Logs.Add(one.def.Name, res.Logs)
	if res.Failure != nil {
		fs.logFailure(one, res.Failure)
		return res.Failure.Type + ": " + res.Failure.Message
	}
	return ""
}

// install has a revision take the calls from now on. One of the same run hash gives way without a trace.
func (fs *functions) install(one *function) {
	fs.mu.Lock()
	old := fs.byName[one.def.Name]
	if old != nil {
		one.tally = old.tally
		if old.run != one.run {
			one.crashes.Store(0)
			one.restarts.Add(1)
		}
	}
	fs.byName[one.def.Name], fs.byID[one.f.ID] = one, one
	fs.mu.Unlock()
	for range one.f.Spec.RequestsPer {
		fs.work.Go(func() { fs.follow(one) })
	}
	if old != nil {
		fs.retire(old, old.run != one.run)
	}
}

// remove has a function go.
func (fs *functions) remove(name string) {
	fs.mu.Lock()
	old := fs.byName[name]
	delete(fs.byName, name)
	fs.mu.Unlock()
	if old != nil {
		fs.retire(old, true)
	}
}

// retire ends a revision: what it has taken it still runs, and its instances go where they are of no more use.
func (fs *functions) retire(old *function, gone bool) {
	close(old.done)
	if gone {
		fs.discard(old)
	}
}

// discard ends the instances of a revision that is not called.
func (fs *functions) discard(old *function) {
	fs.mu.Lock()
	if fs.byID[old.f.ID] == old {
		delete(fs.byID, old.f.ID)
	}
	fs.mu.Unlock()
	fs.a.pool.FunctionChanged(old.f.Key())
}

func (fs *functions) get(name string) *function {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.byName[name]
}

// all gives the functions in the order of their names.
func (fs *functions) all() []*function {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	list := make([]*function, 0, len(fs.byName))
	for _, one := range fs.byName {
		list = append(list, one)
	}
	slices.SortFunc(list, func(x, y *function) int { return strings.Compare(x.def.Name, y.def.Name) })
	return list
}

// schedules gives the crons that are on.
func (fs *functions) schedules() map[string]cron.Schedule {
	all := map[string]cron.Schedule{}
	for _, one := range fs.all() {
		if one.def.Cron == "" || !one.def.CronEnable {
			continue
		}
		if s, err := cron.Parse(one.def.Cron, one.def.TimeZone); err == nil { // it was parsed when it was accepted
			all[one.def.Name] = s
		}
	}
	return all
}

// message hands an event to a function. It tells whether there was room.
func (fs *functions) message(name, from, topic string, payload []byte, depth int) bool {
	one := fs.get(name)
	if one == nil {
		return false
	}
	data, err := json.Marshal(map[string]string{"type": "mqtt", "source": from, "topic": topic, "payload": base64.StdEncoding.EncodeToString(payload)})
	return err == nil && fs.hand(one, event{faas.SourceMQTT, data, depth})
}

// hand gives an event to a revision, or to the one that has taken its place meanwhile.
func (fs *functions) hand(one *function, e event) bool {
	if !one.offer(e) {
		return false
	}
	select {
	case <-one.done: // nobody may look at its events any more
		fs.passOn(one)
	default:
	}
	return true
}

// timer hands a timer's event to a function, unless its last one is still there.
func (fs *functions) timer(name string) {
	if one := fs.get(name); one != nil && one.timing.CompareAndSwap(false, true) {
		if !fs.hand(one, event{faas.SourceTimer, []byte(`{"type":"timer"}`), 0}) {
			one.timing.Store(false)
		}
	}
}

func (one *function) offer(e event) bool {
	size := int64(len(e.data))
	if one.waiting.Add(size) > waitingBytes {
		one.waiting.Add(-size)
		return false
	}
	select {
	case one.events <- e:
		return true
	default:
		one.waiting.Add(-size)
		return false
	}
}

// follow runs the events of a revision, the rest of them too when another takes its place.
func (fs *functions) follow(one *function) {
	for {
		select {
		case e := <-one.events:
			fs.handle(one, e)
			continue
		default:
		}
		select {
		case e := <-one.events:
			fs.handle(one, e)
		case <-one.done:
			fs.passOn(one)
			return
		case <-fs.ctx.Done():
			return
		}
	}
}

// passOn gives what a retired revision has not begun to the one in its place.
func (fs *functions) passOn(one *function) {
	for {
		select {
		case e := <-one.events:
			one.waiting.Add(-int64(len(e.data)))
			if next := fs.get(one.def.Name); next != nil && next != one {
				next.offer(e)
			}
		default:
			return
		}
	}
}

func (fs *functions) handle(one *function, e event) {
	one.waiting.Add(-int64(len(e.data)))
	if e.source == faas.SourceTimer {
		defer one.timing.Store(false)
	}
	_, err := fs.call(fs.ctx, one, faas.Invocation{ID: uuid.NewString(), Source: e.source, Event: e.data, Depth: e.depth})
	if err != nil {
		fs.a.cfg.Logs.Say(one.def.Name, faas.LevelError, "the call could not run: "+err.Error())
	}
}

// call runs one call, and keeps what it said.
func (fs *functions) call(ctx context.Context, one *function, c faas.Invocation) (*faas.Result, error) {
	begun := time.Now()
	if c.Deadline.IsZero() {
		c.QueueBy = begun.Add(callWait)
		c.Deadline = c.QueueBy.Add(one.f.Spec.LoadLimit() + one.f.Spec.Timeout)
	}
	one.calls.Add(1)
	one.lastRun.Store(fs.a.cfg.Clock().UnixMilli())
	res, err := fs.a.pool.Run(ctx, one.f, c)
	if err != nil {
		one.errors.Add(1)
		return nil, err
	}
	fs.a.cfg.Logs.Add(one.def.Name, res.Logs)
	if res.Failure != nil {
		one.errors.Add(1)
		fs.logFailure(one, res.Failure)
		if crashed(res.Failure.Code) {
			one.crashes.Add(1)
			one.restarts.Add(1)
			fs.a.applier.crashed()
		}
		fs.a.reporter.changed()
	}
	return res, nil
}

// crashed tells of failures that ended the process or kept it from coming up. What a handler throws is its owner's affair.
func crashed(c faas.Code) bool {
	switch c {
	case faas.CodeExit, faas.CodeMemory, faas.CodeLoad, faas.CodeInit, faas.CodeInitTimeout, faas.CodeTimeout:
		return true
	}
	return false
}

func (fs *functions) logFailure(one *function, f *faas.Failure) {
	text := f.Type + ": " + f.Message
	if len(f.Stack) > 0 {
		text += "\n" + strings.Join(f.Stack, "\n")
	}
	fs.a.cfg.Logs.Say(one.def.Name, faas.LevelError, text)
}

// Variables implements pool.Variables.
func (fs *functions) Variables(f *faas.Function) (map[string]string, error) {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	if one := fs.byID[f.ID]; one != nil {
		return one.def.Env, nil
	}
	return nil, nil
}

// place tells a function where it is.
func (fs *functions) place(f *faas.Function) json.RawMessage {
	fs.mu.RLock()
	one := fs.byID[f.ID]
	fs.mu.RUnlock()
	config := json.RawMessage("{}")
	if one != nil && len(one.def.Config) > 0 {
		config = one.def.Config
	}
	text, err := json.Marshal(map[string]any{"product_sn": fs.a.id.Product, "device_sn": fs.a.id.Gateway, "config": config})
	if err != nil { // a config that is no JSON is refused with its document
		return json.RawMessage("{}")
	}
	return text
}

// idleAfter is the owner's choice for how long an instance idles.
func (fs *functions) idleAfter(f *faas.Function) time.Duration {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	if one := fs.byID[f.ID]; one != nil {
		return time.Duration(one.def.IdleTimeout) * time.Millisecond
	}
	return 0
}
