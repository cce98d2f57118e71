package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// MQTT is how gateways reach the server. The zero MQTT lets none in.
type MQTT struct {
	Listen string // host:port of the broker inside the server; "" for none
	Broker string // mqtt:// or mqtts:// URL, with user and password, of a broker outside it; "" for none
	URL    string // where gateways find the broker, when it is not Listen's address or Broker's
	Cert   string // file with the certificate for Listen; "" for one of the server's own where Listen is not on loopback
	Key    string // file with its key
}

// On tells whether gateways can come.
func (m *MQTT) On() bool { return m.Listen != "" || m.Broker != "" }

// TLS tells whether the broker inside the server encrypts. Only on loopback it need not.
func (m *MQTT) TLS() bool {
	host, _, err := net.SplitHostPort(m.Listen)
	return m.Cert != "" || err == nil && !isLoopback(host)
}

// check never quotes Broker: it may hold a password.
func (m *MQTT) check() error {
	if m.Listen != "" && m.Broker != "" {
		return errors.New("--mqtt-listen: goes without --mqtt-broker: there is one broker")
	}
	if m.Listen != "" {
		_, port, err := net.SplitHostPort(m.Listen)
		if err != nil {
			return fmt.Errorf("--mqtt-listen: %q must be host:port, e.g. 127.0.0.1:1883", m.Listen)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("--mqtt-listen: %q is no port number", port)
		}
	}
	if (m.Cert == "") != (m.Key == "") || m.Cert != "" && m.Listen == "" {
		return errors.New("--mqtt-cert: goes together with --mqtt-key and --mqtt-listen")
	}
	if m.Broker != "" && !isMQTT(m.Broker) {
		return errors.New("--mqtt-broker: must be mqtt://user:password@host:port, or mqtts:// for TLS")
	}
	if u, err := url.Parse(m.URL); m.URL != "" && (err != nil || !isMQTT(m.URL) || u.User != nil) {
		return fmt.Errorf("--mqtt-url: %q must be mqtt://host:port, or mqtts:// for TLS", m.URL)
	}
	return nil
}

func isMQTT(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "mqtt" || u.Scheme == "mqtts") && u.Hostname() != "" && (u.Path == "" || u.Path == "/")
}
