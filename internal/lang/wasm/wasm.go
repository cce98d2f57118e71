// Package wasm runs WebAssembly modules that are WASI commands (preview 1), each call in a fresh instance.
//
// It names the worker, a program of this project that `make build` puts into workerbin. It must not know how a process is isolated, nor
// anything of the engine that the worker uses but its version.
package wasm

import (
	"context"
	"embed"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed workerbin
var files embed.FS

// engineVersion is that of github.com/tetratelabs/wazero in the worker.
const engineVersion = "1.12.0"

// program is the worker among the bootstrap files.
const program = "hanshu-wasm-" + runtime.GOARCH

// Language is WebAssembly. Its contract is this project's own: docs/WASM.md.
func Language() *lang.Language {
	bootstrap, err := fs.Sub(files, "workerbin")
	if err != nil {
		panic(err) // never: the folder is embedded
	}
	return &lang.Language{
		ID:           "wasm",
		Title:        "WebAssembly",
		Names:        []string{"WASM"},
		Debian:       func(string) string { return "a hanshu that was built with `make build`" },
		Find:         func(context.Context, []string) []lang.Install { return find(bootstrap) },
		Command:      func(_ lang.Install, dir string) []string { return []string{path.Join(dir, program)} },
		Bootstrap:    bootstrap,
		CheckHandler: checkHandler,
		SourceFile:   func(handler string) string { return handler },
		Compiles:     true,
	}
}

// find gives the one install there is, where the server was built with its worker.
func find(bootstrap fs.FS) []lang.Install {
	if _, err := fs.Stat(bootstrap, program); err != nil {
		return nil
	}
	return []lang.Install{{Path: "built in", Version: engineVersion}}
}

// A path of plain names that ends with .wasm. No part begins with a dot, so none leads out.
var modulePath = regexp.MustCompile(`^[\p{L}\p{N}_-][\p{L}\p{N}_.-]*(/[\p{L}\p{N}_-][\p{L}\p{N}_.-]*)*\.wasm$`)

// checkHandler wants the path of the module in the package, 6 to 128 characters.
func checkHandler(field, handler string) error {
	if field != "handler" {
		return faas.Errorf(faas.CodeInvalid, field, "%s must be empty: a WASM function has none, since each call gets a fresh instance", field)
	}
	if utf8.RuneCountInString(handler) > 128 || !modulePath.MatchString(handler) {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.140q must be the path of the module in the package, such as main.wasm, of at most 128 characters", field, handler)
	}
	return nil
}
