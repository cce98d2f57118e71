// Package httpfn runs functions that are web servers: an executable named bootstrap that listens on port 8000 of 127.0.0.1
// (FunctionGraph reference 5.5).
//
// The worker is the adaptor for HTTP, which hands out connections to that port. It must not know how a process is isolated,
// nor what is said over a connection.
package httpfn

import (
	"io/fs"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Port is where the function listens.
const Port = 8000

// Language is FunctionGraph's runtime http. files holds the adaptor; nil where this program was built without it.
func Language(files fs.FS) *lang.Language {
	return &lang.Language{
		ID:           "http",
		Title:        "HTTP",
		Names:        []string{"http"},
		Debian:       func(string) string { return "a hanshu that was built by `make build`" },
		Find:         lang.FindBuiltin(files),
		Command:      lang.AdaptorCommand("http", strconv.Itoa(Port)),
		HTTP:         true,
		Bootstrap:    files,
		CheckHandler: lang.CheckBootstrap,
		SourceFile:   func(string) string { return "bootstrap" },
	}
}
