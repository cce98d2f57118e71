package pool

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Limits of one instance (FunctionGraph reference 3.3).
const (
	maxProcesses = 1024
	maxFiles     = 2048
)

// exitGrace is how long a worker that has closed its control channel has to end by itself, so that the reason can be told.
const exitGrace = 250 * time.Millisecond

// instance is one loaded worker. One call at a time has it, by lease; nothing in it is locked but where noted.
type instance struct {
	box      sandbox.Instance
	conn     net.Conn
	wired    lang.Wired // the same, where the worker becomes the function; nil for all others
	reader   *bufio.Reader
	turn     sync.Mutex  // one at a time on the control socket
	gifts    *lang.Gifts // below reader where connections come with frames; nil where none do
	number   int64
	region   string
	callers  connections
	output   *output
	seq      uint32
	frame    []byte // buffer for what is sent
	memoryMB int
	initTime time.Duration
	compiled bool            // what was compiled ahead is shown at lang.CompiledRoot
	booting  bool            // it has not said yet that it is ready
	image    *faas.ImageRoot // that it runs from; nil for one that runs a package
	notice   string          // about the runtime; told with the first call
	credit   credit
	retired  sync.Once
	ice      ice
	pool     *Pool      // answers the questions of the worker
	telling  sync.Mutex // of answers to questions; guards asking
	asking   uint32     // call whose questions are answered; 0 for none
	shared   *shared    // nil for one call at a time

	endLock sync.Mutex
	over    bool
	release func()    // lets go of the code folder; called once the process is gone
	way     io.Closer // out to the network; nil for none

	shut    bool         // it has no network at all
	patient atomic.Bool  // it does
	portion atomic.Int32 // so many instances divide the weight of one
	quota   quota

	// What follows is guarded by the group.
	idleSince time.Time
	reclaimed time.Time // the idleSince at which it was paged out; guarded by the group
	beatAt    time.Time // when it was last asked how it is
	active    int       // calls under way, where there may be several
	overdue   int       // of these, exchanges whose time is over
	open      bool      // it stands in group.open
	leaving   bool      // it takes no further call
	lost      bool      // it counts no more
}

// liveness is what became of an instance in a call.
type liveness int

const (
	alive     liveness = iota
	ended              // it has ended or must end
	untouched          // it had ended before the call reached it
	leaving            // it takes no further call, and ends with the last of those it has
)

// startInstance makes an instance of a group's function: of a worker that waits, or from nothing. The code's own failure
// to load comes as a result, everyone else's as an error. The place that was reserved for it is given back when its
// process is gone. up is called once, when the process has come up or will not: what follows is the owner's code, and may
// take its time.
func (p *Pool) startInstance(g *group, up func()) (*instance, *faas.Result, error) {
	in, err := p.comeUp(g)
	if err == nil {
		if err = p.giveNetwork(in, g); err == nil {
			err = g.bearWith(in)
		}
		if err == nil {
			err = in.tellLoad(g)
		}
		if err != nil {
			in.retire()
		}
	}
	up()
	if err != nil {
		return nil, nil, startError(err)
	}
	failed, err := in.load(g)
	if failed != nil || err != nil {
		in.retire()
		<-in.box.Done()
		return nil, failed, startError(err)
	}
	time.AfterFunc(callBurst, in.holdToQuota)
	if g.slots > 1 {
		p.share(in)
	}
	return in, nil, nil
}

// comeUp gives a worker that can be told to become the group's function: one that waits, or one that is still booting. A worker that
// waited holds a place of its own, so the one reserved is given back.
func (p *Pool) comeUp(g *group) (*instance, error) {
	if g.function.Code.Kind == faas.KindImage {
		return p.comeUpFromImage(g)
	}
	shelf := p.shelf(g.driver, g.runtime)
	var waited *instance
	if !g.crashing(time.Now()) { // it would take the workers that wait from everybody else
		waited = shelf.take()
	}
	if in := waited; in != nil {
		p.unreserve()
		if err := p.specialise(in, g); err != nil {
			in.retire()
			return nil, err
		}
		return in, nil
	}
	code, release, err := p.cfg.Folders.Dir(p.ctx, g.function.Code)
	if err != nil {
		p.unreserve()
		return nil, err
	}
	memory := int64(g.key.memoryMB) << 20
	spec, err := p.boxSpec(g.runtime, g.function.Name, memory)
	if err != nil {
		p.unreserve()
		release()
		return nil, err
	}
	spec.Dir, spec.TmpBytes, spec.Network = lang.CodeRoot, tmpBytes(g.function, memory), g.networked()
	compiled := p.compiledMounts(g, code)
	box, err := shelf.box(g.driver, p, spec, append(compiled, sandbox.Mount{Source: code, Target: lang.CodeRoot})...)
	in, err := p.follow(box, err, g.runtime, release)
	if err != nil {
		p.unreserve()
		return nil, err
	}
	in.memoryMB, in.compiled, in.booting = g.key.memoryMB, len(compiled) > 0, true
	return in, nil
}

// follow makes an instance of a sandbox, or of the error instead of one, and follows it to its end, when its place is given
// back and release is called. Both are left to the caller when it fails, but for release.
func (p *Pool) follow(box sandbox.Instance, err error, rt lang.Runtime, release func()) (*instance, error) {
	if err != nil {
		release()
		return nil, err
	}
	out, err := newOutput(box.Output())
	if err != nil {
		box.Kill()
		<-box.Done()
		release()
		return nil, err
	}
	in := &instance{box: box, conn: box.Control(), output: out, release: release, notice: rt.Notice(), number: p.started.Add(1), region: p.cfg.Region, pool: p}
	if rt.Language.Wire != nil {
		in.wired = rt.Language.Wire(in.conn, box.Done())
		in.conn = in.wired
	}
	in.openReader(rt.Language.HTTP)
	p.mu.Lock()
	p.live[in] = struct{}{}
	p.mu.Unlock()
	if p.ctx.Err() != nil { // killAll may have gone by already
		box.Kill()
	}
	p.work.Go(out.follow)
	p.work.Go(func() {
		<-box.Done()
		in.ended()
		p.mu.Lock()
		delete(p.live, in)
		p.mu.Unlock()
		p.unreserve()
	})
	return in, nil
}

// boxSpec describes the sandbox of a worker, all but its code, /tmp and working directory.
func (p *Pool) boxSpec(rt lang.Runtime, name string, memory int64) (sandbox.Spec, error) {
	source, err := p.bootstraps.of(rt.Language)
	if err != nil {
		return sandbox.Spec{}, startError(err)
	}
	bootstrap := lang.RuntimeRoot + "/" + rt.Language.ID
	spec := sandbox.Spec{
		Name: name, Command: rt.Language.Command(rt.Install, bootstrap),
		Env:         append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}, rt.Language.Env...),
		Mounts:      []sandbox.Mount{{Source: source, Target: bootstrap}},
		MemoryBytes: memory, Processes: maxProcesses, Files: maxFiles,
	}
	for _, root := range rt.Install.Roots {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: root, Target: root})
	}
	return spec, nil
}

// startError makes an expected failure of what hindered a start; nil stays nil.
func startError(err error) error {
	var expected *faas.Error
	if err == nil || errors.As(err, &expected) {
		return err
	}
	return &faas.Error{Code: faas.CodeStart, Message: "no instance could be started", Err: err}
}

// awaitReady waits until the worker has come up. An error leaves it dead.
func (in *instance) awaitReady(timeout time.Duration) error {
	_ = in.conn.SetDeadline(time.Now().Add(timeout))
	frame, err := lang.ReadFrame(in.reader, nil, maxFrame)
	if err == nil && frame.Type == lang.FrameReady {
		return nil
	}
	in.box.Kill()
	<-in.box.Done()
	lines, _ := in.output.take()
	return fmt.Errorf("the worker did not come up (%v); exit %+v; it said %v", err, in.box.Exit(), lines)
}

// tellLoad tells the worker what to become, and waits until it has come up. A worker that still boots is told at once: what it is sent
// lies there when it is ready, which saves two processes a wait for each other.
func (in *instance) tellLoad(g *group) error {
	variables, err := g.pool.cfg.Variables.Variables(g.function)
	if err != nil {
		return fmt.Errorf("read user data: %w", err)
	}
	f := g.function
	load := loadOf(f, g.pool.cfg.Region, g.key.memoryMB, in.box.Path(lang.CodeRoot), variables)
	if load.Concurrency = g.slots; g.slots == 1 {
		load.Concurrency = 0
	}
	load.StopHandler, load.BeatHandler = g.stopHandler(), g.beatHandler()
	if in.compiled {
		load.Compiled = in.box.Path(lang.CompiledRoot)
	}
	if in.image != nil {
		loadImage(&load, f.Spec.Image, *in.image)
	}
	if g.pool.cfg.Place != nil {
		load.Place = g.pool.cfg.Place(f)
	}
	in.notice = g.notice()
	load.Credentials, load.AuthInHeader = in.firstCredentials(f), f.Spec.AuthInHeader
	_ = in.conn.SetDeadline(time.Now().Add(g.pool.cfg.StartTimeout))
	_, _ = in.conn.Write(lang.AppendLoad(nil, load)) // whoever reads next finds out why it failed
	if !in.booting {
		return nil
	}
	in.booting = false
	return in.awaitReady(g.pool.cfg.StartTimeout)
}

// load waits until the worker has become the function that it was told of. The failure to do so is a result; an error is a fault of the platform.
func (in *instance) load(g *group) (*faas.Result, error) {
	f, begun := g.function, time.Now()
	budget := f.Spec.InitTimeout
	if f.Spec.InitHandler == "" {
		budget = f.Spec.LoadLimit()
	}
	_ = in.conn.SetDeadline(begun.Add(budget))
	burst := time.AfterFunc(loadBurst, in.holdToQuota)
	defer burst.Stop()
	frame, err := lang.ReadFrame(in.reader, nil, maxFrame)
	in.initTime = time.Since(begun)
	res := &faas.Result{Init: in.initTime, MemoryMB: g.key.memoryMB}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		in.box.Kill()
		<-in.box.Done()
		res.Failure = initTimeout(f)
	case err != nil:
		res.Failure = in.fate(err)
	case frame.Type == lang.FrameLoaded:
		return nil, nil
	case frame.Type == lang.FrameFailed:
		res.Failure = in.reported(frame)
	default:
		res.Failure = in.broken(errUnexpected)
	}
	in.report(res)
	in.tellNotice(res, begun)
	return res, nil
}

func initTimeout(f *faas.Function) *faas.Failure {
	if f.Spec.InitHandler == "" {
		return timedOut("loading the code", f.Spec.LoadLimit())
	}
	failure := timedOut("the initializer", f.Spec.InitTimeout)
	failure.Code = faas.CodeInitTimeout
	return failure
}

func loadOf(f *faas.Function, region string, memoryMB int, codeRoot string, variables map[string]string) lang.Load {
	data, _ := json.Marshal(variables) // strings only
	seconds := int(f.Spec.Timeout / time.Second)
	env := maps.Clone(variables)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{
		"RUNTIME_PROJECT_ID": f.Project, "RUNTIME_FUNC_NAME": f.Name, "RUNTIME_FUNC_VERSION": f.Version,
		"RUNTIME_PACKAGE": f.Package, "RUNTIME_HANDLER": f.Spec.Handler, "RUNTIME_TIMEOUT": strconv.Itoa(seconds),
		"RUNTIME_USERDATA": string(data), "RUNTIME_CPU": strconv.Itoa(faas.CPUMillis(memoryMB)),
		"RUNTIME_MEMORY": strconv.Itoa(memoryMB), "RUNTIME_CODE_ROOT": codeRoot,
		"RUNTIME_INITIALIZER_HANDLER": f.Spec.InitHandler,
		"RUNTIME_INITIALIZER_TIMEOUT": strconv.Itoa(int(f.Spec.InitTimeout / time.Second)),
		"RUNTIME_PRESTOP_HANDLER":     f.Spec.StopHandler,
		"RUNTIME_MAX_RESP_BODY_SIZE":  strconv.Itoa(faas.MaxResultBytes), "RUNTIME_MAX_REQUEST_BODY_SIZE": strconv.Itoa(faas.MaxEventBytes),
	})
	return lang.Load{
		CodeRoot: codeRoot, Region: region, Handler: f.Spec.Handler, Contract: f.Spec.Contract, InitHandler: f.Spec.InitHandler,
		StopSec: int(f.Spec.StopTimeout / time.Second), ProjectID: f.Project,
		Package: f.Package, Function: f.Name, Version: f.Version, MemoryMB: memoryMB, CPUMillis: faas.CPUMillis(memoryMB),
		TimeoutSec: seconds, InitSec: int(f.Spec.InitTimeout / time.Second), UserData: variables, Env: env,
		MaxResult: faas.MaxResultBytes,
	}
}

// maxFrame bounds what a worker may send at once: the largest result and some room for its head or a failure.
const maxFrame = faas.MaxResultBytes + 256<<10

// call runs one call and says what became of the instance.
func (in *instance) call(f *faas.Function, c faas.Invocation, timeout time.Duration) (*faas.Result, liveness) {
	in.output.wake()
	if in.shared != nil {
		return in.shared.call(f, c, timeout)
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	in.seq++
	begun := time.Now()
	deadline := begun.Add(timeout)
	in.frame = lang.AppendCall(in.frame[:0], in.seq, deadline, c.ID, in.extraOf(f, c), c.Event)
	_ = in.conn.SetDeadline(deadline)
	err := in.write(in.frame)
	if cap(in.frame) > 64<<10 {
		in.frame = nil
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		// Not all of the call has arrived, so it has not begun.
		res := &faas.Result{Failure: in.fate(err)}
		in.report(res)
		return res, untouched
	}
	var frame lang.Frame
	if err == nil {
		frame, err = in.await(f, c, deadline)
	}
	res, state := &faas.Result{Run: time.Since(begun)}, alive
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		in.box.Kill()
		<-in.box.Done()
		res.Failure, state = timedOut("the function", timeout), ended
	case err != nil:
		res.Failure, state = in.fate(err), ended
	case frame.Seq == in.seq && frame.Type == lang.FrameResult:
		kib, err := frame.PeakKiB()
		if err != nil {
			res.Failure, state = in.broken(err), ended
			break
		}
		res.Output, res.MemoryPeak = frame.Body, kib<<10
	case frame.Seq == in.seq && frame.Type == lang.FrameFailed:
		res.Failure = in.reported(frame)
		if res.Failure.Code == faas.CodeExit || frame.Meta[0] == lang.FailLast {
			state = ended
		}
	default:
		res.Failure, state = in.broken(errUnexpected), ended
	}
	in.report(res)
	return res, state
}

// killOn ends the instance when kill is closed, until the function that it gives has returned; that tells whether it was ended.
func (in *instance) killOn(kill <-chan struct{}) (settle func() (killed bool)) {
	if kill == nil {
		return func() bool { return false }
	}
	settled, done := make(chan struct{}), make(chan bool, 1)
	go func() {
		select {
		case <-kill:
			in.box.Kill()
			done <- true
		case <-settled:
			done <- false
		}
	}()
	return func() bool { close(settled); return <-done }
}

// report adds what the call has printed, and its peak of memory where the answer did not carry it.
func (in *instance) report(res *faas.Result) {
	if in.shared != nil {
		res.Logs, res.Dropped = in.output.leave(0)
	} else {
		res.Logs, res.Dropped = in.output.take()
	}
	if res.MemoryPeak == 0 {
		res.MemoryPeak = in.box.MemoryPeak()
	}
}

// tellStart adds to the first result what is to be told of the start.
func (in *instance) tellStart(res *faas.Result) {
	res.Init = in.initTime
	res.Queued = max(0, res.Queued-in.initTime)
	in.tellNotice(res, time.Now().Add(-res.Run))
}

// tellNotice makes the notice about the runtime, if there is one, the first line of a log.
func (in *instance) tellNotice(res *faas.Result, at time.Time) {
	if in.notice != "" {
		res.Logs = append([]faas.LogLine{{Time: at, Level: faas.LevelWarn, Text: in.notice}}, res.Logs...)
	}
}

var errUnexpected = errors.New("an answer out of turn")

// reported translates a failure that the worker has told.
func (in *instance) reported(frame lang.Frame) *faas.Failure {
	kind, failure, err := frame.Failure()
	if err != nil {
		return in.broken(err)
	}
	code, err := lang.FailCode(kind)
	if err != nil {
		return in.broken(err)
	}
	if kind == lang.FailExit {
		in.box.Kill()
		<-in.box.Done()
		if in.box.Exit().OOM {
			return in.outOfMemory()
		}
	}
	return &faas.Failure{
		Code: code, Type: firstBytes(failure.Type, 200), Message: firstBytes(failure.Message, maxMessage), Stack: lastLines(failure.Stack, maxStack),
	}
}

// What is kept of a failure, in bytes: more than the bootstraps send by themselves.
const (
	maxMessage = 256 << 10
	maxStack   = 512 << 10
)

// firstBytes cuts a text, and never through a character.
func firstBytes(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.Clone(text[:n]) // not the whole for its beginning
}

// lastLines keeps the innermost lines of a stack.
func lastLines(lines []string, n int) []string {
	first := len(lines)
	for first > 0 {
		if n -= len(lines[first-1]) + 16; n < 0 {
			break
		}
		first--
	}
	return slices.Clone(lines[first:])
}

// gone tells whether the process has ended.
func (in *instance) gone() bool {
	select {
	case <-in.box.Done():
		return true
	default:
		return false
	}
}

// keepUntilEnd has release called once the process is gone.
func (in *instance) keepUntilEnd(release func()) {
	in.endLock.Lock()
	defer in.endLock.Unlock()
	if in.over {
		release()
		return
	}
	in.release = release
}

// ended lets go of what the process needed.
func (in *instance) ended() {
	in.endLock.Lock()
	defer in.endLock.Unlock()
	in.over = true
	if in.wired != nil {
		_ = in.wired.CloseRead() // fails only when it has been closed
	}
	in.release()
	if in.way != nil {
		in.way.Close()
	}
}

// retire ends the instance. Its place is free when its process is gone.
func (in *instance) retire() {
	in.retired.Do(func() {
		in.box.Kill()
		in.conn.Close()
		in.output.end()
		in.callers.close()
		in.box.Output().Close()
	})
}
