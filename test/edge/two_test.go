package edge

import (
	"database/sql"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
	"github.com/hanshu-faas/hanshu/test/server"
)

// schema makes a schema of PostgreSQL for a test, and gives a URL that leads there.
func schema(t *testing.T) string {
	t.Helper()
	base := need.Env(t, "HANSHU_TEST_POSTGRES", "the URL of a PostgreSQL server, for example of test/postgres.sh start")
	admin, err := sql.Open("pgx", base)
	require.NoError(t, err)
	name := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = admin.Exec("create schema " + name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("drop schema " + name + " cascade")
		require.NoError(t, err)
		require.NoError(t, admin.Close())
	})
	joint := "?"
	if strings.Contains(base, "?") {
		joint = "&"
	}
	return base + joint + "search_path=" + name
}

// TestTwoServers has a gateway come to one of two servers on one database, and what concerns it be done at the other.
func TestTwoServers(t *testing.T) {
	db := schema(t)
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
