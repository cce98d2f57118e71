// Package custom runs functions that bring a runtime of their own: an executable named bootstrap that asks for requests by
// the runtime API (FunctionGraph reference 5.4).
//
// The worker is the adaptor for HTTP. It must not know how a process is isolated.
package custom

import (
	"io/fs"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Language is FunctionGraph's runtime Custom. files holds the adaptor; nil where this program was built without it.
func Language(files fs.FS) *lang.Language {
	return &lang.Language{
		ID:           "custom",
		Title:        "Custom",
		Names:        []string{"Custom"},
		Debian:       func(string) string { return "a hanshu that was built by `make build`" },
		Find:         lang.FindBuiltin(files),
		Command:      lang.AdaptorCommand("custom"),
		Bootstrap:    files,
		CheckHandler: lang.CheckBootstrap,
		SourceFile:   func(string) string { return "bootstrap" },
	}
}
