//go:build linux

package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// webSite is a web server as customers write one, without anything but Node.js: it tells what it was asked, streams, hangs, ends,
// and speaks WebSocket as far as short text messages go.
const webSite = `#!/usr/bin/env node
const http = require('http'), crypto = require('crypto'), me = crypto.randomUUID();
const server = http.createServer((req, res) => {
  if (req.url === '/site/stream') {
    res.write('first\n');
    req.socket.on('close', () => console.log('reader gone'));
    return; // and never ends
  }
  if (req.url === '/site/exit') process.exit(3);
  let length = 0;
  req.on('data', (part) => { length += part.length; });
  req.on('end', () => res.end(JSON.stringify({ method: req.method, url: req.url, header: req.headers, length, me })));
});
server.on('upgrade', (req, socket) => {
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  socket.on('data', (frame) => { // one short masked frame
    const length = frame[1] & 127, mask = frame.subarray(2, 6), body = frame.subarray(6, 6 + length);
    for (let i = 0; i < length; i++) body[i] ^= mask[i & 3];
    socket.write(Buffer.concat([Buffer.from([frame[0], length]), body]));
    if ((frame[0] & 15) === 8) socket.end();
  });
  socket.on('close', () => console.log('socket gone'));
});
server.listen(8000, '127.0.0.1');
`

// seen is what the function tells of a request.
type seen struct {
	Method, URL string
	Header      map[string]string
	Length      int
	Me          string // of the process
}

// webHost is a server with the site behind a route for all paths below /site.
func webHost(t *testing.T) (h *host, at string) {
	t.Helper()
	h = start(t)
	request := h.request(function{name: "site", timeout: 5})
	withZip(modeless(t, "bootstrap", []byte(webSite)))(request)
	request["runtime"], request["handler"] = "http", "bootstrap"
	a, err := h.post(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	return h, h.trigger(t, "site", "APIG", map[string]any{
		"name": "site", "path": "/site", "auth": "NONE", "req_method": "ANY", "match_mode": "SWA", "func_info": map[string]any{"timeout": 60000},
	})
}

// TestWebFunction talks to a function that is a web server, through the data plane of the real program.
func TestWebFunction(t *testing.T) {
	t.Parallel()
	h, at := webHost(t)
	site := strings.TrimSuffix(at, "/site")
	get := func(path, body string) seen {
		a := postTo(t, site+path, body)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		var s seen
		require.NoError(t, json.Unmarshal(a.body, &s))
		require.Equal(t, a.header.Get("X-Request-Id"), s.Header["x-cff-request-id"])
		return s
	}
	s := get("/site/a%2Fb?x=1&x=2", strings.Repeat("x", 6<<20))
	require.Equal(t, seen{Method: "POST", URL: "/site/a%2Fb?x=1&x=2", Length: 6 << 20, Header: s.Header, Me: s.Me}, s)
	require.Equal(t, "site", s.Header["x-cff-func-name"])
	require.Equal(t, h.ProjectID, s.Header["x-cff-project-id"])
	for range 20 {
		require.Equal(t, s.Me, get("/site", "").Me, "the instance stays")
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, postTo(t, site+"/site", strings.Repeat("x", 6<<20+1)).status)
	require.Equal(t, http.StatusInternalServerError, postTo(t, site+"/site/exit", "").status)
	require.NotEqual(t, s.Me, get("/site", "").Me, "another instance takes its place")
	h.heard(t, "site", func(r run) bool { return r.Source == "apig" && r.Status == "exit" })
}

// TestWebStreams reads the beginning of an answer that never ends, and goes.
func TestWebStreams(t *testing.T) {
	t.Parallel()
	h, at := webHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/stream", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "first", lines.Text(), "while the function goes on")
	cancel()
	h.heard(t, "site", func(r run) bool { return r.Status == "cancelled" })

	resp, err = http.Get(at + "/stream")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "an answer that is cut at the function's time limit does not look whole")
	h.heard(t, "site", func(r run) bool { return r.Status == "timeout" })
}

func TestWebSocketFunction(t *testing.T) {
	t.Parallel()
	h, at := webHost(t)
	begun := time.Now()
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(at, "http"), nil)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	for _, message := range []string{"one", "two", "three"} {
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(message)))
		_, answer, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, message, string(answer))
	}
	require.NoError(t, c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), "%v", err)
	h.heard(t, "site", func(r run) bool { return r.Status == "ok" })

	c, _, err = websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(at, "http"), nil)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, _, err = c.ReadMessage()
	require.Error(t, err, "a connection lasts as long as a call may")
	h.heard(t, "site", func(r run) bool { return r.Status == "timeout" })
	require.Less(t, time.Since(begun), time.Minute)
}

// heard waits until a function has had such a run.
func (h *host) heard(t *testing.T, name string, such func(run) bool) {
	t.Helper()
	var all []run
	end := time.Now().Add(time.Minute)
	for after := uint64(0); time.Now().Before(end); {
		for _, r := range h.runsAfter(t, name, after) {
			if after, all = r.Seq, append(all, r); such(r) {
				return
			}
		}
	}
	require.Fail(t, "no such run", "%+v", all)
}
