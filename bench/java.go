package main

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed worker.java
var workerJava string

const sourceJava = "public class Echo { public Object handler(Object event) { return event; } }\n"

// javaLanguage compiles Java's programs into a folder. It gives none where there is no compiler.
func javaLanguage(ctx context.Context, dir string) ([]language, error) {
	compiler, err := exec.LookPath("javac")
	if err != nil {
		return nil, nil
	}
	var files []string
	for name, text := range map[string]string{"Floor.java": workerJava, "Echo.java": sourceJava} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if out, err := exec.CommandContext(ctx, compiler, append([]string{"-Xlint:-options", "--release", "8", "-d", dir}, files...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the programs in Java: %w: %s", err, out)
	}
	jar, err := zipOf(dir, "Echo.class")
	return []language{{
		Title: "Java", Command: "java", Prefix: "Java", Handler: "Echo.handler", Jar: jar,
		Floor: []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-opens=java.base/java.io=ALL-UNNAMED", "-cp", dir, "Floor"},
	}}, err
}

// zipOf packs one file of a folder.
func zipOf(dir, name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
