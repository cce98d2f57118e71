//go:build !linux

package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncTree brings all that was written below a folder to disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
