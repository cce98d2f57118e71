package blob

import (
	"context"
	"io"
	"os"
)

// folderPlace is an empty folder on disk. os.Root keeps every name below it, whatever links there are.
type folderPlace struct{ root *os.Root }

func (p folderPlace) folder(name string) error {
	if err := p.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return p.root.Chmod(name, 0o755) // whatever the umask
}

func (p folderPlace) file(name string, executable bool) (io.WriteCloser, error) {
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (p folderPlace) link(name, target string) error { return p.root.Symlink(target, name) }

// unpackZip lays a zip down in an empty folder, under the limits and with the errors of Inspect. After an error the folder
// holds a part.
func unpackZip(ctx context.Context, r io.ReaderAt, size int64, dir string, l limits) (Contents, error) {
	a, err := readArchive(ctx, r, size, l)
	if err != nil {
		return Contents{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Contents{}, err
	}
	defer root.Close()
	if err := a.unpack(ctx, folderPlace{root}); err != nil {
		return Contents{}, err
	}
	return a.contents(), nil
}
