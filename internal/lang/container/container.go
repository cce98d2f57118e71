// Package container runs functions that are container images: a web server on port 8000 of 127.0.0.1 (FunctionGraph reference 5.6).
//
// The worker is the adaptor for HTTP, shown in the image's own root. It must not know how a process is isolated, nor where images
// come from.
package container

import (
	"io/fs"
	"strconv"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Port is where the image listens.
const Port = 8000

// Language is FunctionGraph's runtime for images. files holds the adaptor; nil where this program was built without it.
func Language(files fs.FS) *lang.Language {
	return &lang.Language{
		ID:           "image",
		Title:        "Container image",
		Names:        []string{faas.RuntimeImage},
		Debian:       func(string) string { return "a hanshu that was built by `make build`" },
		Find:         lang.FindBuiltin(files),
		Command:      lang.AdaptorCommand("image", strconv.Itoa(Port)),
		HTTP:         true,
		Bootstrap:    files,
		CheckHandler: checkHandler,
		SourceFile:   func(string) string { return "" }, // there is none
	}
}

// checkHandler wants "-" (FunctionGraph reference 1.17). The initializer of an image is POST /init, whatever its name says.
func checkHandler(field, handler string) error {
	switch {
	case field == "handler" && handler != "-":
		return faas.Errorf(faas.CodeInvalid, field, "handler %.140q must be - for the runtime %s", handler, faas.RuntimeImage)
	case utf8.RuneCountInString(handler) > 128:
		return faas.Errorf(faas.CodeInvalid, field, "%s is over 128 characters", field)
	}
	return nil
}
