package agent

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// startedBy names the program that was installed by hand, where that has started another version.
const startedBy = "HANSHU_EDGE_STARTED_BY"

// started gives the program that has started this one; "" for none.
func started(env []string) string {
	for _, v := range env {
		if by, ok := strings.CutPrefix(v, startedBy+"="); ok {
			return by
		}
	}
	return ""
}

// Installed is the program that was installed by hand: this one, or the one that has started this one, by this one's environment. "" where
// that cannot be told.
func Installed(env []string) string {
	if by := started(env); by != "" {
		return by
	}
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return self
}

// TakeOver becomes the version of this program that is to run on a data directory, and returns where that is this one, or it is the one
// that was chosen. unlock lets go of the data directory. step is as Config.Step.
func TakeOver(dataDir string, env []string, unlock func(), step func(string)) error {
	if started(env) != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	releases, err := Releases(dataDir, self)
	if err != nil {
		return err
	}
	path, err := releases.Choose()
	if err != nil || path == "" {
		return err
	}
	if step != nil {
		step(StepReleaseChosen)
	}
	unlock()
	return syscall.Exec(path, os.Args, append(slices.Clone(env), startedBy+"="+self))
}

// Restart becomes the program that was installed by hand, which then chooses. It returns errors only.
func Restart(env []string, unlock func()) error {
	unlock()
	return syscall.Exec(Installed(env), os.Args, slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, startedBy+"=") }))
}
