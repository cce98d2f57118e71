package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Disk is a Store in a folder: <first two hex digits>/<digest>, and "tmp" for what is being written. A file's modification
// time is when it was last added. The folder belongs to one Disk at a time.
type Disk struct {
	dir string
	// removing is held for reading while a package is added and for writing while one is removed, so that a sweep never
	// takes away what Add has just found there.
	removing sync.RWMutex
}

var _ Store = (*Disk)(nil)

const tmpFolder = "tmp"

// OpenDisk opens the store in a folder, which is made when missing, and clears away what a crash left half written.
func OpenDisk(dir string) (*Disk, error) {
	if err := makeShards(dir); err != nil {
		return nil, fmt.Errorf("blob: open %s: %w", dir, err)
	}
	return &Disk{dir: dir}, nil
}

// makeShards makes all folders at once, so that later none has to be made durable.
func makeShards(dir string) error {
	if err := clearFolder(filepath.Join(dir, tmpFolder), 0o700); err != nil {
		return err
	}
	for i := range 256 {
		err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(syncFolder(dir), syncFolder(filepath.Dir(dir)))
}

// clearFolder makes a folder that is empty, with its parents.
func clearFolder(dir string, mode fs.FileMode) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) == 0 {
		return os.Chmod(dir, mode) // a start on a full disk needs no room for it
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, mode)
}

func (d *Disk) path(digest string) string { return filepath.Join(d.dir, digest[:2], digest) }

// Add implements Store.
func (d *Disk) Add(ctx context.Context, data []byte) (faas.Package, error) {
	digest := digestOf(data)
	pkg := faas.Package{Digest: digest, Size: int64(len(data)), Source: !isZip(data)}
	if d.refresh(digest, data) {
		return pkg, nil
	}
	if _, err := Inspect(ctx, bytes.NewReader(data), int64(len(data))); err != nil {
		return faas.Package{}, err
	}
	if err := d.write(digest, data); err != nil {
		return faas.Package{}, fmt.Errorf("blob: add package: %w", err)
	}
	return pkg, nil
}

// refresh sets the time of a package that is there, and tells whether it is there in good order.
func (d *Disk) refresh(digest string, data []byte) bool {
	d.removing.RLock()
	defer d.removing.RUnlock()
	f, err := os.Open(d.path(digest))
	if err != nil {
		return false
	}
	defer f.Close()
	now := time.Now()
	return same(f, data) && os.Chtimes(f.Name(), now, now) == nil
}

// same tells whether a reader holds just the data.
func same(r io.Reader, data []byte) bool {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		if n > len(data) || !bytes.Equal(buffer[:n], data[:n]) {
			return false
		}
		data = data[n:]
		if err != nil {
			return err == io.EOF && len(data) == 0
		}
	}
}

// write puts the data in place: written and synced under another name, renamed, and the name synced.
func (d *Disk) write(digest string, data []byte) error {
	f, err := os.CreateTemp(filepath.Join(d.dir, tmpFolder), "add-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // finds nothing once it is renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	d.removing.RLock()
	defer d.removing.RUnlock()
	place := d.path(digest)
	if err := os.Rename(f.Name(), place); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(place))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Open implements Store.
func (d *Disk) Open(_ context.Context, digest string) (io.ReadCloser, error) {
	if !validDigest(digest) {
		return nil, notFound(digest)
	}
	f, err := os.Open(d.path(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(digest)
	case err != nil:
		return nil, fmt.Errorf("blob: open package: %w", err)
	}
	return Verify(f, digest), nil
}

// Delete implements Store.
func (d *Disk) Delete(_ context.Context, digest string) error {
	if !validDigest(digest) {
		return nil
	}
	d.removing.Lock()
	defer d.removing.Unlock()
	if err := os.Remove(d.path(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob: delete package: %w", err)
	}
	return nil
}

// List implements Store.
func (d *Disk) List(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		shards, err := os.ReadDir(d.dir)
		if err != nil {
			yield(Info{}, fmt.Errorf("blob: list packages: %w", err))
			return
		}
		for _, shard := range shards {
			if len(shard.Name()) != 2 {
				continue
			}
			files, err := os.ReadDir(filepath.Join(d.dir, shard.Name()))
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Info{}, fmt.Errorf("blob: list packages: %w", err))
				return
			}
			for _, file := range files {
				info, err := file.Info()
				if err != nil || !validDigest(file.Name()) {
					continue // gone meanwhile, or no file of ours
				}
				if !yield(Info{Digest: file.Name(), Size: info.Size(), Added: info.ModTime()}, nil) {
					return
				}
			}
		}
	}
}

// Sweep implements Store.
func (d *Disk) Sweep(ctx context.Context, keep func(digest string) (bool, error), olderThan time.Duration) (int, error) {
	removed := 0
	before := time.Now().Add(-olderThan)
	for info, err := range d.List(ctx) {
		if err != nil {
			return removed, err
		}
		if info.Added.After(before) {
			continue
		}
		kept, err := keep(info.Digest)
		if err != nil {
			return removed, fmt.Errorf("blob: sweep: %w", err)
		}
		if kept {
			continue
		}
		gone, err := d.removeOld(info.Digest, before)
		if err != nil {
			return removed, fmt.Errorf("blob: sweep: %w", err)
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// removeOld removes a package unless it was added after a time.
func (d *Disk) removeOld(digest string, before time.Time) (bool, error) {
	d.removing.Lock()
	defer d.removing.Unlock()
	info, err := os.Stat(d.path(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.ModTime().After(before):
		return false, nil
	}
	return true, os.Remove(d.path(digest))
}
