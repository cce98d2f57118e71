package edge

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
)

// lame says that it is a version of the agent, and cannot start.
const lame = `package main

import "os"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "version" {
		os.Stdout.WriteString("v9-lame\n")
		return
	}
	os.Exit(3)
}
`

// build compiles a program for this machine.
func build(t *testing.T, out, dir, what string, flags ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-o", out}, flags...), what)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// supervised runs a program again whenever it ends, as systemd does.
func supervised(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, done := &lines{}, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, program, args...)
			cmd.Stdout, cmd.Stderr = out, out
			_ = cmd.Run() // how it ended shows in its output
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(program), out)
		}
	})
}

// shown is what the server tells of a gateway's agent.
type shown struct {
	Agent   string
	Release *struct{ Version, State, Message string }
}

// TestRelease has a gateway change to another version of its agent, try one that cannot start, and refuse one that is not what it is
// called.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	mqtt := free.Addr().String()
	require.NoError(t, free.Close())
	o := &operator{Server: server.Start(t, "--mqtt-listen", mqtt), t: t}
	dir := t.TempDir()
	first, second, third := edgeProgram(t), filepath.Join(dir, "second"), filepath.Join(dir, "third")
	// Flags as those of the Makefile, so that what was compiled for it is found again.
	build(t, second, "../..", "./cmd/hanshu-edge", "-tags", "nethttpomithttp2", "-gcflags=github.com/nats-io/nats-server/v2/server=-l", "-ldflags=-s -w -X main.version=v2-of-test")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lame.go"), []byte(lame), 0o600))
	build(t, third, dir, "lame.go")
	said, err := exec.CommandContext(t.Context(), first, "version").Output()
	require.NoError(t, err)
	base := strings.TrimSpace(string(said))

	file := filepath.Join(dir, "one.json")
	var wrote map[string]any
	o.run(&wrote, "gateway", "enroll", "--product", product, "--gateway", "one", "--out", file)
	supervised(t, first, "run", "--config", file, "--data-dir", filepath.Join(dir, "edge"), "--bus", "none")
	show := func() (s shown) {
		o.run(&s, "gateway", "show", "one")
		return s
	}
	o.wait("it is here", func() bool { return show().Agent == base })
	require.Nil(t, show().Release)

	o.refusedReleases(second, file)
	var answer map[string]any
	add := func(version, program string) {
		t.Helper()
		o.run(&answer, "gateway", "release", "add", "--version", version, "--"+runtime.GOARCH, program)
	}
	add("v2-of-test", second)
	add("v9-lame", third)
	add("v7-false", first)
	add("v8-again", second)
	use := func(version string, more ...string) {
		t.Helper()
		o.run(&answer, append([]string{"gateway", "release", "use", version}, more...)...)
	}
	reaches := func(agent, version, state string) {
		t.Helper()
		o.wait(version+" is "+state, func() bool {
			s := show()
			return s.Agent == agent && s.Release != nil && s.Release.Version == version && s.Release.State == state
		})
	}
	use("v2-of-test", "--product", product)
	reaches("v2-of-test", "v2-of-test", "running")
	use("v9-lame", "--gateway", "one")
	reaches("v2-of-test", "v9-lame", "reverted")
	o.refusedRelease("shall run the release", "rm", "v9-lame")
	o.run(&answer, "gateway", "release", "retry", "one")
	reaches("v2-of-test", "v9-lame", "reverted")
	use("v7-false", "--gateway", "one")
	o.run(&answer, "gateway", "release", "rm", "v9-lame")
	o.refusedRelease("v9-lame", "use", "v9-lame")
	reaches("v2-of-test", "v7-false", "refused")
	require.Contains(t, show().Release.Message, "says that it is "+strconv.Quote(base))
	use("v8-again", "--gateway", "one")
	reaches("v2-of-test", "v8-again", "refused")
	use("none", "--gateway", "one")
	reaches("v2-of-test", "v2-of-test", "running")
	use("none", "--product", product)
	o.wait("nothing is wanted", func() bool { return show().Release == nil })
	require.Equal(t, "v2-of-test", show().Agent, "it stays as it is")
}

func (o *operator) refusedRelease(why string, args ...string) {
	o.t.Helper()
	_, err := o.Run(o.t.Context(), append([]string{"--admin-file", filepath.Join(o.DataDir, "admin.json"), "--endpoint", o.Endpoint, "gateway", "release"}, args...)...)
	require.ErrorContains(o.t, err, why)
}

// refusedReleases are those that the server does not take.
func (o *operator) refusedReleases(program, text string) {
	o.t.Helper()
	refused := o.refusedRelease
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	refused("no ELF program", "add", "--version", "v1", "--amd64", text)
	refused("another processor", "add", "--version", "v1", "--"+other, program)
	refused("must be 1 to 64", "add", "--version", "none", "--"+runtime.GOARCH, program)
	refused("v1", "use", "v1")
	var answer map[string]any
	o.run(&answer, "gateway", "release", "add", "--version", "v1", "--"+runtime.GOARCH, program)
	refused("exists already", "add", "--version", "v1", "--"+runtime.GOARCH, program)
}
