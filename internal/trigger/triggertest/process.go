package triggertest

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
)

// Process is a broker's process with all that it starts.
type Process struct {
	cmd    *exec.Cmd
	Output *Output
	Ended  chan struct{}
}

// Find gives the path of a program, and skips the test where there is none.
func Find(t testing.TB, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	need.Skip(t, names[0]+" is missing; install the package "+pkg)
	return ""
}

// Run starts a program in a process group of its own, which ends with the test.
func Run(t testing.TB, env []string, name string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(name, args...), Output: &Output{}, Ended: make(chan struct{})}
	p.cmd.Env = append(p.cmd.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.Output, p.Output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.Ended)
		_ = p.cmd.Wait() // how it ended shows in its output
	}()
	t.Cleanup(func() {
		p.Stop(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.Output)
		}
	})
	return p
}

// Stop ends the group by a signal, and waits. A group that does not listen is killed.
func (p *Process) Stop(t testing.TB, signal syscall.Signal) {
	t.Helper()
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Logf("signal: %v", err)
	}
	select {
	case <-p.Ended:
	case <-time.After(patience):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.Ended
	}
}
