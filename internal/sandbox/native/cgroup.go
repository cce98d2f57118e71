//go:build linux

package native

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// controllers are those that limit a sandbox.
var controllers = []string{"memory", "cpu", "pids"}

// groups makes one resource group for each sandbox. There are three kinds of host: cgroup v2 with controllers this process
// may use; cgroup v1; and neither, where limits fall back to those of a process (rlimits and a watch on memory).
type groups struct {
	v2    string            // folder of ours in the v2 tree; "" when v2 gives no controllers here
	v2has []string          // controllers in there
	v1    map[string]string // controller -> folder of ours in its v1 tree
	// bare is a folder of ours in a v2 tree without controllers, beside v1 ones: it freezes and kills; "" where there is none.
	bare string
}

// group is the resource group of one sandbox.
type group struct {
	parent *groups
	name   string
	dir    *os.File // the v2 folder, for CLONE_INTO_CGROUP; nil on v1

	mu   sync.Mutex
	peak *os.File // what memoryPeak reads, once it has been asked
	from int      // its descriptor; to ask for it takes a system call
}

// findGroups looks for a tree this process may write to and makes a folder named token there. What an earlier process of
// the same token left behind is ended and removed first.
func findGroups(token string) *groups {
	g := &groups{v1: map[string]string{}}
	mounts, own := cgroupMounts(), ownGroups()
	if root, ok := mounts["v2"]; ok && g.useV2(root, own[""], token) {
		return g
	}
	for _, c := range controllers {
		root, ok := mounts[c]
		if !ok {
			continue
		}
		dir := filepath.Join(root, own[c], token)
		if _, err := os.Stat(filepath.Join(root, own[c])); err != nil {
			dir = filepath.Join(root, token) // a mount that shows only our own part of the tree
		}
		removeTree(dir)
		if err := os.Mkdir(dir, 0o755); err == nil || errors.Is(err, os.ErrExist) {
			g.v1[c] = dir
		}
	}
	if root, ok := mounts["v2"]; ok {
		g.useBare(filepath.Join(root, own[""], token))
	}
	return g
}

// useBare makes our folder in a v2 tree that limits nothing.
func (g *groups) useBare(dir string) {
	removeTree(dir)
	if err := os.Mkdir(dir, 0o755); err == nil || errors.Is(err, os.ErrExist) {
		g.bare = dir
	}
}

// folders lists where the groups of sandboxes are made.
func (g *groups) folders() []string {
	var all []string
	if g.v2 != "" {
		all = append(all, g.v2)
	}
	for _, dir := range g.v1 {
		all = append(all, dir)
	}
	if g.bare != "" {
		all = append(all, g.bare)
	}
	return all
}

// record remembers the folders in a file, one to a line.
func (g *groups) record(file string) error {
	if file == "" {
		return nil
	}
	text := []byte(strings.Join(g.folders(), "\n") + "\n")
	if there, err := os.ReadFile(file); err == nil && bytes.Equal(there, text) {
		return nil // a start that changes nothing needs no room on the disk
	}
	return os.WriteFile(file, text, 0o600)
}

// removeRecorded ends and removes what the folders of an earlier server still hold. Only folders of the server's name are
// touched, whatever the file says.
func removeRecorded(file, name string) {
	data, err := os.ReadFile(file)
	if err != nil {
		return // the first start, or no file is kept
	}
	for _, dir := range strings.Split(string(data), "\n") {
		if filepath.IsAbs(dir) && filepath.Base(dir) == name {
			removeTree(dir)
		}
	}
}

// useV2 makes our folder in the v2 tree: below our own group where that is delegated to us, else at the top of the tree,
// where root may (started from a shell, its own group is full of other processes and cannot hand controllers down). It
// gives false where neither can be.
func (g *groups) useV2(root, own, token string) bool {
	places := []string{filepath.Join(root, own), root}
	if filepath.Base(own) == serverLeaf(token) { // started again from within
		places[0] = filepath.Dir(places[0])
	}
	for _, place := range places {
		if dir, has, err := prepareV2(place, token); err == nil {
			g.v2, g.v2has = dir, has
			return true
		}
	}
	return false
}

// cgroupMounts maps each v1 controller, and "v2", to where it is mounted.
func cgroupMounts() map[string]string {
	mounts := map[string]string{}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return mounts
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			mounts["v2"] = fields[4]
		case "cgroup":
			for _, c := range strings.Split(kind[2], ",") {
				mounts[c] = fields[4]
			}
		}
	}
	return mounts
}

// ownGroups maps each v1 controller, and "" for v2, to this process's own group.
func ownGroups() map[string]string {
	own := map[string]string{}
	data, _ := os.ReadFile("/proc/self/cgroup")
	for _, line := range strings.Split(string(data), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, c := range strings.Split(parts[1], ",") {
			own[c] = parts[2]
		}
	}
	return own
}

// serverLeaf names the group that the server moves into, to make room for others beside it.
func serverLeaf(token string) string { return token + "-server" }

// prepareV2 makes a folder for the sandboxes in a group and hands down to it what controllers there are. What an earlier
// server left in it is ended.
func prepareV2(place, token string) (dir string, has []string, err error) {
	have, err := os.ReadFile(filepath.Join(place, "cgroup.controllers"))
	if err != nil {
		return "", nil, err
	}
	enable := ""
	for _, c := range controllers {
		if slices.Contains(strings.Fields(string(have)), c) {
			has = append(has, c)
			enable += " +" + c
		}
	}
	if has == nil {
		return "", nil, fmt.Errorf("%s has no controllers", place)
	}
	dir = filepath.Join(place, token)
	removeTree(dir)
	if err := handDown(place, enable, token); err != nil {
		return "", nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", nil, err
	}
	return dir, has, writeFile(filepath.Join(dir, "cgroup.subtree_control"), enable)
}

// handDown enables controllers for the children of a group. The kernel refuses that (EBUSY) while the group has processes
// of its own, but for the top of the tree; then this process moves into a leaf, and back when others are there too.
func handDown(place, enable, token string) error {
	control := filepath.Join(place, "cgroup.subtree_control")
	err := writeFile(control, enable)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	leaf := filepath.Join(place, serverLeaf(token))
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := writeFile(filepath.Join(leaf, "cgroup.procs"), "0"); err != nil {
		return err
	}
	if err := writeFile(control, enable); err != nil {
		return errors.Join(err, writeFile(filepath.Join(place, "cgroup.procs"), "0"), os.Remove(leaf))
	}
	return nil
}

func (g *groups) has(controller string) bool {
	return slices.Contains(g.v2has, controller) || g.v1[controller] != ""
}

// level names what kind of limits there are, for people.
func (g *groups) level() string {
	switch {
	case g.v2 != "":
		return "cgroup v2 limits"
	case len(g.v1) > 0:
		return "cgroup v1 limits"
	default:
		return "per-process limits"
	}
}

// create makes the group of one sandbox, as far as a process is born into it: in the v2 tree, where there is one. limit makes the rest.
func (g *groups) create(name string) (*group, error) {
	gr := &group{parent: g, name: name}
	if g.freezer() == "" {
		return gr, nil
	}
	dir := filepath.Join(g.freezer(), name)
	err := makeGroup(dir)
	if err == nil {
		gr.dir, err = os.Open(dir)
	}
	if err != nil {
		gr.remove()
		return nil, fmt.Errorf("make group: %w", err)
	}
	return gr, nil
}

// limit makes the v1 groups and sets the limits; 0 is no limit.
func (gr *group) limit(memory int64, processes int) error {
	for c := range gr.parent.v1 {
		if err := makeGroup(gr.folder(c)); err != nil {
			return fmt.Errorf("make %s group: %w", c, err)
		}
	}
	err := gr.setMemory(memory)
	if gr.parent.v2 != "" && gr.parent.has("memory") {
		err = errors.Join(err, ignoreMissing(gr.write("memory", "memory.swap.max", "0")))
	}
	if gr.parent.has("pids") && processes > 0 {
		err = errors.Join(err, gr.write("pids", "pids.max", strconv.Itoa(processes)))
	}
	if err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	return nil
}

// folder is the group's own: in the v2 tree, or in that of a controller of v1.
func (gr *group) folder(controller string) string {
	tree := gr.parent.v1[controller]
	if gr.parent.v2 != "" {
		tree = gr.parent.v2
	}
	return filepath.Join(tree, gr.name)
}

// frozen is the file that freezes and thaws; "" where there is no v2 tree. The freezer of v1 is left alone: what it holds
// does not die, neither when it is killed nor with the server, before somebody thaws it.
func (gr *group) frozen() string {
	switch {
	case gr.parent.v2 != "":
		return filepath.Join(gr.folder(""), "cgroup.freeze")
	case gr.parent.bare != "":
		return filepath.Join(gr.parent.bare, gr.name, "cgroup.freeze")
	}
	return ""
}

func (gr *group) freeze(value string) error {
	file := gr.frozen()
	if file == "" {
		return errors.ErrUnsupported
	}
	return writeFile(file, value)
}

// freezer is our folder in the v2 tree, if there is one.
func (g *groups) freezer() string {
	if g.v2 != "" {
		return g.v2
	}
	return g.bare
}

// joinFiles opens the v1 files through which the init moves itself into the group.
func (gr *group) joinFiles() ([]*os.File, error) {
	var files []*os.File
	for c := range gr.parent.v1 {
		path := filepath.Join(gr.folder(c), "tasks")
		fd, err := openFile(path)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("open group: %w", err)
		}
		files = append(files, os.NewFile(uintptr(fd), path))
	}
	return files, nil
}

// letJoin lets a template put its copies into groups of ours: on v2 that takes the right to write to the group, and to the
// one above it and the template's own.
func (g *groups) letJoin(uid int) error {
	if g.freezer() == "" {
		return nil
	}
	return os.Chown(filepath.Join(g.freezer(), "cgroup.procs"), uid, -1)
}

// letJoin lets a template put its copies into this group.
func (gr *group) letJoin(uid int) error {
	if gr.parent.freezer() == "" {
		return nil
	}
	return os.Chown(filepath.Join(gr.parent.freezer(), gr.name, "cgroup.procs"), uid, -1)
}

// setMemory sets the limit of memory, in bytes. On v1 the limit with swap, where swap is counted, may never be the lower of
// the two: it goes first when the limits rise and last when they fall.
func (gr *group) setMemory(bytes int64) error {
	if !gr.parent.has("memory") || bytes == 0 {
		return nil
	}
	value := strconv.FormatInt(bytes, 10)
	if gr.parent.v2 != "" {
		return writeFile(filepath.Join(gr.folder(""), "memory.max"), value)
	}
	_ = gr.write("memory", "memory.memsw.limit_in_bytes", value)
	return errors.Join(gr.write("memory", "memory.limit_in_bytes", value),
		ignoreMissing(gr.write("memory", "memory.memsw.limit_in_bytes", value)))
}

// memoryPeak is the highest use so far, in bytes; 0 when the kernel does not tell. It is asked after each exchange of an instance that
// serves HTTP, so the file stays open.
func (gr *group) memoryPeak() int64 {
	gr.mu.Lock()
	defer gr.mu.Unlock()
	if gr.peak == nil {
		path := filepath.Join(gr.folder("memory"), "memory.max_usage_in_bytes")
		if gr.parent.v2 != "" {
			path = filepath.Join(gr.folder(""), "memory.peak")
		}
		var err error
		if gr.peak, err = os.Open(path); err != nil {
			gr.peak = nil
			return 0
		}
		gr.from = int(gr.peak.Fd())
	}
	var text [24]byte
	read, _ := unix.Pread(gr.from, text[:], 0) // ReadAt would ask again for the end of the file, which counts anew
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(text[:max(0, read)])), 10, 64)
	return n
}

// oomKilled tells whether the limit of memory has ended a process of the group.
func (gr *group) oomKilled() bool {
	path := filepath.Join(gr.folder("memory"), "memory.oom_control")
	if gr.parent.v2 != "" {
		path = filepath.Join(gr.folder(""), "memory.events")
	}
	data, _ := os.ReadFile(path)
	for _, line := range strings.Split(string(data), "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return n != "0"
		}
	}
	return false
}

// kill ends every process of a v2 group; without one the pid namespace does it alone. The processor limit is lifted first: a
// thousand processes that must share a third of a core take minutes to die.
func (gr *group) kill() {
	if gr.parent.v2 != "" {
		_ = writeFile(filepath.Join(gr.folder(""), "cpu.max"), "max")
		_ = writeFile(filepath.Join(gr.folder(""), "cgroup.kill"), "1")
		return
	}
	if gr.parent.has("cpu") {
		_ = gr.write("cpu", "cpu.cfs_quota_us", "-1")
	}
	if gr.parent.bare != "" {
		_ = writeFile(filepath.Join(gr.parent.bare, gr.name, "cgroup.kill"), "1")
	}
}

// remove takes the group away. Its processes must be gone.
func (gr *group) remove() {
	if gr.dir != nil {
		gr.dir.Close()
	}
	gr.mu.Lock()
	if gr.peak != nil {
		gr.peak.Close()
		gr.from = -1 // the number may be another file's from here on
	}
	gr.mu.Unlock()
	if gr.parent.v2 != "" {
		os.Remove(gr.folder(""))
	}
	for c := range gr.parent.v1 {
		os.Remove(gr.folder(c))
	}
	if gr.parent.bare != "" {
		os.Remove(filepath.Join(gr.parent.bare, gr.name))
	}
}

// close removes the folders of all sandboxes.
func (g *groups) close() {
	for _, dir := range g.folders() {
		removeTree(dir)
	}
}

func (gr *group) write(controller, file, value string) error {
	return writeFile(filepath.Join(gr.folder(controller), file), value)
}

// makeGroup makes a group. One that is there is left of an earlier sandbox, whose last process was let go of too late.
func makeGroup(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		removeTree(dir)
		err = os.Mkdir(dir, 0o755)
	}
	return err
}

// removeTree ends what still runs below dir and removes the groups, innermost first.
func removeTree(dir string) {
	children, _ := os.ReadDir(dir)
	for _, c := range children {
		if c.IsDir() {
			removeTree(filepath.Join(dir, c.Name()))
		}
	}
	for range 100 {
		if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if len(data) == 0 {
			time.Sleep(5 * time.Millisecond) // what has ended is listed no more, and the kernel has yet to let go of it
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				awaitEnd(pid)
			}
		}
	}
}

// awaitEnd kills a process and waits until it is gone, one second at most.
func awaitEnd(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
	}
}

// openFile opens a file of a group for writing. The poller is not told of it, as it would be by os.Open: the kernel's pseudo files claim
// that they can be waited for, and a start writes a dozen.
func openFile(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}
