package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
name, package, description, runtime, handler, initializer_handler, initializer_timeout, memory_size, timeout, user_data,
dependencies, egress, isolation. It changes nothing that is there. Without --runtime it takes the newest Python that the server
has, or this machine where no server can be asked.` + exitHelp(exitOK, exitUsage, exitServer),
		Example: `  hanshu new hello
  hanshu new hello --runtime Node.js18.15
  hanshu new site --runtime http`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return runNew(cmd.Context(), c, args[0], runtime) },
	}
	cmd.Flags().StringVar(&runtime, "runtime", "", "runtime such as Python3.9, Node.js18.15, PHP8.3, Java17, Go1.x, Custom or http; 'hanshu runtimes' lists them")
	return cmd
}

// language is what deploy and new know of a language: how to begin, and how to recognise it.
type language struct{ prefix, ending string }

func languages() []language {
	return []language{{"Python", ".py"}, {"Node.js", ".js"}, {"PHP", ".php"}, {javaPrefix, ".java"}, {runtimeWASM, ".wasm"}}
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

// javaPrefix begins the names of the runtimes whose functions are compiled before they are sent.
const javaPrefix = "Java"

// example is what new lays into a folder.
type example struct {
	source  string // as it is named among the examples
	path    string // where it goes
	handler string
	ignore  string // what deploy is to leave out; "" for nothing
	module  string // of a Go program: its go.mod; "" for none
	next    func(folder, runtime string) string
}

func (c *cli) example(l language) example {
	if l.prefix == javaPrefix {
		return example{source: "Hello.java", path: "src/example/Hello.java", handler: "example.Hello.handle", ignore: "src/\n", next: func(folder, runtime string) string {
			release := strings.TrimPrefix(runtime, javaPrefix)
			return fmt.Sprintf("javac --release %s -d %s %s && %s", release, quote(folder), quote(filepath.Join(folder, "src/example/Hello.java")), c.self("deploy", folder))
		}}
	}
	return example{source: "index" + l.ending, path: "index" + l.ending, handler: "index.handler", next: func(folder, _ string) string { return c.self("deploy", folder) }}
}

// bootstrapName is the executable of a function that brings its runtime.
const bootstrapName = "bootstrap"

// executable gives the example of a runtime that takes executables; one without a source for any other.
func (c *cli) executable(runtime string) example {
	deploy := func(folder, _ string) string { return c.self("deploy", folder) }
	switch runtime {
	case "Custom", "http":
		return example{source: strings.ToLower(runtime) + "/" + bootstrapName, path: bootstrapName, handler: bootstrapName, next: deploy}
	case "Go1.x":
		return example{
			source: "golang/main.go", path: "main.go", handler: "main", ignore: "*.go\ngo.mod\n", module: "module function\n\ngo 1.21\n",
			next: func(folder, runtime string) string {
				return "(cd " + quote(folder) + " && CGO_ENABLED=0 GOOS=linux go build -o main .) && " + deploy(folder, runtime)
			},
		}
	}
	return example{}
}

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
	ex := c.executable(runtime)
	for _, l := range languages() {
		if _, ok := runtimeVersion(runtime, l.prefix); ok {
			ex = c.example(l)
		}
	}
	if ex.source == "" {
		return usagef("there is no example for runtime %.60q; take one of Python, Node.js, PHP, Java, Go1.x, Custom or http", runtime)
	}
	files, err := writeExample(name, runtime, ex)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]any{"name": name, "folder": name, "runtime": runtime, "files": files})
		return nil
	}
	c.printf("Made %s for %s.\nNext: %s\n", strings.Join(files, " and "), runtime, ex.next(name, runtime))
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

// writeExample makes the folder and its files, and leaves nothing behind when it cannot.
func writeExample(folder, runtime string, ex example) ([]string, error) {
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, usagef("%s is there already, and is left as it is", folder)
		}
		return nil, err
	}
	files, err := fillExample(folder, runtime, ex)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return files, nil
}

func fillExample(folder, runtime string, ex example) ([]string, error) {
	code, err := examples.ReadFile("examples/" + ex.source)
	if err != nil {
		return nil, err
	}
	described, err := json.MarshalIndent(manifest{
		Name: folder, Runtime: runtime, Handler: ex.handler, MemorySize: defaultMemory, Timeout: defaultTimeout,
		UserData: map[string]string{"GREETING": "Hello"},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	files := []string{filepath.Join(folder, ex.path), filepath.Join(folder, manifestName)}
	texts := [][]byte{code, append(described, '\n')}
	if ex.ignore != "" {
		files, texts = append(files, filepath.Join(folder, ignoreName)), append(texts, []byte(ex.ignore))
	}
	if ex.module != "" {
		files, texts = append(files, filepath.Join(folder, "go.mod")), append(texts, []byte(ex.module))
	}
	for i, text := range texts {
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(text, []byte("#!")) {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(files[i]), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(files[i], text, mode); err != nil {
			return nil, err
		}
	}
	return files, nil
}
