// Package archtest holds the rules of the house that a compiler does not: who may import whom, and what may stand where.
//
// It reads source text only. It must not know what any package does.
package archtest

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the path of this Go module.
const module = "github.com/hanshu-faas/hanshu"

// walls is the policy: a room, and the rooms it may import. A room is a folder under internal (all its subfolders
// included), or one of the folders beside internal. These rules hold beside the table:
//
//   - A package may import what stands above it in its own room (child -> its own parent) and its own pieces
//     (parent -> its own child, which Go allows only where the child does not know the parent). Siblings never meet, but in the package "all" of a room, its catalogue.
//   - "*" opens every room but cmd, bench and test.
//   - Test files may import any package but cmd, app, bench and their likes: a test works with real parts, and a real part
//     often stands in another room. What reaches users is held to the table.
var walls = map[string][]string{
	"cmd":   {"app", "config", "client"},
	"bench": {"*"},
	"test":  {"*"},

	"app":     {"*"},
	"client":  {},
	"config":  {},
	"web":     {},
	"console": {"httpkit", "web"},

	"api":     {"control", "invoke", "auth", "httpkit", "faas"},
	"gateway": {"control", "invoke", "auth", "httpkit", "faas"},
	"httpkit": {"faas"},

	"control":  {"faas", "lifecycle", "metrics", "schedule"},
	"invoke":   {"faas", "lifecycle", "metrics"},
	"queue":    {"faas", "lifecycle", "metrics"},
	"trigger":  {"faas", "lifecycle", "metrics", "schedule"},
	"workflow": {"faas", "lifecycle", "metrics"},
	"edge":     {"faas", "lifecycle", "metrics"},
	"record":   {"faas", "lifecycle", "metrics"},
	"audit":    {"faas", "lifecycle", "metrics"},
	"pool":     {"faas", "lifecycle", "metrics", "sandbox", "lang", "schedule"},

	"store":   {"faas"},
	"fetch":   {"faas"},
	"egress":  {"faas", "metrics"},
	"image":   {"faas"},
	"blob":    {"faas"},
	"sandbox": {"faas"},
	"lang":    {"faas"},
	"auth":    {"faas"},

	"templates": {"faas"},
	"schedule":  {},

	"faas":      {},
	"lifecycle": {},
	"metrics":   {},
}

// device are the rooms that the agent of gateways, which ties its own program, has in common with the server.
var device = []string{"blob", "lang", "pool", "sandbox"}

// notOnGateways are packages that the agent's program must do without: they are too large, or belong to a server.
var notOnGateways = []string{
	"database/sql", "modernc.org/", "github.com/jackc/", "github.com/pressly/", "html/template", "text/template",
	module + "/internal/store", module + "/internal/api", module + "/internal/app", module + "/internal/console", module + "/internal/control", module + "/internal/httpkit", module + "/web",
}

// TestGatewaysStaySmall looks at everything that is linked into the agent.
func TestGatewaysStaySmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/cmd/hanshu-edge").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	require.Contains(t, deps, module+"/internal/edge/agent")
	for _, dep := range deps {
		for _, forbidden := range notOnGateways {
			if dep == forbidden || strings.HasPrefix(dep, forbidden) && strings.Contains(forbidden, ".") { // uuid has a driver's interface
				t.Errorf("hanshu-edge links %s", dep)
			}
		}
	}
}

// isSuite tells of a package that only tests import: a conformance suite or a fake beside a contract. They may import what a
// test may.
func isSuite(pkg string) bool {
	last := pkg[strings.LastIndexByte(pkg, '/')+1:]
	return strings.HasPrefix(pkg, "internal/") && (strings.HasSuffix(last, "test") || last == "fake")
}

// ground rooms import the standard library only.
var ground = []string{"faas", "lifecycle"}

// room gives the room of a package path relative to the module.
func room(pkg string) string {
	first, rest, _ := strings.Cut(pkg, "/")
	if first == "internal" {
		first, _, _ = strings.Cut(rest, "/")
	}
	return first
}

// mayImport says why from may not import to (both relative to the module), or "" when it may.
func mayImport(from, to string, test bool) string {
	a, b := room(from), room(to)
	allowed, known := walls[a]
	switch {
	case !known:
		return fmt.Sprintf("room %q is not in the table of walls", a)
	case from == to:
		return ""
	case b == "cmd" || b == "bench":
		return "nothing imports commands"
	case b == "test":
		if a == "test" || a == "bench" || (to == "test/need" || under(to, "test/need")) && (test || isSuite(from)) {
			return ""
		}
		return "only tests of the whole import test, but for test/need"
	case isSuite(to) && !test && !isSuite(from):
		return "conformance suites and fakes are for tests"
	case under(from, to) || under(to, from):
		return ""
	case a != b && slices.Contains(allowed, "*"):
		return ""
	case from == "internal/sandbox/native/init" && (to == "internal/sandbox/native/initspec" || to == "internal/sandbox/native/tundev"):
		return "" // the init is a program of its own: this is the data that its driver hands it, and what both of them can do
	case from == "cmd/hanshu-edge" && to == "internal/edge/agent":
		return "" // the agent is a program of its own, and ties itself
	case from == "internal/edge/agent" && (slices.Contains(device, b) || to == "internal/lang/python"):
		return ""
	case to == "internal/edge/wire" && under(from, "internal/edge"):
		return "" // what the cloud and a gateway say to each other
	case a == b:
		if test || a == "app" || from == "internal/"+a+"/all" {
			return ""
		}
		return "siblings never import siblings"
	case test || isSuite(from):
		if b == "app" {
			return "only cmd and tests of the whole import app"
		}
		return ""
	case slices.Contains(allowed, b):
		return ""
	}
	return fmt.Sprintf("%s may import only %v", a, allowed)
}

// under tells whether child stands below parent.
func under(child, parent string) bool { return strings.HasPrefix(child, parent+"/") }

func TestImportWalls(t *testing.T) {
	for _, f := range loadTree(t) {
		for _, path := range f.imports() {
			rel, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				continue
			}
			if why := mayImport(f.pkg(), rel, f.test()); why != "" {
				t.Errorf("%s imports %s: %s", f.path, rel, why)
			}
		}
	}
}

func TestGroundStandsOnTheStandardLibrary(t *testing.T) {
	for _, f := range loadTree(t) {
		if f.test() || !strings.HasPrefix(f.path, "internal/") || !slices.Contains(ground, room(f.pkg())) {
			continue
		}
		for _, path := range f.imports() {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: %s stands on the standard library alone", f.path, path, room(f.pkg()))
			}
		}
	}
}

// TestPolicy shows that the walls stop what they must stop.
func TestPolicy(t *testing.T) {
	tests := []struct {
		from, to string
		test, ok bool
	}{
		{"cmd/hanshu", "internal/app", false, true},
		{"cmd/hanshu", "internal/store", false, false},
		{"cmd/hanshu", "client", false, true},
		{"client", "internal/faas", false, false},
		{"internal/app", "internal/api/functiongraph", false, true},
		{"internal/app", "internal/store/storetest", false, false},
		{"internal/app", "cmd/hanshu", false, false},
		{"internal/config", "internal/faas", false, false},
		{"internal/api/functiongraph", "internal/control", false, true},
		{"internal/api/functiongraph", "internal/store", false, false},
		{"internal/api/functiongraph", "internal/api/minapp", false, false},
		{"internal/control", "internal/faas", false, true},
		{"internal/control", "internal/invoke", false, false},
		{"internal/control", "internal/store", false, false},
		{"internal/invoke", "internal/record", false, false},
		{"internal/control", "internal/store", true, true},
		{"internal/control", "internal/app", true, false},
		{"internal/pool", "internal/sandbox", false, true},
		{"internal/pool", "internal/sandbox/native", true, true},
		{"internal/pool", "internal/store", false, false},
		{"internal/sandbox/native", "internal/sandbox", false, true},
		{"internal/sandbox/native", "internal/sandbox/none", false, false},
		{"internal/sandbox/native", "internal/lang", false, false},
		{"internal/lang/python", "internal/lang", false, true},
		{"internal/lang/python", "internal/lang/node", false, false},
		{"internal/lang/all", "internal/lang/node", false, true},
		{"internal/lang/all", "internal/sandbox", false, false},
		{"internal/store/storetest", "internal/control", false, true},
		{"internal/store", "internal/store/migrate", false, true},
		{"internal/edge/agent", "internal/edge/wire", false, true},
		{"internal/edge/agent", "internal/pool", false, true},
		{"internal/edge/agent", "internal/store", false, false},
		{"internal/edge/agent/bus", "internal/pool", false, false},
		{"internal/edge/agent/bus", "internal/edge/agent/kv", false, false},
		{"internal/edge", "internal/pool", false, false},
		{"cmd/hanshu-edge", "internal/edge/agent", false, true},
		{"cmd/hanshu", "internal/edge/agent", false, false},
		{"internal/app", "internal/edge/wire", false, true},
		{"internal/api/uiot", "internal/edge", false, false},
		{"internal/faas", "internal/lifecycle", false, false},
		{"internal/httpkit", "internal/auth", false, false},
		{"internal/newcomer", "internal/faas", false, false},
		{"test/seeds", "test/server", true, true},
		{"internal/app", "test/server", true, false},
		{"internal/store", "test/need", true, true},
		{"internal/store", "test/need", false, false},
	}
	for _, tt := range tests {
		why := mayImport(tt.from, tt.to, tt.test)
		require.Equal(t, tt.ok, why == "", "%s -> %s (test %v): %s", tt.from, tt.to, tt.test, why)
	}
}
