package auth

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestSealer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	_, err := NewSealer(file, false)
	require.ErrorContains(t, err, "is missing")
	s, err := NewSealer(file, true)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing but the key is left")

	sealed := s.Seal("a", []byte("secret"))
	require.NotContains(t, string(sealed), "secret")
	require.NotEqual(t, sealed, s.Seal("a", []byte("secret")))
	again, err := NewSealer(file, false)
	require.NoError(t, err)
	plain, err := again.Open("a", sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = s.Open("b", sealed)
	require.ErrorIs(t, err, errSealed)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err = s.Open("a", bad)
		require.ErrorIs(t, err, errSealed, i)
		_, err = s.Open("a", sealed[:i])
		require.ErrorIs(t, err, errSealed, i)
	}
}

func TestSealerRefusesKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, make([]byte, size), mode))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	for path, text := range map[string]string{
		write("group", 32, 0o640): "chmod 600", write("world", 32, 0o604): "chmod 600",
		write("short", 31, 0o600): "31 bytes", write("long", 33, 0o600): "33 bytes", write("empty", 0, 0o600): "0 bytes",
		dir: "not a regular file", filepath.Join(dir, "none", "key"): "make the key file",
	} {
		_, err := NewSealer(path, true)
		require.ErrorContains(t, err, text, path)
	}
}

func TestPasswords(t *testing.T) {
	p := newPasswords()
	phc, err := p.hash(t.Context(), "correct horse")
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, phc)
	for password, want := range map[string]bool{"correct horse": true, "correct hors": false, "": false} {
		ok, err := p.verify(t.Context(), phc, password)
		require.NoError(t, err)
		require.Equal(t, want, ok, password)
	}
	ok, err := p.verify(t.Context(), "", "")
	require.NoError(t, err)
	require.False(t, ok, "nobody has no password")
	for _, bad := range []string{"", strings.Repeat("x", maxPassword+1)} {
		_, err = p.hash(t.Context(), bad)
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
	}
	for _, bad := range []string{"x", "$argon2id$v=19$m=9999999,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), strings.Replace(phc, "t=2", "t=0", 1),
		strings.Replace(phc, "argon2id", "argon2i", 1), strings.Replace(phc, "p=1", "p=0", 1), phc[:len(phc)-30]} {
		_, err = p.verify(t.Context(), bad, "x")
		require.Equal(t, faas.CodeInternal, faas.CodeOf(err), bad)
	}
}

// The hash is of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24.
func TestPasswordHashOfOthers(t *testing.T) {
	ok, err := newPasswords().verify(t.Context(), "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password")
	require.NoError(t, err)
	require.True(t, ok)
}

func TestPasswordsAreBounded(t *testing.T) {
	p := newPasswords()
	p.slots = make(chan struct{}, 1)
	p.slots <- struct{}{} // all slots are taken
	ctx, cancel := context.WithCancel(t.Context())
	var waiters sync.WaitGroup
	for range hashQueue + 1 {
		waiters.Add(1)
		p.waiting.Add(1)
		go func() {
			defer waiters.Done()
			p.waiting.Add(-1)
			_, err := p.hash(ctx, "x")
			if code := faas.CodeOf(err); code != faas.CodeCancelled && code != faas.CodeOverload {
				t.Errorf("got %v", err)
			}
		}()
	}
	cancel()
	waiters.Wait()
	p.waiting.Store(hashQueue + 1)
	_, err := p.hash(t.Context(), "x")
	require.Equal(t, faas.CodeOverload, faas.CodeOf(err))
	require.EqualValues(t, hashQueue+1, p.waiting.Load())
}
