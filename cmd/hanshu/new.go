package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed examples
var examples embed.FS

func newNewCommand(c *cli) *cobra.Command {
	var runtime string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "start a function: a folder with an example",
		Long: `New makes the folder NAME in the current folder, with an example function and hanshu.json, which describes it for deploy:
name, package, description, runtime, handler, initializer_handler, initializer_timeout, memory_size, timeout, user_data.
It changes nothing that is there. Without --runtime it takes the newest Python that the server has, or this machine where no server
can be asked.` + exitHelp(exitOK, exitUsage, exitServer),
		Example: `  hanshu new hello
  hanshu new hello --runtime Node.js18.15
  hanshu new site --runtime http`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return runNew(cmd.Context(), c, args[0], runtime) },
	}
	cmd.Flags().StringVar(&runtime, "runtime", "", "runtime such as Python3.9, Node.js18.15, PHP8.3, Go1.x, Custom or http; 'hanshu runtimes' lists them")
	return cmd
}

// language is what deploy and new know of a language: how to begin, and how to recognise it.
type language struct{ prefix, ending string }

func languages() []language {
	return []language{{"Python", ".py"}, {"Node.js", ".js"}, {"PHP", ".php"}, {runtimeWASM, ".wasm"}}
}

// runtimeWASM is a runtime without a version, whose handler is the file itself.
const runtimeWASM = "WASM"

// handler is what a function is called by whose code is a file, named without its ending.
func (l language) handler(file string) string {
	if l.prefix == runtimeWASM {
		return file + l.ending
	}
	return file + ".handler"
}

// example is how a function begins.
type example struct {
	from    string            // folder in examples; "" for that of the languages that take source
	files   []string          // to copy
	more    map[string]string // further files: name -> text
	handler string
	build   string // to be run in the folder before deploy; "" for nothing
}

// exampleOf finds the example for a runtime name.
func exampleOf(runtime string) (example, bool) {
	switch runtime {
	case "Custom", "http":
		return example{from: strings.ToLower(runtime) + "/", files: []string{bootstrapName}, handler: bootstrapName}, true
	case "Go1.x":
		return example{
			from: "golang/", files: []string{"main.go"}, handler: "main", build: "CGO_ENABLED=0 GOOS=linux go build -o main .",
			more: map[string]string{"go.mod": "module function\n\ngo 1.21\n", ignoreName: "*.go\ngo.mod\n"},
		}, true
	}
	for _, l := range languages() {
		if _, ok := runtimeVersion(runtime, l.prefix); ok {
			return example{files: []string{"index" + l.ending}, handler: "index.handler"}, true
		}
	}
	return example{}, false
}

// bootstrapName is the executable of a function that brings its runtime.
const bootstrapName = "bootstrap"

func runNew(ctx context.Context, c *cli, name, runtime string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if runtime == "" {
		var err error
		if runtime, err = c.defaultRuntime(ctx, "Python"); err != nil {
			return err
		}
	}
	e, ok := exampleOf(runtime)
	if !ok {
		return usagef("there is no example for runtime %.60q; take one of Python, Node.js, PHP, Go1.x, Custom or http", runtime)
	}
	files, err := e.write(name, runtime)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]any{"name": name, "folder": name, "runtime": runtime, "files": files})
		return nil
	}
	next := c.self("deploy", name)
	if e.build != "" {
		next = "(cd " + name + " && " + e.build + ") && " + next
	}
	c.printf("Made %s for %s.\nNext: %s\n", strings.Join(files, " and "), runtime, next)
	return nil
}

// defaultRuntime is the newest of a language that the server serves, or this machine where no server answers.
func (c *cli) defaultRuntime(ctx context.Context, prefix string) (string, error) {
	list, err := c.runtimes(ctx, false)
	if err != nil {
		if list, err = c.runtimes(ctx, true); err != nil {
			return "", err
		}
	}
	if name := newestRuntime(list, prefix); name != "" {
		return name, nil
	}
	return "", usagef("no %s was found; 'hanshu runtimes' says what to install", prefix)
}

// write makes the folder and its files, and leaves nothing behind when it cannot.
func (e example) write(folder, runtime string) ([]string, error) {
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, usagef("%s is there already, and is left as it is", folder)
		}
		return nil, err
	}
	files, err := e.fill(folder, runtime)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return files, nil
}

func (e example) fill(folder, runtime string) ([]string, error) {
	described, err := json.MarshalIndent(manifest{
		Name: folder, Runtime: runtime, Handler: e.handler, MemorySize: defaultMemory, Timeout: defaultTimeout,
		UserData: map[string]string{"GREETING": "Hello"},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	var files []string
	add := func(name, text string) error {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		files = append(files, filepath.Join(folder, name))
		return os.WriteFile(files[len(files)-1], []byte(text), mode)
	}
	for _, name := range e.files {
		code, err := examples.ReadFile("examples/" + e.from + name)
		if err == nil {
			err = add(name, string(code))
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.more)) {
		if err := add(name, e.more[name]); err != nil {
			return nil, err
		}
	}
	err = add(manifestName, string(described)+"\n")
	return files, err
}
