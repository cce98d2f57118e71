// Package controltest holds the surroundings of control in memory, for tests of control and of the faces above it. They keep
// the promises of the interfaces they stand for.
//
// It must not be imported by anything but tests.
package controltest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Store is a control.FunctionStore.
type Store struct {
	mu   sync.Mutex
	rows map[faas.FunctionKey]row
	next int64
	// Fail, when set, is what every write answers.
	Fail error
}

type row struct {
	number   int64
	function faas.Function
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{rows: map[faas.FunctionKey]row{}} }

func clone(f *faas.Function) *faas.Function {
	c := *f
	c.Spec.SealedData = bytes.Clone(f.Spec.SealedData)
	c.Spec.SealedKeys = slices.Clone(f.Spec.SealedKeys)
	c.Spec.Dependencies = slices.Clone(f.Spec.Dependencies)
	c.Spec.Carried = maps.Clone(f.Spec.Carried)
	return &c
}

// usage counts with the mutex held, leaving one row out.
func (s *Store) usage(project string, but faas.FunctionKey) faas.Usage {
	var u faas.Usage
	for key, r := range s.rows {
		if key.Project == project && key != but {
			u.Functions++
			u.CodeBytes += r.function.Code.Size
		}
	}
	return u
}

func (s *Store) admit(f *faas.Function, quota faas.Quota) error {
	u := s.usage(f.Project, f.Key())
	switch {
	case u.Functions+1 > quota.Functions:
		return faas.Errorf(faas.CodeQuota, "functions", "the project has %d functions and may have %d", u.Functions, quota.Functions)
	case u.CodeBytes+f.Code.Size > quota.CodeBytes:
		return faas.Errorf(faas.CodeQuota, "code_bytes", "the project may have %d bytes of code", quota.CodeBytes)
	}
	return nil
}

// CreateFunction is of control.FunctionStore.
func (s *Store) CreateFunction(_ context.Context, f *faas.Function, quota faas.Quota) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fail != nil {
		return s.Fail
	}
	if _, taken := s.rows[f.Key()]; taken {
		return faas.Errorf(faas.CodeExists, "function", "function %q exists already", f.Name)
	}
	if err := s.admit(f, quota); err != nil {
		return err
	}
	s.next++
	f.Number = s.next
	s.rows[f.Key()] = row{s.next, *clone(f)}
	return nil
}

// Function is of control.FunctionStore.
func (s *Store) Function(_ context.Context, key faas.FunctionKey) (*faas.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(key)
}

func (s *Store) find(key faas.FunctionKey) (*faas.Function, error) {
	if r, ok := s.rows[key]; ok {
		return clone(&r.function), nil
	}
	latest := key
	latest.Version = faas.Latest
	if _, ok := s.rows[latest]; ok {
		return nil, faas.NotFound("version", key.Version)
	}
	return nil, faas.NotFound("function", key.Name)
}

// Reserved is of control.FunctionStore.
func (s *Store) Reserved(_ context.Context, project string) ([]*faas.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []row
	for key, r := range s.rows {
		if r.function.Spec.Reserved > 0 && (project == "" || key.Project == project) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b row) int { return cmp.Compare(a.number, b.number) })
	var all []*faas.Function
	for _, r := range found {
		all = append(all, clone(&r.function))
	}
	return all, nil
}

// UpdateFunction is of control.FunctionStore.
func (s *Store) UpdateFunction(_ context.Context, key faas.FunctionKey, quota faas.Quota, change func(*faas.Function) error) (*faas.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fail != nil {
		return nil, s.Fail
	}
	f, err := s.find(key)
	if err != nil {
		return nil, err
	}
	if err := change(f); err != nil {
		return nil, err
	}
	if err := s.admit(f, quota); err != nil {
		return nil, err
	}
	f.Revision++
	s.rows[key] = row{s.rows[key].number, *clone(f)}
	return f, nil
}

// DeleteFunction is of control.FunctionStore.
func (s *Store) DeleteFunction(_ context.Context, key faas.FunctionKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fail != nil {
		return s.Fail
	}
	key.Version = faas.Latest
	if _, err := s.find(key); err != nil {
		return err
	}
	delete(s.rows, key)
	return nil
}

// DeleteVersion is of control.FunctionStore.
func (s *Store) DeleteVersion(_ context.Context, key faas.FunctionKey) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.find(key)
	return nil, err // the only version is Latest
}

// Alias is of control.FunctionStore: there is none.
func (s *Store) Alias(_ context.Context, key faas.FunctionKey, name string) (*faas.Alias, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key.Version = faas.Latest
	if _, err := s.find(key); err != nil {
		return nil, err
	}
	return nil, faas.NotFound("alias", name)
}

// ReserveAlias is of control.FunctionStore: there is no alias.
func (s *Store) ReserveAlias(ctx context.Context, key faas.FunctionKey, name string, _ func(*faas.Function) error) (*faas.Function, error) {
	_, err := s.Alias(ctx, key, name)
	return nil, err
}

// NameOfTitle is of control.FunctionStore.
func (s *Store) NameOfTitle(_ context.Context, project, pkg, title string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.rows {
		if key.Project == project && key.Package == pkg && r.function.Title == title && title != "" {
			return key.Name, nil
		}
	}
	return "", faas.NotFound("function", title)
}

// ListFunctions is of control.FunctionStore.
func (s *Store) ListFunctions(_ context.Context, filter faas.FunctionFilter) (faas.FunctionPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var match []row
	for key, r := range s.rows {
		if key.Project == filter.Project && (filter.Package == "" || key.Package == filter.Package) &&
			strings.Contains(strings.ToLower(key.Name), strings.ToLower(filter.NamePart)) {
			match = append(match, r)
		}
	}
	slices.SortFunc(match, func(a, b row) int { return cmp.Compare(a.number, b.number) })
	page := faas.FunctionPage{Total: int64(len(match))}
	for _, r := range match {
		if r.number <= filter.After {
			continue
		}
		if filter.Skip > 0 {
			filter.Skip--
			continue
		}
		if len(page.Functions) == filter.Limit {
			page.Next = filter.After
			break
		}
		page.Functions = append(page.Functions, clone(&r.function))
		filter.After = r.number
	}
	return page, nil
}

// Usage is of control.FunctionStore.
func (s *Store) Usage(_ context.Context, project string) (faas.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage(project, faas.FunctionKey{}), nil
}

// Packages is a control.PackageStore that looks no deeper than the first bytes.
type Packages struct {
	mu    sync.Mutex
	bytes map[string][]byte
}

// NewPackages makes an empty package store.
func NewPackages() *Packages { return &Packages{bytes: map[string][]byte{}} }

// Add is of control.PackageStore.
func (p *Packages) Add(_ context.Context, data []byte) (faas.Package, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := sha512.Sum512(data)
	pkg := faas.Package{Digest: hex.EncodeToString(sum[:]), Size: int64(len(data)), Source: !bytes.HasPrefix(data, []byte("PK"))}
	p.bytes[pkg.Digest] = bytes.Clone(data)
	return pkg, nil
}

// Open is of control.PackageStore.
func (p *Packages) Open(_ context.Context, digest string) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, ok := p.bytes[digest]
	if !ok {
		return nil, errors.New("package is gone")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Remove takes a stored package away, so that opening it fails.
func (p *Packages) Remove(digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.bytes, digest)
}

// Fetcher is a control.Fetcher over a fixed web.
type Fetcher map[string][]byte

// Fetch is of control.Fetcher.
func (f Fetcher) Fetch(_ context.Context, url string, maxBytes int64) ([]byte, error) {
	data, ok := f[url]
	switch {
	case !ok:
		return nil, faas.Errorf(faas.CodeInvalid, "code_url", "code_url answered with status 404")
	case int64(len(data)) > maxBytes:
		return nil, faas.Errorf(faas.CodeTooLarge, "code_url", "the package at code_url is over %d bytes", maxBytes)
	}
	return data, nil
}

// Sealer is a control.Sealer that hides nothing, and binds to its label.
type Sealer struct{}

// Seal is of control.Sealer.
func (Sealer) Seal(label string, plain []byte) []byte {
	return append([]byte(label+"\x00"), plain...)
}

// Open is of control.Sealer.
func (Sealer) Open(label string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(label+"\x00"))
	if !ok {
		return nil, errors.New("sealed under another label")
	}
	return plain, nil
}

// Changes is a control.Changes that remembers.
type Changes struct {
	mu   sync.Mutex
	keys []faas.FunctionKey
}

// FunctionChanged is of control.Changes.
func (c *Changes) FunctionChanged(key faas.FunctionKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, key)
}

// Take gives what was heard since the last Take.
func (c *Changes) Take() []faas.FunctionKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := c.keys
	c.keys = nil
	return keys
}

// Runtimes is a control.Runtimes with Python 3 and Node.js in the versions that clients name, and "Java8", which is known
// and not installed.
type Runtimes struct{}

func (Runtimes) extension(runtime string) (string, error) {
	switch {
	case strings.HasPrefix(runtime, "Python3."):
		return ".py", nil
	case strings.HasPrefix(runtime, "Node.js"):
		return ".js", nil
	case runtime == "Java8":
		return "", faas.Errorf(faas.CodeUnsupported, "runtime", "runtime %q needs the package default-jre-headless", runtime)
	}
	return "", faas.Errorf(faas.CodeInvalid, "runtime", "runtime %.60q is not known here", runtime)
}

// CheckHandler is of control.Runtimes.
func (r Runtimes) CheckHandler(runtime, field, handler string) error {
	if _, err := r.extension(runtime); err != nil {
		return err
	}
	file, name, ok := strings.Cut(handler, ".")
	if !ok || file == "" || name == "" {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.80q must have the form file.function", field, handler)
	}
	return nil
}

// SourceFile is of control.Runtimes.
func (r Runtimes) SourceFile(runtime, handler string) (string, error) {
	ext, err := r.extension(runtime)
	if err != nil {
		return "", err
	}
	return handler[:strings.LastIndexByte(handler, '.')] + ext, nil
}

// Notice is of control.Runtimes.
func (Runtimes) Notice(runtime string) string {
	if runtime == "Python3.6" {
		return "Python3.6 is served by Python 3.11.2, the nearest version installed on this host"
	}
	return ""
}
