package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
	"github.com/hanshu-faas/hanshu/test/need"
)

// binary gives the agent's program, of this machine's processor or of another.
func binary(t testing.TB, arch string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "hanshu-edge-"+arch))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		need.Skip(t, "no agent to test: "+err.Error()+"; run `make build`")
	}
	return path
}

// program is a running agent.
type program struct {
	dir    string
	cmd    *exec.Cmd
	output *triggertest.Output
	ended  chan struct{}
}

// launch runs an agent until the test ends.
func launch(t *testing.T, binary string, e wire.Enrollment, dir string, args ...string) *program {
	t.Helper()
	if dir == "" {
		var err error
		dir, err = os.MkdirTemp("", "edge") // short, for the socket in it
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	}
	file := filepath.Join(t.TempDir(), "enrollment.json")
	text, err := json.Marshal(e)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	out, err := exec.Command(binary, "enroll", "--file", file, "--data-dir", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	return relaunch(t, binary, dir, args...)
}

// relaunch runs an agent on a folder that has been enrolled.
func relaunch(t *testing.T, binary, dir string, args ...string) *program {
	t.Helper()
	p := &program{dir: dir, output: &triggertest.Output{}, ended: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"run", "--data-dir", dir, "--bus", "127.0.0.1:0"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended shows in its output
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("the agent printed:\n%s", p.output)
		}
	})
	return p
}

func (p *program) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it is gone already
	select {
	case <-p.ended:
	case <-time.After(agenttest.Patience):
		t.Error("the agent does not stop")
		p.kill()
	}
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.ended
}

// status asks the agent until it is as fits wants it.
func (p *program) status(t *testing.T, what string, fits func(s *agent.Status) bool) *agent.Status {
	t.Helper()
	var last *agent.Status
	require.Eventually(t, func() bool {
		answer, err := agent.Ask{Do: "status"}.Send(p.dir)
		last = answer.Status
		return err == nil && fits(answer.Status)
	}, agenttest.Patience, 50*time.Millisecond, what)
	return last
}

// resident is the memory of the agent's process by itself, in bytes, as the kernel tells it.
func (p *program) resident(t *testing.T) (all, own int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	read := func(name string) int64 {
		_, rest, ok := strings.Cut(string(text), name)
		require.True(t, ok, name)
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		require.NoError(t, err)
		return n << 10
	}
	return read("VmRSS:"), read("RssAnon:")
}

const mib = 1 << 20

const passing = `
def handler(event, context):
    context['sdk'].publish('/cloud/x', event['payload'])
`

// The budgets of a gateway: the programs' size, and the agent's memory idle and at 100 messages a second.
func TestBudgets(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		info, err := os.Stat(binary(t, arch))
		require.NoError(t, err)
		t.Logf("hanshu-edge for %s: %.2f MB", arch, float64(info.Size())/1e6)
		require.LessOrEqual(t, info.Size(), int64(20_000_000))
	}
	c := agenttest.Start(t)
	p := launch(t, binary(t, runtime.GOARCH), c.Enrollment(), "")
	doc := c.Document(c.Function("f", passing))
	doc.Routes = []wire.Route{
		{ID: 1, From: wire.PlaceCloud, Filter: "#", To: wire.PlaceFunction, Function: "f"},
		{ID: 2, From: wire.PlaceFunction, Filter: "#", To: wire.PlaceCloud, Cache: &wire.Cache{}},
	}
	c.Push(doc)
	c.AwaitGood(1)
	p.status(t, "memory given back after the start", func(*agent.Status) bool {
		all, _ := p.resident(t)
		return all <= 20*mib
	})
	all, own := p.resident(t)
	t.Logf("idle, with one function: %.1f MiB resident, %.1f of them its own", float64(all)/mib, float64(own)/mib)

	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	const n = 500
	most := int64(0)
	for i := range n {
		<-tick.C
		c.Publish("/p1/g1/in", []byte(strings.Repeat("x", 256)))
		if i%50 == 49 {
			all, _ := p.resident(t)
			most = max(most, all)
		}
	}
	c.AwaitUps(n * 9 / 10) // the first ones may have come before the subscription
	t.Logf("at 100 messages/s: %.1f MiB", float64(most)/mib)
	require.LessOrEqual(t, most, int64(30*mib))
}

// The command line says what it is told, and refuses what makes no sense.
func TestCommands(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	program := binary(t, runtime.GOARCH)
	for _, args := range [][]string{{"dance"}, {"apply"}, {"enroll"}, {"run", "--colour"}} {
		out, err := exec.Command(program, args...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 2, exit.ExitCode(), "%v: %s", args, out)
	}
	out, err := exec.Command(program, "run", "--data-dir", t.TempDir()).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "hanshu gateway enroll")
	out, err = exec.Command(program, "unit", "--data-dir", "/data").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "ExecStart="+program+" run --data-dir /data\n")

	p := launch(t, program, c.Enrollment(), "")
	p.status(t, "online", func(s *agent.Status) bool { return s.Online })
	out, err = exec.Command(program, "status", "--data-dir", p.dir).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "gateway    g1 of product p1")
	out, err = exec.Command(program, "run", "--data-dir", p.dir).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "another hanshu-edge runs on")
	p.stop(t)
	out, err = exec.Command(program, "run", "--once", "--data-dir", p.dir).Output()
	require.NoError(t, err)
	require.True(t, bytes.Contains(out, []byte("offline")), string(out))
}

// release keeps a script as a version of the agent, and gives the release of a document.
func release(c *agenttest.Cloud, version, run string) *wire.Release {
	script := "#!/bin/sh\nif [ \"$1\" = version ]; then echo " + version + "; exit; fi\n" + run + "\n"
	return &wire.Release{Version: version, Digests: map[string]string{runtime.GOARCH: c.Package([]byte(script)).Digest}}
}

// A new version of the agent takes over when the cloud says so, and stays once it has reached the cloud; one that does not come up
// gives way to the one before; functions run on with each.
func TestReplacesItself(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	program := binary(t, runtime.GOARCH)
	f := c.Function("f", passing)
	p := launch(t, program, c.Enrollment(), "")
	mark := filepath.Join(t.TempDir(), "ran")
	doc := c.Document(f)
	doc.Agent = release(c, "v2", "echo 2 >> "+mark+"; exec "+program+" \"$@\"")
	c.Push(doc)
	c.Await("the session of the new version", func() bool { return c.Sessions() >= 2 })
	c.AwaitGood(1)
	ran, err := os.ReadFile(mark)
	require.NoError(t, err)
	require.Equal(t, "2\n", string(ran))

	doc = c.Document(f)
	doc.Agent = release(c, "v3", "echo 3 >> "+mark+"; exit 1")
	c.Push(doc)
	for range 2 { // systemd would start it again
		select {
		case <-p.ended:
		case <-time.After(agenttest.Patience):
			t.Fatal("the version that does not come up was not tried")
		}
		p = relaunch(t, program, p.dir)
	}
	c.Await("the session of the version before", func() bool { return c.Sessions() >= 3 })
	r := c.AwaitGood(2)
	require.Equal(t, wire.FunctionRunning, r.Functions[0].State)
	ran, err = os.ReadFile(mark)
	require.NoError(t, err)
	require.Equal(t, "2\n3\n3\n2\n", string(ran))
}
