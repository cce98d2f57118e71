package blob

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree brings all that was written below a folder to disk: in one call for the whole file system, since syncing each
// of thousands of small files would take seconds.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
