package triggertest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Broker is a real broker on a port of loopback, which keeps what it has on disk and ends with the test.
type Broker struct {
	Address string // host:port
	Secure  string // the same for TLS, where RabbitMQ has both

	t       testing.TB
	env     []string
	program string
	args    []string
	process *Process
}

// Restart ends the broker as an operator does, and starts it again on what it has kept.
func (b *Broker) Restart() {
	b.t.Helper()
	b.process.Stop(b.t, syscall.SIGTERM)
	b.start()
}

func (b *Broker) start() {
	b.t.Helper()
	b.process = Run(b.t, b.env, b.program, b.args...)
	AwaitListening(b.t, b.Address, b.process.Ended, b.process.Output)
}

// StartRabbitMQ starts a RabbitMQ node that knows nobody else. guest may enter, with password guest. Where an authority is given, it
// listens at Secure too, by TLS.
func StartRabbitMQ(t testing.TB, secure ...*Authority) *Broker {
	t.Helper()
	b := &Broker{t: t, program: Find(t, "rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"), Address: FreeAddress(t)}
	epmd := Find(t, "erlang-base", "epmd")
	dir := t.TempDir()
	port := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		return port
	}
	names := port(FreeAddress(t))
	config := "loopback_users = none\n"
	for _, a := range secure {
		b.Secure = FreeAddress(t)
		config += "listeners.ssl.1 = " + b.Secure + "\nssl_options.cacertfile = " + a.CAFile + "\nssl_options.certfile = " + a.CertFile + "\nssl_options.keyfile = " + a.KeyFile + "\n"
	}
	for name, text := range map[string]string{"plugins": "[].\n", "env.conf": "", "rabbitmq.conf": config} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	b.env = []string{
		"HOME=" + dir, "ERL_EPMD_PORT=" + names, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_NODENAME=t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + port(b.Address), "RABBITMQ_DIST_PORT=" + port(FreeAddress(t)),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(dir, "env.conf"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + dir, "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +A 8",
	}
	// The names of nodes are kept by a process of this test's own, which would else outlive it.
	Run(t, b.env, epmd)
	AwaitListening(t, "127.0.0.1:"+names, nil, &Output{})
	b.start()
	return b
}
