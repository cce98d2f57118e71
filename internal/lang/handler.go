package lang

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// A file, or a path to one, and a name in it. Patterns are compiled when they are wanted: a worker that imports this package has
// no use for them, and they are half a megabyte. No part of the path begins with a dot, so none leads out.
var moduleHandler = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[\p{L}\p{N}_-]+([./][\p{L}\p{N}_-]+)*\.[\p{L}_$][\p{L}\p{N}_$]*$`)
})

// CheckModuleHandler serves Language.CheckHandler where a handler is "file.function", "folder/file.function" or
// "package.module.function", of 3 to 128 characters (FunctionGraph reference 1.17). Error: faas.CodeInvalid, field as given.
func CheckModuleHandler(field, handler string) error {
	if n := utf8.RuneCountInString(handler); n < 3 || n > 128 || !moduleHandler().MatchString(handler) {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.140q must be 3 to 128 characters that name a file and a function in it, such as index.handler or src/index.handler", field, handler)
	}
	return nil
}

// SplitHandler cuts a handler that passed CheckModuleHandler into the file, without its ending, and the function.
func SplitHandler(handler string) (file, function string) {
	i := strings.LastIndexByte(handler, '.')
	return handler[:i], handler[i+1:]
}
