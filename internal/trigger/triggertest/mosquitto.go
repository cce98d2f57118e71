package triggertest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// StartMosquitto starts an MQTT broker that lets anyone in; by TLS only, where an authority is given.
func StartMosquitto(t testing.TB, secure ...*Authority) *Broker {
	t.Helper()
	b := &Broker{t: t, program: Find(t, "mosquitto", "mosquitto", "/usr/sbin/mosquitto"), Address: FreeAddress(t)}
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(b.Address)
	require.NoError(t, err)
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\n", port, host, dir)
	for _, a := range secure {
		text += fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\n", a.CAFile, a.CertFile, a.KeyFile)
	}
	if os.Geteuid() == 0 {
		text += "user root\n"
	}
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	b.args = []string{"-c", config}
	b.start()
	return b
}
