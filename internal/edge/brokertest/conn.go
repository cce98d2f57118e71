package brokertest

import (
	"net"
	"net/url"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// breakable dials a connection that goes without a word when lose is closed.
func breakable(address string, lose <-chan struct{}) paho.OpenConnectionFunc {
	return func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			go func() {
				<-lose
				_ = conn.Close() // which is the point
			}()
		}
		return conn, err
	}
}
