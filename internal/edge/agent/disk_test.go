package agent_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/test/need"
)

// smallDisk is a disk of its own of some MB: of ext4 where this machine can mount a file, of memory elsewhere.
func smallDisk(t *testing.T, mb int64) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "edge") // short, for the socket in it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	image, at := filepath.Join(t.TempDir(), "image"), filepath.Join(dir, "d")
	require.NoError(t, os.Mkdir(at, 0o700))
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, mb<<20))
	kind := "ext4"
	if exec.Command("mkfs.ext4", "-q", "-m", "0", image).Run() != nil || exec.Command("mount", "-o", "loop", image, at).Run() != nil {
		kind = "tmpfs"
		if err := syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%dm", mb)); err != nil {
			need.Skip(t, "a small disk can be made by root only: "+err.Error())
		}
	}
	t.Logf("a disk of %d MB, %s", mb, kind)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(at, syscall.MNT_DETACH)) })
	return filepath.Join(at, "e")
}

// fill leaves no room where dir is, until the file that it names is removed.
func fill(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(filepath.Dir(dir), "ballast")
	f, err := os.Create(ballast)
	require.NoError(t, err)
	block := make([]byte, 1<<20)
	for err == nil || len(block) > 512 {
		if _, err = f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:max(512, len(block)/2)]
			continue
		}
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return ballast
}

// writing wants room for all that a function can: messages for the cloud, logs and the gateway's store.
const writing = `
n = 0
def handler(event, context):
    global n
    sdk = context['sdk']
    if event.get('type') != 'timer':
        sdk.redis_client.set('probe', b'x' * 100000)
        return len(sdk.redis_client.get('probe'))
    for _ in range(40):
        n += 1
        sdk.publish('/cloud/count', b'%d ' % n + b'x' * 4000)
    sdk.logger.info('y' * 8000)
    for i in range(20):
        sdk.redis_client.set('key%d-%d' % (n, i), b'z' * 4000)
`

// On a full disk the agent stays up, runs what it ran and says what is wrong; it comes up on one too, with all that it knew; and when
// there is room all that waited goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	line := agenttest.NewLine(t, c.Broker.Address)
	dir := smallDisk(t, 24)
	o := childOptions{Enrollment: c.Enrollment(), DataDir: dir}
	o.Enrollment.BrokerURL = "mqtt://" + line.Address
	require.NoError(t, agent.MakeDir(dir))
	f := c.Function("f", writing)
	f.Cron, f.CronEnable = "* * * * * *", true
	document := func(code ...wire.Function) wire.Document {
		doc := c.Document(code...)
		doc.Routes = []wire.Route{{ID: 1, From: wire.PlaceFunction, Filter: "/cloud/+", To: wire.PlaceCloud, Cache: &wire.Cache{Messages: 100_000, Bytes: 64 << 20}}}
		return doc
	}
	c.Push(document(f))
	p := startProcess(t, o)
	good := c.AwaitGood(1)
	c.AwaitUps(40)

	// Messages, logs and the store fill what is left.
	line.SetCut(true)
	ballast := fill(t, dir)
	full := func(s *agent.Status) bool {
		return len(s.Report.Functions) == 1 && s.Report.Routes[0].Dropped > 0 && s.Lost > 0 && s.Report.Functions[0].Errors > 0 && s.Report.Host.DiskFree < 1<<20
	}
	s := status(t, dir, "a full disk that is told of", full)
	calls := s.Report.Functions[0].Calls
	s = status(t, dir, "functions go on", func(s *agent.Status) bool { return s.Report.Functions[0].Calls >= calls+3 })
	require.EqualValues(t, 0, s.Report.Functions[0].Restarts)

	// The cloud is back, and wants more than there is room for.
	line.SetCut(false)
	large := make([]byte, 6<<20)
	_, err := rand.Read(large)
	require.NoError(t, err)
	f.Code = c.Code(writing + "# " + fmt.Sprintf("%x", large[:2<<20]))
	want := document(f)
	c.Push(want)
	told := func(r wire.ReportedMessage) bool { return strings.Contains(r.Message, "no space left on device") }
	r := c.AwaitReport("what the disk hinders", told)
	require.Equal(t, good.Functions[0].Hash, r.Functions[0].Hash)
	require.Less(t, r.Host.DiskFree, int64(1<<20))
	for seq := uint64(1); seq <= 2; seq++ { // who looks is answered, whether or not that can be kept
		c.Send(wire.Cmd, wire.Command{Seq: seq, ID: fmt.Sprint(seq), Kind: wire.KindDiagnose, Body: body(t, struct{}{})})
		require.True(t, c.AwaitAck(seq).OK)
	}

	// The power goes, and comes back to the full disk.
	p.kill()
	c.Forget()
	p = startProcess(t, o)
	c.Push(want)
	c.AwaitReport("what the disk hinders, after a start", told)
	s = status(t, dir, "functions run after a start", func(s *agent.Status) bool {
		return len(s.Report.Functions) == 1 && s.Report.Functions[0].Calls >= 3
	})
	require.Equal(t, good.Functions[0].Hash, s.Report.Functions[0].Hash)
	require.True(t, s.Online)
	broken, err := filepath.Glob(filepath.Join(dir, "*.broken"))
	require.NoError(t, err)
	require.Empty(t, broken, "a full disk is no damage")

	require.NoError(t, os.Remove(ballast))
	c.Push(want)
	r = c.AwaitGood(2)
	require.NotEqual(t, good.Functions[0].Hash, r.Functions[0].Hash)
	require.Empty(t, r.Message)
	c.Send(wire.Cmd, wire.Command{Seq: 3, ID: "3", Kind: wire.KindInvoke, Body: body(t, wire.InvokeBody{Function: "f", Call: "x", Event: []byte(`{"type":"probe"}`)})})
	ack := c.AwaitAck(3)
	require.True(t, ack.OK, ack)
	require.Contains(t, string(ack.Result), `"output":100000`)
	select {
	case <-p.ended:
		t.Fatal("the agent has ended")
	default:
	}
	inOrder(t, c.AwaitUps(1))
}

// inOrder holds messages of writing to the order in which they were sent, across starts of the function.
func inOrder(t *testing.T, all []string) {
	t.Helper()
	last := 0
	for _, text := range all {
		var n int
		_, err := fmt.Sscanf(text, "%d ", &n)
		require.NoError(t, err)
		require.True(t, n > last || n <= 40, "%d after %d", n, last)
		last = n
	}
}
