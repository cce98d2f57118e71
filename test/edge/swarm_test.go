package edge

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/server"
	"github.com/hanshu-faas/hanshu/test/swarm"
)

// The fleet of the test, and what it may cost: 2 GB for 20,000 sessions (the bench has those), and 30 s for all to come back.
const (
	fleet      = 5000
	perSession = 100 << 10 // bytes
	storm      = 30 * time.Second
)

// TestFleet connects a fleet, sends every gateway a document, cuts all sessions at once and has them come back at once.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	mqtt := free.Addr().String()
	require.NoError(t, free.Close())
	o := &operator{Server: server.Start(t, "--mqtt-listen", mqtt), t: t}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	accounts, err := swarm.Enroll(ctx, o.Endpoint, o.User, o.Password, "fleet", fleet)
	require.NoError(t, err)
	before := resident(t, o.PID())
	begun := time.Now()
	s, err := swarm.Open(ctx, mqtt, accounts)
	require.NoError(t, err)
	t.Logf("%d sessions in %v", fleet, time.Since(begun).Round(time.Millisecond))
	// Each has nothing bound yet, and is told so.
	o.wait("all documents", func() bool { return s.Desired() >= fleet })
	t.Logf("%d documents in %v", fleet, time.Since(begun).Round(time.Millisecond))
	grown := resident(t, o.PID()) - before
	t.Logf("resident %d MiB, of which sessions %d KiB each", (before+grown)>>20, grown/fleet>>10)
	require.Less(t, grown/fleet, int64(perSession))
	o.token = o.call("user/login", map[string]any{"Username": o.User, "Password": o.Password})["Token"].(string)
	require.EqualValues(t, fleet, o.here())

	s.Close()
	begun = time.Now()
	s, err = swarm.Open(ctx, mqtt, accounts)
	require.NoError(t, err)
	t.Logf("all came back in %v", time.Since(begun).Round(time.Millisecond))
	o.wait("all count as online", func() bool { return o.here() == fleet })
	settled := time.Since(begun)
	t.Logf("settled after %v", settled.Round(time.Millisecond))
	require.Less(t, settled, storm)
	require.Zero(t, s.Lost())
	s.Close()
	o.wait("all count as offline", func() bool { return o.here() == 0 })
}

// here is how many gateways are online.
func (o *operator) here() int64 {
	o.t.Helper()
	return int64(o.product("fleet")["OnlineCount"].(float64))
}

func resident(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, err := fmt.Sscan(rest, &bytes)
			require.NoError(t, err)
		}
	}
	return bytes << 10
}
