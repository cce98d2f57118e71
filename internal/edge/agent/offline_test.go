package agent_test

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

const counting = `
import function_sdk
n = 0
def handler(event, context):
    global n
    n += 1
    sdk = context['sdk']
    sdk.publish('/cloud/count', b'%d %d' % (sdk.redis_client.incr('count'), n))
`

// status asks an agent on a folder until it is as fits wants it.
func status(t *testing.T, dir, what string, fits func(s *agent.Status) bool) *agent.Status {
	t.Helper()
	var last *agent.Status
	require.Eventually(t, func() bool {
		answer, err := agent.Ask{Do: "status"}.Send(dir)
		last = answer.Status
		return err == nil && fits(answer.Status)
	}, agenttest.Patience, 50*time.Millisecond, what)
	return last
}

// Without a link functions and timers go on, and so they do after a power cut; messages for the cloud wait on disk and come in
// order, each once; nothing restarts when the link is back.
func TestOffline(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	line := agenttest.NewLine(t, c.Broker.Address)
	dir, err := os.MkdirTemp("", "edge")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	o := childOptions{Enrollment: c.Enrollment(), DataDir: dir}
	o.Enrollment.BrokerURL = "mqtt://" + line.Address
	f := c.Function("f", counting)
	f.Cron, f.CronEnable = "* * * * * *", true
	doc := c.Document(f)
	doc.Routes = []wire.Route{{ID: 1, From: wire.PlaceFunction, Filter: "/cloud/+", To: wire.PlaceCloud, Cache: &wire.Cache{Messages: 1000}}}
	c.Push(doc)
	p := startProcess(t, o)
	good := c.AwaitGood(1)
	c.AwaitUps(2)

	line.SetCut(true)
	s := status(t, dir, "the link is gone", func(s *agent.Status) bool { return !s.Online })
	s = status(t, dir, "three calls offline, kept", func(n *agent.Status) bool {
		return n.Report.Functions[0].Calls >= s.Report.Functions[0].Calls+3 && n.Report.Routes[0].Queued >= 2
	})
	require.EqualValues(t, 0, s.Report.Functions[0].Restarts)
	p.kill()

	startProcess(t, o)
	s = status(t, dir, "calls after a power cut without a network", func(s *agent.Status) bool {
		return len(s.Report.Functions) == 1 && s.Report.Functions[0].Calls >= 2 && s.Report.Routes[0].Queued >= 4
	})
	require.Equal(t, wire.StateApplied, s.Report.State)
	require.Equal(t, good.Functions[0].Hash, s.Report.Functions[0].Hash)
	require.False(t, s.Online)
	waiting := int(s.Report.Routes[0].Queued)

	c.Forget()
	line.SetCut(false)
	all := c.AwaitUps(waiting + 2)
	last, lastN := 0, 0
	for i, text := range all {
		var count, n int
		_, err := fmt.Sscanf(text, "%d %d", &count, &n)
		require.NoError(t, err)
		require.True(t, i == 0 || count > last, "%v", all)
		require.True(t, i == 0 || n == lastN+1 || n == 1, "a function was restarted: %v", all)
		if i > 0 && n != 1 {
			require.Equal(t, last+1, count, "a message is missing: %v", all)
		}
		last, lastN = count, n
	}
	s = status(t, dir, "everything sent", func(s *agent.Status) bool { return s.Online && s.Report.Routes[0].Queued <= 1 })
	require.EqualValues(t, 0, s.Report.Functions[0].Restarts)
	require.EqualValues(t, 0, s.Report.Routes[0].Dropped)
}

// A bundle brings a gateway that has never had a network its first document. One that lacks a package, or was signed by another,
// changes nothing.
func TestBundle(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	line := agenttest.NewLine(t, c.Broker.Address)
	line.SetCut(true)
	d := start(t, c, "", func(o *agent.Options) { o.Enrollment.BrokerURL = "mqtt://" + line.Address })
	status(t, d.dir, "an agent", func(*agent.Status) bool { return true })
	f := c.Function("f", counting)
	doc := c.Document(f)
	code := map[string][]byte{f.Code.Digest: c.Bytes(f.Code.Digest)}
	forged := c.Seal(doc)
	forged.Signature[3] ^= 1
	for what, bundle := range map[string]string{
		"lacks the package": bundle(t, c.Seal(doc), nil), "by no key": bundle(t, forged, code),
		"not the one": bundle(t, c.Seal(doc), map[string][]byte{f.Code.Digest: append([]byte("x"), code[f.Code.Digest][1:]...)}),
	} {
		_, err := agent.Ask{Do: "apply", Bundle: bundle}.Send(d.dir)
		require.ErrorContains(t, err, what)
	}
	answer, err := agent.Ask{Do: "apply", Bundle: bundle(t, c.Seal(doc), code)}.Send(d.dir)
	require.NoError(t, err)
	require.Contains(t, answer.Text, "version 1 is accepted")
	status(t, d.dir, "the bundle's document stands", func(s *agent.Status) bool {
		return s.Report.Good == 1 && len(s.Report.Functions) == 1 && s.Report.Functions[0].State == wire.FunctionRunning
	})
	require.Zero(t, c.Hellos())
}

func bundle(t *testing.T, e wire.Envelope, code map[string][]byte) string {
	t.Helper()
	e.URLs = nil
	text, err := json.Marshal(e)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "bundle.tar")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := tar.NewWriter(f)
	add := func(name string, data []byte) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644}))
		_, err := w.Write(data)
		require.NoError(t, err)
	}
	add(wire.BundleDocument, text)
	for digest, data := range code {
		add(wire.BundleCode+digest, data)
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	return path
}
