// Package compat holds docs/COMPATIBILITY.md to the code: what the page lists is what the server does.
//
// It must not know how a field is kept or an operation works.
package compat

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/api/minapp"
	"github.com/hanshu-faas/hanshu/internal/api/uiot"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// rows gives the rows of the first table behind a line that contains a text.
func rows(t *testing.T, page, behind string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(page, behind)
	require.True(t, ok, "the page has no %q", behind)
	var table [][]string
	for _, line := range strings.Split(rest, "\n") {
		switch {
		case strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "|---"):
			table = append(table, strings.Split(strings.Trim(line, "| "), " | "))
		case len(table) > 0 && !strings.HasPrefix(line, "|"):
			return table[1:] // without the heading
		}
	}
	return table[1:]
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/COMPATIBILITY.md")
	require.NoError(t, err)
	return string(text)
}

func TestKeptFields(t *testing.T) {
	listed := map[string]string{}
	for _, row := range rows(t, page(t), "stored and given back, and have no effect") {
		for _, name := range quoted.FindAllStringSubmatch(row[0], -1) {
			listed[name[1]] = row[1]
		}
	}
	kept := map[string]string{}
	for _, f := range functiongraph.CarriedFields() {
		kept[f.Name] = f.Reason
	}
	require.Equal(t, kept, listed)
}

func TestMinappOperations(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range rows(t, page(t), "## minapp's cloud functions") {
		for _, name := range regexp.MustCompile(`\b[A-Z][a-z]\w+\b`).FindAllString(row[0], -1) {
			listed[name] = true
		}
	}
	for _, route := range minapp.New(minapp.Config{}).Face().Routes {
		require.True(t, listed[route.Operation], "%s is not listed", route.Operation)
	}
}

func TestGatewayOperations(t *testing.T) {
	var table []string
	for _, row := range rows(t, page(t), "## UIoT Stack's functions on gateways") {
		for _, name := range quoted.FindAllStringSubmatch(row[0], -1) {
			table = append(table, name[1])
		}
	}
	listed := " " + strings.Join(table, " ") + " "
	for _, route := range uiot.New(uiot.Config{}).Face().Routes {
		path, ok := strings.CutPrefix(route.Path, "/api/v1/")
		if !ok {
			continue // the address of a package, which a list tells
		}
		_, word, _ := strings.Cut(path, "/")
		require.True(t, strings.Contains(listed, " "+path+" ") || strings.Contains(listed, " "+word+" "), "%s is not listed", path)
	}
}
