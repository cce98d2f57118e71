//go:build linux

// Package oci runs processes by an OCI runtime that stands on the host: gVisor's runsc, runc, crun or Kata.
//
// It is the level for strangers, where the runtime brings a kernel or a machine of its own; with runc and crun it isolates as
// much as the native level, and is slower. It writes bundles and calls the runtime. It must not know functions or languages.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Config says how to run a Driver.
type Config struct {
	Runtime string // absolute path of the runtime
	// Dir holds bundles and the runtime's state: every user of the host must be able to walk to it, since the root of a
	// sandbox is an unprivileged user. It is made, and removed by Close.
	Dir     string
	Private string // as in the native level: nothing above it can be mounted
	Token   string // names this server's groups
}

// Each sandbox has two users of the host: the root that the runtime sets it up as, and its own.
const (
	firstUID = 1_950_000_000
	innerID  = 1003
	maxSlots = 1 << 15
)

// Driver is a level of isolation by an OCI runtime. Make one with New.
type Driver struct {
	cfg  Config
	keep bool // the runtime can leave a container's groups until they have been looked at
	pass bool // the runtime is told of each descriptor, not of their number

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu        sync.Mutex
	instances map[*instance]struct{}
	slots     map[int]bool
	closed    bool
}

// New ends what an earlier server of the same Dir left and starts a probe. It fails where the runtime cannot be used, with
// what it said.
func New(ctx context.Context, cfg Config) (*Driver, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("an OCI runtime gives each sandbox users and limits of its own, which takes root: run hanshu as root")
	}
	help, err := exec.CommandContext(ctx, cfg.Runtime, "run", "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI runtime: %w", cfg.Runtime, err)
	}
	d := &Driver{cfg: cfg, instances: map[*instance]struct{}{}, slots: map[int]bool{}}
	d.keep = strings.Contains(string(help), "--keep")
	d.pass = strings.Contains(string(help), "-pass-fd") && !strings.Contains(string(help), "-preserve-fds")
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.removeLeft()
	if err := os.MkdirAll(d.stateDir(), 0o711); err != nil {
		return nil, err
	}
	if err := d.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot start a sandbox on this host: %w", cfg.Runtime, err), d.Close())
	}
	return d, nil
}

func (d *Driver) stateDir() string { return filepath.Join(d.cfg.Dir, "state") }

// patience is how long the runtime may take to kill, change or remove a container.
const patience = 30 * time.Second

// ask has the runtime do something to a container that there is.
func (d *Driver) ask(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	said, err := d.command(ctx, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %.2000s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

// stopped tells whether all that ran in a container has ended, as the runtime sees it.
func (d *Driver) stopped(name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := d.command(ctx, "state", name).Output()
	var state specs.State
	return err == nil && json.Unmarshal(text, &state) == nil && state.Status == specs.StateStopped
}

// command is a call of the runtime.
func (d *Driver) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, d.cfg.Runtime, append([]string{"--root", d.stateDir()}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return c
}

// removeLeft ends what the bundles of an earlier server still run. A killed server's sandboxes live until then.
func (d *Driver) removeLeft() {
	left, _ := os.ReadDir(d.cfg.Dir)
	for _, entry := range left {
		if entry.Name() != "state" {
			_ = d.ask("delete", "--force", entry.Name()) // it may be gone
		}
	}
	_ = os.RemoveAll(d.cfg.Dir)
	d.removeGroups()
}

// groupName names the group that holds those of all containers of this server, in each tree.
func (d *Driver) groupName() string { return "hanshu-oci-" + d.cfg.Token }

// removeGroups removes the groups of containers that have ended. A runtime leaves the one above them, and all of those that it was
// ended in the middle of making.
func (d *Driver) removeGroups() {
	const root = "/sys/fs/cgroup"
	trees, _ := os.ReadDir(root) // of v1; where there is none the group lies in the root
	for _, tree := range append([]string{""}, names(trees)...) {
		above := filepath.Join(root, tree, d.groupName())
		inner, err := os.ReadDir(above)
		if err != nil {
			continue // there is none
		}
		for _, name := range names(inner) {
			removeGroup(filepath.Join(above, name))
		}
		removeGroup(above)
	}
}

func names(entries []os.DirEntry) []string {
	var all []string
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, e.Name())
		}
	}
	return all
}

// removeGroup ends what is left in a group and removes it. The kernel refuses for as long as one that has ended is not let go of.
func removeGroup(dir string) {
	for range 100 {
		if err := os.Remove(dir); err == nil || !errors.Is(err, unix.EBUSY) {
			return
		}
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *Driver) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	in, err := d.Start(ctx, sandbox.Spec{
		Name: "probe", Command: []string{"/usr/bin/env", "true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		MemoryBytes: 128 << 20, Processes: 64, Files: 64, TmpBytes: 1 << 20,
	})
	if err != nil {
		return err
	}
	defer in.Control().Close()
	defer in.Output().Close()
	select {
	case <-in.Done():
	case <-ctx.Done():
		in.Kill()
		<-in.Done()
	}
	if e := in.Exit(); e.Code != 0 {
		said, _ := io.ReadAll(io.LimitReader(in.Output(), 4096))
		return fmt.Errorf("the probe ended with code %d %s: %s", e.Code, e.Signal, strings.TrimSpace(string(said)))
	}
	return nil
}

// Capabilities implements sandbox.Driver.
func (d *Driver) Capabilities() sandbox.Capabilities {
	c := sandbox.Capabilities{
		Driver: "oci", Isolated: true,
		Level: "OCI runtime " + d.cfg.Runtime + ", namespaces, read-only view, no privileges, seccomp allow-list, own user per sandbox",
		Lacks: []string{
			"booted workers, copies of them, and freezing (every cold start is a whole one): use --sandbox=native",
			"functions of custom images: use --sandbox=native",
			"the end of sandboxes with the server's own sudden death (they end at its next start): stop hanshu, do not kill it",
		},
	}
	if !d.keep {
		c.Lacks = append(c.Lacks, "telling an end for memory from another kill: use a runtime whose `run` has --keep")
	}
	return c
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
	d.cancel()
	for _, in := range running {
		in.Kill()
	}
	for _, in := range running {
		<-in.done
	}
	d.removeGroups()
	return os.RemoveAll(d.cfg.Dir)
}

// Start implements sandbox.Driver.
func (d *Driver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if spec.Root != "" || spec.UID != 0 && spec.UID != innerID || spec.GID != 0 && spec.GID != innerID {
		return nil, fmt.Errorf("start sandbox %s: a root or a user of its own: %w", spec.Name, errors.ErrUnsupported)
	}
	for _, m := range spec.Mounts {
		if real, err := filepath.EvalSymlinks(m.Source); err != nil || d.cfg.Private != "" && holds(real, d.cfg.Private) {
			return nil, fmt.Errorf("start sandbox %s: %s cannot be shown", spec.Name, m.Source)
		}
	}
	in, err := d.register()
	if err != nil {
		return nil, err
	}
	if err := d.start(ctx, in, spec); err != nil {
		return nil, fmt.Errorf("start sandbox %s: %w", spec.Name, err)
	}
	return in, nil
}

// holds tells whether a folder is a path, or above it.
func holds(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

func (d *Driver) register() (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.New("the sandbox driver is closed")
	}
	slot := 0
	for d.slots[slot] {
		slot++
	}
	if slot >= maxSlots {
		return nil, fmt.Errorf("more than %d sandboxes", maxSlots)
	}
	d.slots[slot] = true
	in := &instance{driver: d, slot: slot, name: fmt.Sprintf("%s-%d", d.cfg.Token, slot), done: make(chan struct{})}
	in.bundle = filepath.Join(d.cfg.Dir, in.name)
	d.instances[in] = struct{}{}
	return in, nil
}

func (d *Driver) forget(in *instance) {
	_ = os.RemoveAll(in.bundle)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.instances, in)
	delete(d.slots, in.slot)
}

// started is what the first program inside writes to fdStarted before it becomes the command; see start.
const started = "started"

// become takes the output pipe for its own, checks the command, tells that it is about to run, and becomes it. A runtime's own
// failures are told apart by that. The pipe is a descriptor of its own because a runtime copies what comes by 1 and 2,
// and lines would then be late behind answers.
const become = `exec >&5 2>&5 5>&-; [ -x "$1" ] || { echo "start $1: no such program" >&4; exit 127; }; printf ` + started + ` >&4; exec 4>&-; exec "$@"`

func (d *Driver) start(ctx context.Context, in *instance, spec sandbox.Spec) error {
	channels, err := sandbox.NewChannels()
	if err != nil {
		d.end(in)
		return err
	}
	in.channels = channels
	ours, theirs, err := os.Pipe()
	if err == nil {
		err = d.run(in, spec, theirs)
		theirs.Close()
	}
	channels.CloseInner()
	if err != nil {
		channels.Close()
		d.end(in)
		return err
	}
	go in.wait()
	defer ours.Close()
	defer context.AfterFunc(d.ctx, in.Kill)()
	stop := context.AfterFunc(ctx, in.Kill)
	// Not to its end: the runtime itself holds the other end for as long as the container lives.
	said := make([]byte, len(started))
	n, _ := io.ReadFull(ours, said)
	said = said[:n]
	if stop() && d.ctx.Err() == nil && string(said) == started {
		return nil
	}
	in.Kill()
	<-in.done
	rest, _ := io.ReadAll(io.LimitReader(ours, 4096))
	said = append(said, rest...)
	channels.Close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case d.ctx.Err() != nil:
		return errors.New("the sandbox driver is closed")
	case len(said) > 0:
		return errors.New(strings.TrimSpace(string(said)))
	}
	return fmt.Errorf("the runtime ended with code %d: %.2000s", in.exit.Code, strings.TrimSpace(in.said.String()))
}

// end is for an instance that never ran.
func (d *Driver) end(in *instance) {
	d.forget(in)
	close(in.done)
}

// run writes the bundle and has the runtime start it.
func (d *Driver) run(in *instance, spec sandbox.Spec, status *os.File) error {
	text, err := json.Marshal(d.bundle(in, spec))
	if err != nil {
		return err
	}
	if err := in.writeBundle(text, spec); err != nil {
		return err
	}
	if err := in.channels.InnerOutput.Chown(in.user(), in.user()); err != nil {
		return err
	}
	args := []string{"run", "--bundle", in.bundle}
	if d.pass {
		args = append(args, "--pass-fd", "3:3", "--pass-fd", "4:4", "--pass-fd", "5:5")
	} else {
		args = append(args, "--preserve-fds", "3")
	}
	if d.keep {
		args = append(args, "--keep")
	}
	in.mu.Lock() // Close may want to kill it meanwhile
	defer in.mu.Unlock()
	in.process = d.command(context.Background(), append(args, in.name)...)
	in.process.Stdout, in.process.Stderr = &in.said, &in.said
	in.process.ExtraFiles = []*os.File{in.channels.InnerControl, status, in.channels.InnerOutput}
	if err := in.process.Start(); err != nil {
		in.process = nil
		return err
	}
	return nil
}
