package main

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// chunk is the most that one answer carries of what was compiled, in bytes.
const chunk = 8 << 20

// compile judges the module as a load would, and keeps what the engine made of it as an archive.
func (m *module) compile(l *lang.Load, code []byte) *lang.Failure {
	broken := func(err error) *lang.Failure {
		return &lang.Failure{Type: "EngineError", Message: "what was compiled cannot be kept: " + err.Error()}
	}
	dir, err := os.MkdirTemp("", "compiled-")
	if err != nil {
		return broken(err)
	}
	defer os.RemoveAll(dir)
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return broken(err)
	}
	if failure := m.build(l, code, cache); failure != nil {
		return failure
	}
	if err := cache.Close(context.Background()); err != nil {
		return broken(err)
	}
	m.archive = &bytes.Buffer{}
	if err := pack(m.archive, dir); err != nil {
		return broken(err)
	}
	return nil
}

func pack(to *bytes.Buffer, dir string) error {
	w := tar.NewWriter(to)
	if err := w.AddFS(os.DirFS(filepath.Clean(dir))); err != nil {
		return err
	}
	return w.Close()
}

// next gives the next piece of the archive, and nothing when all has been given.
func (m *module) next() []byte { return m.archive.Next(chunk) }
