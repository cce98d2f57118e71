package edge

import (
	"context"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
	"github.com/hanshu-faas/hanshu/test/server"
)

// TestBrokerOutside has gateways come by a mosquitto beside the server, with the accounts that the server writes for it.
func TestBrokerOutside(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			need.Skip(t, "mosquitto is missing; install the package mosquitto")
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	// The broker is not there yet: it is the server that writes its accounts.
	o := &operator{Server: server.Start(t, "--mqtt-broker", "mqtt://hanshu:word@"+address), t: t}
	o.token = o.call("user/login", map[string]any{"Username": o.User, "Password": o.Password})["Token"].(string)
	dir := t.TempDir()
	file := filepath.Join(dir, "one.json")
	var wrote map[string]any
	o.run(&wrote, "gateway", "enroll", "--product", product, "--gateway", "one", "--out", file)
	o.run(&wrote, "gateway", "accounts", "--out", dir)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	config := "listener " + port + " 127.0.0.1\nallow_anonymous false\npassword_file " + filepath.Join(dir, "passwords") + "\nacl_file " + filepath.Join(dir, "acl") + "\n"
	if os.Geteuid() == 0 {
		config += "user root\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte(config), 0o600))
	background(t, program, "-c", filepath.Join(dir, "mosquitto.conf"))
	o.wait("the server is there", func() bool { return strings.Contains(o.Output(), "connected to the broker of gateways") })
	stop := background(t, edgeProgram(t), "run", "--config", file, "--data-dir", filepath.Join(dir, "edge"), "--bus", "none")

	o.call("function/create", map[string]any{"FunctionName": "f1", "Runtime": "python3", "FunctionCode": base64.StdEncoding.EncodeToString([]byte(code))})
	o.call("function/bind", map[string]any{"FunctionName": "f1", "ProductSN": product})
	o.wait("it runs", func() bool { return o.online("f1", "one") })
	var there struct{ Result struct{ SN string } }
	o.run(&there, "invoke", "f1", "--gateway", "one")
	require.Equal(t, "one", there.Result.SN)
	stop()
	o.wait("its will is heard", func() bool {
		var list []struct{ Status string }
		o.run(&list, "gateway", "ls")
		return list[0].Status == "offline"
	})
}

// background runs a program until stop, or the end of the test.
func background(t *testing.T, program string, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	out := &lines{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended shows in its output
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(program), out)
		}
	})
	return stop
}
