// Package stories tells what users do with the real program, each story against a server of its own: the files in testdata.
//
// It must not know any package under internal.
package stories

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hanshu-faas/hanshu/test/server"
)

// patience bounds what a story waits for; it takes a fraction of that.
const patience = time.Minute

type testKey struct{}

func TestStories(t *testing.T) {
	binary := server.Binary(t)
	python, node := server.Runtime(t, "Python3", "Python3.9"), server.Runtime(t, "Node.js", "Node.js18.15")
	php := server.Runtime(t, "PHP8", "PHP8.3")
	goCache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			bin := filepath.Join(home, "bin")
			if err := os.MkdirAll(bin, 0o700); err != nil {
				return err
			}
			if err := os.Symlink(binary, filepath.Join(bin, "hanshu")); err != nil {
				return err
			}
			for _, pair := range [][2]string{
				{"HOME", home}, {"XDG_CONFIG_HOME", ""}, {"XDG_DATA_HOME", ""}, {"HANSHU_DATA_DIR", filepath.Join(home, "data")},
				{"PATH", bin + string(os.PathListSeparator) + env.Getenv("PATH")}, {"PYTHON", python}, {"NODE", node}, {"PHP", php},
				{"GOCACHE", strings.TrimSpace(string(goCache))},
			} {
				env.Setenv(pair[0], pair[1])
			}
			env.Values[testKey{}] = env.T()
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server": startServer, "exits": exits, "parses": parses, "follows": follows, "requests": requests,
		},
	})
}

// startServer is `server FLAGS...`: it starts one, and names its admin.json to the commands that follow.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: server FLAGS...")
	}
	s := server.Start(ts.Value(testKey{}).(testing.TB), args...)
	ts.Setenv("ENDPOINT", s.Endpoint)
	ts.Setenv("ADMIN_FILE", filepath.Join(s.DataDir, "admin.json"))
	ts.Setenv("HANSHU_ADMIN_FILE", filepath.Join(s.DataDir, "admin.json"))
}

// exits is `exits CODE COMMAND...`: the command ends with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// parses is `parses KEY...`: standard output is one JSON value; it, or the first element of it, has those keys.
func parses(ts *testscript.TestScript, neg bool, keys []string) {
	if neg {
		ts.Fatalf("usage: parses KEY...")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	if list, ok := value.([]any); ok && len(list) > 0 {
		value = list[0]
	}
	object, _ := value.(map[string]any)
	for _, key := range keys {
		if _, ok := object[key]; !ok {
			ts.Fatalf("no %q in %v", key, value)
		}
	}
}

// follows is `follows NAME TEXT COMMAND...`: `hanshu logs NAME -f`, once it has shown an earlier call, shows TEXT when COMMAND
// runs, and ends well when it is interrupted.
func follows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: follows NAME TEXT COMMAND...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(ts.Getenv("HOME"), "bin", "hanshu"), "logs", args[0], "-f")
	cmd.Env = append(slices.Clone(os.Environ()), "HANSHU_ADMIN_FILE="+ts.Getenv("HANSHU_ADMIN_FILE"), "HOME="+ts.Getenv("HOME"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		ts.Fatalf("logs -f ended before it showed the earlier call: %v", cmd.Wait())
	}
	ts.Check(ts.Exec(args[2], args[3:]...))
	seen := false
	for !seen && lines.Scan() {
		seen = strings.Contains(lines.Text(), args[1])
	}
	if !seen {
		ts.Fatalf("logs -f did not show %q: %v", args[1], cmd.Wait())
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	for lines.Scan() { // to the end of the output, as Wait closes it
	}
	ts.Check(cmd.Wait())
}

// requests is `requests STATUS`: REQUEST becomes the id of the newest run that ended so.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: requests STATUS")
	}
	ts.Check(ts.Exec("hanshu", "runs", "ls", "--json"))
	var runs []struct{ ID, Status string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &runs))
	for _, run := range runs {
		if run.Status == args[0] {
			ts.Setenv("REQUEST", run.ID)
			return
		}
	}
	ts.Fatalf("no run ended with %s: %v", args[0], runs)
}
