//go:build unix

package app

import (
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/hanshu-faas/hanshu/internal/config"
)

// checkSpace wants room for packages and their unpacked folders.
func checkSpace(cfg config.Config) Finding {
	const enough = 2 << 30
	dir := cfg.DataDir
	var fs syscall.Statfs_t
	for syscall.Statfs(dir, &fs) != nil {
		if dir == filepath.Dir(dir) {
			return finding(LevelWarn, "disk", "free space cannot be read", "")
		}
		dir = filepath.Dir(dir) // not made yet
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	text := fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), cfg.DataDir)
	if free < enough {
		return finding(LevelWarn, "disk", text, "make room: packages may take up to 1.5 GB unpacked")
	}
	return fine("disk", text)
}
