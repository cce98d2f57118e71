//go:build linux

package engine

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// numbered is a function that answers a number.
func numbered(n int64) string {
	return fmt.Sprintf("def handler(event, context):\n    return %d\n", n)
}

// publish gives a function other source, and publishes it under a name.
func (h *host) publish(t *testing.T, name, version, source string) {
	t.Helper()
	h.ask(t, http.MethodPut, h.function(name)+"/code", map[string]any{
		"code_type": "inline", "func_code": map[string]string{"file": base64.StdEncoding.EncodeToString([]byte(source))},
	})
	h.ask(t, http.MethodPost, h.function(name)+"/versions", map[string]any{"version": version})
}

// TestAliasSwitchedUnderLoad leads an alias from version to version while 16 clients call through it, and deletes the versions that it
// has left. No call fails; each is answered by a version that the alias led to at some time of the call.
func TestAliasSwitchedUnderLoad(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.create(t, function{name: "switched", runtime: python, source: numbered(0)})
	h.publish(t, "switched", "v1", numbered(1))
	h.ask(t, http.MethodPost, h.function("switched")+"/aliases", map[string]any{"name": "prod", "version": "v1"})
	var acknowledged, sent, calls atomic.Int64
	acknowledged.Store(1)
	sent.Store(1)
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				oldest := acknowledged.Load()
				a, err := h.invoke(t.Context(), "switched:!prod", event(1))
				newest := sent.Load()
				got, bad := strconv.ParseInt(strings.TrimSpace(string(a.body)), 10, 64)
				if err != nil || a.status != http.StatusOK || bad != nil || got < oldest || got > newest {
					t.Errorf("%v %d %s; versions %d to %d were meant", err, a.status, a.body, oldest, newest)
					return
				}
				calls.Add(1)
			}
		})
	}
	for n := int64(2); n <= 15; n++ {
		h.publish(t, "switched", fmt.Sprint("v", n), numbered(n))
		sent.Store(n)
		h.ask(t, http.MethodPut, h.function("switched")+"/aliases/prod", map[string]any{"version": fmt.Sprint("v", n)})
		acknowledged.Store(n)
		seen := calls.Load()
		require.Eventually(t, func() bool { return calls.Load() > seen+16 || t.Failed() }, time.Minute, time.Millisecond)
		if n%2 == 0 { // with calls under way that were led there before
			a, err := h.do(t.Context(), http.MethodDelete, h.function("switched")+fmt.Sprint(":v", n-1), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
		}
	}
	close(over)
	clients.Wait()
	t.Logf("%d calls beside 14 switches", calls.Load())
}

// TestAliasThroughARoute leads requests of a route, at once and later, to the version that a header chooses, and shares others out.
func TestAliasThroughARoute(t *testing.T) {
	t.Parallel()
	h := start(t)
	web := func(n int) string {
		return fmt.Sprintf("def handler(event, context):\n    print('ran %d')\n    return {'statusCode': 200, 'body': '%d'}\n", n, n)
	}
	h.create(t, function{name: "routed", runtime: python, source: web(0)})
	h.publish(t, "routed", "v1", web(1))
	h.publish(t, "routed", "v2", web(2))
	h.ask(t, http.MethodPost, h.function("routed")+"/aliases", map[string]any{
		"name": "prod", "version": "v1", "additional_version_strategy": map[string]any{"v2": map[string]any{
			"combine_type": "or", "rules": []map[string]string{
				{"rule_type": "Header", "param": "x-beta", "op": "=", "value": "yes"}, {"rule_type": "cookie", "param": "who", "op": "in", "value": "ada,bob"},
			},
		}},
	})
	data := map[string]any{"name": "r", "path": "/r", "auth": "NONE", "req_method": "ANY", "match_mode": "NORMAL"}
	at := h.triggerOf(t, "routed:!prod", "APIG", data)
	data["name"], data["path"], data["func_info"] = "later", "/later", map[string]any{"timeout": 5000, "invocation_type": "async"}
	later := h.triggerOf(t, "routed:!prod", "APIG", data)
	get := func(url string, header ...string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := h.client.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		require.NoError(t, err)
		return fmt.Sprint(resp.StatusCode, " ", body.String())
	}
	require.Equal(t, "200 1", get(at))
	require.Equal(t, "200 2", get(at, "X-Beta", "yes"))
	require.Equal(t, "200 1", get(at, "X-Beta", "no"))
	require.Equal(t, "200 2", get(at, "Cookie", "a=b; who=bob"))
	require.Contains(t, get(later, "X-Beta", "yes"), "202 ")
	ran := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, r := range h.runsAfter(t, "routed", 0) {
			for _, line := range r.Logs {
				ran[line.Text] = true
			}
		}
		return ran["ran 1"] && ran["ran 2"] && h.books(t).Done == 1
	}, time.Minute, 50*time.Millisecond)
	a, err := h.do(t.Context(), http.MethodPost, h.function("routed")+":!prod/invocations", []byte(`{}`), "X-Beta", "yes")
	require.NoError(t, err)
	require.Contains(t, string(a.body), "2")

	h.ask(t, http.MethodPut, h.function("routed")+"/aliases/prod", map[string]any{"version": "v1", "additional_version_weights": map[string]int{"v2": 20}})
	counts := map[string]int{}
	for range 100 {
		counts[get(at)]++
	}
	require.Equal(t, map[string]int{"200 1": 80, "200 2": 20}, counts)
}

// TestReservedInstancesFollowTheirAlias leads an alias that keeps two instances loaded to another version: they are warm there when the first
// call comes, and go where they were.
func TestReservedInstancesFollowTheirAlias(t *testing.T) {
	t.Parallel()
	h := start(t, "--prepared", "0")
	h.create(t, function{name: "kept", runtime: python, source: numbered(0)})
	h.publish(t, "kept", "v1", numbered(1))
	h.publish(t, "kept", "v2", numbered(2))
	h.ask(t, http.MethodPost, h.function("kept")+"/aliases", map[string]any{"name": "prod", "version": "v1"})
	h.ask(t, http.MethodPut, h.function("kept")+":!prod/reservedinstances", map[string]any{"count": 2})
	for _, version := range []string{"v1", "v2", "v1"} {
		h.ask(t, http.MethodPut, h.function("kept")+"/aliases/prod", map[string]any{"version": version})
		require.Eventually(t, func() bool { return gauge(t, h, "hanshu_pool_instances") == 2 }, time.Minute, 10*time.Millisecond)
		a, err := h.invoke(t.Context(), "kept:!prod", event(1))
		require.NoError(t, err)
		require.Equal(t, strings.TrimPrefix(version, "v"), strings.TrimSpace(string(a.body)))
		require.Contains(t, a.header.Get("X-Cff-Invoke-Summary"), `"coldStart":false`)
	}
	h.ask(t, http.MethodPut, h.function("kept")+":!prod/reservedinstances", map[string]any{"count": 0})
	a := h.ask(t, http.MethodGet, h.functions()+"/reservedinstanceconfigs", nil)
	require.Contains(t, string(a.body), `"count":0`)
}

// triggerOf makes a trigger of a version or alias, and gives its address.
func (h *host) triggerOf(t *testing.T, name, kind string, data map[string]any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"trigger_type_code": kind, "event_data": data})
	require.NoError(t, err)
	a, err := h.do(t.Context(), http.MethodPost, strings.Replace(h.function(name), "/fgs/functions/", "/fgs/triggers/", 1), body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
	var made struct {
		URL string `json:"invoke_url"`
	}
	require.NoError(t, json.Unmarshal(a.body, &made))
	return made.URL
}

// TestDeletedFunctionLeavesNothing deletes a function that has versions, an alias, triggers, reserved instances, and
// asynchronous calls that run and wait; and looks for what is left: instances, sandboxes, calls, rows.
func TestDeletedFunctionLeavesNothing(t *testing.T) {
	t.Parallel()
	const name = "zzz-vanishes"
	p := newPlace(t, 0, "--prepared", "0") // whose instances are nobody's
	h := p.start(t)
	h.create(t, function{name: "stays", runtime: python, source: pythonEcho})
	source := "import time\ndef handler(event, context):\n    time.sleep(event.get('n', 0))\n    return event['n']\n"
	h.create(t, function{name: name, runtime: python, source: source, timeout: 600, concurrency: 4})
	h.publish(t, name, "v1", source+"# 1\n")
	h.publish(t, name, "v2", source+"# 2\n")
	h.ask(t, http.MethodPost, h.function(name)+"/aliases", map[string]any{"name": "live", "version": "v1"})
	for _, of := range []string{name, name + ":v2", name + ":!live"} {
		h.triggerOf(t, of, "TIMER", map[string]any{"name": "tick", "schedule_type": "Rate", "schedule": "60m"})
	}
	h.ask(t, http.MethodPut, h.function(name)+":v2/reservedinstances", map[string]any{"count": 1})
	h.ask(t, http.MethodPut, h.function(name)+":!live/async-invoke-config", map[string]any{"max_async_retry_attempts": 1})
	digests := h.digests(t, name)
	require.Len(t, digests, 2, "latest is as v2")
	for _, of := range []string{name, name + ":v1", name + ":!live"} {
		a, err := h.invoke(t.Context(), of, event(0))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	}
	for n := range 20 { // four run for longer than the test lasts, the others wait for them
		_, a, err := h.enqueue(t.Context(), name+[]string{"", ":v2", ":!live"}[n%3], event(500))
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	}
	require.Eventually(t, func() bool { return h.books(t).Running == 4 }, time.Minute, 20*time.Millisecond)
	require.NotEmpty(t, p.showing(t, digests))

	a, err := h.do(t.Context(), http.MethodDelete, h.function(name), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
	require.Equal(t, books{Accepted: 20, Cancelled: 20}, h.books(t))
	require.Eventually(t, func() bool { return len(p.showing(t, digests)) == 0 }, time.Minute, 50*time.Millisecond, "no sandbox has its code")
	require.Eventually(t, func() bool { return gauge(t, h, "hanshu_pool_instances") == 0 }, time.Minute, 50*time.Millisecond)
	require.Equal(t, books{Accepted: 20, Cancelled: 20}, h.books(t), "the ends of what ran count for nothing")
	a, err = h.invoke(t.Context(), "stays", event(3))
	require.NoError(t, err)
	require.Empty(t, checkEcho(a, 3))

	h.create(t, function{name: name, runtime: python, source: pythonEcho})
	require.Empty(t, h.asyncRows(t, name), "another function of its name has none of its calls")
	a, err = h.invoke(t.Context(), name+":!live", event(3))
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, a.status)
	a, err = h.do(t.Context(), http.MethodDelete, h.function(name), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, a.status)
	h.Stop(t)
	left := mentions(t, filepath.Join(p.DataDir, "hanshu.db"), name)
	require.NotZero(t, left["audit.resource"], "who did what is for the audit log to say")
	delete(left, "audit.resource")
	require.Equal(t, map[string]int{"lanes.name": 1, "triggers.name": 3}, left, "the number of a line of calls, and for a day that triggers have gone")
}

// digests are those of a function's versions.
func (h *host) digests(t *testing.T, name string) map[string]bool {
	t.Helper()
	var list struct {
		Versions []struct{ Digest string }
	}
	require.NoError(t, json.Unmarshal(h.ask(t, http.MethodGet, h.function(name)+"/versions", nil).body, &list))
	found := map[string]bool{}
	for _, v := range list.Versions {
		found[v.Digest] = true
	}
	return found
}

// showing lists the sandboxed processes that see one of these packages.
func (p *place) showing(t *testing.T, digests map[string]bool) (found []int) {
	t.Helper()
	for _, pid := range p.sandboxed(t) {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		if err != nil {
			continue // gone
		}
		for digest := range digests {
			if bytes.Contains(mounts, []byte(digest)) {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// mentions counts the rows of each column of each table in a database file that hold a text.
func mentions(t *testing.T, file, text string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file}).String())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	columns := map[string]string{}
	rows, err := db.QueryContext(t.Context(), `select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table'`)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var table, column string
		require.NoError(t, rows.Scan(&table, &column))
		columns[table+"."+column] = fmt.Sprintf(`select count(*) from %q where cast(%q as text) like '%%%s%%'`, table, column, text)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(columns), 50)
	found := map[string]int{}
	for name, query := range columns {
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n))
		if n > 0 {
			found[name] = n
		}
	}
	return found
}
