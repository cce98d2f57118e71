package lang

import (
	"context"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Adaptor is the name of the file, alone in its folder, that is the worker of functions which bring an executable of their own.
const Adaptor = "adaptor"

// FindBuiltin serves Language.Find where the worker is a part of this program: files is nil where it was built without it, or
// for a system that has no such worker.
func FindBuiltin(files fs.FS) func(context.Context, []string) []Install {
	return func(context.Context, []string) []Install {
		if files == nil {
			return nil
		}
		return []Install{{Path: "(built in)", Version: runtime.GOOS + "/" + runtime.GOARCH}}
	}
}

// AdaptorCommand serves Language.Command: it starts the adaptor with arguments.
func AdaptorCommand(args ...string) func(Install, string) []string {
	return func(_ Install, dir string) []string {
		return append([]string{path.Join(dir, Adaptor)}, args...)
	}
}

var executable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[\p{L}\p{N}_][\p{L}\p{N}_.+-]*(/[\p{L}\p{N}_][\p{L}\p{N}_.+-]*)*$`)
})

// CheckExecutable serves Language.CheckHandler where a handler names an executable in the package. Such a function has no
// initializer: what it does before it takes its first call is its own affair. Errors: faas.CodeInvalid, field as given.
func CheckExecutable(field, handler string) error {
	if field != "handler" {
		return faas.Errorf(faas.CodeInvalid, field, "%s cannot be given for this runtime: the executable initialises itself before it takes its first call", field)
	}
	if len(handler) > 128 || !executable().MatchString(handler) {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.140q must name the executable in the package, in at most 128 characters", field, handler)
	}
	return nil
}

// CheckBootstrap is CheckExecutable where the executable has a fixed name (FunctionGraph reference 1.17).
func CheckBootstrap(field, handler string) error {
	if err := CheckExecutable(field, handler); err != nil {
		return err
	}
	if handler != "bootstrap" {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.140q must be bootstrap for this runtime: that is the executable at the root of the package", field, strings.TrimSpace(handler))
	}
	return nil
}
