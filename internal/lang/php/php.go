// Package php runs functions written in PHP.
//
// It says which interpreters serve them and carries the bootstrap, worker.php. It must not know how a process is isolated.
package php

import (
	"context"
	"embed"
	"path"
	"regexp"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

//go:embed worker.php
var bootstrap embed.FS

var binary = regexp.MustCompile(`^php([0-9.]*)?$`)

// oldest is the first version that worker.php runs on.
const oldest = "7.3"

// Language is PHP with FunctionGraph's contract (reference 5.2).
func Language() *lang.Language {
	return &lang.Language{
		ID:           "php",
		Title:        "PHP",
		Prefix:       "PHP",
		Versions:     []string{"7.3", "8.3"},
		Oldest:       oldest,
		Debian:       debian,
		Find:         find,
		Command:      command,
		Bootstrap:    bootstrap,
		CheckHandler: lang.CheckModuleHandler,
		SourceFile:   sourceFile,
		Hooks:        true,
	}
}

// debian names the package. Debian carries one version of it at a time, and that is an 8 by now.
func debian(version string) string {
	if strings.HasPrefix(version, "7.") {
		return "php-cli (version 7)"
	}
	return "php-cli"
}

// ask prints, below version and prefix, the folders of the files that switch the installed extensions on. On Debian they are
// links from one folder into another, in /etc. A folder with anything else in it than such files is kept from functions.
const ask = `echo PHP_VERSION, "\n", dirname(PHP_BINARY, 2);
$dirs = [];
foreach (array_filter(array_map("trim", explode(",", (string)php_ini_scanned_files()))) as $file) {
	$dirs[dirname($file)] = $dirs[dirname(realpath($file))] = true;
}
foreach ($dirs as $dir => $_) {
	if (!preg_grep('/^\.+$|\.ini$/', scandir($dir), PREG_GREP_INVERT)) echo "\n", $dir;
}`

// find asks programs that are PHP for the command line; php-cgi and php-fpm have other names.
// A broken extension must not put its warning before the version.
func find(ctx context.Context, dirs []string) []lang.Install {
	return lang.FindInterpreters(ctx, dirs, binary, oldest, "-d", "display_startup_errors=0", "-d", "display_errors=0", "-r", ask)
}

// command loads the extensions that the host has installed and switched on, but not its php.ini (-c), which belongs to the
// host's own programs. The sandbox limits memory, and the server time. Messages of PHP go to the log by way of worker.php, so
// PHP prints none; output goes out at once, and stays harmless when the function has closed it.
func command(in lang.Install, dir string) []string {
	args := []string{in.Path, "-c", "/dev/null"}
	for _, setting := range []string{
		"memory_limit=-1", "max_execution_time=0", "display_errors=0", "display_startup_errors=0", "log_errors=0", "html_errors=0",
		"output_buffering=0", "implicit_flush=1", "ignore_user_abort=1", "auto_prepend_file=", "auto_append_file=",
	} {
		args = append(args, "-d", setting)
	}
	return append(args, path.Join(dir, "worker.php"))
}

func sourceFile(handler string) string {
	file, _ := lang.SplitHandler(handler)
	return file + ".php"
}
