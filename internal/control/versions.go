package control

import (
	"context"
	"crypto/md5" //nolint:gosec // what clients send to recognise a package by, and no proof of anything
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// VersionStore keeps versions and aliases. Each method is one whole transaction; the store of the server documents each.
type VersionStore interface {
	PublishVersion(ctx context.Context, key faas.FunctionKey, quota faas.Quota, most int, publish func(*faas.Function) (*faas.Function, error)) (*faas.Function, error)
	Versions(ctx context.Context, key faas.FunctionKey) ([]*faas.Function, error)
	CreateAlias(ctx context.Context, a *faas.Alias, most int) error
	UpdateAlias(ctx context.Context, key faas.FunctionKey, name string, change func(*faas.Alias) error) (*faas.Alias, error)
	Alias(ctx context.Context, key faas.FunctionKey, name string) (*faas.Alias, error)
	Aliases(ctx context.Context, key faas.FunctionKey) ([]*faas.Alias, error)
	DeleteAlias(ctx context.Context, key faas.FunctionKey, name string) (version string, err error)
}

// Versions are the use cases on the versions and aliases of functions. Every method takes the project it works in and a URN within it.
// Errors of all: CodeNotFound with field "function", "version" or "alias".
type Versions struct {
	store     VersionStore
	functions *Functions
}

// NewVersions makes the use cases beside those on functions.
func NewVersions(store VersionStore, functions *Functions) *Versions {
	return &Versions{store, functions}
}

// NewVersion describes a version to be published.
type NewVersion struct {
	Name        string // "" for one made of the time, in UTC: vYYYYMMDD-HHMMSS
	Description string
	// Digest, when not "", must be that of the function's code: SHA-512, or MD5 of the package, in hex.
	Digest string
}

// Publish keeps Latest as it is now under a name. What is of the moment stays behind: reserved instances, the star, the title.
// Errors: CodeInvalid, field "version", "description" or "digest"; CodeExists, field "version"; CodeQuota, field "versions" or
// "code_bytes"; CodeConflict, field "digest", for other code than the caller knows.
func (s *Versions) Publish(ctx context.Context, project string, urn faas.URN, n NewVersion) (*faas.Function, error) {
	f := s.functions
	key, err := f.mutableKey(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	if n.Name != "" {
		if err := faas.CheckVersionName(n.Name); err != nil {
			return nil, err
		}
	}
	if len([]rune(n.Description)) > faas.MaxDescription {
		return nil, faas.Errorf(faas.CodeInvalid, "description", "description is over %d characters", faas.MaxDescription)
	}
	digest, err := s.expected(ctx, key, n.Digest)
	if err != nil {
		return nil, err
	}
	now := f.now()
	for at := now; ; at = at.Add(time.Second) { // a second in which one was published already has its name taken
		name := n.Name
		if name == "" {
			name = at.Format("v20060102-150405")
		}
		made, err := s.store.PublishVersion(ctx, key, f.cfg.Quota, faas.MaxVersions, func(latest *faas.Function) (*faas.Function, error) {
			if digest != "" && digest != latest.Code.Digest {
				return nil, otherCode()
			}
			return published(latest, name, n.Description, now), nil
		})
		if n.Name == "" && faas.CodeOf(err) == faas.CodeExists {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.cfg.Changes.FunctionChanged(made.Key())
		return made, nil
	}
}

// published is Latest as a version of its own.
func published(latest *faas.Function, name, description string, at time.Time) *faas.Function {
	v := *latest
	v.Version, v.VersionDescription, v.ImageLabel = name, description, imageLabel(name, at)
	v.Title, v.Pinned, v.Spec.Reserved, v.Spec.ReservedIdle, v.Spec.AliasReserve = "", false, 0, false, nil
	v.Spec.Tactics, v.Spec.Snapshot = nil, false
	v.CreatedAt, v.ModifiedAt = at, at
	return &v
}

func otherCode() error {
	return faas.Errorf(faas.CodeConflict, "digest", "the function's code is not the one with this digest; it has changed since")
}

// expected gives the SHA-512 of the code that a caller means, whichever digest it names the code by.
func (s *Versions) expected(ctx context.Context, key faas.FunctionKey, digest string) (string, error) {
	digest = strings.ToLower(digest)
	if _, err := hex.DecodeString(digest); err != nil || len(digest) != 0 && len(digest) != 32 && len(digest) != 128 {
		return "", faas.Errorf(faas.CodeInvalid, "digest", "digest %.140q must be the SHA-512 or the MD5 of the function's code in hex", digest)
	}
	if len(digest) != 32 {
		return digest, nil
	}
	f, code, err := s.functions.Code(ctx, key.Project, faas.URN{Package: key.Package, Name: key.Name})
	if err != nil {
		return "", err
	}
	defer code.Close()
	sum := md5.New() //nolint:gosec // as above
	if _, err := io.Copy(sum, code); err != nil {
		return "", fmt.Errorf("read the package of %s: %w", key.Name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != digest {
		return "", otherCode()
	}
	return f.Code.Digest, nil
}

// List gives the versions of a function in the order in which they were made, so Latest first.
func (s *Versions) List(ctx context.Context, project string, urn faas.URN) ([]*faas.Function, error) {
	key, err := s.functions.key(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.store.Versions(ctx, key)
}
