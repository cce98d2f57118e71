package remote_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/brokertest"
	"github.com/hanshu-faas/hanshu/internal/edge/remote"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// start starts mosquitto with the accounts that the package writes for it.
func start(t *testing.T, h edge.Handler) (edge.Broker, string) {
	t.Helper()
	program := triggertest.Find(t, "mosquitto", "mosquitto", "/usr/sbin/mosquitto")
	dir, address := t.TempDir(), triggertest.FreeAddress(t)
	passwords, acl, err := remote.Mosquitto(remote.Cloud{User: "hanshu", Password: "word"}, []remote.Account{
		{ID: brokertest.One, Secret: brokertest.Secret}, {ID: brokertest.Other, Secret: brokertest.Secret},
	})
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	config := fmt.Sprintf("listener %s %s\nallow_anonymous false\npassword_file %s\nacl_file %s\n", port, host, file("passwords", passwords), file("acl", acl))
	if os.Geteuid() == 0 {
		config += "user root\n"
	}
	p := triggertest.Run(t, nil, program, "-c", file("mosquitto.conf", config))
	triggertest.AwaitListening(t, address, p.Ended, p.Output)
	b, err := remote.New(remote.Config{URL: "mqtt://hanshu:word@" + address, Handler: h, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, b.Stop(t.Context()))
		p.Stop(t, syscall.SIGTERM)
	})
	return b, address
}

func TestBroker(t *testing.T) { brokertest.Run(t, start) }

func TestURL(t *testing.T) {
	for _, bad := range []string{"", "tcp://h:1", "mqtt://", "http://h"} {
		_, err := remote.New(remote.Config{URL: bad})
		require.Error(t, err, bad)
	}
}
