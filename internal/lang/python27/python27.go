// Package python27 runs functions written in Python 2.7: by python2.7 or PyPy where the host has one, else by Jython, which
// is what Debian still carries.
//
// It is a language of its own, since no text of a worker is good in both Pythons. It must not know how a process is isolated.
package python27

import (
	"context"
	"embed"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed worker.py
var bootstrap embed.FS

var binary = regexp.MustCompile(`^(python2(\.7)?|pypy(2(\.7)?)?)$`)

// jython is where Debian's package of that name has its archive.
const jython = "/usr/share/java/jython.jar"

// Language is Python 2.7 with FunctionGraph's contract (reference 5.2). java finds the Javas that can run Jython.
func Language(java func(ctx context.Context, dirs []string) []lang.Install) *lang.Language {
	return &lang.Language{
		ID:           "python27",
		Title:        "Python",
		Prefix:       "Python",
		Versions:     []string{"2.7"},
		Oldest:       "2.7",
		Debian:       func(string) string { return "jython" },
		Find:         func(ctx context.Context, dirs []string) []lang.Install { return find(ctx, dirs, java) },
		Command:      command,
		Bootstrap:    bootstrap,
		CheckHandler: lang.CheckModuleHandler,
		SourceFile:   sourceFile,
	}
}

// find prefers an interpreter in C. Jython runs on the oldest Java of the host, which is nearest to those it was made for.
func find(ctx context.Context, dirs []string, java func(context.Context, []string) []lang.Install) []lang.Install {
	found := lang.FindInterpreters(ctx, dirs, binary, "2.7", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.prefix)")
	if len(found) > 0 {
		return found
	}
	archive, err := filepath.EvalSymlinks(jython)
	if err != nil {
		return nil
	}
	javas := java(ctx, dirs)
	if len(javas) == 0 {
		return nil
	}
	in := javas[len(javas)-1]
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(archive), "jython-"), ".jar")
	if !strings.HasPrefix(version, "2.7") {
		return nil
	}
	return []lang.Install{{Path: in.Path, Version: version, Title: "Jython", Roots: in.Roots}}
}

// command starts Jython like a function in Java, but for its own access to the descriptor that it inherits.
func command(in lang.Install, dir string) []string {
	worker := path.Join(dir, "worker.py")
	if in.Title == "" {
		return []string{in.Path, "-B", worker}
	}
	args := []string{in.Path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData", "-Xms32m", "-Xmn16m", "-Xmx10g",
		"-XX:MinHeapFreeRatio=10", "-XX:MaxHeapFreeRatio=30", "-Xss2m", "-Dfile.encoding=UTF-8"}
	if modular(in.Path) {
		args = append(args, "--add-opens=java.base/java.io=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED")
	}
	return append(args, "-Dpython.home=/usr/share/jython", "-Dpython.cachedir.skip=true", "-Dpython.import.site=false",
		"-Dpython.console.encoding=UTF-8", "-jar", jython, "-B", worker)
}

// modular tells whether a Java has modules, as all have from 9 on.
func modular(program string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", "modules"))
	return err == nil
}

func sourceFile(handler string) string {
	file, _ := lang.SplitHandler(handler)
	return strings.ReplaceAll(file, ".", "/") + ".py"
}
