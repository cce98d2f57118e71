package edge

import (
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need/postgres"
	"github.com/hanshu-faas/hanshu/test/server"
)

// TestTwoServers has a gateway come to one of two servers on one database, and what concerns it be done at the other.
func TestTwoServers(t *testing.T) {
	db := postgres.Schema(t)
	t.Parallel()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		return l.Addr().String()
	}
	first := &operator{Server: server.Start(t, "--db", db, "--mqtt-listen", free()), t: t}
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	for _, name := range []string{"server.key", "admin.json"} {
		text, err := os.ReadFile(filepath.Join(first.DataDir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	require.NoError(t, os.Symlink(filepath.Join(first.DataDir, "packages"), filepath.Join(dir, "packages")))
	second := &operator{Server: server.StartIn(t, dir, "--db", db, "--mqtt-listen", free()), t: t}
	for _, o := range []*operator{first, second} {
		o.token = o.call("user/login", map[string]any{"Username": o.User, "Password": o.Password})["Token"].(string)
	}

	file := filepath.Join(t.TempDir(), "one.json")
	var wrote map[string]any
	second.run(&wrote, "gateway", "enroll", "--product", product, "--gateway", "one", "--out", file)
	background(t, edgeProgram(t), "run", "--config", file, "--data-dir", filepath.Join(t.TempDir(), "edge"), "--bus", "none")
	here := func(o *operator) func() bool {
		return func() bool {
			var list []struct{ Status string }
			o.run(&list, "gateway", "ls")
			return list[0].Status == "online"
		}
	}
	second.wait("it came to the second", here(second))
	first.wait("the first knows", here(first))

	first.call("function/create", map[string]any{"FunctionName": "f1", "Runtime": "python3", "FunctionCode": base64.StdEncoding.EncodeToString([]byte(code))})
	first.call("function/bind", map[string]any{"FunctionName": "f1", "ProductSN": product})
	// Its next report, within a minute, would do as well.
	var sent struct{ Version uint64 }
	second.run(&sent, "gateway", "push", "one")
	first.wait("what was bound at the first runs", func() bool { return first.online("f1", "one") })
	var there struct{ Result struct{ SN string } }
	second.run(&there, "invoke", "f1", "--gateway", "one")
	require.Equal(t, "one", there.Result.SN)

	// It has no session at the first, which says so at once and keeps a record of it.
	_, err := first.Run(t.Context(), "--admin-file", filepath.Join(first.DataDir, "admin.json"), "--endpoint", first.Endpoint, "invoke", "f1", "--gateway", "one")
	require.ErrorContains(t, err, "connected to another server")
	var runs []struct{ Status string }
	first.run(&runs, "runs", "ls", "f1")
	require.Len(t, runs, 1)
	require.Equal(t, "unavailable", runs[0].Status)
}
