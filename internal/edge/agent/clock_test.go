package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// wall is a clock without a battery: it begins at noon of the first day of 1970, and goes on from there until somebody sets it.
type wall struct {
	begun time.Time
	set   atomic.Bool
}

func (w *wall) now() time.Time {
	if w.set.Load() {
		return time.Now()
	}
	return time.Unix(12*3600, 0).Add(time.Since(w.begun))
}

// A gateway whose clock shows 1970 runs its functions and timers. A certificate that is not good yet by what the gateway knows is refused,
// and one of an authority that it was enrolled with, or of a time that a signed document has shown to be past, is not. When the clock is
// set, no timer makes up for the years, and what was said meanwhile has the time when it was said.
func TestClockOf1970(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	now := time.Now()
	address, ca := agenttest.Encrypted(t, c.Broker.Address, now.Add(-time.Hour))
	clock := &wall{begun: now}
	at := func(o *agent.Options) {
		o.Enrollment.BrokerURL, o.Enrollment.CAPEM, o.Clock = "mqtts://"+address, ca, clock.now
	}
	d := start(t, c, "", at)
	status(t, d.dir, "an agent", func(*agent.Status) bool { return true })
	f, g := c.Function("f", counting), c.Function("g", counting)
	f.Cron, f.CronEnable, f.TimeZone = "* * * * * *", true, "Asia/Shanghai"
	g.Cron, g.CronEnable = "0 0 0 1 1 *", true
	doc := c.Document(f, g)
	doc.Routes = []wire.Route{{ID: 1, From: wire.PlaceFunction, Filter: "/cloud/+", To: wire.PlaceCloud, Cache: &wire.Cache{Messages: 1000}}}
	doc.IssuedAt = now.Add(-2 * time.Hour).UnixMilli() // before the certificate begins, so it does not help
	code := map[string][]byte{f.Code.Digest: c.Bytes(f.Code.Digest)}
	_, err := agent.Ask{Do: "apply", Bundle: bundle(t, c.Seal(doc), code)}.Send(d.dir)
	require.NoError(t, err)
	s := status(t, d.dir, "timers of 1970", func(s *agent.Status) bool {
		return s.Report.Good == 1 && s.Report.Functions[0].Calls >= 3 && s.Report.Routes[0].Queued >= 3
	})
	require.False(t, s.Online)
	require.Less(t, s.Report.At, time.Unix(0, 0).AddDate(0, 0, 2).UnixMilli())
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(d.dir, "logs", ".agent.log"))
		return err == nil && strings.Contains(string(text), "not yet valid")
	}, agenttest.Patience, 50*time.Millisecond, "what hinders the link is said")

	before, passed := s.Report.Functions[0].Calls, time.Now()
	clock.set.Store(true)
	s = status(t, d.dir, "a link, once the clock is set", func(s *agent.Status) bool {
		return s.Online && s.Report.Functions[0].Calls >= before+3
	})
	require.LessOrEqual(t, s.Report.Functions[0].Calls, before+int64(time.Since(passed).Seconds())+2, "a storm of timers")
	require.EqualValues(t, 0, s.Report.Functions[1].Calls, "a new year that nobody has seen")
	require.Greater(t, s.Report.Functions[1].NextCron, now.UnixMilli())
	require.Less(t, now.Add(-time.Minute).UnixMilli(), s.Report.StartedAt)
	c.AwaitUps(int(before))
	last := 0
	for _, m := range c.AwaitUpsWithin(int(before), agenttest.Patience) {
		var count int
		_, err := fmt.Sscanf(string(m.Payload), "%d", &count)
		require.NoError(t, err)
		require.Greater(t, count, last)
		last = count
		require.WithinDuration(t, time.Now(), time.UnixMilli(m.At), time.Minute, "the time when it was said")
	}

	// A document of now is accepted, and the power goes: the clock shows 1970 again, and the document that it is not.
	c.Push(c.Document(f))
	c.AwaitGood(2)
	d.stop()
	sessions := c.Hellos()
	clock = &wall{begun: time.Now()}
	d = start(t, c, d.dir, at)
	c.Await("a session in 1970", func() bool { return c.Sessions() > sessions })
	status(t, d.dir, "timers of 1970, again", func(s *agent.Status) bool { return s.Report.Functions[0].Calls >= 2 })
}
