//go:build linux

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need/postgres"
)

// jobMark writes the event's number and the request's id, as one line, to the file that the event names.
const jobMark = `import os

def handler(event, context):
    f = os.open(event['file'], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(f, ('%d %s\n' % (event['n'], context.getRequestID())).encode())
    os.close(f)
    return event['n']
`

// enqueue asks for an asynchronous call, and gives its request id.
func (h *host) enqueue(ctx context.Context, name string, event []byte) (id string, a answer, err error) {
	a, err = h.do(ctx, http.MethodPost, h.function(name)+"/invocations-async", event)
	if err != nil || a.status != http.StatusAccepted {
		return "", a, err
	}
	var body struct {
		RequestID string `json:"request_id"`
	}
	err = json.Unmarshal(a.body, &body)
	return body.RequestID, a, err
}

// books are those of the server.
type books struct {
	Accepted, Done, Dead, Cancelled, Waiting, Running int64
}

func (h *host) books(t *testing.T) books {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodGet, "/admin/v1/projects/"+h.ProjectID+"/job-books", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var b books
	require.NoError(t, json.Unmarshal(a.body, &b))
	require.Equal(t, b.Accepted, b.Done+b.Dead+b.Cancelled+b.Waiting+b.Running, "the books balance")
	return b
}

// settled waits until nothing waits or runs.
func (h *host) settled(t *testing.T) books {
	t.Helper()
	var b books
	require.Eventually(t, func() bool {
		b = h.books(t)
		return b.Waiting+b.Running == 0
	}, 3*time.Minute, 50*time.Millisecond)
	return b
}

// asyncRow is a row of ListAsyncInvocations.
type asyncRow struct {
	RequestID string `json:"request_id"`
	Status    string `json:"status"`
	ErrorCode int    `json:"error_code"`
	Message   string `json:"error_message"`
}

// asyncRows reads all pages, by request id. Nothing may be accepted meanwhile: pages count rows, so a new one moves the others.
func (h *host) asyncRows(t *testing.T, name string) map[string]asyncRow {
	t.Helper()
	return h.asyncPages(t, name, true)
}

// asyncPages reads all pages, or the first alone, which has the 500 youngest.
func (h *host) asyncPages(t *testing.T, name string, all bool) map[string]asyncRow {
	t.Helper()
	rows := map[string]asyncRow{}
	for marker := int64(0); ; {
		a, err := h.do(t.Context(), http.MethodGet, fmt.Sprintf("%s/async-invocations?limit=500&marker=%d", h.function(name), marker), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		var page struct {
			Invocations []asyncRow
			Next        int64 `json:"next_marker"`
		}
		require.NoError(t, json.Unmarshal(a.body, &page))
		for _, r := range page.Invocations {
			require.NotContains(t, rows, r.RequestID, "a row comes on one page only")
			rows[r.RequestID] = r
		}
		if len(page.Invocations) == 0 || !all {
			return rows
		}
		marker = page.Next
	}
}

// topic is a webhook that stands in for a topic, and counts what it is sent: by request, the ids of the deliveries.
type topic struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func newTopic(t *testing.T) *topic {
	p := &topic{seen: map[string]map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server was killed
		}
		var record struct {
			Request struct {
				ID        string `json:"request_id"`
				Condition string
			} `json:"request_context"`
		}
		if json.Unmarshal(text, &record) != nil || record.Request.Condition != "" {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.seen[record.Request.ID] == nil {
			p.seen[record.Request.ID] = map[string]bool{}
		}
		p.seen[record.Request.ID][r.Header.Get("X-Hanshu-Delivery")] = true
	}))
	t.Cleanup(p.Close)
	return p
}

// TestAsyncSurvivesKill accepts asynchronous calls, kills the server at a random instant, and starts it again: each call that
// was acknowledged ran, the books balance, and none is reported twice as a success. HANSHU_TEST_KILLS and HANSHU_TEST_JOBS
// choose other numbers than 3 rounds of 500.
func TestAsyncSurvivesKill(t *testing.T) {
	t.Parallel()
	rounds, jobs := numberFrom(t, "HANSHU_TEST_KILLS", 3), numberFrom(t, "HANSHU_TEST_JOBS", 500)
	if testing.Short() {
		rounds = 1
	}
	p := newPlace(t, 0, "--sandbox", "none", "--allow-private-code-urls", "127.0.0.1")
	asyncSurvivesKill(t, p, rounds, jobs)
}

// TestAsyncSurvivesKillOnPostgres is the same where the jobs of the killed server wait for its lease to end.
func TestAsyncSurvivesKillOnPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds, which is the lease")
	}
	t.Parallel()
	asyncSurvivesKill(t, newPlace(t, 0, "--sandbox", "none", "--allow-private-code-urls", "127.0.0.1", "--db", postgres.Schema(t)), 1, 300)
}

func numberFrom(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

func asyncSurvivesKill(t *testing.T, p *place, rounds, jobs int) {
	hook := newTopic(t)
	h := p.start(t)
	h.create(t, function{name: "mark", runtime: python, source: jobMark, concurrency: 4})
	put := func(path string, body any) {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		a, err := h.do(t.Context(), http.MethodPut, path, text)
		require.NoError(t, err)
		require.Equal(t, 2, a.status/100, "%s", a.body)
	}
	put("/admin/v1/projects/"+h.ProjectID+"/webhooks/topic", map[string]string{"url": hook.URL})
	put(h.function("mark")+"/async-invoke-config", map[string]any{
		"destination_config": map[string]any{"on_success": map[string]string{"destination": "SMN", "param": `{"topic_urn":"urn:smn:done"}`}},
	})
	file := filepath.Join(filepath.Dir(p.DataDir), "ran")
	acked := map[string]bool{}
	for round := range rounds {
		before := len(acked)
		h = killWhileEnqueuing(t, p, h, file, jobs, acked)
		b := h.settled(t)
		rows := h.asyncRows(t, "mark")
		ran := linesOf(t, file)
		again := 0
		for id := range acked {
			require.Equal(t, "SUCCESS", rows[id].Status, "%s: %+v", id, rows[id])
			require.NotZero(t, ran[id], "%s was acknowledged and did not run", id)
			if ran[id] > 1 {
				again++
			}
		}
		for id, row := range rows {
			require.Equal(t, "SUCCESS", row.Status, "%s: %+v", id, row)
		}
		// Each call and the delivery of its record: a success that was reported twice would have a second delivery.
		require.EqualValues(t, 2*len(rows), b.Accepted)
		require.EqualValues(t, 2*len(rows), b.Done)
		hook.mu.Lock()
		for id := range rows {
			require.Len(t, hook.seen[id], 1, id)
		}
		hook.mu.Unlock()
		t.Logf("round %d: %d acknowledged, %d rows in all, %d calls ran more than once so far, %+v",
			round, len(acked)-before, len(rows), again, b)
	}
	h.Stop(t)
}

// killWhileEnqueuing kills the server when a random part of the jobs is acknowledged, and gives it started again, with the
// rest enqueued.
func killWhileEnqueuing(t *testing.T, p *place, h *host, file string, jobs int, acked map[string]bool) *host {
	t.Helper()
	var mu sync.Mutex
	var next, count atomic.Int64
	enqueue := func(h *host, mayFail func() bool) {
		var work sync.WaitGroup
		for range 16 {
			work.Go(func() {
				for {
					n := next.Add(1)
					if n > int64(jobs) {
						return
					}
					id, a, err := h.enqueue(t.Context(), "mark", fmt.Appendf(nil, `{"n":%d,"file":%q}`, n, file))
					switch {
					case err != nil && mayFail():
						return // not acknowledged; it may run or not
					case err != nil || id == "":
						t.Errorf("call %d: %v, %d %s", n, err, a.status, a.body)
						return
					}
					mu.Lock()
					acked[id] = true
					mu.Unlock()
					count.Add(1)
				}
			})
		}
		work.Wait()
	}
	var killed atomic.Bool
	at := rand.Int64N(int64(jobs))
	done := make(chan struct{})
	go func() {
		defer close(done)
		enqueue(h, killed.Load)
	}()
	require.Eventually(t, func() bool { return count.Load() >= at }, time.Minute, time.Millisecond)
	killed.Store(true)
	h.Kill()
	<-done
	h = p.start(t)
	enqueue(h, func() bool { return false })
	return h
}

// linesOf counts the lines of a file by their request id.
func linesOf(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	ran := map[string]int{}
	for line := range strings.Lines(string(text)) {
		_, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		ran[id]++
	}
	return ran
}
