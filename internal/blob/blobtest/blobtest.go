// Package blobtest holds the promises of a blob.Store as tests, to be run over each kind of store.
package blobtest

import (
	"archive/zip"
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Subject is an empty store under test.
type Subject struct {
	Store blob.Store
	// Spoil changes what is stored under a digest behind the store's back.
	Spoil func(t *testing.T, digest string, to []byte)
}

// Run holds stores of one kind to all promises.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Subject)
	}{
		{"add and read", testAdd},
		{"what may not be kept leaves nothing", testRefused},
		{"unknown digests", testUnknown},
		{"spoilt packages are noticed and healed", testSpoilt},
		{"delete and list", testDelete},
		{"sweep", testSweep},
		{"many at once", testTogether},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Zip makes a zip of files: name, content, name, content ...
func Zip(t testing.TB, namesAndContents ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for pair := range slices.Chunk(namesAndContents, 2) {
		f, err := w.Create(pair[0])
		require.NoError(t, err)
		_, err = io.WriteString(f, pair[1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func digest(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}

func read(t *testing.T, s blob.Store, digest string) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), digest)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	return io.ReadAll(r)
}

func list(t *testing.T, s blob.Store) []string {
	t.Helper()
	var all []string
	for info, err := range s.List(t.Context()) {
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), info.Added, time.Minute)
		require.Positive(t, info.Size)
		all = append(all, info.Digest)
	}
	slices.Sort(all)
	return all
}

func testAdd(t *testing.T, s Subject) {
	for _, c := range []struct {
		data   []byte
		source bool
	}{
		{[]byte("def handler(event, context): pass\n"), true},
		{[]byte{0}, true},
		{Zip(t, "index.py", "pass"), false},
		{Zip(t), false},
		{bytes.Repeat([]byte("long "), 1<<20), true},
	} {
		for range 2 { // adding again changes nothing
			pkg, err := s.Store.Add(t.Context(), c.data)
			require.NoError(t, err)
			require.Equal(t, faas.Package{Digest: digest(c.data), Size: int64(len(c.data)), Source: c.source}, pkg)
			got, err := read(t, s.Store, pkg.Digest)
			require.NoError(t, err)
			require.True(t, bytes.Equal(c.data, got))
		}
	}
	require.Len(t, list(t, s.Store), 5)
}

func testRefused(t *testing.T, s Subject) {
	for _, data := range [][]byte{nil, []byte("PK\x03\x04 cut short"), Zip(t, "../up", "x")} {
		_, err := s.Store.Add(t.Context(), data)
		var e *faas.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, faas.CodeInvalid, e.Code)
		require.Equal(t, "func_code", e.Field)
	}
	_, err := s.Store.Add(t.Context(), make([]byte, faas.MaxPulledBytes+1))
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
	require.Empty(t, list(t, s.Store))
}

func testUnknown(t *testing.T, s Subject) {
	for _, unknown := range []string{"", "ab", "../../etc/passwd", digest(nil), strings.ToUpper(digest([]byte("x"))), strings.Repeat("/", 128)} {
		_, err := s.Store.Open(t.Context(), unknown)
		var e *faas.Error
		require.ErrorAs(t, err, &e, unknown)
		require.Equal(t, faas.CodeNotFound, e.Code)
		require.Equal(t, "package", e.Field)
		require.NoError(t, s.Store.Delete(t.Context(), unknown))
	}
}

func testSpoilt(t *testing.T, s Subject) {
	data := []byte("the code as it was added")
	pkg, err := s.Store.Add(t.Context(), data)
	require.NoError(t, err)
	for _, spoilt := range []string{"the code as it was changed", "the code", "the code as it was added and more", ""} {
		s.Spoil(t, pkg.Digest, []byte(spoilt))
		_, err = read(t, s.Store, pkg.Digest)
		require.ErrorIs(t, err, blob.ErrCorrupt, spoilt)
		_, err = s.Store.Add(t.Context(), data)
		require.NoError(t, err)
		got, err := read(t, s.Store, pkg.Digest)
		require.NoError(t, err)
		require.Equal(t, data, got)
	}
}

func testDelete(t *testing.T, s Subject) {
	one, err := s.Store.Add(t.Context(), []byte("one"))
	require.NoError(t, err)
	two, err := s.Store.Add(t.Context(), []byte("two"))
	require.NoError(t, err)
	want := []string{one.Digest, two.Digest}
	slices.Sort(want)
	require.Equal(t, want, list(t, s.Store))

	r, err := s.Store.Open(t.Context(), one.Digest)
	require.NoError(t, err)
	require.NoError(t, s.Store.Delete(t.Context(), one.Digest))
	got, err := io.ReadAll(r) // who has it open reads on
	require.NoError(t, err)
	require.Equal(t, "one", string(got))
	require.NoError(t, r.Close())
	require.Equal(t, []string{two.Digest}, list(t, s.Store))
	_, err = s.Store.Open(t.Context(), one.Digest)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
	for _, err := range s.Store.List(t.Context()) {
		require.NoError(t, err)
		break // a listing may be left early
	}
}

func testSweep(t *testing.T, s Subject) {
	kept, err := s.Store.Add(t.Context(), []byte("kept"))
	require.NoError(t, err)
	loose, err := s.Store.Add(t.Context(), []byte("loose"))
	require.NoError(t, err)
	all := list(t, s.Store)
	keep := func(digest string) (bool, error) { return digest == kept.Digest, nil }

	n, err := s.Store.Sweep(t.Context(), keep, time.Hour)
	require.NoError(t, err)
	require.Zero(t, n, "both are too young")
	unsure := errors.New("the database is away")
	n, err = s.Store.Sweep(t.Context(), func(string) (bool, error) { return false, unsure }, 0)
	require.ErrorIs(t, err, unsure)
	require.Zero(t, n)
	require.Equal(t, all, list(t, s.Store))

	n, err = s.Store.Sweep(t.Context(), func(digest string) (bool, error) { // added again after it was asked about
		_, err := s.Store.Add(t.Context(), []byte("loose"))
		return digest == kept.Digest, err
	}, 0)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, all, list(t, s.Store))

	n, err = s.Store.Sweep(t.Context(), keep, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{kept.Digest}, list(t, s.Store))
	_, err = s.Store.Open(t.Context(), loose.Digest)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
}

func testTogether(t *testing.T, s Subject) {
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			data := bytes.Repeat([]byte{byte('a' + i%3)}, 100_000)
			for range 4 {
				pkg, err := s.Store.Add(t.Context(), data)
				if err == nil && pkg.Digest != digest(data) {
					err = errors.New("wrong digest")
				}
				if err != nil {
					t.Error(err)
				}
				if i == 0 {
					_, err = s.Store.Sweep(t.Context(), func(string) (bool, error) { return false, nil }, time.Hour)
				} else if r, opening := s.Store.Open(t.Context(), pkg.Digest); opening != nil {
					err = opening
				} else {
					_, err = io.Copy(io.Discard, r)
					err = errors.Join(err, r.Close())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	require.Len(t, list(t, s.Store), 3)
}
