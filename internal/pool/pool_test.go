package pool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/all"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
)

// house is a pool over the real sandbox, with functions from source text.
type house struct {
	*pool.Pool
	driver *countingDriver
	dir    string
	serial atomic.Int64
	python string // a runtime name that is served here
}

// countingDriver is the native driver, with a record of its instances.
type countingDriver struct {
	sandbox.Driver
	mu      sync.Mutex
	started []sandbox.Instance
	named   map[string]sandbox.Instance // the newest by Spec.Name
}

func (d *countingDriver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	in, err := d.Driver.Start(ctx, spec)
	if err == nil {
		d.mu.Lock()
		d.started = append(d.started, in)
		d.named[spec.Name] = in
		d.mu.Unlock()
	}
	return in, err
}

func (d *countingDriver) all() []sandbox.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]sandbox.Instance(nil), d.started...)
}

var program struct {
	once sync.Once
	init []byte
	err  error
}

func initProgram(t *testing.T) []byte {
	t.Helper()
	program.once.Do(func() {
		out := filepath.Join(os.TempDir(), fmt.Sprintf("hanshu-init-%d", os.Getpid()))
		defer os.Remove(out)
		build := exec.Command("go", "build", "-o", out, "../sandbox/native/init")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, said)
			return
		}
		program.init, program.err = os.ReadFile(out)
	})
	require.NoError(t, program.err)
	return program.init
}

func newHouse(t *testing.T, change func(*pool.Config)) *house {
	t.Helper()
	dir := t.TempDir()
	driver, err := native.New(t.Context(), native.Config{Init: initProgram(t), Token: fmt.Sprintf("pool-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(dir)))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	h := &house{driver: &countingDriver{Driver: driver, named: map[string]sandbox.Instance{}}, dir: dir}
	catalogue := lang.NewCatalogue(t.Context(), lang.SearchDirs(os.Getenv("PATH")), all.All()...)
	for _, info := range catalogue.List() {
		if info.Status != lang.StatusMissing && strings.HasPrefix(info.Name, "Python3") {
			h.python = info.Name
		}
	}
	require.NotEmpty(t, h.python, "the tests need Python 3")
	cfg := pool.Config{
		Driver: h.driver, Folders: h, Runtimes: catalogue, Variables: h, StateDir: filepath.Join(dir, "state"),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: metrics.NewSet(),
	}
	if change != nil {
		change(&cfg)
	}
	h.Pool = pool.New(cfg)
	require.NoError(t, h.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, h.Stop(ctx))
	})
	return h
}

func (h *house) Dir(_ context.Context, pkg faas.Package) (string, func(), error) {
	return filepath.Join(h.dir, pkg.Digest), func() {}, nil
}

func (h *house) Variables(*faas.Function) (map[string]string, error) {
	return map[string]string{"colour": "blue"}, nil
}

// function makes a Python function of 128 MB and three seconds from source.
func (h *house) function(t *testing.T, source string) *faas.Function {
	t.Helper()
	id := fmt.Sprintf("f%d", h.serial.Add(1))
	require.NoError(t, os.MkdirAll(filepath.Join(h.dir, id), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(h.dir, id, "index.py"), []byte(source), 0o644))
	return &faas.Function{
		ID: id, Project: "p", Package: "default", Name: id, Version: faas.Latest, Revision: 1,
		Spec: faas.Spec{Runtime: h.python, Handler: "index.handler", Timeout: 3 * time.Second, MemoryMB: 128, TmpMB: 512, MaxInstances: faas.Unlimited},
		Code: faas.Package{Digest: id},
	}
}

// patience is what a call may wait for an instance, with the start of that.
const patience = 33 * time.Second

func (h *house) call(t *testing.T, f *faas.Function, event string) *faas.Result {
	t.Helper()
	res, err := h.try(t.Context(), f, event)
	require.NoError(t, err)
	return res
}

func (h *house) try(ctx context.Context, f *faas.Function, event string) (*faas.Result, error) {
	return h.Run(ctx, f, faas.Invocation{
		ID: "8f7b2f0e-0000-4000-8000-000000000000", Event: []byte(event), QueueBy: time.Now().Add(30 * time.Second), Deadline: time.Now().Add(patience + f.Spec.Timeout),
	})
}

const echo = "def handler(event, context):\n    return event\n"

func TestWarmInstancesAreReused(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n")
	first := h.call(t, f, `{}`)
	require.Nil(t, first.Failure)
	require.True(t, first.Cold)
	require.Positive(t, first.Init)
	for want := 2; want < 10; want++ {
		res := h.call(t, f, `{}`)
		require.Equal(t, fmt.Sprint(want), string(res.Output))
		require.False(t, res.Cold)
		require.Zero(t, res.Init)
		require.Positive(t, res.MemoryPeak)
	}
}

func TestOutputBelongsToItsCall(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import os\nprint('loading')\ndef handler(event, context):\n    print('one', event)\n    context.getLogger().error('two\\nlines')\n    os.system('echo three')\n")
	res := h.call(t, f, `1`)
	require.Nil(t, res.Failure)
	texts := func(res *faas.Result) (all []string) {
		for _, l := range res.Logs {
			require.WithinDuration(t, time.Now(), l.Time, time.Minute)
			all = append(all, l.Level+" "+l.Text)
		}
		return all
	}
	got := texts(res)
	if strings.Contains(got[0], "nearest version") {
		got = got[1:]
	}
	require.Equal(t, []string{"INFO loading", "INFO one 1", "ERROR two\nlines", "INFO three"}, got)
	require.Equal(t, []string{"INFO one 2", "ERROR two\nlines", "INFO three"}, texts(h.call(t, f, `2`)))
}

// forkBomb stands for whichever of its time and its memory ends a fork bomb first.
const forkBomb faas.Code = "time or memory"

// of gives the instance that was started for a function.
func (d *countingDriver) of(f *faas.Function) sandbox.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.named[f.Name]
}

// TestHostile runs functions that do their worst, each beside a neighbour whose every answer must stay right.
func TestHostile(t *testing.T) {
	h := newHouse(t, nil)
	for name, c := range map[string]struct {
		source string
		code   faas.Code // "" for none
		says   string    // what the failure says
	}{
		"fork bomb":              {"import os\ndef handler(e, c):\n    while True:\n        try: os.fork()\n        except OSError: pass\n", forkBomb, ""},
		"memory":                 {"def handler(e, c):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n", faas.CodeMemory, "128 MB"},
		"write without end":      {"def handler(e, c):\n    with open('/tmp/x', 'wb') as f:\n        while True: f.write(b'x' * 65536)\n", faas.CodeException, "No space left"},
		"sleep":                  {"import time\ndef handler(e, c):\n    time.sleep(60)\n", faas.CodeTimeout, "3 seconds"},
		"loop that catches all":  {"def handler(e, c):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n", faas.CodeTimeout, "3 seconds"},
		"close every descriptor": {"import os, time\ndef handler(e, c):\n    os.closerange(0, 4096)\n    time.sleep(60)\n", faas.CodeExit, "control channel"},
		"exit":                   {"import os\ndef handler(e, c):\n    os._exit(9)\n", faas.CodeExit, "code 9"},
		"abort":                  {"import os\ndef handler(e, c):\n    os.abort()\n", faas.CodeExit, "signal"},
		"stop itself":            {"import os, signal\ndef handler(e, c):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    while True: pass\n", faas.CodeTimeout, "3 seconds"},
		"print and print":        {"import os\ndef handler(e, c):\n    b = b'x' * 99 + b'\\n'\n    b = b * 10000\n    n = 0\n    while n < 1 << 28:\n        n += os.write(1, b)\n    return n\n", "", ""},
		"garbage on the channel": {"import os\ndef handler(e, c):\n    for fd in range(3, 2048):\n        try: os.write(fd, b'\\xff' * 64)\n        except OSError: pass\n    while True: pass\n", faas.CodeExit, "control channel"},
		"daemon left behind":     {"import os, time\ndef handler(e, c):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            time.sleep(600)\n        os._exit(0)\n    os._exit(3)\n", faas.CodeExit, "code 3"},
		"bad import":             {"import nothing_of_that_name\n", faas.CodeLoad, "nothing_of_that_name"},
		"memory while loading":   {"x = []\nwhile True: x.append(bytearray(1 << 20))\n", faas.CodeMemory, "128 MB"},
		"endless loading":        {"while True: pass\n", faas.CodeTimeout, "loading the code"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() == 0 {
				t.Parallel() // without limits of the processor a fork bomb leaves the others too little to fail in their own way
			}
			neighbour, stop := h.function(t, echo), make(chan struct{})
			wrong := make(chan error, 1)
			go func() { wrong <- h.watchNeighbour(neighbour, stop) }()
			f := h.function(t, c.source)
			if c.code != faas.CodeTimeout && c.code != forkBomb {
				f.Spec.Timeout = 30 * time.Second // its own end has to come first, however slow the host is
			}
			if c.code == "" {
				f.Spec.MemoryMB = 1792 // and the part of the processor that goes with it
			}
			begun := time.Now()
			res := h.call(t, f, `{}`)
			require.Less(t, time.Since(begun), patience+f.Spec.Timeout)
			if c.code == "" {
				require.Nil(t, res.Failure)
				require.Positive(t, res.Dropped)
			} else {
				require.NotNil(t, res.Failure)
				if c.code == forkBomb {
					require.Contains(t, []faas.Code{faas.CodeTimeout, faas.CodeMemory}, res.Failure.Code, res.Failure.Message)
					c.code = res.Failure.Code
				}
				require.Equal(t, c.code, res.Failure.Code, res.Failure.Message)
				require.Contains(t, res.Failure.Message, c.says)
			}
			close(stop)
			require.NoError(t, <-wrong)
			again := h.call(t, h.function(t, echo), `"still here"`)
			require.Equal(t, `"still here"`, string(again.Output), "%+v", again.Failure)
		})
	}
}

// watchNeighbour calls a function until stop closes, and tells of the first answer that is not right.
func (h *house) watchNeighbour(f *faas.Function, stop <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		res, err := h.try(context.Background(), f, fmt.Sprint(i))
		if err != nil {
			return err
		}
		if string(res.Output) != fmt.Sprint(i) {
			return fmt.Errorf("call %d: %q, %+v", i, res.Output, res.Failure)
		}
	}
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.MaxInstances = 8 })
	f := h.function(t, echo)
	var group sync.WaitGroup
	for caller := range 64 {
		group.Go(func() {
			for i := range 25 {
				event := fmt.Sprintf(`"%d-%d"`, caller, i)
				res, err := h.try(t.Context(), f, event)
				if err != nil || string(res.Output) != event {
					t.Errorf("%s: %v %+v", event, err, res)
					return
				}
			}
		})
	}
	group.Wait()
	require.LessOrEqual(t, len(h.driver.all()), 8)
}

func TestDeathLosesOneCallOnly(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import time\ndef handler(e, c):\n    time.sleep(0.05)\n    return e\n")
	var failed atomic.Int64
	var group sync.WaitGroup
	victim := make(chan struct{})
	var once sync.Once
	for range 8 {
		group.Go(func() {
			for i := range 10 {
				if i == 3 {
					once.Do(func() { h.driver.of(f).Kill(); close(victim) })
				}
				res, err := h.try(t.Context(), f, `1`)
				if err != nil || res.Failure != nil {
					failed.Add(1)
				}
			}
		})
	}
	group.Wait()
	<-victim
	require.LessOrEqual(t, failed.Load(), int64(1))
}

// A function may end its process with its answer. The next call must not be handed to what is ending.
func TestLastAnswerOfAnInstanceLosesNoOtherCall(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import sys\ndef handler(e, c):\n    if e:\n        sys.exit(e)\n    return 'fine'\n")
	for range 10 {
		res := h.call(t, f, `3`)
		require.NotNil(t, res.Failure)
		require.Equal(t, "SystemExit", res.Failure.Type)
		res = h.call(t, f, `0`)
		require.Nil(t, res.Failure, "%+v", res.Failure)
		require.Equal(t, `"fine"`, string(res.Output))
	}
}

func TestIdleInstanceThatDiedIsReplaced(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, echo)
	h.call(t, f, `1`)
	in := h.driver.of(f)
	in.Kill()
	<-in.Done()
	require.Equal(t, `2`, string(h.call(t, f, `2`).Output))
}

func TestChangeTakesEffectWithoutAFailedCall(t *testing.T) {
	h := newHouse(t, nil)
	old := h.function(t, "def handler(e, c):\n    return 'old'\n")
	changed := h.function(t, "def handler(e, c):\n    return 'new'\n")
	var current atomic.Pointer[faas.Function]
	current.Store(old)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				f := current.Load()
				res, err := h.try(context.Background(), f, `1`)
				if err != nil || res.Failure != nil {
					t.Errorf("%v %+v", err, res)
					return
				}
			}
		})
	}
	for i := range 20 {
		next := *old
		next.Revision = int64(i + 2)
		next.Code = changed.Code
		h.call(t, current.Load(), `1`)
		current.Store(&next)
		h.FunctionChanged(old.Key())
		require.Equal(t, `"new"`, string(h.call(t, &next, `1`).Output))
	}
	close(stop)
	group.Wait()
}

func TestIdleInstancesAreRetired(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.IdleTimeout = 20 * time.Millisecond })
	f := h.function(t, echo)
	h.call(t, f, `1`)
	in := h.driver.of(f)
	select {
	case <-in.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	require.Equal(t, `2`, string(h.call(t, f, `2`).Output))
}

func TestInstancesOfOthersMakeRoom(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.MaxInstances = 2 })
	for range 3 {
		for range 3 {
			require.Equal(t, `1`, string(h.call(t, h.function(t, echo), `1`).Output))
		}
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, func(c *pool.Config) { c.MaxQueue = 2 })
	f := h.function(t, "import time, uuid\nme = str(uuid.uuid4())\ndef handler(e, c):\n    time.sleep(1)\n    return me\n")
	f.Spec.MaxInstances = 1
	results := make(chan error, 5)
	instances := make(chan string, 5)
	for range 5 {
		go func() {
			res, err := h.try(t.Context(), f, `1`)
			if err == nil {
				instances <- string(res.Output)
			}
			results <- err
		}()
	}
	codes := map[faas.Code]int{}
	for range 5 {
		if err := <-results; err != nil {
			codes[faas.CodeOf(err)]++
		} else {
			codes["ok"]++
		}
	}
	// One runs or starts and at most two wait; whoever comes when both places are taken is told so.
	require.GreaterOrEqual(t, codes[faas.CodeOverload], 2, codes)
	require.GreaterOrEqual(t, codes["ok"], 2, codes)
	only := <-instances
	for range len(instances) {
		require.Equal(t, only, <-instances)
	}

	_, err := h.Run(t.Context(), f, faas.Invocation{ID: "x", Event: []byte("1"), QueueBy: time.Now(), Deadline: time.Now().Add(f.Spec.Timeout)})
	if err != nil {
		require.Equal(t, faas.CodeQueueTimeout, faas.CodeOf(err))
	}
	f.Spec.MaxInstances = 0
	_, err = h.try(t.Context(), f, `1`)
	require.Equal(t, faas.CodeDisabled, faas.CodeOf(err))
}

func TestStopLetsCallsEnd(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import time\nprint('up')\ndef handler(e, c):\n    time.sleep(1)\n    return e\n")
	h.call(t, f, `1`)
	done := make(chan *faas.Result)
	entered := make(chan struct{})
	go func() {
		close(entered)
		res, _ := h.try(context.Background(), f, `2`)
		done <- res
	}()
	<-entered
	go func() { _ = h.Stop(context.Background()) }()
	res := <-done
	if res != nil { // else the stop came first and refused the call
		require.Equal(t, `2`, string(res.Output))
	}
	_, err := h.try(t.Context(), f, `3`)
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(err))
}

func TestPreparedWorkersBecomeFunctions(t *testing.T) {
	h := newHouse(t, nil)
	if !h.driver.Capabilities().Attach {
		t.Skip("this level cannot take code into a running process")
	}
	h.call(t, h.function(t, echo), `1`) // finds the shelf empty, and has it filled
	fast := 0
	for i := range 20 {
		f := h.function(t, "import os\nopen('/tmp/mine', 'x')\ndef handler(e, c):\n    return [e, os.getcwd(), sorted(os.listdir('.')), c.getFunctionName(), c.getUserData('colour'), os.statvfs('/tmp').f_blocks * os.statvfs('/tmp').f_frsize]\n")
		f.Spec.MemoryMB = 256
		before := len(h.driver.all())
		res := h.call(t, f, fmt.Sprint(i))
		require.Nil(t, res.Failure)
		require.True(t, res.Cold)
		require.JSONEq(t, fmt.Sprintf(`[%d, "/opt/function/code", ["index.py"], %q, "blue", %d]`, i, f.Name, 128<<20), string(res.Output))
		if res.Queued < 10*time.Millisecond && len(h.driver.all()) <= before+2 {
			fast++
		}
	}
	require.Positive(t, fast, "no call was served by a waiting worker")
}

// TestQueueOfShortCallsDoesNotBringInstancesWithoutEnd: more instances than processors do not make short calls of the
// processor any faster.
func TestQueueOfShortCallsDoesNotBringInstancesWithoutEnd(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "def handler(e, c):\n    return sum(range(2000))\n")
	f.Spec.MemoryMB = 1792
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for range 100 {
				if res, err := h.try(t.Context(), f, `1`); err != nil || res.Failure != nil {
					t.Errorf("%v %+v", err, res)
					return
				}
			}
		})
	}
	group.Wait()
	require.Less(t, len(h.driver.all()), 24)
}

// TestWaitingCallsBringInstances: calls that wait for something else than the processor run side by side.
func TestWaitingCallsBringInstances(t *testing.T) {
	h := newHouse(t, nil)
	f := h.function(t, "import time\ndef handler(e, c):\n    begun = time.time()\n    time.sleep(1)\n    return [begun, time.time()]\n")
	f.Spec.Timeout = 30 * time.Second
	var group sync.WaitGroup
	times := make([][2]float64, 16)
	for i := range times {
		group.Go(func() {
			res, err := h.try(t.Context(), f, `1`)
			if err != nil || res.Failure != nil {
				t.Errorf("%v %+v", err, res)
				return
			}
			if err := json.Unmarshal(res.Output, &times[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	most := 0
	for _, one := range times {
		beside := 0
		for _, other := range times {
			if other[0] <= one[0] && one[0] < other[1] {
				beside++
			}
		}
		most = max(most, beside)
	}
	require.GreaterOrEqual(t, most, 3, "calls at a time")
}
