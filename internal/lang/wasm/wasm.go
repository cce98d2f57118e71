// Package wasm runs WebAssembly modules that are WASI commands (preview 1), each call in a fresh instance.
//
// The worker is a program of this project, in the folder worker. This package must not know how a process is isolated, nor anything
// of the engine that the worker uses but its version.
package wasm

import (
	"context"
	"io/fs"
	"regexp"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// engineVersion is that of github.com/tetratelabs/wazero in the worker.
const engineVersion = "1.12.0"

// Language is WebAssembly. Its contract is this project's own: docs/WASM.md. files holds the worker; nil where this program was built
// without it.
func Language(files fs.FS) *lang.Language {
	return &lang.Language{
		ID:           "wasm",
		Title:        "WebAssembly",
		Names:        []string{"WASM"},
		Debian:       func(string) string { return "a hanshu that was built by `make build`" },
		Find:         func(context.Context, []string) []lang.Install { return find(files) },
		Command:      lang.AdaptorCommand(),
		Bootstrap:    files,
		CheckHandler: checkHandler,
		SourceFile:   func(handler string) string { return handler },
		Compiles:     true,
	}
}

// find gives the one install there is, with the version of the engine in it.
func find(files fs.FS) []lang.Install {
	if files == nil {
		return nil
	}
	return []lang.Install{{Path: "(built in)", Version: engineVersion}}
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
