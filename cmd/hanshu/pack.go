package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// maxPackage is the largest package that a server takes, in bytes.
const maxPackage = 50 << 20

// bundle is a package ready to send.
type bundle struct {
	zip   []byte
	files []string // slash-separated, in the order of the zip; folders left out
}

// packFolder zips a folder so that equal content gives equal bytes: names in order, one time for all, two modes.
func packFolder(folder string, ig ignore, count func(int)) (*bundle, error) {
	p := newPacker(count)
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, file)
		if err != nil || rel == "." {
			return err
		}
		name := filepath.ToSlash(rel)
		switch skipped := ig.skips(name, entry.IsDir()); {
		case skipped && entry.IsDir():
			return filepath.SkipDir
		case skipped || entry.IsDir():
			return nil
		}
		return p.add(file, name)
	})
	if err != nil {
		return nil, packError(err)
	}
	return p.finish()
}

// packFile zips one source file.
func packFile(file string, count func(int)) (*bundle, error) {
	p := newPacker(count)
	if err := p.add(file, filepath.Base(file)); err != nil {
		return nil, packError(err)
	}
	return p.finish()
}

// openZip takes a zip as it is.
func openZip(file string) (*bundle, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxPackage+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPackage {
		return nil, packError(errTooLarge)
	}
	r, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, usagef("%s: %v", file, err)
	}
	b := &bundle{zip: text}
	for _, f := range r.File {
		if !strings.HasSuffix(f.Name, "/") {
			b.files = append(b.files, f.Name)
		}
	}
	return b, nil
}

// packer writes a zip in memory.
type packer struct {
	buffer bounded
	zip    *zip.Writer
	files  []string
	count  func(int)
}

func newPacker(count func(int)) *packer {
	p := &packer{count: count}
	p.zip = zip.NewWriter(&p.buffer)
	return p
}

// add takes a file or a link that leads to one beside it.
func (p *packer) add(file, name string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	head := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	var content io.Reader
	switch mode := info.Mode(); {
	case mode.IsRegular():
		head.SetMode(0o644 | mode.Perm()&0o100>>6*0o111)
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only read
		content = f
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(file)
		if err != nil {
			return err
		}
		target = filepath.ToSlash(target)
		if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
			return usagef("%s is a link to %s, which leads out of the function's folder", name, target)
		}
		head.SetMode(fs.ModeSymlink | 0o777)
		content = strings.NewReader(target)
	default:
		return usagef("%s is neither a file nor a folder nor a link", name)
	}
	w, err := p.zip.CreateHeader(head)
	if err != nil {
		return err
	}
	p.files = append(p.files, name)
	_, err = io.Copy(w, &counted{content, p.count})
	return err
}

func (p *packer) finish() (*bundle, error) {
	if err := p.zip.Close(); err != nil {
		return nil, packError(err)
	}
	if len(p.files) == 0 {
		return nil, usagef("there is nothing to deploy: the folder holds no files but what is left out")
	}
	return &bundle{zip: p.buffer.Bytes(), files: p.files}, nil
}

var errTooLarge = errors.New("too large")

// bounded is a buffer that takes no more than a package may have.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxPackage {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

// packError names what can be mended.
func packError(err error) error {
	if errors.Is(err, errTooLarge) {
		return usagef("the package is over %d MB; leave files out by %s", maxPackage>>20, ignoreName)
	}
	var place *fs.PathError
	if errors.As(err, &place) {
		return usagef("%v", err)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	return fmt.Errorf("pack: %w", err)
}

// counted tells how much was read.
type counted struct {
	from  io.Reader
	count func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.count(n)
	return n, err
}
