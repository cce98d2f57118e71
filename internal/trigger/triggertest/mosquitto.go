package triggertest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// StartMosquitto starts an MQTT broker that lets anyone in.
func StartMosquitto(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{t: t, program: Find(t, "mosquitto", "mosquitto", "/usr/sbin/mosquitto"), Address: FreeAddress(t)}
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(b.Address)
	require.NoError(t, err)
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\n", port, host, dir)
	if os.Geteuid() == 0 {
		text += "user root\n"
	}
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	b.args = []string{"-c", config}
	b.start()
	return b
}
