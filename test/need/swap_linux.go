package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// swapBytes is enough for a process or two.
const swapBytes = 64 << 20

// Swap sees to it that the machine has swap while the test runs: what there is, or else some in memory (zram) or in a file, for root.
func Swap(t testing.TB) {
	t.Helper()
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err == nil && uint64(host.Freeswap)*uint64(host.Unit) >= swapBytes {
		return
	}
	var reasons []string
	for _, make := range []func(testing.TB) (string, error){swapInMemory, swapInFile} {
		place, err := make(t)
		if err == nil {
			err = swapOn(t, place)
		}
		if err == nil {
			return
		}
		reasons = append(reasons, err.Error())
	}
	Skip(t, "this machine has no swap, and none can be made: "+strings.Join(reasons, "; "))
}

func swapInMemory(t testing.TB) (string, error) {
	const control = "/sys/class/zram-control/"
	number, err := os.ReadFile(control + "hot_add")
	if err != nil {
		return "", err
	}
	n := strings.TrimSpace(string(number))
	t.Cleanup(func() { _ = os.WriteFile(control+"hot_remove", []byte(n), 0) }) // it fails while the device is in use
	return "/dev/zram" + n, os.WriteFile("/sys/block/zram"+n+"/disksize", fmt.Append(nil, swapBytes), 0)
}

func swapInFile(t testing.TB) (string, error) {
	place := filepath.Join(t.TempDir(), "swap")
	file, err := os.OpenFile(place, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer file.Close()
	zeros := make([]byte, 1<<20)
	for range swapBytes / len(zeros) { // a file with holes is no place for swap
		if _, err := file.Write(zeros); err != nil {
			return "", err
		}
	}
	return place, nil
}

func swapOn(t testing.TB, place string) error {
	for _, command := range [][]string{{"mkswap", place}, {"swapon", place}} {
		if out, err := exec.Command("/usr/sbin/"+command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("/usr/sbin/swapoff", place).CombinedOutput(); err != nil {
			t.Errorf("swapoff: %v: %s", err, out)
		}
	})
	return nil
}
