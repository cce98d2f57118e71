//go:build linux

// Package native runs processes in namespaces of their own: user, pid, mount, ipc, uts, network and cgroup; with a
// read-only view, no privilege, a list of allowed system calls and, where the host lets it, limits by cgroup.
//
// The kernel is shared: this level is for code that trusts its neighbours' kernel. It works as root and as an ordinary
// user; New finds out what this host gives. It must not know functions or languages.
package native

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initspec"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/tundev"
)

// Config says how to run a Driver.
type Config struct {
	Init []byte // the init program, from package initbin
	// Private is a folder that no sandbox may see as a whole, "" for none: parts of it can be mounted, nothing above them.
	Private string
	Token   string // names this server's groups on the host: the same for each start on the same data, unlike any other's
	// Record is a file that remembers where this server's groups are, so that the next start finds what a kill left even
	// when it is itself started from another group; "" for none.
	Record string
}

// firstUID is where the users of sandboxes begin when the server may choose them: above the ranges that systemd and
// /etc/subuid hand out.
const firstUID = 1_900_000_000

// Driver is the native level. Make one with New.
type Driver struct {
	view       view
	private    string
	filter     []byte
	init       *os.File
	groups     *groups
	privileged bool     // may map any user and clone mount trees
	missing    []string // protections that this host does not give, for people
	landlock   *initspec.Landlock
	without    []string // guards left out, by tests only
	freezes    bool
	reclaims   bool // can page out what is frozen
	networks   bool

	starts   chan startRequest
	starting sync.WaitGroup  // starts under way
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	down     chan struct{} // closed when the launcher has ended
	attaches chan attachRequest
	detached chan struct{}  // closed when the attacher has ended; nil when there is none
	watch    *memoryWatch   // nil where groups limit memory
	lastCap  int            // the highest capability of this kernel
	answers  sync.WaitGroup // readers of what templates answer

	openProcess func(pid int) (pidfd int, err error) // pidfd_open; another in tests

	mu        sync.Mutex
	instances map[*instance]struct{}
	slots     map[int]bool
	serial    int
	closed    bool
}

// New probes the host by starting a real sandbox, first as a privileged server, then as an ordinary user. It fails with
// the reasons when neither works.
func New(ctx context.Context, cfg Config) (*Driver, error) {
	if len(cfg.Init) == 0 {
		return nil, errors.New("this hanshu was built without its sandbox init; build it with `make build`")
	}
	view := hostView()
	private := realPath(cfg.Private)
	for _, b := range view.binds {
		if shows(b.Source, private) {
			return nil, fmt.Errorf("%s lies below %s, which every function sees: choose another place for it", cfg.Private, b.Source)
		}
	}
	program, err := initFile(cfg.Init)
	if err != nil {
		return nil, err
	}
	name := "hanshu-" + cfg.Token
	removeRecorded(cfg.Record, name)
	groups := findGroups(name)
	if err := groups.record(cfg.Record); err != nil {
		groups.close()
		return nil, errors.Join(err, program.Close())
	}
	var refused []string
	if !groups.has("memory") {
		refused = hiding
	}
	filter, err := filterProgram(refused, nil)
	if err != nil {
		groups.close()
		return nil, errors.Join(err, program.Close())
	}
	d := &Driver{
		view: view, private: private, filter: filter, init: program, groups: groups,
		starts: make(chan startRequest), down: make(chan struct{}), openProcess: func(pid int) (int, error) { return unix.PidfdOpen(pid, 0) },
		instances: map[*instance]struct{}{}, slots: map[int]bool{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.lastCap = lastCapability()
	d.landlock = landlock(landlockVersion())
	if !d.groups.has("memory") {
		d.watch = newMemoryWatch()
	}
	go d.launcher()
	var reasons []error
	for _, privileged := range []bool{true, false} {
		if privileged && os.Geteuid() != 0 {
			continue
		}
		d.privileged = privileged
		err := d.probe(ctx)
		if err == nil {
			d.freezes = d.canFreeze()
			d.reclaims = d.canReclaim()
			if privileged {
				d.startAttacher()
			}
			d.networks = d.canNetwork(ctx)
			d.missing = d.findMissing()
			return d, nil
		}
		reasons = append(reasons, err)
	}
	_ = d.Close()
	return nil, fmt.Errorf("no sandbox can be started on this host: %w", errors.Join(reasons...))
}

// initFile keeps the init in memory.
func initFile(program []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("hanshu-init", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before kernel 6.3 there was no MFD_EXEC
		fd, err = unix.MemfdCreate("hanshu-init", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("hold the init: %w", err)
	}
	writing := os.NewFile(uintptr(fd), "hanshu-init")
	defer writing.Close()
	if _, err := writing.Write(program); err != nil {
		return nil, fmt.Errorf("hold the init: %w", err)
	}
	// Opened again for reading: a file open for writing cannot be executed.
	reading, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, fmt.Errorf("hold the init: %w", err)
	}
	return reading, nil
}

// probe starts the smallest program there is and waits for its end.
func (d *Driver) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	in, err := d.Start(ctx, sandbox.Spec{
		Name: "probe", Command: []string{"/usr/bin/env", "true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		MemoryBytes: 64 << 20, Processes: 16, Files: 64, TmpBytes: 1 << 20,
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
		return fmt.Errorf("probe ended with code %d %s: %s", e.Code, e.Signal, strings.TrimSpace(string(said)))
	}
	return nil
}

// canFreeze tries it on a group without processes: kernels before 5.2 have no such thing.
func (d *Driver) canFreeze() bool {
	if d.groups.freezer() == "" {
		return false
	}
	dir := filepath.Join(d.groups.freezer(), "probe")
	if os.Mkdir(dir, 0o755) != nil {
		return false
	}
	defer os.Remove(dir)
	return writeFile(filepath.Join(dir, "cgroup.freeze"), "1") == nil
}

func (d *Driver) findMissing() []string {
	var lacks []string
	if d.landlock == nil {
		lacks = append(lacks, "Landlock, a second check of each path: run a kernel of 5.19 or newer with landlock among its security modules (lsm=)")
	}
	if !d.freezes {
		lacks = append(lacks, "freezing of idle instances (they keep what they left running): mount a cgroup v2 tree that hanshu may write to")
	}
	if !d.networks {
		lacks = append(lacks, "a way out to the network for functions (egress): let the user that runs hanshu open "+tundev.Path+" (modprobe tun; in a container hand it in with --device "+tundev.Path+")")
	}
	if !d.privileged {
		lacks = append(lacks,
			"a user of its own for each sandbox (all run as this server's user, apart by namespace): run hanshu as root",
			"booted workers that wait for a function, and copies of them (every cold start is a whole one): run hanshu as root")
	}
	for _, c := range controllers {
		if d.groups.has(c) {
			continue
		}
		fallback := map[string]string{
			"memory": "memory limit by cgroup (a watch ends sandboxes that pass it, some tens of milliseconds late, and does not count files in /tmp; memfd and System V memory are refused)",
			"cpu":    "processor limit by cgroup (none is set)",
			"pids":   "process limit by cgroup (a limit by user namespace is set instead)",
		}[c]
		lacks = append(lacks, fallback+": run hanshu as root, or under systemd with Delegate=yes")
	}
	return lacks
}

// Capabilities implements sandbox.Driver.
func (d *Driver) Capabilities() sandbox.Capabilities {
	who := "one user for all sandboxes"
	if d.privileged {
		who = "own user per sandbox"
	}
	paths := ""
	if d.landlock != nil {
		paths = "landlock, "
	}
	return sandbox.Capabilities{
		Driver: "native", Isolated: true, Attach: d.detached != nil, Freeze: d.freezes, Reclaim: d.reclaims, Network: d.networks, Root: true, Lacks: d.missing,
		Level: "namespaces, read-only view, no privileges, seccomp allow-list, " + paths + who + ", " + d.groups.level(),
	}
}

// Close implements sandbox.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.starting.Wait()
	d.mu.Lock()
	var running []*instance
	for in := range d.instances {
		running = append(running, in)
	}
	d.mu.Unlock()
	for _, in := range running {
		in.Kill()
	}
	for _, in := range running {
		<-in.Done()
	}
	close(d.starts)
	<-d.down
	d.answers.Wait()
	if d.detached != nil {
		close(d.attaches)
		<-d.detached
	}
	if d.watch != nil {
		d.watch.stop()
	}
	d.groups.close()
	return d.init.Close()
}

// Start implements sandbox.Driver.
func (d *Driver) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	for _, m := range spec.Mounts {
		if shows(realPath(m.Source), d.private) {
			return nil, fmt.Errorf("start sandbox %s: %s is above what no sandbox may see", spec.Name, m.Source)
		}
	}
	if spec.Root != "" && shows(realPath(spec.Root), d.private) {
		return nil, fmt.Errorf("start sandbox %s: %s is above what no sandbox may see", spec.Name, spec.Root)
	}
	in, err := d.begin(ctx, spec, false, d.launch)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// launcherOf has a process made for an instance, and gives the pipe that ends when it has become what spec says.
type launcherOf func(in *instance, spec sandbox.Spec) (status *os.File, err error)

// begin makes an instance, its process by launch.
func (d *Driver) begin(ctx context.Context, spec sandbox.Spec, template bool, launch launcherOf) (*instance, error) {
	in, err := d.register(spec)
	if err != nil {
		return nil, err
	}
	defer d.starting.Done()
	in.template = template
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if err := d.start(ctx, in, spec, launch); err != nil {
		d.forget(in)
		return nil, fmt.Errorf("start sandbox %s: %w", spec.Name, err)
	}
	return in, nil
}

func (d *Driver) register(spec sandbox.Spec) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.New("the sandbox driver is closed")
	}
	d.starting.Add(1)
	slot := 0
	for d.slots[slot] {
		slot++
	}
	d.slots[slot] = true
	d.serial++
	in := &instance{driver: d, slot: slot, name: fmt.Sprintf("%d", d.serial), done: make(chan struct{}), memory: spec.MemoryBytes, tmpBytes: spec.TmpBytes}
	in.uid, in.gid = cmp.Or(spec.UID, innerID), cmp.Or(spec.GID, innerID)
	d.instances[in] = struct{}{}
	return in, nil
}

// forget gives back what register took.
func (d *Driver) forget(in *instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.instances[in]; !known {
		return // a start that failed late: its slot may be another's by now
	}
	delete(d.instances, in)
	delete(d.slots, in.slot)
}

func (d *Driver) start(ctx context.Context, in *instance, spec sandbox.Spec, launch launcherOf) error {
	group, err := d.groups.create(in.name)
	if err != nil {
		return err
	}
	in.group = group
	channels, err := sandbox.NewChannels()
	if err != nil {
		in.group.remove()
		return err
	}
	in.channels = channels
	status, err := launch(in, spec)
	channels.CloseInner()
	if err != nil {
		channels.Close()
		in.group.remove()
		return err
	}
	if d.watch != nil && !in.template {
		d.watch.add(in) // before wait, which takes it off again
	}
	go in.wait()
	err = awaitExec(ctx, status, in.steps)
	if err == nil && spec.Network && !d.privileged {
		err = in.takeDevice()
	}
	if err != nil {
		in.Kill()
		<-in.done
		channels.Close()
		return err
	}
	return nil
}

// limit makes what is left of an instance's group, with its limits.
func (in *instance) limit(spec sandbox.Spec) error {
	memory, processes := spec.MemoryBytes, spec.Processes
	if in.driver.lacks(initspec.MemoryLimit) {
		memory = 0
	}
	if in.driver.lacks(initspec.ProcessLimit) {
		processes = 0
	}
	err := in.group.limit(memory, processes)
	if err == nil && spec.Patient {
		err = in.group.setPatient()
	}
	return err
}

// awaitExec waits until the init has become the command, which closes the status pipe, or says why it could not.
func awaitExec(ctx context.Context, status *os.File, steps []string) error {
	defer status.Close()
	stop := context.AfterFunc(ctx, func() { _ = status.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(status, 4096))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case len(said) == 8 && steps != nil: // a copy tells the number of the step and of the error
		name, step := "hear what to become", int(binary.NativeEndian.Uint32(said))
		if step < len(steps) {
			name = steps[step]
		}
		return fmt.Errorf("%s: %w", name, unix.Errno(binary.NativeEndian.Uint32(said[4:])))
	case len(said) > 0:
		return errors.New(string(said))
	}
	return nil
}

// launch assembles the specification and the descriptors and has the launcher start the init. It gives the status pipe.
func (d *Driver) launch(in *instance, spec sandbox.Spec) (*os.File, error) {
	if err := in.limit(spec); err != nil {
		return nil, err
	}
	ispec, err := d.view.initSpec(spec, d.tmpfsData(spec.TmpBytes), d.filter)
	if err != nil {
		return nil, err
	}
	ispec.Without = d.without
	if in.template {
		ispec.Keep = templateCaps // and no limits: what it gave up its copies could not have
	} else {
		ispec.Rlimits = d.rlimits(spec)
		ispec.Landlock = d.landlock
		if spec.Network && !d.privileged {
			ispec.Network = sandbox.NetworkAddresses()
		}
	}
	ours, status, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	files := []*os.File{nil, in.channels.InnerOutput, in.channels.InnerOutput, in.channels.InnerControl, status}
	closeAll := func() {
		for _, f := range files[initspec.FDStatus:] {
			f.Close()
		}
	}
	join, err := in.group.joinFiles()
	for _, f := range join {
		ispec.JoinFDs = append(ispec.JoinFDs, len(files))
		files = append(files, f)
	}
	if err == nil && d.privileged {
		files, err = cloneTrees(&ispec, files, d.mountAttributes())
	}
	var argument []byte
	if err == nil {
		argument, err = json.Marshal(ispec)
	}
	if err == nil {
		in.process, err = d.fork(in, files, string(argument))
	}
	closeAll()
	if err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// cloneTrees opens the folders that a sandbox's own user could not reach (below the data directory, below /root) as
// detached read-only trees, which the init only has to put in place.
func cloneTrees(s *initspec.Spec, files []*os.File, attributes uint64) ([]*os.File, error) {
	for i, b := range s.Binds {
		if b.Source == b.Target && underSystem(b.Source) {
			continue
		}
		fd, err := cloneTree(b.Source, attributes)
		if err != nil {
			return files, err
		}
		s.Binds[i].FD = len(files)
		files = append(files, os.NewFile(uintptr(fd), b.Source))
	}
	return files, nil
}

// cloneTree gives a folder as a detached tree with mount attributes.
func cloneTree(source string, attributes uint64) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("show %s: %w", source, err)
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set:    attributes,
		Propagation: unix.MS_PRIVATE,
	})
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("show %s: %w", source, err)
	}
	return fd, nil
}

func underSystem(path string) bool {
	for _, dir := range append([]string{"/etc"}, sandbox.SystemFolders()...) {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

func (d *Driver) rlimits(spec sandbox.Spec) []initspec.Rlimit {
	var limits []initspec.Rlimit
	add := func(guard string, resource int, value uint64) {
		if !d.lacks(guard) {
			limits = append(limits, initspec.Rlimit{Resource: resource, Value: value})
		}
	}
	add(initspec.CoreLimit, unix.RLIMIT_CORE, 0)
	add(initspec.FileLimit, unix.RLIMIT_NOFILE, uint64(spec.Files))
	add(initspec.QueueLimit, unix.RLIMIT_MSGQUEUE, 819200)
	if !d.groups.has("pids") {
		add(initspec.ProcessLimit, unix.RLIMIT_NPROC, uint64(spec.Processes))
	}
	return limits
}
