// Package golang runs functions that are executables built with FunctionGraph's Go library, unchanged (reference 5.3). The
// handler is the name of the executable. Plugins (Go1.8) are not served: a plugin fits only the very toolchain and packages
// that its host was built with.
//
// The worker is the adaptor for net/rpc. It must not know how a process is isolated.
package golang

import (
	"io/fs"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/golang/gorpc"
)

// Language is FunctionGraph's runtime Go1.x. files holds the adaptor; nil where this program was built without it.
func Language(files fs.FS) *lang.Language {
	return &lang.Language{
		ID:           "golang",
		Title:        "Go",
		Names:        []string{"Go1.x"},
		Debian:       func(string) string { return "a hanshu that was built by `make build`" },
		Find:         lang.FindBuiltin(files),
		Command:      lang.AdaptorCommand(),
		Bootstrap:    files,
		CheckHandler: lang.CheckExecutable,
		SourceFile:   func(handler string) string { return handler },
		Concurrent:   true,
		Wire:         gorpc.New,
	}
}
