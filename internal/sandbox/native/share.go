//go:build linux

package native

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// What a group gets of the processor: at most a share of it, and before or behind others.

const cpuPeriod = 100_000 // us

// What the server weighs where its functions want the processor too, on cgroup v1 and v2: ten times what all of them together do. It works for each of them, a little at a time,
// and a bomb of a thousand processes holds it up else, and everybody with it.
const (
	serverShares = 10 * 1024
	serverWeight = 10 * 100
)

// enterServerGroup moves this process into a group of its own in v1's cpu tree. Where that cannot be it stays where it is, and weighs as anybody. On v2 it is in a group of its own
// where that was needed to make others.
func (g *groups) enterServerGroup() {
	if g.v2 != "" {
		_ = writeFile(filepath.Join(filepath.Dir(g.v2), serverLeaf(filepath.Base(g.v2)), "cpu.weight"), strconv.Itoa(serverWeight))
		return
	}
	dir := g.v1["cpu"]
	if dir == "" {
		return
	}
	leaf := filepath.Join(filepath.Dir(dir), serverLeaf(filepath.Base(dir)))
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return
	}
	if writeFile(filepath.Join(leaf, "cpu.shares"), strconv.Itoa(serverShares)) != nil || writeFile(filepath.Join(leaf, "cgroup.procs"), "0") != nil {
		os.Remove(leaf)
		return
	}
	g.server = leaf
}

// leaveServerGroup moves this process back.
func (g *groups) leaveServerGroup() {
	if g.server == "" {
		return
	}
	_ = writeFile(filepath.Join(filepath.Dir(g.server), "cgroup.procs"), "0")
	os.Remove(g.server) // it stays where the process could not leave it
}

// setCPU sets the processor share in thousandths of a core.
func (gr *group) setCPU(millis int) error {
	if !gr.parent.has("cpu") {
		return nil
	}
	quota := strconv.Itoa(millis * cpuPeriod / 1000)
	if gr.parent.v2 != "" {
		return writeFile(filepath.Join(gr.folder(""), "cpu.max"), quota+" "+strconv.Itoa(cpuPeriod))
	}
	return gr.write("cpu", "cpu.cfs_quota_us", quota)
}

// setPatient lets every other group beside it have the processor first: whoever wakes in one of those takes it from this at once, where the
// kernel knows idle groups (5.15), and gets most of it elsewhere.
func (gr *group) setPatient() error {
	if gr.idle("1") == nil {
		return nil
	}
	return gr.weigh(1, 2)
}

// endPatience undoes setPatient.
func (gr *group) endPatience() error {
	if gr.idle("0") == nil {
		return nil
	}
	return gr.setShare(1)
}

// setShare has so many groups together get what one gets of a processor that others want too.
func (gr *group) setShare(of int) error {
	return gr.weigh(max(1, 100/of), max(2, 1024/of))
}

// idle makes the group one that gets what others leave, or an ordinary one with the usual weight.
func (gr *group) idle(value string) error {
	switch {
	case !gr.parent.has("cpu"):
		return nil
	case gr.parent.v2 != "":
		return writeFile(filepath.Join(gr.folder(""), "cpu.idle"), value)
	}
	return gr.write("cpu", "cpu.idle", value)
}

// weigh sets what the group gets of a processor that others want too.
func (gr *group) weigh(v2, v1 int) error {
	switch {
	case !gr.parent.has("cpu"):
		return nil
	case gr.parent.v2 != "":
		return writeFile(filepath.Join(gr.folder(""), "cpu.weight"), strconv.Itoa(v2))
	}
	return gr.write("cpu", "cpu.shares", strconv.Itoa(v1))
}
