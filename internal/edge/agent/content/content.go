// Package content keeps packages of code by their SHA-256 on a gateway: fetched with resume, verified before they have a name.
//
// It must not know what a package is for, nor which ones are wanted.
package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// ErrDigest tells that what came is not what its digest says.
var ErrDigest = errors.New("the package is not the one that its digest names")

const parts = "part" // folder of what is not whole yet

// Store is a folder of packages. A file that has a digest as its name was verified and is on disk whole. Make one with Open.
type Store struct {
	dir    string
	client *http.Client
	told   Told
	turn   sync.Mutex // one writer
}

// Told are whom a Store tells what it does; nil ones are not told.
type Told struct {
	Receiving func() // some of a package is on disk, and more is awaited
	Received  func() // all of it is, and right, but has no name yet
}

// Open opens the folder of a store, made when missing.
func Open(dir string, client *http.Client, told Told) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, parts), 0o700); err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	return &Store{dir: dir, client: client, told: told}, nil
}

// Valid tells whether a text has the form of a digest, and so is safe as a file's name.
func Valid(digest string) bool {
	raw, err := hex.DecodeString(digest)
	return err == nil && len(raw) == sha256.Size && digest == strings.ToLower(digest)
}

// Has tells whether a package is there, whole.
func (s *Store) Has(digest string) bool {
	if !Valid(digest) {
		return false
	}
	_, err := os.Stat(s.Path(digest))
	return err == nil
}

// Path is where a package lies.
func (s *Store) Path(digest string) string { return filepath.Join(s.dir, digest) }

// Open reads a package, and holds it to its digest once more: a reader that gets to the end has read what was signed. Error:
// CodeNotFound.
func (s *Store) Open(_ context.Context, digest string) (io.ReadCloser, error) {
	if !Valid(digest) {
		return nil, faas.NotFound("package", digest)
	}
	f, err := os.Open(s.Path(digest))
	if errors.Is(err, os.ErrNotExist) {
		return nil, faas.NotFound("package", digest)
	}
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	return &verified{File: f, sum: sha256.New(), want: digest, spoiled: func() { os.Remove(f.Name()) }}, nil
}

// verified is a file that is an error at its end when it is not what it should be; it is then gone, to be fetched anew.
type verified struct {
	*os.File
	sum     hash.Hash
	want    string
	spoiled func()
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.File.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(v.sum.Sum(nil)) != v.want {
		v.spoiled()
		return n, fmt.Errorf("content: %s on disk: %w", v.want, ErrDigest)
	}
	return n, err
}

// WriteTo would go around Read.
func (v *verified) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{v})
}

// Add stores a package of a size from a reader. Error: ErrDigest.
func (s *Store) Add(digest string, size int64, r io.Reader) error {
	if !Valid(digest) {
		return ErrDigest
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.Has(digest) {
		return nil
	}
	f, err := os.OpenFile(s.part(digest), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	defer f.Close()
	return s.fill(f, digest, size, sha256.New(), 0, r)
}

func (s *Store) part(digest string) string { return filepath.Join(s.dir, parts, digest) }

// maxUnknown bounds a package whose size nobody has said, in bytes.
const maxUnknown = 64 << 20

// Fetch brings a package from an address, beginning where an earlier attempt broke off. size is -1 where it is not known. Errors: ErrDigest; else what hindered it,
// and another attempt goes on from there.
func (s *Store) Fetch(ctx context.Context, digest string, size int64, url string) error {
	if !Valid(digest) {
		return ErrDigest
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.Has(digest) {
		return nil
	}
	f, err := os.OpenFile(s.part(digest), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err != nil || size >= 0 && have > size {
		have, err = 0, errors.Join(f.Truncate(0), rewind(f))
		sum.Reset()
	}
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	if have == size || size < 0 && hex.EncodeToString(sum.Sum(nil)) == digest {
		return s.fill(f, digest, size, sum, have, strings.NewReader(""))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(stall, cancel)
	defer patience.Stop()
	body, begin, err := s.get(ctx, url, have)
	if err != nil {
		return err
	}
	defer body.Close()
	if begin != have { // the other end gives the whole
		if err := errors.Join(f.Truncate(0), rewind(f)); err != nil {
			return fmt.Errorf("content: %w", err)
		}
		sum.Reset()
		have = 0
	}
	return s.fill(f, digest, size, sum, have, &moving{body, patience, s.told.Receiving, have > 0})
}

// spare is what a download leaves of the disk for messages, logs and the functions' store, in bytes.
const spare = 1 << 20

// room refuses what the disk cannot hold, before it is fetched in vain again and again. -1 bytes are not known.
func (s *Store) room(need int64) error {
	var fs syscall.Statfs_t
	if need < 0 || syscall.Statfs(s.dir, &fs) != nil {
		return nil // it shows when it is written
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < need+spare {
		return fmt.Errorf("content: %w: the package needs %d bytes more, and the disk has %d, of which %d are left for others", syscall.ENOSPC, need, free, spare)
	}
	return nil
}

// stall is how long a download may stand still.
const stall = time.Minute

// moving puts the end of patience off as long as something comes.
type moving struct {
	io.Reader
	patience *time.Timer
	told     func()
	some     bool // of it is there
}

func (m *moving) Read(p []byte) (int, error) {
	if m.some && m.told != nil {
		m.told()
	}
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.some = true
		m.patience.Reset(stall)
	}
	return n, err
}

func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// get asks for a package from a place on, and tells from where it comes: from there, or from the beginning.
func (s *Store) get(ctx context.Context, url string, from int64) (io.ReadCloser, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("content: %w", err)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("content: %w", err)
	}
	if err := s.room(resp.ContentLength); err != nil {
		resp.Body.Close()
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, 0, nil
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from)):
		return resp.Body, from, nil
	}
	resp.Body.Close()
	return nil, 0, fmt.Errorf("content: the package cannot be had: %s", resp.Status)
}

// fill brings a part to its size, and gives it its name once it is verified and on disk. A wrong one is removed; so is one for
// which the disk has no room, which then has it again.
func (s *Store) fill(f *os.File, digest string, size int64, sum hash.Hash, have int64, r io.Reader) error {
	most := size
	if size < 0 {
		most = maxUnknown
	}
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, most-have+1))
	have += n
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return errors.Join(fmt.Errorf("content: %w", err), os.Remove(f.Name()))
	case err != nil:
		return fmt.Errorf("content: %w", err)
	case have < size:
		return fmt.Errorf("content: %w after %d of %d bytes", io.ErrUnexpectedEOF, have, size)
	case have > most || hex.EncodeToString(sum.Sum(nil)) != digest:
		return errors.Join(ErrDigest, os.Remove(f.Name()))
	}
	if err := f.Sync(); err != nil { // some disks say only now that they have no room; what is there of the file may be anything
		return errors.Join(fmt.Errorf("content: %w", err), os.Remove(f.Name()))
	}
	if s.told.Received != nil {
		s.told.Received()
	}
	if err := os.Rename(f.Name(), s.Path(digest)); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove removes a package that is of no more use, if it is there.
func (s *Store) Remove(digest string) error {
	if !Valid(digest) {
		return nil
	}
	if err := os.Remove(s.Path(digest)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("content: %w", err)
	}
	return nil
}

// Sweep removes every package and part but those wanted.
func (s *Store) Sweep(wanted map[string]bool) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	var all error
	for _, dir := range []string{s.dir, filepath.Join(s.dir, parts)} {
		found, err := os.ReadDir(dir)
		all = errors.Join(all, err)
		for _, entry := range found {
			if !entry.IsDir() && !wanted[entry.Name()] {
				all = errors.Join(all, os.Remove(filepath.Join(dir, entry.Name())))
			}
		}
	}
	return all
}
