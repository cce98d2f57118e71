// Package python runs functions written in Python 3.
//
// It says which interpreters serve them and carries the bootstrap, worker.py. It must not know how a process is isolated.
package python

import (
	"context"
	"embed"
	"path"
	"regexp"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed worker.py logs.py rehearsal.py template.py shared.py gateway.py
var bootstrap embed.FS

var binary = regexp.MustCompile(`^python3(\.[0-9]+)?$`)

// oldest is the first version that worker.py runs on.
const oldest = "3.6"

// Language is Python 3 with FunctionGraph's contract (reference 5.2).
func Language() *lang.Language {
	return &lang.Language{
		ID:           "python",
		Title:        "Python",
		Prefix:       "Python",
		Versions:     []string{"3.6", "3.9", "3.10", "3.12"},
		Oldest:       oldest,
		Debian:       func(string) string { return "python3" },
		Find:         find,
		Command:      command,
		Template:     template,
		Env:          []string{"LANG=C.UTF-8"},
		Bootstrap:    bootstrap,
		CheckHandler: lang.CheckModuleHandler,
		SourceFile:   sourceFile,
		Concurrent:   true,
		Hooks:        true,
	}
}

func find(ctx context.Context, dirs []string) []lang.Install {
	return lang.FindInterpreters(ctx, dirs, binary, oldest,
		"-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.base_prefix)")
}

// command isolates the interpreter (-I) from PYTHON* variables, the home folder and the folder of the bootstrap, and
// writes no byte code (-B), since the code is read-only. The site module stays: functions may use what the host has installed.
// Output is not unbuffered (-u), which costs a system call for each piece of a print; worker.py flushes by line.
func command(in lang.Install, dir string) []string {
	return []string{in.Path, "-I", "-B", path.Join(dir, "worker.py")}
}

// template has worker.py wait to be copied, where the interpreter has what template.py needs.
func template(in lang.Install, dir string) []string {
	if !lang.AtLeast(in, "3.7") {
		return nil
	}
	return append(command(in, dir), "template")
}

func sourceFile(handler string) string {
	module, _ := lang.SplitHandler(handler)
	return strings.ReplaceAll(module, ".", "/") + ".py"
}
