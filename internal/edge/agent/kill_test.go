package agent_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// childEnv holds the childOptions of a process that is an agent and nothing else.
const childEnv = "HANSHU_TEST_EDGE_CHILD"

// childOptions say how it is one.
type childOptions struct {
	Enrollment wire.Enrollment
	DataDir    string
	DieAt      string // step at which it kills itself
	DieCount   int    // at which occurrence of it, from 1
	Replace    bool   // it may become another version of itself
	Trial      time.Duration
}

// versionEnv holds the version that the process is of, and deafEnv is set for one that does not find the cloud.
const (
	versionEnv = "HANSHU_TEST_EDGE_VERSION"
	deafEnv    = "HANSHU_TEST_EDGE_DEAF"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := child(text); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(text string) error {
	var c childOptions
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	step := func(name string) {
		if name != c.DieAt {
			return
		}
		if c.DieCount--; c.DieCount == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	o := agent.Options{
		Setup: agent.Setup{Enrollment: c.Enrollment, DataDir: c.DataDir}, Version: cmp.Or(os.Getenv(versionEnv), "test"), Sandbox: "native", Level: "info",
		Path: os.Getenv("PATH"), Token: "edge-" + filepath.Base(c.DataDir), Stderr: os.Stderr, Step: step, Trial: c.Trial,
	}
	free := func() {} // nobody else is on the data directory of a test
	if c.Replace {
		o.Self = agent.Installed(os.Environ())
		if err := agent.TakeOver(c.DataDir, os.Environ(), free, step); err != nil {
			return err
		}
	}
	if os.Getenv(deafEnv) != "" {
		o.Enrollment.BrokerURL = "mqtt://127.0.0.1:1"
	}
	a, err := agent.Open(context.Background(), o)
	if err != nil {
		return err
	}
	err = a.Run(context.Background())
	if errors.Is(err, agent.ErrRestart) {
		return agent.Restart(os.Environ(), free)
	}
	return err
}

// process is an agent in a process of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func startProcess(t *testing.T, o childOptions) *process {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	p := &process{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if !testing.Verbose() {
		p.cmd.Stderr = nil
	}
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is what the test is about
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.ended
}

func (p *process) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(agenttest.Patience):
		t.Fatal("the agent did not come to the step at which it is killed")
	}
}

// Whatever step of an update the agent is killed at: the next start runs the new document, or, where a newer one has been made
// meanwhile, that one; and what has a name on disk was verified.
func TestKilledAtEveryStep(t *testing.T) {
	for half := range 2 {
		t.Run([]string{"same", "newer"}[half], func(t *testing.T) {
			t.Parallel()
			killAtEveryStep(t, half == 1)
		})
	}
}

func killAtEveryStep(t *testing.T, newer bool) {
	c := agenttest.Start(t)
	dir, err := os.MkdirTemp("", "edge")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	o := childOptions{Enrollment: c.Enrollment(), DataDir: dir}
	f, g := c.Function("f", echo), c.Function("g", echo+"#g")
	c.Push(c.Document(f, g))
	p := startProcess(t, o)
	c.AwaitGood(1)
	for i, step := range agent.Steps() {
		if newer == (i%2 == 0) { // the other half does this one
			continue
		}
		p.kill()
		f.Code = c.Code(echo + "#2" + step)
		want := c.Document(f, g)
		c.Hold(want)
		o.DieAt, o.DieCount = step, 1
		if step == agent.StepReceiving {
			c.ServeBy(agenttest.Half)
		}
		startProcess(t, o).awaitEnd(t)
		c.ServeBy(nil)
		verified(t, dir)
		if newer {
			f.Code = c.Code(echo + "#3" + step)
			want = c.Document(f, g)
			c.Hold(want)
		}
		c.Forget()
		o.DieAt = ""
		p = startProcess(t, o)
		r := c.AwaitGood(want.Version)
		hash, err := f.Hash()
		require.NoError(t, err)
		require.Equal(t, hash, r.Functions[0].Hash, step)
		require.Equal(t, wire.FunctionRunning, r.Functions[0].State, step)
		require.Empty(t, r.Refused, step)
		verified(t, dir)
	}
}

// verified holds every package on disk to its name.
func verified(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "packages", "????????????????????????????????????????????????????????????????"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, path := range found {
		require.Equal(t, filepath.Base(path), digestOf(t, path))
	}
}

// A new version of code that takes the agent down with it each time is given up in the end, and what was good runs.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	dir, err := os.MkdirTemp("", "edge")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	o := childOptions{Enrollment: c.Enrollment(), DataDir: dir}
	f := c.Function("f", echo)
	c.Push(c.Document(f))
	p := startProcess(t, o)
	good := c.AwaitGood(1)
	p.kill()
	f.Code = c.Code(echo + "#2")
	c.Hold(c.Document(f))
	o.DieAt, o.DieCount = agent.StepWarmed, 1
	for range 5 {
		startProcess(t, o).awaitEnd(t)
	}
	c.Forget()
	p = startProcess(t, o)
	r := c.AwaitReport("an end to it", func(r wire.ReportedMessage) bool { return r.State == wire.StateRolledBack })
	require.Equal(t, good.Functions[0].Hash, r.Functions[0].Hash)
	require.True(t, strings.HasPrefix(r.Refused[0].Reason, "the agent ended 5 times"), r.Refused)
	f.Code = c.Code(echo + "#3")
	o.DieAt = ""
	p.kill()
	startProcess(t, o)
	c.Push(c.Document(f))
	c.AwaitGood(3)
}
