package auth

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sealer seals secrets with the server's key: XChaCha20-Poly1305, the label as associated data.
type Sealer struct {
	aead cipher.AEAD
	key  []byte
}

// sealVersion is the first byte of all that is sealed.
const sealVersion = 1

var errSealed = errors.New("sealed data does not open: it was changed, is for something else, or another key sealed it")

// NewSealer reads the server's key. When the file does not exist and mayCreate is set, it makes one: 32 random bytes, mode
// 0600, on disk before NewSealer returns. mayCreate is for a server without data only: a new key opens nothing that is
// stored already.
func NewSealer(keyFile string, mayCreate bool) (*Sealer, error) {
	key, err := readKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if !mayCreate {
			return nil, fmt.Errorf("the key file %s is missing; the stored secrets open with no other key: put it back from a backup", keyFile)
		}
		key, err = createKey(keyFile)
	}
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", keyFile, err)
	}
	return &Sealer{aead, key}, nil
}

func readKey(keyFile string) ([]byte, error) {
	f, err := os.Open(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("key file: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("key file %s is not a regular file", keyFile)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("key file %s can be used by other users (mode %04o); run: chmod 600 %s", keyFile, info.Mode().Perm(), keyFile)
	case info.Size() != chacha20poly1305.KeySize:
		return nil, fmt.Errorf("key file %s has %d bytes instead of %d; put it back from a backup", keyFile, info.Size(), chacha20poly1305.KeySize)
	}
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := io.ReadFull(f, key); err != nil {
		return nil, fmt.Errorf("key file %s: %w", keyFile, err)
	}
	return key, nil
}

// createKey writes beside and links, so that no half key is ever seen and no key is ever replaced.
func createKey(keyFile string) ([]byte, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	dir := filepath.Dir(keyFile)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("make the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the key file: %w", err)
	}
	if err := os.Link(f.Name(), keyFile); err != nil {
		return nil, fmt.Errorf("make the key file: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("sync the key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return nil, fmt.Errorf("sync the key file: %w", err)
	}
	return key, nil
}

// Derive gives a key of 32 bytes for a purpose, always the same. It tells nothing of the server's key or of other purposes.
func (s *Sealer) Derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, s.key, nil, "hanshu "+purpose, 32)
}

// Seal gives plain sealed for a label: version, nonce, ciphertext.
func (s *Sealer) Seal(label string, plain []byte) []byte {
	head := 1 + s.aead.NonceSize()
	out := make([]byte, head, head+len(plain)+s.aead.Overhead())
	out[0] = sealVersion
	rand.Read(out[1:]) // never fails
	return s.aead.Seal(out, out[1:head], plain, []byte(label))
}

// Open gives back what Seal was given with the same label.
func (s *Sealer) Open(label string, sealed []byte) ([]byte, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, errSealed
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], []byte(label))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
