// Package node runs functions written for Node.js.
//
// It says which interpreters serve them and carries the bootstrap, worker.js. It must not know how a process is isolated.
package node

import (
	"context"
	"embed"
	"path"
	"regexp"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed worker.js shared.js callback.js request.js
var bootstrap embed.FS

var binary = regexp.MustCompile(`^(node|nodejs)$`)

// oldest is the first version that worker.js runs on.
const oldest = "12.13"

// Language is Node.js with FunctionGraph's contract (reference 5.2).
func Language() *lang.Language {
	return &lang.Language{
		ID:           "node",
		Title:        "Node.js",
		Prefix:       "Node.js",
		Versions:     []string{"6.10", "8.10", "10.16", "12.13", "14.18", "16.17", "18.15", "20.15"},
		Oldest:       oldest,
		Debian:       debian,
		Find:         find,
		Command:      command,
		Bootstrap:    bootstrap,
		CheckHandler: lang.CheckModuleHandler,
		SourceFile:   sourceFile,
		Concurrent:   true,
		Hooks:        true,
	}
}

// debian names the package; Debian carries one version of it at a time, so the major is said too.
func debian(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return "nodejs (version " + major + ")"
}

func find(ctx context.Context, dirs []string) []lang.Install {
	return lang.FindInterpreters(ctx, dirs, binary, oldest,
		"-p", "process.versions.node + '\\n' + require('path').resolve(process.execPath, '../..')")
}

func command(in lang.Install, dir string) []string {
	return []string{in.Path, path.Join(dir, "worker.js")}
}

func sourceFile(handler string) string {
	file, _ := lang.SplitHandler(handler)
	return file + ".js"
}
