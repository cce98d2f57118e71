package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMQTT(t *testing.T) {
	for name, tt := range map[string]struct {
		set  MQTT
		ok   bool
		on   bool
		tls  bool
		flag string
	}{
		"off":                  {ok: true},
		"loopback":             {set: MQTT{Listen: "127.0.0.1:1883"}, ok: true, on: true},
		"everywhere":           {set: MQTT{Listen: ":8883"}, ok: true, on: true, tls: true},
		"own certificate":      {set: MQTT{Listen: "127.0.0.1:1883", Cert: "c", Key: "k"}, ok: true, on: true, tls: true},
		"outside":              {set: MQTT{Broker: "mqtts://u:p@h:8883", URL: "mqtts://other"}, ok: true, on: true},
		"two brokers":          {set: MQTT{Listen: ":1883", Broker: "mqtt://h"}, flag: "--mqtt-listen", on: true},
		"no port":              {set: MQTT{Listen: "127.0.0.1"}, flag: "--mqtt-listen", on: true},
		"no number":            {set: MQTT{Listen: "127.0.0.1:x"}, flag: "--mqtt-listen", on: true},
		"a key alone":          {set: MQTT{Listen: ":1883", Key: "k"}, flag: "--mqtt-cert", on: true},
		"no listener":          {set: MQTT{Cert: "c", Key: "k"}, flag: "--mqtt-cert"},
		"no broker":            {set: MQTT{Broker: "http://u:secret@h"}, flag: "--mqtt-broker", on: true},
		"a user in an address": {set: MQTT{Listen: ":1883", URL: "mqtt://u@h"}, flag: "--mqtt-url", on: true},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.set.check()
			require.Equal(t, tt.ok, err == nil, "%v", err)
			if err != nil {
				require.ErrorContains(t, err, tt.flag)
				require.NotContains(t, err.Error(), "secret")
			}
			require.Equal(t, tt.on, tt.set.On())
			if tt.ok {
				require.Equal(t, tt.tls, tt.set.TLS())
			}
		})
	}
}
