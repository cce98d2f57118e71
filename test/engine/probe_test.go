//go:build linux

package engine

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// TestFunctionSeesNothing has a function look for what it must not see.
func TestFunctionSeesNothing(t *testing.T) {
	t.Parallel()
	require.Empty(t, probe(t, newPlace(t, 0), 30))
}

// TestFunctionSeesNothingAsOrdinaryUser is the same on a server without privilege.
func TestFunctionSeesNothingAsOrdinaryUser(t *testing.T) {
	asNobody(t)
	t.Parallel()
	require.Empty(t, probe(t, newPlace(t, nobody), 30))
}

// TestProbeFindsWithoutSandbox shows that the probe can find: the same function without a sandbox.
func TestProbeFindsWithoutSandbox(t *testing.T) {
	t.Parallel()
	found := probe(t, newPlace(t, 0, "--sandbox=none"), 3)
	for _, kind := range []string{"file", "code", "credentials", "process", "environment", "connect", "network", "uid"} {
		require.NotEmpty(t, found[kind], kind)
	}
}

// probe gives what testdata/probe.py finds on a server in a place, by kind. It finds "time" when it has not seen all files
// within so many seconds.
func probe(t *testing.T, p *place, seconds int) map[string][]string {
	t.Helper()
	home := filepath.Join(filepath.Dir(p.DataDir), "home")
	require.NoError(t, os.Mkdir(home, 0o755))
	marker := "marker-" + uuid.NewString()
	require.NoError(t, os.WriteFile(filepath.Join(home, marker), []byte("a file in the server's working directory"), 0o644))
	p.Dir, p.Env = home, []string{"HANSHU_TEST_MARKER=" + marker}
	h := p.start(t)

	// Another function of the same project, with its instance alive meanwhile.
	secret := "secret " + uuid.NewString()
	h.create(t, function{name: "other", runtime: python, source: "SECRET = '" + secret + "'\n" + pythonEcho})
	other, err := h.invoke(t.Context(), "other", event(1))
	require.NoError(t, err)
	require.Empty(t, checkEcho(other, 1))

	tcp := listen(t, "tcp", "0.0.0.0:0")
	abstract := listen(t, "unix", "@"+marker)
	path := listen(t, "unix", filepath.Join(home, "s"))
	require.NoError(t, os.Chmod(path.String(), 0o777))
	endpoint, err := url.Parse(h.Endpoint)
	require.NoError(t, err)
	apiPort, err := strconv.Atoi(endpoint.Port())
	require.NoError(t, err)

	h.create(t, function{name: "probe", runtime: python, source: testdata(t, "probe.py"), memoryMB: 2048, timeout: 60})
	question, err := json.Marshal(map[string]any{
		"data": p.DataDir, "home": home, "marker": marker, "seconds": seconds, "pids": append(p.sandboxed(t), h.PID(), os.Getpid()),
		"hosts": hosts(t), "ports": []int{apiPort, tcp.(*net.TCPAddr).Port}, "abstract": abstract.String()[1:], "socket": path.String(),
		"needles": map[string]string{"code": secret, "credentials": h.SecretKey},
	})
	require.NoError(t, err)
	a, err := h.invoke(t.Context(), "probe", question)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var found map[string][]string
	require.NoError(t, json.Unmarshal(a.body, &found))
	t.Logf("found: %s", a.body)
	return found
}

// listen opens a listener on the host that a function must not reach.
func listen(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr()
}

// hosts lists every address of this machine.
func hosts(t *testing.T) []string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	all := []string{"127.0.0.1", "localhost", "0.0.0.0", "::1"}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			all = append(all, n.IP.String())
		}
	}
	return all
}
