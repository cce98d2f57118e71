package pool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// bootstraps are the files of languages that workers start from, each in a folder of the host. They are laid down when a language is
// wanted first: a server whose functions are in one language neither writes nor reads the files of ten.
type bootstraps struct {
	dir string

	mu   sync.Mutex
	laid map[string]string // language id -> folder
}

// of gives the folder of a language, and lays it down for the first who asks.
func (b *bootstraps) of(l *lang.Language) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir := b.laid[l.ID]; dir != "" {
		return dir, nil
	}
	dir := filepath.Join(b.dir, l.ID)
	if err := layDown(l.Bootstrap, dir); err != nil {
		return "", fmt.Errorf("lay down %s: %w", l.ID, err)
	}
	b.laid[l.ID] = dir
	return dir, nil
}

// layDown writes the files of an embedded folder, readable by every sandbox. Where they lie already nothing is written: a start on a
// full disk needs no room for them.
func layDown(files fs.FS, dir string) error {
	if laidDown(files, dir) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	// A process that is born while a program is being written holds it open for a moment, and it could not be started then.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		return copyOut(files, path, target)
	})
}

// laidDown tells whether a folder has these files and no others, piece by piece.
func laidDown(files fs.FS, dir string) bool {
	wanted, found, same := 0, 0, true
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			wanted++
			var equal bool
			equal, err = sameFile(files, path, filepath.Join(dir, path))
			same = same && equal
		}
		return err
	})
	if err != nil || !same {
		return false
	}
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found++
		}
		return err
	})
	return err == nil && found == wanted
}

func sameFile(files fs.FS, path, target string) (bool, error) {
	one, err := files.Open(path)
	if err != nil {
		return false, err
	}
	defer one.Close()
	other, err := os.Open(target)
	if err != nil {
		return false, err
	}
	defer other.Close()
	var a, b [8 << 10]byte
	for {
		n, err := io.ReadFull(one, a[:])
		m, otherErr := io.ReadFull(other, b[:])
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if err != nil || otherErr != nil {
			return err != nil && otherErr != nil, nil // both have ended
		}
	}
}

// copyOut writes one file, piece by piece: some are programs of megabytes. A program is executable: it is an adaptor that is itself the
// worker.
func copyOut(files fs.FS, path, target string) error {
	from, err := files.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	r := bufio.NewReader(from)
	mode := fs.FileMode(0o644)
	if magic, _ := r.Peek(4); string(magic) == "\x7fELF" {
		mode = 0o755
	}
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, r)
	return errors.Join(err, to.Close())
}
