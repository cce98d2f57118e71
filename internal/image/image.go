// Package image keeps container images on this node as root filesystems that can be run from: pulled from a registry, judged,
// unpacked under the digest of their manifest, and removed when nobody names them any more.
//
// It must not know functions, nor how a root is run.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Config says where images lie and come from.
type Config struct {
	Dir string // made when missing; belongs to one Store at a time
	// Dial makes the connections to registries. It decides which addresses may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Auth Auth // who the server is to registries

	Timeout time.Duration // of one pull; 0 means 10 minutes
	Stall   time.Duration // in which 64 KiB of a layer must come; 0 means 20 seconds
	Limits  Limits        // zero values mean DefaultLimits
}

// Limits bound one image.
type Limits struct {
	Bytes   int64 // unpacked, all layers
	Entries int   // files, folders and links, all layers
	Layers  int
}

// DefaultLimits are those of this platform.
var DefaultLimits = Limits{Bytes: 4 << 30, Entries: 300_000, Layers: 128}

// Store keeps images. Make one with Open; it may be used by many at a time.
//
// On disk: <digest>/root is the root filesystem and <digest>/image.json what the image says of itself. A tree is made under tmp/,
// made durable as a whole and then renamed, so that <digest> is there either whole or not at all.
type Store struct {
	cfg       Config
	transport http.RoundTripper
	slots     chan struct{} // bounds the pulls at a time

	mu    sync.Mutex
	users map[string]int // by digest: instances that run from the root
}

const (
	rootFolder = "root"
	tmpFolder  = "tmp"
	aboutFile  = "image.json"
)

// Open opens the store in a folder with what earlier runs left there whole.
func Open(cfg Config) (*Store, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Minute
	}
	if cfg.Stall <= 0 {
		cfg.Stall = 20 * time.Second
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits
	}
	tmp := filepath.Join(cfg.Dir, tmpFolder)
	if err := errors.Join(removeTree(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return nil, fmt.Errorf("image: open %s: %w", cfg.Dir, err)
	}
	return &Store{
		cfg: cfg, slots: make(chan struct{}, 2), users: map[string]int{},
		transport: &http.Transport{
			DialContext: cfg.Dial, Proxy: nil, // a proxy would dial for us, past the guard
			TLSHandshakeTimeout: cfg.Stall, ResponseHeaderTimeout: cfg.Stall, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		},
	}, nil
}

// about is image.json.
type about struct {
	Bytes      int64    `json:"bytes"` // unpacked
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
}

// Pull finds what a reference such as "registry.example/team/app:v1" names now, and has it unpacked here. It gives the digest of
// the image for this machine's processor, "sha256:" and 64 hex digits, and its size unpacked.
//
// Errors, all with field "custom_image": CodeInvalid for a reference that is wrong, refused or names nothing, and for an image that
// cannot be run here or means ill; CodeTooLarge; CodeUnavailable when the registry failed or was too slow; CodeCancelled.
func (s *Store) Pull(ctx context.Context, ref string) (digest string, size int64, err error) {
	from, err := parseReference(ref)
	if err != nil {
		return "", 0, err
	}
	return s.pull(ctx, from)
}

// Root gives the root filesystem of an image and what the image says of itself; it is pulled again where it was lost. It may be
// read until release is called, once. Errors as Pull.
func (s *Store) Root(ctx context.Context, ref, digest string) (root faas.ImageRoot, release func(), err error) {
	if !validDigest.MatchString(digest) {
		return root, nil, faas.Errorf(faas.CodeInvalid, field, "%.100q is not the digest of an image", digest)
	}
	s.enter(digest)
	release = sync.OnceFunc(func() { s.leave(digest) })
	a, err := s.about(digest)
	if errors.Is(err, fs.ErrNotExist) {
		from, perr := parseReference(ref)
		if perr != nil {
			release()
			return root, nil, perr
		}
		if _, _, err = s.pull(ctx, from.Context().Digest(digest)); err == nil {
			a, err = s.about(digest)
		}
	}
	if err != nil {
		release()
		return root, nil, err
	}
	return faas.ImageRoot{
		Path: filepath.Join(s.folder(digest), rootFolder), Entrypoint: a.Entrypoint, Cmd: a.Cmd, Env: a.Env, WorkingDir: a.WorkingDir,
	}, release, nil
}

var validDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (s *Store) folder(digest string) string {
	return filepath.Join(s.cfg.Dir, strings.TrimPrefix(digest, "sha256:"))
}

func (s *Store) about(digest string) (about, error) {
	var a about
	text, err := os.ReadFile(filepath.Join(s.folder(digest), aboutFile))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

func (s *Store) enter(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[digest]++
}

func (s *Store) leave(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[digest]--; s.users[digest] == 0 {
		delete(s.users, digest)
	}
}

// Sweep removes the images that used denies, that no instance runs from, and that have been here for longer than age. It tells how
// many went.
func (s *Store) Sweep(ctx context.Context, used func(digest string) (bool, error), age time.Duration) (int, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return 0, fmt.Errorf("image: sweep: %w", err)
	}
	gone := 0
	for _, e := range entries {
		digest := "sha256:" + e.Name()
		info, err := e.Info()
		if err != nil || !validDigest.MatchString(digest) || time.Since(info.ModTime()) < age {
			continue
		}
		if err := ctx.Err(); err != nil {
			return gone, err
		}
		if is, err := used(digest); err != nil || is {
			if err != nil {
				return gone, fmt.Errorf("image: sweep: %w", err)
			}
			continue
		}
		removed, err := s.remove(digest)
		if err != nil {
			return gone, fmt.Errorf("image: sweep: %w", err)
		}
		if removed {
			gone++
		}
	}
	return gone, nil
}

// remove takes an image away that no instance runs from: it is out of its place at once, under the lock, and removed after.
func (s *Store) remove(digest string) (bool, error) {
	aside, err := os.MkdirTemp(filepath.Join(s.cfg.Dir, tmpFolder), "gone-")
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	busy := s.users[digest] > 0
	if !busy {
		err = os.Rename(s.folder(digest), filepath.Join(aside, "tree"))
	}
	s.mu.Unlock()
	return !busy && err == nil, errors.Join(err, removeTree(aside))
}

// removeTree also removes folders that an image made read-only, which stops everyone but root.
func removeTree(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // what cannot be changed shows below
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// install makes a finished tree durable and puts it in its place.
func (s *Store) install(work, digest string, a about) error {
	text, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(filepath.Join(work, aboutFile), text, 0o644)
	}
	if err == nil {
		err = errors.Join(os.Chmod(work, 0o755), syncAll(work))
	}
	if err != nil {
		return err
	}
	err = os.Rename(work, s.folder(digest))
	if errors.Is(err, fs.ErrExist) {
		return nil // someone was faster
	}
	return errors.Join(err, syncAll(s.cfg.Dir))
}

// syncAll waits until all that the filesystem of a folder holds is on disk: one wait, and not one for each of many files.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// Auth is who the server is to registries: by their host and port, as image references name them.
type Auth map[string]authn.AuthConfig

// ReadAuth reads a file of the form that docker login writes: {"auths": {"registry.example": {"auth": "..."}}}. "" is no file.
func ReadAuth(path string) (Auth, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("registry credentials: %w", err)
	}
	var file struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("registry credentials: %s does not have the form of docker's config.json: %w", path, err)
	}
	return file.Auths, nil
}
