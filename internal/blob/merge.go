package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// mergedPrefix begins the keys of packages with layers over them. Their files are those of the packages themselves, by hard links,
// so that one copy of each lies on this node however many functions use it. They are made anew after a restart of the server.
const mergedPrefix = "merged-"

// linkBytes is what a hard link takes on disk, on the safe side: a name in a folder.
const linkBytes = 300

// parts are a package and its layers, each for itself; the package first.
func parts(pkg faas.Package) []faas.Package {
	alone := pkg
	alone.Layers = nil
	all := []faas.Package{alone}
	for _, digest := range pkg.Layers {
		all = append(all, faas.Package{Digest: digest})
	}
	return all
}

// mergedKey names the folder of a package with its layers.
func mergedKey(pkg faas.Package) (string, error) {
	sum := sha256.New()
	for _, p := range parts(pkg) {
		key, err := treeKey(p)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, key)
	}
	return mergedPrefix + hex.EncodeToString(sum.Sum(nil)), nil
}

// merge makes the tree of a package with its layers. The parts stay in use as long as the tree is there.
func (c *Cache) merge(ctx context.Context, t *tree, pkg faas.Package, code string) (err error) {
	var from []string
	defer func() {
		if err != nil {
			t.letGo()
		}
	}()
	for _, p := range parts(pkg) {
		dir, release, err := c.Dir(ctx, p)
		if err != nil {
			return err
		}
		t.parts = append(t.parts, release)
		from = append(from, dir)
	}
	m, err := planMerge(ctx, from)
	if err != nil {
		return err
	}
	t.bytes, err = m.layDown(ctx, from, code)
	return err
}

// letGo ends the use of the parts.
func (t *tree) letGo() {
	for _, release := range t.parts {
		release()
	}
	t.parts = nil
}

// plan says of each name in a merged tree from which of the folders it comes.
type plan struct {
	names map[string]planned
	order []string // folders before what is in them
}

type planned struct {
	from  int // the last folder that has it
	since int // what earlier ones have below it does not count
	mode  fs.FileMode
}

// planMerge lays folders over each other: of two things with one name the later one stands, but for two folders, which become one.
// A thing that is no folder takes the place of a whole folder, and the other way round. The whole is held to the limit of a package.
func planMerge(ctx context.Context, from []string) (*plan, error) {
	p := &plan{names: map[string]planned{}}
	for i, dir := range from {
		err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
			if err != nil || at == dir {
				return errors.Join(err, ctx.Err())
			}
			name := filepath.ToSlash(strings.TrimPrefix(at, dir+string(filepath.Separator)))
			now := planned{from: i, since: i, mode: entry.Type()}
			if below, ok := p.names[name]; ok && below.mode.IsDir() && now.mode.IsDir() {
				now.since = below.since
			}
			p.names[name] = now
			if len(p.names) > faas.MaxPackageFiles {
				return tooLarge("the code and its dependencies have more than %d files and folders together", faas.MaxPackageFiles)
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	p.settle()
	return p, nil
}

// settle orders the names, and takes out what lies below a thing that is no folder, or was none in between.
func (p *plan) settle() {
	for _, name := range slices.Sorted(maps.Keys(p.names)) { // a folder's name is the beginning of what is in it
		now := p.names[name]
		if above, _ := path.Split(name); above != "" {
			folder, ok := p.names[strings.TrimSuffix(above, "/")]
			if !ok || now.from < folder.since {
				delete(p.names, name)
				continue
			}
			now.since = max(now.since, folder.since)
			p.names[name] = now
		}
		p.order = append(p.order, name)
	}
}

// layDown makes the planned tree in an empty folder and gives what it takes on disk. Nothing is written through a link: what is
// planned below a name that is no folder's was taken out, and links come last.
func (p *plan) layDown(ctx context.Context, from []string, code string) (bytes int64, err error) {
	root, err := os.OpenRoot(code)
	if err != nil {
		return 0, fmt.Errorf("blob: merge: %w", err)
	}
	defer root.Close()
	to := folderPlace{root}
	var links []string
	for _, name := range p.order {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		source := filepath.Join(from[p.names[name].from], filepath.FromSlash(name))
		switch mode := p.names[name].mode; {
		case mode.IsDir():
			err = to.folder(name)
			bytes += block
		case mode&fs.ModeSymlink != 0:
			links = append(links, name)
			bytes += block
		default:
			var copied int64
			copied, err = linkOrCopy(to, source, filepath.Join(code, filepath.FromSlash(name)), name)
			bytes += linkBytes + copied
		}
		if err != nil {
			return 0, fmt.Errorf("blob: merge: %w", err)
		}
	}
	for _, name := range links {
		target, err := os.Readlink(filepath.Join(from[p.names[name].from], filepath.FromSlash(name)))
		if err == nil {
			err = to.link(name, target)
		}
		if err != nil {
			return 0, fmt.Errorf("blob: merge: %w", err)
		}
	}
	return bytes, nil
}

// linkOrCopy gives a file a second name, or copies it where the file system has no such thing or no more of it, and gives the bytes
// that were copied.
func linkOrCopy(to folderPlace, source, target, name string) (int64, error) {
	if os.Link(source, target) == nil {
		return 0, nil
	}
	in, err := os.Open(source)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	out, err := to.file(name, info.Mode()&0o111 != 0)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n + block, errors.Join(err, out.Close())
}
