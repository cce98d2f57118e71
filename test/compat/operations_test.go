package compat

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

var update = flag.Bool("update", false, "write the table of operations in docs/COMPATIBILITY.md anew")

const (
	pagePath = "../../docs/COMPATIBILITY.md"
	begin    = "<!-- The table of operations is generated from the routes: `make docs`. -->\n"
	end      = "<!-- end of the table of operations -->\n"
)

// section is a part of the vendor's reference.
type section struct {
	title      string
	operations []string
}

// documented reads the operations that the vendor documents.
func documented(t *testing.T) []section {
	t.Helper()
	text, err := os.ReadFile("testdata/operations.txt")
	require.NoError(t, err)
	var all []section
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch title, ok := strings.CutPrefix(line, "## "); {
		case ok:
			all = append(all, section{title: title})
		case line != "" && !strings.HasPrefix(line, "#"):
			last := &all[len(all)-1]
			last.operations = append(last.operations, line)
		}
	}
	return all
}

func routes() map[string]httpkit.Route {
	found := map[string]httpkit.Route{}
	for _, r := range functiongraph.New(functiongraph.Config{}).Routes {
		if _, twice := found[r.Operation]; !twice { // an old path of the same operation comes second
			found[r.Operation] = r
		}
	}
	return found
}

func row(name string, r httpkit.Route, there bool) string {
	state := r.Note
	switch {
	case !there:
		return fmt.Sprintf("| %s | | not here yet |\n", name)
	case state == "":
		state = "works"
	case !strings.HasPrefix(state, "refused: "):
		state = "works: " + state
	}
	return fmt.Sprintf("| %s | %s `%s` | %s |\n", name, r.Method, strings.TrimPrefix(r.Path, "/v2/{project_id}"), state)
}

// table writes what stands between begin and end.
func table(t *testing.T) string {
	var b strings.Builder
	ours := routes()
	heading := func(title string) {
		fmt.Fprintf(&b, "\n### %s\n\n| operation | path | state |\n|---|---|---|\n", title)
	}
	var works, refused, absent int
	for _, s := range documented(t) {
		heading(s.title)
		for _, name := range s.operations {
			r, there := ours[name]
			b.WriteString(row(name, r, there))
			switch {
			case !there:
				absent++
			case strings.HasPrefix(r.Note, "refused: "):
				refused++
			default:
				works++
			}
			delete(ours, name)
		}
	}
	heading("Beyond the reference")
	for _, r := range functiongraph.New(functiongraph.Config{}).Routes {
		if _, left := ours[r.Operation]; left {
			b.WriteString(row(r.Operation, r, true))
			delete(ours, r.Operation)
		}
	}
	counts := fmt.Sprintf("\nOf the %d operations that the vendor documents %d work, %d are refused, %d are not here yet. Paths are below `/v2/{project_id}`.\n",
		works+refused+absent, works, refused, absent)
	return counts + b.String() + "\n"
}

// TestTableOfOperations holds the page to the routes. "go test -update" (make docs) writes the table anew.
func TestTableOfOperations(t *testing.T) {
	text := page(t)
	head, rest, ok := strings.Cut(text, begin)
	require.True(t, ok, "the page has no %q", begin)
	was, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "the page has no %q", end)
	is := table(t)
	if *update {
		require.NoError(t, os.WriteFile(pagePath, []byte(head+begin+is+end+tail), 0o644))
		return
	}
	require.Equal(t, is, was, "the page does not say what the routes do: run `make docs`")
}

// TestAllOperationsAreHere wants a route for each of the 92 operations, a refusal at the least.
func TestAllOperationsAreHere(t *testing.T) {
	ours, n := routes(), 0
	for _, s := range documented(t) {
		for _, name := range s.operations {
			n++
			if _, there := ours[name]; !there {
				t.Errorf("%s has no route", name)
			}
		}
	}
	require.Equal(t, 92, n)
	for _, r := range functiongraph.New(functiongraph.Config{}).Routes {
		require.NotContains(t, r.Note, "|", "%s: a note stands in a table", r.Operation)
		require.NotContains(t, r.Note, "\n", r.Operation)
	}
}

// TestNotesHaveRoutes finds notes on operations that are not there.
func TestNotesHaveRoutes(t *testing.T) {
	ours := routes()
	for _, name := range functiongraph.Noted() {
		_, there := ours[name]
		require.True(t, there, "%s has a note and no route", name)
	}
}
