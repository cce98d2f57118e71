package blob

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// CacheConfig says where unpacked packages lie on this node, and how much there may be of them.
type CacheConfig struct {
	Dir string // made when missing; belongs to one Cache at a time
	// MaxBytes is the disk space beyond which packages that no one uses are removed, the least recently used first. What is
	// in use stays, whatever it takes. 0 keeps only what is in use.
	MaxBytes int64
}

// Opener is the part of a Store that a Cache needs.
type Opener interface {
	Open(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Cache keeps packages unpacked in folders, ready to run from. They survive restarts of the server, however it ended, and
// are made anew after one of the host: the store has them durable, and to bring each to disk twice would make every first
// call wait for the disk.
//
// On disk: <key>/code is the folder, <key>/bytes holds its size, the host's boot in which it was made and, as
// modification time, its last use. A tree is made under tmp/ and then renamed, so that <key> is there either whole or
// not at all for as long as the host runs; what another boot has left may be torn.
type Cache struct {
	cfg   CacheConfig
	blobs Opener
	boot  string // "" makes every start one of the host

	mu    sync.Mutex
	trees map[string]*tree
	bytes int64 // of all trees that are ready
}

// tree is one unpacked package. Its fields but ready belong to the Cache's lock.
type tree struct {
	key   string
	ready chan struct{} // closed when it can be used, or when err says why not
	err   error
	users int
	used  time.Time
	bytes int64
	parts []func() // let go of the trees that its files belong to; of a merged one only
}

const (
	block = 4096 // what each thing takes on disk beyond its own bytes, on the safe side

	codeFolder = "code"
	bytesFile  = "bytes"
)

// NewCache opens the cache in a folder with what earlier runs left there whole.
func NewCache(cfg CacheConfig, blobs Opener) (*Cache, error) {
	c := &Cache{cfg: cfg, blobs: blobs, boot: bootID(), trees: make(map[string]*tree)}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("blob: open cache %s: %w", cfg.Dir, err)
	}
	return c, nil
}

func (c *Cache) load() error {
	if err := clearFolder(filepath.Join(c.cfg.Dir, tmpFolder), 0o755); err != nil {
		return err
	}
	found, err := os.ReadDir(c.cfg.Dir)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	close(ready)
	for _, entry := range found {
		key := entry.Name()
		if key == tmpFolder {
			continue
		}
		bytes, boot, used, err := readSize(filepath.Join(c.cfg.Dir, key, bytesFile))
		if err != nil || boot == "" || boot != c.boot || strings.HasPrefix(key, mergedPrefix) { // someone has taken it apart, or a crash of the host may have
			if err := os.RemoveAll(filepath.Join(c.cfg.Dir, key)); err != nil {
				return err
			}
			continue
		}
		c.trees[key] = &tree{key: key, ready: ready, used: used, bytes: bytes}
		c.bytes += bytes
	}
	c.prune()
	return nil
}

func readSize(path string) (bytes int64, boot string, used time.Time, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, "", time.Time{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, "", time.Time{}, err
	}
	size, boot, _ := strings.Cut(string(text), " ")
	bytes, err = strconv.ParseInt(size, 10, 64)
	return bytes, boot, info.ModTime(), err
}

// Dir gives the folder in which a package lies unpacked: files 0644 or 0755, folders 0755, owned by this process. It may be
// read until release is called, once; nothing may be written there. Callers that want the same package at the same time
// wait for one unpacking.
//
// A package with Layers is given with these laid over it, each over the ones before: of two files with one name the later stands.
// The limit of files is that of one package.
//
// Errors: those of the store; CodeInvalid and CodeTooLarge as Inspect gives them; CodeInvalid, field "code_filename", for a
// bare source whose Filename is no plain path.
func (c *Cache) Dir(ctx context.Context, pkg faas.Package) (path string, release func(), err error) {
	name := treeKey
	if len(pkg.Layers) > 0 {
		name = mergedKey
	}
	key, err := name(pkg)
	if err != nil {
		return "", nil, err
	}
	for {
		t, fresh := c.enter(key)
		if fresh {
			c.make(ctx, t, pkg)
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
			c.leave(t)
			return "", nil, ctx.Err()
		}
		if t.err == nil && c.touch(t) {
			return filepath.Join(c.cfg.Dir, key, codeFolder), sync.OnceFunc(func() { c.leave(t) }), nil
		}
		c.leave(t)
		// Another caller's end is no reason to fail this one, nor is a folder that someone removed.
		if t.err != nil && (fresh || ctx.Err() != nil || !errors.Is(t.err, context.Canceled) && !errors.Is(t.err, context.DeadlineExceeded)) {
			return "", nil, t.err
		}
	}
}

// treeKey names the folder of a package. A bare source needs its file's name too: the same text can be index.py and main.py.
func treeKey(pkg faas.Package) (string, error) {
	if !validDigest(pkg.Digest) {
		return "", notFound(pkg.Digest)
	}
	if !pkg.Source {
		return pkg.Digest, nil
	}
	if fault := nameFault(pkg.Filename); fault != "" {
		return "", faas.Errorf(faas.CodeInvalid, "code_filename", "the source file %.200q %s", pkg.Filename, fault)
	}
	sum := sha256.Sum256([]byte(pkg.Filename))
	return pkg.Digest + "-" + hex.EncodeToString(sum[:8]), nil
}

// enter counts the caller as a user of a tree. A fresh one is the caller's to fill and finish.
func (c *Cache) enter(key string) (t *tree, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.trees[key]
	if t == nil {
		t = &tree{key: key, ready: make(chan struct{})}
		c.trees[key], fresh = t, true
	}
	t.users++
	t.used = time.Now()
	return t, fresh
}

// make fills a fresh tree and lets all who wait for it go on. One that failed is forgotten, so that the next caller tries
// again.
func (c *Cache) make(ctx context.Context, t *tree, pkg faas.Package) {
	err := errors.New("blob: unpacking broke off") // stays when fill panics
	defer func() {
		c.mu.Lock()
		if err != nil {
			t.err = err
			delete(c.trees, t.key)
		} else {
			c.bytes += t.bytes
		}
		close(t.ready)
		c.mu.Unlock()
		c.prune()
	}()
	err = c.fill(ctx, t, pkg)
}

// leave ends one use, and makes room if there is too much.
func (c *Cache) leave(t *tree) {
	c.mu.Lock()
	t.users--
	t.used = time.Now()
	c.mu.Unlock()
	c.prune()
}

// touch writes down the use of a tree, and forgets one that is no longer on disk.
func (c *Cache) touch(t *tree) bool {
	now := time.Now()
	if os.Chtimes(filepath.Join(c.cfg.Dir, t.key, bytesFile), now, now) == nil {
		return true
	}
	c.mu.Lock()
	known := c.trees[t.key] == t
	if known {
		delete(c.trees, t.key)
		c.bytes -= t.bytes
	}
	c.mu.Unlock()
	if known {
		t.letGo()
	}
	return false
}

// prune removes unused trees until the rest is within the budget. They are renamed under the lock and removed outside of
// it. What cannot be removed is no longer known, and is met again at the next start.
func (c *Cache) prune() {
	c.mu.Lock()
	var gone []string
	var removed []*tree
	for c.bytes > c.cfg.MaxBytes {
		var oldest *tree
		for _, t := range c.trees {
			if t.users == 0 && (oldest == nil || t.used.Before(oldest.used)) {
				oldest = t
			}
		}
		if oldest == nil {
			break
		}
		delete(c.trees, oldest.key)
		c.bytes -= oldest.bytes
		removed = append(removed, oldest)
		if aside, err := c.moveAside(oldest.key); err == nil {
			gone = append(gone, aside)
		}
	}
	c.mu.Unlock()
	for _, dir := range gone {
		os.RemoveAll(dir)
	}
	for _, t := range removed {
		t.letGo() // which makes its parts free to be removed too
	}
}

// moveAside takes a tree out of its place into a folder of its own under tmp.
func (c *Cache) moveAside(key string) (string, error) {
	aside, err := os.MkdirTemp(filepath.Join(c.cfg.Dir, tmpFolder), "gone-")
	if err != nil {
		return "", err
	}
	return aside, os.Rename(filepath.Join(c.cfg.Dir, key), filepath.Join(aside, "tree"))
}

// fill makes a tree on disk.
func (c *Cache) fill(ctx context.Context, t *tree, pkg faas.Package) error {
	work, err := os.MkdirTemp(filepath.Join(c.cfg.Dir, tmpFolder), "unpack-")
	if err != nil {
		return fmt.Errorf("blob: unpack: %w", err)
	}
	defer os.RemoveAll(work) // finds nothing once it is renamed
	code := filepath.Join(work, codeFolder)
	if err := errors.Join(os.Mkdir(code, 0o755), os.Chmod(code, 0o755), os.Chmod(work, 0o755)); err != nil {
		return fmt.Errorf("blob: unpack: %w", err)
	}
	if len(pkg.Layers) > 0 {
		if err := c.merge(ctx, t, pkg, code); err != nil {
			return err
		}
		return c.installed(work, t)
	}
	r, err := c.blobs.Open(ctx, pkg.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	var contents Contents
	if pkg.Source {
		contents, err = laySource(r, code, pkg.Filename)
	} else {
		contents, err = layZip(ctx, r, work, code)
	}
	if err != nil {
		return err
	}
	t.bytes = contents.Bytes + int64(contents.Entries)*block
	return c.installed(work, t)
}

// installed puts a finished tree in its place, or lets go of its parts.
func (c *Cache) installed(work string, t *tree) error {
	if err := c.install(work, t); err != nil {
		t.letGo()
		return fmt.Errorf("blob: unpack: %w", err)
	}
	return nil
}

// laySource lays down the one file of a bare source, with the folders in its name.
func laySource(r io.Reader, code, name string) (Contents, error) {
	root, err := os.OpenRoot(code)
	if err != nil {
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	defer root.Close()
	to := folderPlace{root}
	for i, c := range []byte(name) {
		if c == '/' {
			if err := to.folder(name[:i]); err != nil {
				return Contents{}, fmt.Errorf("blob: unpack: %w", err)
			}
		}
	}
	text := bufio.NewReader(r)
	head, _ := text.Peek(4) // a short file is no fault
	f, err := to.file(name, isProgram(head))
	if err != nil {
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	n, err := io.Copy(f, text)
	if err := errors.Join(err, f.Close()); err != nil {
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	return Contents{Source: true, Entries: 1 + strings.Count(name, "/"), Bytes: n}, nil
}

// layZip brings a package to a file, verified on the way, and unpacks it from there.
func layZip(ctx context.Context, r io.Reader, work, code string) (Contents, error) {
	f, err := os.CreateTemp(work, "package-")
	if err != nil {
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // it lives on while it is open
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	size, err := io.Copy(f, r)
	if err != nil {
		return Contents{}, fmt.Errorf("blob: unpack: %w", err)
	}
	return unpackZip(ctx, f, size, code, packageLimits)
}

// install puts a finished tree in its place.
func (c *Cache) install(work string, t *tree) error {
	if err := os.WriteFile(filepath.Join(work, bytesFile), []byte(strconv.FormatInt(t.bytes, 10)+" "+c.boot), 0o644); err != nil {
		return err
	}
	place := filepath.Join(c.cfg.Dir, t.key)
	err := os.Rename(work, place)
	if errors.Is(err, fs.ErrExist) { // the rest of a tree that someone has taken apart
		aside, moving := c.moveAside(t.key)
		if moving != nil {
			return moving
		}
		defer os.RemoveAll(aside)
		err = os.Rename(work, place)
	}
	return err
}
