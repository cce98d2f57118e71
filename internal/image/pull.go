package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/klauspost/compress/zstd"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// field is the one that all refusals here name.
const field = "custom_image"

const maxReference = 512

func parseReference(text string) (name.Reference, error) {
	if len(text) > maxReference {
		return nil, faas.Errorf(faas.CodeInvalid, field, "custom_image.image is over %d characters", maxReference)
	}
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, field, "custom_image.image %.200q is not the reference of an image, such as registry.example/team/app:v1", text)
	}
	return ref, nil
}

// pull resolves a reference and unpacks what it names, where that is not here yet.
func (s *Store) pull(ctx context.Context, ref name.Reference) (digest string, size int64, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return "", 0, failure(ctx, ctx.Err())
	}
	bounded, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	bounded, stop := context.WithCancelCause(bounded)
	defer stop(nil)
	who := authn.Anonymous
	if c, ok := s.cfg.Auth[ref.Context().RegistryStr()]; ok {
		who = authn.FromConfig(c)
	}
	img, err := remote.Image(ref, remote.WithContext(bounded), remote.WithAuth(who), remote.WithTransport(s.transport), remote.WithJobs(1),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}), remote.WithUserAgent("hanshu"),
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 3, Steps: 2}))
	if err != nil {
		return "", 0, failure(ctx, err)
	}
	hash, err := img.Digest()
	if err != nil {
		return "", 0, failure(ctx, err)
	}
	digest = hash.String()
	if a, err := s.about(digest); err == nil {
		now := time.Now() // a sweep does not take it before its function is stored
		return digest, a.Bytes, os.Chtimes(s.folder(digest), now, now)
	}
	a, err := s.unpack(img, digest, stop)
	if err != nil {
		if cause := context.Cause(bounded); errors.Is(cause, errStalled) {
			err = cause
		}
		return "", 0, failure(ctx, err)
	}
	return digest, a.Bytes, nil
}

// unpack lays down an image under its digest.
func (s *Store) unpack(img v1.Image, digest string, stop context.CancelCauseFunc) (about, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return about{}, err
	}
	layers, err := img.Layers()
	switch {
	case err != nil:
		return about{}, err
	case cfg.OS != "" && cfg.OS != "linux" || cfg.Architecture != "" && cfg.Architecture != runtime.GOARCH:
		return about{}, invalid("is for %s/%s, and this server runs linux/%s", cfg.OS, cfg.Architecture, runtime.GOARCH)
	case len(layers) > s.cfg.Limits.Layers:
		return about{}, tooLarge("has %d layers, over the limit of %d", len(layers), s.cfg.Limits.Layers)
	case len(layers) != len(cfg.RootFS.DiffIDs):
		return about{}, invalid("has %d layers, and its configuration tells of %d", len(layers), len(cfg.RootFS.DiffIDs))
	}
	work, err := os.MkdirTemp(filepath.Join(s.cfg.Dir, tmpFolder), "unpack-")
	if err != nil {
		return about{}, fmt.Errorf("image: unpack: %w", err)
	}
	defer removeTree(work) //nolint:errcheck // it finds nothing once the tree is renamed; what is left goes at the next start
	tree, err := newTree(filepath.Join(work, rootFolder), s.cfg.Limits)
	if err != nil {
		return about{}, fmt.Errorf("image: unpack: %w", err)
	}
	defer tree.close()
	for i, l := range layers {
		if err := s.unpackLayer(tree, l, cfg.RootFS.DiffIDs[i], stop); err != nil {
			return about{}, err
		}
	}
	if err := tree.finish(); err != nil {
		return about{}, fmt.Errorf("image: unpack: %w", err)
	}
	a := about{Bytes: tree.bytes, Entrypoint: cfg.Config.Entrypoint, Cmd: cfg.Config.Cmd, Env: cfg.Config.Env, WorkingDir: cfg.Config.WorkingDir}
	if err := s.install(work, digest, a); err != nil {
		return about{}, fmt.Errorf("image: unpack: %w", err)
	}
	return a, nil
}

// unpackLayer reads a layer to its end, so that all of it has been compared with its digests: the registry's library holds the
// packed bytes to theirs, and here the unpacked ones are.
func (s *Store) unpackLayer(tree *tree, l v1.Layer, want v1.Hash, stop context.CancelCauseFunc) error {
	packed, err := l.Compressed()
	if err != nil {
		return err
	}
	defer packed.Close()
	guard := time.AfterFunc(s.cfg.Stall, func() { stop(errStalled) })
	defer guard.Stop()
	sum := sha256.New()
	// What a tar may take beside its files: heads, fill and names.
	const overhead = 4 << 10
	steady := &steadyReader{r: packed, guard: guard, stall: s.cfg.Stall}
	plain, err := decompress(steady)
	if err != nil {
		return err
	}
	defer plain.Close()
	content := io.TeeReader(&boundedReader{r: plain, left: tree.left() + int64(tree.limits.Entries)*overhead}, sum)
	if err := tree.layer(tar.NewReader(content)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, steady); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); want.Algorithm != "sha256" || got != want.Hex {
		return invalid("has a layer that is not what its configuration says: %s is sha256:%s", want, got)
	}
	return nil
}

// decompress unpacks by what the first bytes say, as registries' media types are not to be relied on. Memory is bounded, whatever
// a head asks for.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReader(r)
	head, _ := in.Peek(4) // a shorter layer is a damaged one, which shows below
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// steadyReader calls off a layer of which too little comes.
type steadyReader struct {
	r     io.Reader
	guard *time.Timer
	stall time.Duration
	since int
}

const leastPerStall = 64 << 10

var errStalled = errors.New("too few bytes came for too long")

func (s *steadyReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.since += n; s.since >= leastPerStall {
		s.since = 0
		s.guard.Reset(s.stall)
	}
	return n, err
}

// boundedReader ends a layer that unpacks without end.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, tooLarge("has a layer that unpacks to more than an image may")
	}
	return n, err
}

func invalid(format string, args ...any) error {
	return faas.Errorf(faas.CodeInvalid, field, "the image "+format, args...)
}

func tooLarge(format string, args ...any) error {
	return faas.Errorf(faas.CodeTooLarge, field, "the image "+format, args...)
}

// failure turns what went wrong on the way into an expected failure. ctx is the caller's own.
func failure(ctx context.Context, err error) error {
	fail := func(code faas.Code, message string) error {
		return &faas.Error{Code: code, Field: field, Message: message, Err: err}
	}
	var known *faas.Error
	var answer *transport.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return fail(faas.CodeCancelled, "the request ended while the image was pulled")
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return fail(faas.CodeInvalid, "the registry has no such image")
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fail(faas.CodeInvalid, "the registry refuses this server the image; it may need credentials, see --registry-auth")
	case errors.As(err, &answer) && answer.StatusCode < http.StatusInternalServerError:
		return fail(faas.CodeInvalid, fmt.Sprintf("the registry answered with status %d", answer.StatusCode))
	case errors.As(err, &dns) && dns.IsNotFound:
		return fail(faas.CodeInvalid, "the registry's host does not exist")
	case errors.Is(err, ErrGuarded):
		return fail(faas.CodeInvalid, "the registry cannot be used: "+ErrGuarded.Error())
	case errors.Is(err, errStalled) || errors.Is(err, context.DeadlineExceeded):
		return fail(faas.CodeUnavailable, "the registry sent the image too slowly")
	case errors.Is(err, tar.ErrHeader) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF):
		return fail(faas.CodeInvalid, "the image has a layer that is cut short or damaged")
	}
	return fail(faas.CodeUnavailable, "the image could not be pulled")
}

// ErrGuarded is what Config.Dial returns for an address that may not be reached. Its text names no address.
var ErrGuarded = errors.New("the address is private, local or reserved, and not allowed by this server's configuration")
