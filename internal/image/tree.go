package image

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// tree lays the layers of an image down in a folder, one over the other. It works through os.Root, so that whatever a layer says,
// nothing outside of the folder is read, written or followed to.
//
// All files end up readable, and nothing else: owners, set-user-id bits, devices and times are left out. The function that runs from
// here is one user, and nobody's secrets but its owner's are in its image.
type tree struct {
	root    *os.Root
	limits  Limits
	bytes   int64
	entries int
	names   int             // bytes of all names
	fresh   map[string]bool // what the layer at hand has laid down, folders on the way included
	folders map[string]bool // all folders known to be there
}

func newTree(dir string, l Limits) (*tree, error) {
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, limits: l}, nil
}

func (t *tree) close() { _ = t.root.Close() } // it was only used for names

// left is what further files may have, in bytes.
func (t *tree) left() int64 { return t.limits.Bytes - t.bytes }

// maxNames bounds what the names of an image may take in memory, in bytes.
const maxNames = 64 << 20

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// layer lays down one layer.
func (t *tree) layer(r *tar.Reader) error {
	t.fresh = map[string]bool{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.entry(h, r); err != nil {
			return err
		}
	}
}

func (t *tree) entry(h *tar.Header, r io.Reader) error {
	if t.entries++; t.entries > t.limits.Entries {
		return tooLarge("has over %d files", t.limits.Entries)
	}
	if t.bytes += h.Size; h.Size < 0 || t.bytes > t.limits.Bytes {
		return tooLarge("unpacks to over %d bytes", t.limits.Bytes)
	}
	if t.names += len(h.Name); strings.ContainsRune(h.Name, 0) || len(h.Name) > 4096 || t.names > maxNames {
		return invalid("has an entry with an impossible name, or too many long ones")
	}
	if leadsOut(h.Name) {
		return invalid("has the entry %.200q, which leads out of it", h.Name)
	}
	name := path.Clean("/" + h.Name)[1:]
	if name == "" {
		return nil // the root itself, whose mode is ours
	}
	dir, err := t.resolve(path.Dir(name), 0)
	if err != nil {
		return err
	}
	base := path.Base(name)
	switch {
	case base == opaque:
		return t.hide(dir)
	case strings.HasPrefix(base, whiteout):
		hidden := path.Join(dir, strings.TrimPrefix(base, whiteout))
		if hidden == dir || t.fresh[hidden] {
			return nil
		}
		return t.remove(hidden)
	}
	return t.lay(path.Join(dir, base), h, r)
}

// leadsOut tells a name with ".." in it, which no tool that makes images writes.
func leadsOut(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// lay puts one entry in its place.
func (t *tree) lay(name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if info, err := t.root.Lstat(name); err == nil && info.IsDir() {
			t.mark(name)
			return nil
		}
	case tar.TypeReg, tar.TypeSymlink, tar.TypeLink:
	default:
		return nil // devices and pipes: a function's view has those it may have
	}
	if err := errors.Join(t.parents(path.Dir(name)), t.remove(name)); err != nil {
		return err
	}
	t.mark(name)
	switch h.Typeflag {
	case tar.TypeDir:
		return t.folder(name)
	case tar.TypeReg:
		return t.file(name, h, r)
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > 4095 || strings.ContainsRune(h.Linkname, 0) {
			return invalid("has the link %.200q, which leads nowhere", h.Name)
		}
		return t.root.Symlink(h.Linkname, name) // followed only inside, where it can lead anywhere
	}
	return t.link(name, h)
}

func (t *tree) folder(name string) error {
	if err := t.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return t.root.Chmod(name, 0o755) // whatever this process's mask is
}

func (t *tree) file(name string, h *tar.Header, r io.Reader) error {
	mode := fs.FileMode(0o444)
	if h.Mode&0o111 != 0 {
		mode = 0o555
	}
	f, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, r)
	if err == nil && n != h.Size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// link makes a second name of a file that is there. Its other name is looked up as the first one is, so it is inside too.
func (t *tree) link(name string, h *tar.Header) error {
	bad := invalid("has the link %.200q to %.200q, which is no file of it", h.Name, h.Linkname)
	if leadsOut(h.Linkname) {
		return bad
	}
	to := path.Clean("/" + h.Linkname)[1:]
	if to == "" {
		return bad
	}
	dir, err := t.resolve(path.Dir(to), 0)
	if err != nil {
		return err
	}
	to = path.Join(dir, path.Base(to))
	info, err := t.root.Lstat(to)
	switch {
	case err != nil:
		return bad
	case info.Mode()&os.ModeSymlink != 0:
		target, err := t.root.Readlink(to)
		if err != nil {
			return err
		}
		return t.root.Symlink(target, name)
	case !info.Mode().IsRegular():
		return bad
	}
	return t.root.Link(to, name)
}

// maxLinks bounds the links that one name leads through.
const maxLinks = 40

// resolve gives the folder that a name means inside the image, with its links followed as they would be there: an absolute one
// begins at the image's root, and none leads above it. What is missing on the way stays as it is named.
func (t *tree) resolve(name string, links int) (string, error) {
	if name == "." || name == "" {
		return ".", nil
	}
	if t.folders[name] {
		return name, nil
	}
	at, rest := ".", strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := t.root.Lstat(next)
		if err != nil || info.Mode()&os.ModeSymlink == 0 {
			at = next // missing, a folder, or a file, which shows when something is laid below it
			continue
		}
		if links++; links > maxLinks {
			return "", invalid("has the entry %.200q, whose links go round in circles", name)
		}
		target, err := t.root.Readlink(next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// parents makes the folders that a layer leaves out. A file that stands in their way is replaced.
func (t *tree) parents(dir string) error {
	if dir == "." || t.folders[dir] {
		return nil
	}
	if err := t.parents(path.Dir(dir)); err != nil {
		return err
	}
	info, err := t.root.Lstat(dir)
	if err == nil && info.IsDir() {
		t.know(dir)
		return nil
	}
	if err == nil {
		if err := t.remove(dir); err != nil {
			return err
		}
	}
	if t.entries++; t.entries > t.limits.Entries {
		return tooLarge("has over %d files", t.limits.Entries)
	}
	t.know(dir)
	return t.folder(dir)
}

func (t *tree) know(dir string) {
	if t.folders == nil {
		t.folders = map[string]bool{}
	}
	t.folders[dir] = true
}

// mark notes that the layer at hand laid down a name.
func (t *tree) mark(name string) {
	for ; name != "." && !t.fresh[name]; name = path.Dir(name) {
		t.fresh[name] = true
	}
}

// remove takes away what stands at a name, if anything does.
func (t *tree) remove(name string) error {
	if name == "." {
		return nil
	}
	info, err := t.root.Lstat(name)
	if err != nil {
		return nil // nothing is there, or nothing can be
	}
	if info.IsDir() {
		t.folders = nil // all below it go
	}
	return t.root.RemoveAll(name)
}

// hide takes away what earlier layers laid into a folder.
func (t *tree) hide(dir string) error {
	f, err := t.root.Open(dir)
	if err != nil {
		return nil // there is no such folder
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return nil // it is no folder
	}
	for _, n := range names {
		name := path.Join(dir, n)
		switch info, err := t.root.Lstat(name); {
		case err != nil:
			return err
		case !t.fresh[name]:
			err = t.remove(name)
			if err != nil {
				return err
			}
		case info.IsDir():
			if err := t.hide(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// made are files that a container runtime writes, and that programs expect.
var made = map[string]string{
	"etc/hosts":    "127.0.0.1 localhost\n::1 localhost\n",
	resolverFile:   resolver,
	"etc/hostname": "function\n",
}

// resolverFile is ours in any case: a resolver that an image names is not to be reached from a sandbox. It is that of all sandboxes.
const (
	resolverFile = "etc/resolv.conf"
	resolver     = "nameserver 198.18.0.1\noptions timeout:3 attempts:2\n"
)

// finish adds what no image brings along.
func (t *tree) finish() error {
	if err := t.parents("etc"); err != nil {
		return err
	}
	for name, text := range made {
		if name == resolverFile {
			if err := t.remove(name); err != nil {
				return err
			}
		} else if _, err := t.root.Lstat(name); err == nil {
			continue
		}
		if err := t.file(name, &tar.Header{Size: int64(len(text))}, strings.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}
