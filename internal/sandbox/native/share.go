//go:build linux

package native

import (
	"os"
	"path/filepath"
	"strconv"
)

// What a group gets of the processor: at most a share of it, and before or behind others.

const cpuPeriod = 100_000 // us

// apartSuffix stands between the name of our folder and that of a sandbox whose group lies beside our folder and not in it.
const apartSuffix = "-apart-"

// useApart finds out whether groups beside our folder can be made to yield to everybody: one inside yields to those of other sandboxes alone. What an earlier server left
// there is ended.
func (g *groups) useApart(folder string) {
	removeApart(folder)
	probe := folder + apartSuffix + "probe"
	if !g.has("cpu") || os.Mkdir(probe, 0o755) != nil {
		return
	}
	defer os.Remove(probe)
	if writeFile(filepath.Join(probe, "cpu.idle"), "1") == nil {
		g.apart = folder + apartSuffix
	}
}

// removeApart ends what runs in the groups beside a folder of ours, and removes them.
func removeApart(folder string) {
	left, _ := filepath.Glob(folder + apartSuffix + "*")
	for _, dir := range left {
		removeTree(dir)
	}
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
	return gr.weigh("1", "2")
}

// endPatience undoes setPatient.
func (gr *group) endPatience() error {
	if gr.idle("0") == nil {
		return nil
	}
	return gr.weigh("100", "1024")
}

// setShare has so many groups together get what one gets of a processor that others want too.
func (gr *group) setShare(of int) error {
	return gr.weigh(strconv.Itoa(max(1, 100/of)), strconv.Itoa(max(2, 1024/of)))
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
func (gr *group) weigh(v2, v1 string) error {
	switch {
	case !gr.parent.has("cpu"):
		return nil
	case gr.parent.v2 != "":
		return writeFile(filepath.Join(gr.folder(""), "cpu.weight"), v2)
	}
	return gr.write("cpu", "cpu.shares", v1)
}
