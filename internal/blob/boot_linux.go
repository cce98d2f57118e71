package blob

import (
	"os"
	"strings"
)

// bootID names this run of the host's kernel; "" when it cannot be told.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
