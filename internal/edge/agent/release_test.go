package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/agenttest"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// release keeps a program that is this test's agent by another version, after what else it does.
func release(t *testing.T, c *agenttest.Cloud, version, first string) *wire.Release {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	script := "#!/bin/sh\n[ \"$1\" = version ] && echo " + version + " && exit\nexport " + versionEnv + "=" + version + " " + deafEnv + "=\n" + first + "\nexec " + self + "\n"
	return &wire.Release{Version: version, Digests: map[string]string{runtime.GOARCH: c.Package([]byte(script)).Digest}}
}

// replaceable is a data directory for an agent that may become another version of itself.
func replaceable(t *testing.T, c *agenttest.Cloud) childOptions {
	t.Helper()
	dir, err := os.MkdirTemp("", "edge")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return childOptions{Enrollment: c.Enrollment(), DataDir: dir, Replace: true, DieCount: 1}
}

// runs waits until a version of the agent reports, with all of a document.
func runs(c *agenttest.Cloud, version string, document uint64) wire.ReportedMessage {
	c.T.Helper()
	return c.AwaitReport("version "+version, func(r wire.ReportedMessage) bool { return r.Agent.Version == version && r.Good == document })
}

// Whatever step of a change to another version the agent is killed at: the next start goes on with it, or with the newer one that is wanted
// meanwhile; what has a name on disk was verified, and nothing of earlier versions stays.
func TestReleaseKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	o := replaceable(t, c)
	f := c.Function("f", echo)
	c.Push(c.Document(f))
	p := startProcess(t, o)
	runs(c, "test", 1)
	for i, step := range agent.ReleaseSteps() {
		p.kill()
		want := fmt.Sprintf("v%d", i)
		doc := c.Document(f)
		doc.Agent = release(t, c, want, "")
		c.Hold(doc)
		o.DieAt = step
		startProcess(t, o).awaitEnd(t)
		if i%2 == 1 {
			want += "-newer"
			doc = c.Document(f)
			doc.Agent = release(t, c, want, "")
			c.Hold(doc)
		}
		c.Forget()
		o.DieAt = ""
		p = startProcess(t, o)
		r := runs(c, want, doc.Version)
		require.Empty(t, r.Agent.Reverted, step)
		require.Empty(t, r.Refused, step)
		require.Equal(t, wire.FunctionRunning, r.Functions[0].State, step)
		onlyVersion(t, o.DataDir, doc.Agent.Digests[runtime.GOARCH])
	}
}

// onlyVersion holds the folder of versions to one program, which is what its name says.
func onlyVersion(t *testing.T, dir, digest string) {
	t.Helper()
	require.Eventually(t, func() bool { // the one before goes once the new one has passed
		found, err := os.ReadDir(filepath.Join(dir, "agent"))
		require.NoError(t, err)
		return len(found) == 2 && found[0].Name() == digest && found[1].Name() == "state.json"
	}, agenttest.Patience, 10*time.Millisecond)
	require.Equal(t, digest, digestOf(t, filepath.Join(dir, "agent", digest)))
	require.NoFileExists(t, filepath.Join(dir, "packages", digest), "it is there twice")
}

// breaking serves the first half of each release once, and counts what was asked for from the middle on.
type breaking struct {
	mu      sync.Mutex
	broken  map[string]bool
	resumed int
}

func (b *breaking) serve(w http.ResponseWriter, r *http.Request, code []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	isRelease := strings.HasPrefix(string(code), "#!")
	if isRelease && !b.broken[r.URL.Path] {
		b.broken[r.URL.Path] = true
		w.Header().Set("Content-Length", fmt.Sprint(len(code)))
		_, _ = w.Write(code[:len(code)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	var from int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(code)-1, len(code)))
		w.WriteHeader(http.StatusPartialContent)
		if isRelease {
			b.resumed++
		}
	}
	_, _ = w.Write(code[from:])
}

// A release whose download breaks goes on from there; one that is not what was signed never runs; one that does not reach the cloud in its
// time makes room for the version before, is not tried again by itself, and is when the operator says so.
func TestReleaseOnTrial(t *testing.T) {
	t.Parallel()
	c := agenttest.Start(t)
	b := &breaking{broken: map[string]bool{}}
	c.Serve = b.serve
	o := replaceable(t, c)
	o.Trial = 3 * time.Second
	f := c.Function("f", echo)
	doc := c.Document(f)
	doc.Agent = release(t, c, "v1", "")
	c.Push(doc)
	startProcess(t, o)
	runs(c, "v1", 1)
	b.mu.Lock()
	require.Equal(t, 1, b.resumed)
	b.mu.Unlock()

	doc = c.Document(f)
	doc.Agent = release(t, c, "v2", "")
	digest := doc.Agent.Digests[runtime.GOARCH]
	right := c.Bytes(digest)
	c.Spoil(digest, []byte(strings.Replace(string(right), "export", "evil", 1)))
	c.Push(doc)
	r := c.AwaitReport("a refusal", func(r wire.ReportedMessage) bool { return len(r.Refused) > 0 })
	require.Contains(t, r.Refused[0].Reason, "agent v2: the package is not the one that its digest names")
	require.Equal(t, "v1", r.Agent.Version)
	c.Spoil(digest, right)
	runs(c, "v2", 2)

	deaf := filepath.Join(t.TempDir(), "deaf")
	require.NoError(t, os.WriteFile(deaf, nil, 0o600))
	doc = c.Document(f)
	doc.Agent = release(t, c, "v3", "[ -e "+deaf+" ] && export "+deafEnv+"=1")
	sessions := c.Hellos()
	c.Push(doc)
	r = c.AwaitReport("the version before", func(r wire.ReportedMessage) bool { return r.Agent.Reverted == "v3" && r.Good == 3 })
	require.Equal(t, "v2", r.Agent.Version)
	require.Equal(t, wire.FunctionRunning, r.Functions[0].State)
	require.Equal(t, sessions+1, c.Hellos(), "v3 was tried once, without a session")
	require.NoError(t, os.Remove(deaf))
	c.Push(c.Document(f))
	doc = c.Document(f)
	doc.Agent = release(t, c, "v3", "[ -e "+deaf+" ] && export "+deafEnv+"=1")
	c.Push(doc)
	r = c.AwaitGood(doc.Version)
	require.Equal(t, []string{"v2", "v3"}, []string{r.Agent.Version, r.Agent.Reverted}, "it was given up")
	c.Send(wire.Cmd, wire.Command{Seq: 1, ID: "1", Kind: wire.KindRetryRelease, Body: json.RawMessage(`{}`)})
	require.True(t, c.AwaitAck(1).OK)
	require.Empty(t, runs(c, "v3", doc.Version).Agent.Reverted)
}
