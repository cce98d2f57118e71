// Package blob keeps code packages under the digest of their bytes, judges whether a package is one that may be kept, and
// unpacks packages into folders from which functions run.
//
// It must not know which function a package belongs to, nor how or where its code is run.
package blob

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"iter"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Store keeps packages by digest: SHA-512, as 128 lower-case hex digits. Its promises are tests in blobtest.
type Store interface {
	// Add checks a package as Inspect does and stores it; what it acknowledges is durable. A package that is there already is
	// counted as added now. The answer has Digest, Size and Source; Kind, Filename and URL are the caller's.
	// Errors: CodeInvalid and CodeTooLarge, field "func_code".
	Add(ctx context.Context, data []byte) (faas.Package, error)
	// Open reads a package. The last Read gives ErrCorrupt in place of io.EOF when the bytes are not those that were added.
	// Error: CodeNotFound, field "package".
	Open(ctx context.Context, digest string) (io.ReadCloser, error)
	// Delete removes a package; one that is not there is no error. Readers that have it open read on.
	Delete(ctx context.Context, digest string) error
	// List goes through all packages, in no order. An error ends it.
	List(ctx context.Context) iter.Seq2[Info, error]
	// Sweep removes the packages that were last added longer than olderThan ago and that keep does not claim, and gives
	// their number. A package that is added again meanwhile stays. An error of keep ends the sweep and is returned.
	Sweep(ctx context.Context, keep func(digest string) (bool, error), olderThan time.Duration) (int, error)
}

// Info is what a listing says of a package.
type Info struct {
	Digest string
	Size   int64     // bytes
	Added  time.Time // the last time it was added
}

// ErrCorrupt is the error of reading a package whose bytes are no longer those that were added.
var ErrCorrupt = errors.New("blob: the stored package does not match its digest")

func digestOf(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}

// validDigest tells whether a text has the form of a digest, and so is safe as a file's name.
func validDigest(digest string) bool {
	if len(digest) != 2*sha512.Size && len(digest) != 2*sha256.Size { // the latter where a gateway's store is the Opener
		return false
	}
	for _, c := range []byte(digest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func notFound(digest string) error {
	return faas.NotFound("package", digest[:min(len(digest), 16)])
}

// Verify gives a reader of r that holds the bytes to their digest: at the end of r it gives ErrCorrupt in place of io.EOF
// when they differ.
func Verify(r io.ReadCloser, digest string) io.ReadCloser {
	return &verifier{ReadCloser: r, hash: sha512.New(), digest: digest}
}

type verifier struct {
	io.ReadCloser
	hash   hash.Hash
	digest string
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(v.hash.Sum(nil)) != v.digest {
		err = ErrCorrupt
	}
	return n, err
}
