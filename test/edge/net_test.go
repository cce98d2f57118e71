// Package edge tells what happens between the real server and real gateways: programs, each gateway in a network of its own that can be cut.
//
// It must not know any package under internal.
package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
	"github.com/hanshu-faas/hanshu/test/server"
)

// lan is a bridge on this machine, to which gateways are plugged by cables.
type lan struct {
	t      *testing.T
	bridge string
	third  int    // octet of its addresses
	Host   string // address of this machine on it
	next   int
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// newLAN makes a bridge. It goes with the test.
func newLAN(t *testing.T) *lan {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		need.Skip(t, "networks are made by root and the program ip; install the package iproute2")
	}
	pid := os.Getpid()
	l := &lan{t: t, bridge: fmt.Sprintf("hsb%d", pid), third: pid % 250, next: 2}
	l.Host = fmt.Sprintf("10.213.%d.1", l.third)
	if err := ip("link", "add", l.bridge, "type", "bridge"); err != nil {
		need.Skip(t, "no network can be made here: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, ip("link", "del", l.bridge)) })
	l.must("addr", "add", l.Host+"/24", "dev", l.bridge)
	l.must("link", "set", l.bridge, "up")
	return l
}

func (l *lan) must(args ...string) {
	l.t.Helper()
	require.NoError(l.t, ip(args...))
}

// listen takes an address on the lan, for forward.
func (l *lan) listen() net.Listener {
	l.t.Helper()
	listener, err := net.Listen("tcp", l.Host+":0")
	require.NoError(l.t, err)
	return listener
}

// forward carries connections from an address on the lan to one of loopback.
func (l *lan) forward(listener net.Listener, to string) {
	l.t.Helper()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { carry(conn, to) })
		}
	})
	l.t.Cleanup(func() {
		require.NoError(l.t, listener.Close())
		work.Wait()
	})
}

func carry(conn net.Conn, to string) {
	defer func() { _ = conn.Close() }()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	go func() {
		_, _ = io.Copy(far, conn) // either end may go
		_ = far.Close()
	}()
	_, _ = io.Copy(conn, far)
}

// gateway is a network namespace with an agent in it.
type gateway struct {
	lan   *lan
	space string
	cable string // on this machine's side
	dir   string
	file  string // enrollment

	cmd  *exec.Cmd
	done chan struct{}
	out  lines
}

// lines collects what processes print.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lan) gateway(name, file string) *gateway {
	l.t.Helper()
	pid := os.Getpid()
	g := &gateway{lan: l, space: fmt.Sprintf("hs%d%s", pid, name), cable: fmt.Sprintf("hsv%d%d", pid, l.next), dir: filepath.Join(l.t.TempDir(), "edge"), file: file}
	inside := g.cable + "i"
	l.must("netns", "add", g.space)
	l.t.Cleanup(func() { require.NoError(l.t, ip("netns", "del", g.space)) })
	l.must("link", "add", g.cable, "type", "veth", "peer", "name", inside)
	l.must("link", "set", inside, "netns", g.space)
	l.must("link", "set", g.cable, "master", l.bridge)
	l.must("-n", g.space, "addr", "add", fmt.Sprintf("10.213.%d.%d/24", l.third, l.next), "dev", inside)
	l.must("-n", g.space, "link", "set", inside, "up")
	l.must("-n", g.space, "link", "set", "lo", "up")
	l.next++
	g.plug(true)
	l.t.Cleanup(func() {
		g.kill()
		if l.t.Failed() {
			l.t.Logf("gateway %s printed:\n%s", name, g.out.String())
		}
	})
	return g
}

// plug puts the cable in or pulls it out.
func (g *gateway) plug(in bool) {
	g.lan.t.Helper()
	state := map[bool]string{true: "up", false: "down"}[in]
	g.lan.must("link", "set", g.cable, state)
}

// edgeProgram is hanshu-edge of this machine's processor, beside the server.
func edgeProgram(t *testing.T) string {
	t.Helper()
	dir := filepath.Dir(server.Binary(t))
	for _, name := range []string{"hanshu-edge-" + runtime.GOARCH, "hanshu-edge"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	need.Skip(t, "no hanshu-edge in "+dir+"; run `make build`")
	return ""
}

func (g *gateway) start() {
	t := g.lan.t
	t.Helper()
	g.cmd = exec.Command("ip", "netns", "exec", g.space, edgeProgram(t), "run", "--config", g.file, "--data-dir", g.dir)
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.out
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, g.cmd.Start())
	done := make(chan struct{})
	g.done = done
	go func() {
		defer close(done)
		_ = g.cmd.Wait() // how it ended shows in its output
	}()
}

// kill ends the agent as a power cut would. "ip netns exec" becomes the program that it runs.
func (g *gateway) kill() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Kill() // fails only when it is gone already
	<-g.done
	g.cmd = nil
}

// status is what the agent says of itself, where it stands.
func (g *gateway) status(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", g.space, edgeProgram(g.lan.t), "status", "--data-dir", g.dir, "--json").CombinedOutput()
	return string(out), err
}
