//go:build linux

package native

import (
	"path/filepath"
	"strconv"
)

// What a group gets of the processor: at most a share of it, and before or behind others.

const cpuPeriod = 100_000 // us

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
