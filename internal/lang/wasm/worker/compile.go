package main

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"

	"github.com/tetratelabs/wazero"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// chunk is the most that one answer carries of what was compiled, in bytes.
const chunk = 8 << 20

// compile judges the module as a load would, and keeps what the engine made of it.
func (m *module) compile(l *lang.Load, code []byte) *lang.Failure {
	broken := func(err error) *lang.Failure {
		return &lang.Failure{Type: "EngineError", Message: "what was compiled cannot be kept: " + err.Error()}
	}
	dir, err := os.MkdirTemp("", "compiled-")
	if err != nil {
		return broken(err)
	}
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
	r, w := io.Pipe()
	m.archive = r
	go func() { w.CloseWithError(pack(w, dir)) }() // ends with the archive, or with this process
	return nil
}

func pack(to io.Writer, dir string) error {
	defer os.RemoveAll(dir)
	w := tar.NewWriter(to)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return w.Close()
}

// next gives the next piece of the archive, and nothing when all has been given.
func (m *module) next() ([]byte, error) {
	piece := make([]byte, chunk)
	n, err := io.ReadFull(m.archive, piece)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return piece[:n], err
}
