// Package none starts processes without any isolation, for platforms that have no namespaces and for debugging. A server
// that uses it shows a banner; only --sandbox=none brings it. It must not know functions or languages.
package none

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Driver is the level without protection. Make one with New.
type Driver struct {
	mu        sync.Mutex
	instances map[*instance]struct{}
	closed    bool
}

// New makes a Driver.
func New() *Driver { return &Driver{instances: map[*instance]struct{}{}} }

// Capabilities implements sandbox.Driver.
func (d *Driver) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{
		Driver: "none", Level: "NONE: functions run as this server's user and see all it sees",
		Lacks: []string{"every protection: start hanshu without --sandbox=none"},
	}
}

// Start implements sandbox.Driver. Paths of spec that lie in a mount are replaced by the mount's source.
func (d *Driver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if spec.Root != "" {
		return nil, fmt.Errorf("start %s: another root: %w without a sandbox", spec.Name, errors.ErrUnsupported)
	}
	channels, err := sandbox.NewChannels()
	if err != nil {
		return nil, err
	}
	in := &instance{driver: d, channels: channels, mounts: spec.Mounts, done: make(chan struct{})}
	args := make([]string, len(spec.Command))
	for i, a := range spec.Command {
		args[i] = in.Path(a)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		channels.Close()
		return nil, errors.New("the sandbox driver is closed")
	}
	in.process, err = os.StartProcess(args[0], args, &os.ProcAttr{
		Dir: in.Path(spec.Dir), Env: spec.Env,
		Files: []*os.File{nil, channels.InnerOutput, channels.InnerOutput, channels.InnerControl},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	channels.CloseInner()
	if err != nil {
		channels.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	d.instances[in] = struct{}{}
	go in.wait()
	return in, nil
}

// Close implements sandbox.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	var running []*instance
	for in := range d.instances {
		running = append(running, in)
	}
	d.mu.Unlock()
	for _, in := range running {
		in.Kill()
		<-in.done
	}
	return nil
}

type instance struct {
	driver   *Driver
	channels *sandbox.Channels
	mounts   []sandbox.Mount
	process  *os.Process
	done     chan struct{}
	exit     sandbox.Exit

	mu     sync.Mutex
	reaped bool // the number of the process may be another's by now
}

func (in *instance) Control() net.Conn { return in.channels.Control }
func (in *instance) Output() *os.File  { return in.channels.Output }
func (in *instance) SetCPU(int) error  { return nil }

// Attach implements sandbox.Instance: there is no view to show a folder in.
func (in *instance) Attach([]sandbox.Mount, int64, int64) error { return errors.ErrUnsupported }

// SetPatient implements sandbox.Instance; this level cannot.
func (in *instance) SetPatient(bool) error { return nil }

// SetShare implements sandbox.Instance; this level cannot.
func (in *instance) SetShare(int) error { return nil }

// Network implements sandbox.Instance.
func (in *instance) Network() (*os.File, error) { return nil, errors.ErrUnsupported }

// Freeze implements sandbox.Instance: a signal would stop one process group, and any process in it could undo it.
func (in *instance) Freeze() error { return errors.ErrUnsupported }

// Reclaim implements sandbox.Instance.
func (in *instance) Reclaim() error { return errors.ErrUnsupported }

// Thaw implements sandbox.Instance.
func (in *instance) Thaw() error { return errors.ErrUnsupported }

func (in *instance) MemoryPeak() int64     { return 0 }
func (in *instance) Done() <-chan struct{} { return in.done }
func (in *instance) Exit() sandbox.Exit    { return in.exit }

func (in *instance) Path(inside string) string {
	for _, m := range in.mounts {
		if rest, ok := strings.CutPrefix(inside, m.Target); ok && (rest == "" || rest[0] == '/') {
			return m.Source + rest
		}
	}
	return inside
}

// Kill ends the process group; what has left it lives on, which is why this level isolates nothing.
func (in *instance) Kill() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.reaped {
		_ = syscall.Kill(-in.process.Pid, syscall.SIGKILL)
	}
}

func (in *instance) wait() {
	state, err := in.process.Wait()
	if err != nil {
		in.exit = sandbox.Exit{Code: -1, Signal: err.Error()}
	} else {
		in.exit = sandbox.ExitOf(state)
	}
	in.mu.Lock()
	_ = syscall.Kill(-in.process.Pid, syscall.SIGKILL) // children of the group, which keep its number its own
	in.reaped = true
	in.mu.Unlock()
	in.driver.mu.Lock()
	delete(in.driver.instances, in)
	in.driver.mu.Unlock()
	close(in.done)
}
