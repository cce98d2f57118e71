package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file is one source file of the repository.
type file struct {
	path  string // slash-separated, from the root of the repository
	text  string
	fset  *token.FileSet
	ast   *ast.File // nil for a file that is not Go
	lines int
}

// skipped folders hold nothing that is written here.
var skipped = []string{"node_modules", "testdata", "bin", "dist"}

// sources are the endings of files that are held to the rules for text.
var sources = []string{".go", ".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".css", ".sql", ".sh", ".java", ".php"}

// loadTree reads every source file of the repository, whatever its build tags.
func loadTree(t *testing.T) []*file {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	var files []*file
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && rel != "."
			if hidden || rel == "data" || slices.Contains(skipped, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains(sources, path.Ext(rel)) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parse(rel, string(text))
		files = append(files, f)
		return err
	})
	require.NoError(t, err)
	require.Greater(t, len(files), 10, "the tree was not found")
	return files
}

// parse makes a file of its path and text.
func parse(path, text string) (*file, error) {
	f := &file{path: path, text: text, lines: strings.Count(text, "\n")}
	if !strings.HasSuffix(path, ".go") {
		return f, nil
	}
	f.fset = token.NewFileSet()
	var err error
	f.ast, err = parser.ParseFile(f.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

// pkg is the folder of the file.
func (f *file) pkg() string { return path.Dir(f.path) }

// test tells whether the file is compiled for tests only.
func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// outside tells whether the file belongs to what looks at the product from outside.
func (f *file) outside() bool { return in(f.path, "test", "bench") }

// command tells whether the file belongs to a program.
func (f *file) command() bool { return f.ast != nil && f.ast.Name.Name == "main" }

// generated tells whether a tool wrote the file.
func (f *file) generated() bool {
	if f.ast != nil {
		return ast.IsGenerated(f.ast)
	}
	return strings.Contains(f.text[:min(len(f.text), 500)], "Code generated")
}

// imports gives the paths that the file imports.
func (f *file) imports() []string {
	if f.ast == nil {
		return nil
	}
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// line gives the line of a position.
func (f *file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// in tells whether name is one of the folders or stands below one.
func in(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(d string) bool { return name == d || strings.HasPrefix(name, d+"/") })
}
