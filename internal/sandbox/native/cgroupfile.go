//go:build linux

package native

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func writeFile(path, value string) error {
	fd, err := openFile(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Write(fd, []byte(value))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
