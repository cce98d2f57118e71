package triggertest

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Decode reads event data as requests carry it.
func Decode(t testing.TB, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	data := map[string]any{}
	require.NoError(t, dec.Decode(&data))
	return data
}

// FreeAddress gives a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// AwaitListening waits until someone listens on an address, as long as alive lasts.
func AwaitListening(t testing.TB, address string, ended <-chan struct{}, output *Output) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(2 * patience)
	defer end.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			require.NoError(t, conn.Close())
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("the broker ended:\n%s", output)
		case <-end.C:
			t.Fatalf("the broker does not listen on %s:\n%s", address, output)
		}
	}
}

// Output collects what a process prints, for readers at any time.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write is of io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String gives all of it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
