// Package java runs functions written in Java.
//
// It says which Java serves them and carries the worker, which is compiled by `make worker` from the folder of that name. It
// must not know how a process is isolated.
package java

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed all:dist
var built embed.FS

// Language is Java with FunctionGraph's contract (reference 5.2). Each Java runs what was compiled for an older one, so a
// newer one serves an older name.
func Language() *lang.Language {
	bootstrap, _ := fs.Sub(built, "dist") // a name that is there
	_, err := fs.Stat(bootstrap, "worker.jar")
	return language(bootstrap, err == nil)
}

func language(bootstrap fs.FS, complete bool) *lang.Language {
	l := &lang.Language{
		ID:           "java",
		Title:        "Java",
		Prefix:       "Java",
		Versions:     []string{"8", "11", "17", "21"},
		Majors:       true,
		Oldest:       "8",
		Debian:       debian,
		Find:         Find,
		Command:      command,
		Bootstrap:    bootstrap,
		Concurrent:   true,
		Hooks:        true,
		CheckHandler: checkHandler,
	}
	if !complete {
		l.Find = func(context.Context, []string) []lang.Install { return nil }
		l.Debian = func(string) string {
			return "default-jdk-headless and build hanshu again: this one was built where no Java compiler was"
		}
	}
	return l
}

func debian(version string) string { return "openjdk-" + version + "-jre-headless or a newer one" }

// heap is the largest that a heap may grow: the largest memory of a function. A worker starts before its function is known, so
// the limit of its group is what bounds it.
const heap = "-Xmx10g"

// command starts Java for a quick start and a small memory: the serial collector, the first compiler only, a heap that begins
// small, of which new objects get a fixed part, and that gives back early what it does not need. Measured, such a heap lets a
// function of 128 MB keep 60 MB of its own. The archive of the platform's classes lies where it was made for (Java 15 and newer; others
// ignore that): moved elsewhere, 8 MB of it are each process's own, and a start takes longer.
func command(in lang.Install, dir string) []string {
	return []string{
		in.Path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData", "-Xms16m", "-Xmn8m", heap,
		"-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0",
		"-XX:MinHeapFreeRatio=10", "-XX:MaxHeapFreeRatio=30", "-Dfile.encoding=UTF-8", "-Djava.io.tmpdir=/tmp",
		"-jar", path.Join(dir, "worker.jar"), path.Join(dir, "warm"),
	}
}

// A class with its package, and a method: Java's names, also of nested classes.
var handlerForm = regexp.MustCompile(`^[\p{L}_$][\p{L}\p{N}_$]*(\.[\p{L}_$][\p{L}\p{N}_$]*)+$`)

// checkHandler holds a handler to "package.Class.method" of 3 to 128 characters (FunctionGraph reference 1.17).
func checkHandler(field, handler string) error {
	if n := utf8.RuneCountInString(handler); n < 3 || n > 128 || !handlerForm.MatchString(handler) {
		return faas.Errorf(faas.CodeInvalid, field, "%s %.140q must be 3 to 128 characters that name a class and a method in it, such as com.example.Hello.handle", field, handler)
	}
	return nil
}

// askTimeout bounds one start of a Java that is asked for its version.
const askTimeout = 10 * time.Second

// version is how a Java names itself: "... JRE (17.0.15+6-Debian-1), built on ...", and Java 8 "JRE (1.8.0_392-b08) ...".
var version = regexp.MustCompile(`JRE \((?:1\.)?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:_([0-9]+))?`)

// Find looks for Java in folders of this host, and beside each that it finds in a folder of several, such as /usr/lib/jvm.
func Find(ctx context.Context, dirs []string) []lang.Install {
	seen := map[string]bool{}
	var found []lang.Install
	for i := 0; i < len(dirs); i++ { // it grows
		program, err := filepath.EvalSymlinks(filepath.Join(dirs[i], "java"))
		if err != nil || seen[program] || filepath.Base(program) != "java" {
			continue
		}
		seen[program] = true
		home := filepath.Dir(filepath.Dir(program))
		if filepath.Base(filepath.Dir(home)) == "jvm" {
			beside, _ := filepath.Glob(filepath.Join(filepath.Dir(home), "*", "bin")) // a good pattern
			dirs = append(slices.Clip(dirs), beside...)
		}
		if v := ask(ctx, program); v != "" {
			found = append(found, lang.Install{Path: program, Version: v, Roots: roots(home)})
		}
	}
	lang.SortInstalls(found)
	return found
}

// ask starts a Java once, in an empty environment, and gives its version, such as "17.0.15" or "8.0.392"; "" for what is none.
func ask(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-Xinternalversion")
	cmd.Env = []string{} // nil would hand on ours
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	m := version.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		return ""
	}
	numbers := []string{m[1], "0", "0"}
	if m[2] != "" {
		numbers[1] = m[2]
	}
	for _, patch := range m[3:] {
		if patch != "" && patch != "0" {
			numbers[2] = patch
		}
	}
	return strings.Join(numbers, ".")
}

// roots are the folders to show for a Java: its home where that is not below /usr, and its settings, which Debian keeps in
// /etc and links to.
func roots(home string) []string {
	var all []string
	if !strings.HasPrefix(home, "/usr/") {
		all = append(all, home)
	}
	for _, dir := range []string{"conf", "lib", "lib/security", "lib/amd64", "lib/aarch64"} {
		entries, _ := os.ReadDir(filepath.Join(home, dir)) // not every Java has each
		for _, e := range entries {
			target, err := filepath.EvalSymlinks(filepath.Join(home, dir, e.Name()))
			if err != nil {
				continue
			}
			if rest, ok := strings.CutPrefix(target, "/etc/java-"); ok {
				first, _, _ := strings.Cut(rest, "/")
				all = append(all, "/etc/java-"+first)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
