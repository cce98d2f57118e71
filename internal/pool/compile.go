package pool

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// Limits of one compilation. It runs in a sandbox of its own, since a compiler is much program for foreign code to meet, and
// one at a time, since it takes much memory.
const (
	compileTime   = time.Minute
	compileMemory = 1 << 30
	compileTmp    = 256 << 20
	maxArchive    = 512 << 20 // bytes of what comes of it
	maxCompiled   = 4 << 30   // bytes kept of all; what was used longest ago goes first
)

// compiled keeps what languages have made of packages, each in a folder. Its name is made of all that went in, and what is in it
// came from a sandbox that saw nothing else: so what hostile code made of itself is never given to other code.
type compiled struct {
	dir      string
	turn     chan struct{}     // who holds it compiles
	versions map[string]string // language id -> digest of its bootstrap, which is the compiler; those asked for so far

	mu sync.Mutex // for making room, and for versions
}

// open readies the store.
func (c *compiled) open() error {
	left, err := filepath.Glob(filepath.Join(c.dir, workPrefix+"*")) // by a server that was killed
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return errors.Join(err, os.MkdirAll(c.dir, 0o755))
}

// version is the digest of a language's compiler.
func (c *compiled) version(l *lang.Language) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions[l.ID] != "" {
		return c.versions[l.ID], nil
	}
	sum := sha256.New()
	err := fs.WalkDir(l.Bootstrap, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(l.Bootstrap, path)
		fmt.Fprintf(sum, "%s %d ", path, len(data))
		sum.Write(data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the compiler of %s: %w", l.ID, err)
	}
	c.versions[l.ID] = hex.EncodeToString(sum.Sum(nil))
	return c.versions[l.ID], nil
}

// workPrefix begins the names of folders that are not finished.
const workPrefix = "work-"

// folder names the place of a package compiled for a handler.
func (c *compiled) folder(l *lang.Language, pkg faas.Package, handler string) (string, error) {
	version, err := c.version(l)
	if err != nil {
		return "", err
	}
	file := ""
	if pkg.Source {
		file = pkg.Filename
	}
	of := append([]string{l.ID, version, pkg.Digest, file, handler}, pkg.Layers...)
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:])), nil
}

// Prepare makes the code of a function ready ahead of its first call: unpacked on this node, and compiled in languages that
// need it. Nothing can be prepared of an image; it is refused where none can be run. Errors: CodeInvalid, field "func_code",
// for code that does not compile; CodeUnsupported for walls that this server does not have; those of Runtimes and, where something is to be compiled, of Folders.
func (p *Pool) Prepare(ctx context.Context, f *faas.Function) error {
	driver, err := p.checkWalls(ctx, f)
	if err != nil {
		return err
	}
	if f.Code.Kind == faas.KindImage {
		return p.checkImage(driver)
	}
	rt, err := p.cfg.Runtimes.Resolve(f.Spec.Runtime)
	if err != nil {
		return err
	}
	// To lay down files takes as much as all else that the server does for a first call.
	if _, err := p.bootstraps.of(rt.Language); err != nil {
		return err
	}
	code, release, err := p.cfg.Folders.Dir(ctx, f.Code)
	if err != nil {
		if !rt.Language.Compiles {
			err = nil // the first call tries again, and tells
		}
		return err
	}
	defer release()
	if rt.Language.Compiles {
		_, err = p.compile(ctx, rt, f, f.Spec.MemoryMB, code)
	}
	return err
}

// compiledMounts shows a new instance what was compiled of its code, which it is now where that was lost. An instance of code
// that does not compile finds that out by itself.
func (p *Pool) compiledMounts(g *group, code string) []sandbox.Mount {
	if !g.runtime.Language.Compiles {
		return nil
	}
	dir, err := p.compile(p.ctx, g.runtime, g.function, g.key.memoryMB, code)
	if err != nil {
		return nil
	}
	return []sandbox.Mount{{Source: dir, Target: lang.CompiledRoot}}
}

// compile gives the folder of a package compiled, and makes it where it is missing.
func (p *Pool) compile(ctx context.Context, rt lang.Runtime, f *faas.Function, memoryMB int, code string) (string, error) {
	dir, err := p.compiled.folder(rt.Language, f.Code, f.Spec.Handler)
	if err != nil {
		return "", err
	}
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil {
		return dir, nil
	}
	leave, err := p.enter()
	if err != nil {
		return "", err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	select {
	case p.compiled.turn <- struct{}{}:
		defer func() { <-p.compiled.turn }()
	case <-ctx.Done():
		return "", faas.Errorf(faas.CodeCancelled, "", "the request ended before the code was compiled")
	}
	if os.Chtimes(dir, now, now) == nil {
		return dir, nil // by the one before
	}
	work, err := os.MkdirTemp(p.compiled.dir, workPrefix)
	if err != nil {
		return "", fmt.Errorf("compile: %w", err)
	}
	defer os.RemoveAll(work) // finds nothing once it is renamed
	if err := p.runCompiler(ctx, rt, f, memoryMB, code, work); err != nil {
		return "", err
	}
	if err := errors.Join(os.Chmod(work, 0o755), os.Rename(work, dir)); err != nil {
		return "", fmt.Errorf("compile: %w", err)
	}
	return dir, p.compiled.makeRoom(dir)
}

// enter counts work that Stop lets end.
func (p *Pool) enter() (leave func(), err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, faas.Errorf(faas.CodeUnavailable, "", "the server is stopping")
	}
	p.calls.Add(1)
	p.work.Add(1)
	return func() { p.calls.Done(); p.work.Done() }, nil
}

// runCompiler compiles in a sandbox that ends with it, and lays down what comes out.
func (p *Pool) runCompiler(ctx context.Context, rt lang.Runtime, f *faas.Function, memoryMB int, code, to string) error {
	ctx, cancel := context.WithTimeout(ctx, compileTime)
	defer cancel()
	spec, err := p.boxSpec(rt, "compile", compileMemory)
	if err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: code, Target: lang.CodeRoot})
	spec.Dir, spec.TmpBytes = "/", compileTmp
	box, err := p.cfg.Driver.Start(ctx, spec)
	if err != nil {
		return startError(err)
	}
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		_, _ = io.Copy(io.Discard, box.Output())
	}()
	defer func() {
		box.Kill()
		<-box.Done()
		<-printed
		box.Output().Close()
		box.Control().Close()
	}()
	defer context.AfterFunc(ctx, box.Kill)()
	load := loadOf(f, p.cfg.Region, memoryMB, box.Path(lang.CodeRoot), nil)
	load.Compile = true
	c := &compiler{conn: box.Control(), in: bufio.NewReader(box.Control())}
	err = c.begin(load)
	if err == nil {
		err = layCompiled(c, to)
	}
	var refused *faas.Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	box.Kill()
	<-box.Done()
	switch exit := box.Exit(); {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return faas.Errorf(faas.CodeInvalid, "func_code", "the code did not compile within %d seconds", int(compileTime/time.Second))
	case ctx.Err() != nil:
		return faas.Errorf(faas.CodeCancelled, "", "the request ended before the code was compiled")
	case exit.OOM:
		return faas.Errorf(faas.CodeInvalid, "func_code", "the code needs more than %d MB to compile", compileMemory>>20)
	}
	return &faas.Error{Code: faas.CodeInvalid, Field: "func_code", Message: "the code brought the compiler to its end", Err: err}
}

// compiler reads the archive that a worker sends in answer to a load with Compile.
type compiler struct {
	conn net.Conn
	in   *bufio.Reader
	seq  uint32
	rest []byte
	left int64
}

func (c *compiler) begin(load lang.Load) error {
	c.left = maxArchive
	frame, err := lang.ReadFrame(c.in, nil, maxFrame)
	if err == nil && frame.Type != lang.FrameReady {
		err = errUnexpected
	}
	if err == nil {
		_, err = c.conn.Write(lang.AppendLoad(nil, load))
	}
	if err == nil {
		frame, err = lang.ReadFrame(c.in, nil, maxFrame)
	}
	switch {
	case err != nil:
		return err
	case frame.Type == lang.FrameLoaded:
		return nil
	case frame.Type != lang.FrameFailed:
		return errUnexpected
	}
	_, failure, err := frame.Failure()
	if err != nil {
		return err
	}
	return faas.Errorf(faas.CodeInvalid, "func_code", "%s: %s", firstBytes(failure.Type, 200), firstBytes(failure.Message, 2000))
}

// Read implements io.Reader: the archive.
func (c *compiler) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		c.seq++
		if _, err := c.conn.Write(lang.AppendCall(nil, c.seq, time.Now().Add(compileTime), "compile", lang.CallExtra{}, nil)); err != nil {
			return 0, err
		}
		frame, err := lang.ReadFrame(c.in, nil, lang.MaxFrameBytes)
		switch {
		case err != nil:
			return 0, err
		case frame.Type != lang.FrameResult || frame.Seq != c.seq:
			return 0, errUnexpected
		case len(frame.Body) == 0:
			return 0, io.EOF
		}
		if c.left -= int64(len(frame.Body)); c.left < 0 {
			return 0, faas.Errorf(faas.CodeInvalid, "func_code", "the code compiles to more than %d MB", maxArchive>>20)
		}
		c.rest = frame.Body
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// maxCompiledFiles bounds the files of one archive.
const maxCompiledFiles = 100

// layCompiled lays the files of an archive into a folder, and nothing outside of it: regular files and folders only, whatever
// else a hostile compiler says.
func layCompiled(archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	defer root.Close()
	files := tar.NewReader(archive)
	for range maxCompiledFiles {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case tar.TypeReg:
			err = layFile(root, h.Name, files)
		default:
			err = errUnexpected
		}
		if err != nil {
			return err
		}
	}
	return errUnexpected
}

// layFile writes one file, and has it on disk before the folder gets its name.
func layFile(root *os.Root, name string, from io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// makeRoom removes folders, those not used for longest first, until the rest is within bounds; but not the newest.
func (c *compiled) makeRoom(newest string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	type folder struct {
		path  string
		used  time.Time
		bytes int64
	}
	var all []folder
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		f := folder{path: filepath.Join(c.dir, e.Name()), used: info.ModTime()}
		f.bytes = sizeOf(f.path)
		total += f.bytes
		if f.path != newest {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b folder) int { return a.used.Compare(b.used) })
	for _, f := range all {
		if total <= maxCompiled {
			break
		}
		gone := filepath.Join(c.dir, workPrefix+"gone") // a name that nobody looks up, so that no half of it is found
		if err := errors.Join(os.RemoveAll(gone), os.Rename(f.path, gone), os.RemoveAll(gone)); err != nil {
			return fmt.Errorf("compile: %w", err)
		}
		total -= f.bytes
	}
	return nil
}

// sizeOf adds up the files of a folder, as far as they can be seen.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
