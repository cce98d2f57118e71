package app

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/config"
)

// Addresses for others begin with what the operator says that others use.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	all, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, all.Close()) })
	_, port, err := net.SplitHostPort(all.Addr().String())
	require.NoError(t, err)
	for public, want := range map[string][3]string{
		"":                      {"http://10.0.0.5:8080/gateway", "http://10.0.0.5:" + port, "mqtts://10.0.0.5:" + port},
		"https://faas.example/": {"https://faas.example/gateway", "http://faas.example:" + port, "mqtts://faas.example:" + port},
	} {
		s := &Server{cfg: config.Config{PublicURL: public, MQTT: config.MQTT{Listen: "0.0.0.0:0"}}, mqtt: all}
		s.admin.Endpoint = "http://10.0.0.5:8080"
		under, err := s.gatewayURL()
		require.NoError(t, err)
		s.gateway = all
		own, err := s.gatewayURL()
		require.NoError(t, err)
		broker, err := (&gateways{server: s}).brokerURL()
		require.NoError(t, err)
		require.Equal(t, want, [3]string{under.String(), own.String(), broker})
	}
}
