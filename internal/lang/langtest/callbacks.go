package langtest

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Callbacks holds a language to faas.ContractCallback, in Node.js's words: it is the only language that has it.
func Callbacks(t *testing.T, l *lang.Language, in lang.Install) {
	t.Helper()
	bootstrap := Bootstrap(t, l)
	for name, c := range map[string]struct{ source, want string }{
		"callback":         {`exports.main = (event, callback) => callback(null, [event.data, event.memoryLimitInMB, event.jobId])`, `[{"a":1},128,"request1"]`},
		"promise":          {`exports.main = async (event) => event.data.a`, `1`},
		"null":             {`exports.main = async () => null`, `null`},
		"empty callback":   {`exports.main = (event, callback) => callback()`, `null`},
		"plain return":     {`exports.main = (event, callback) => { setTimeout(callback, 5, null, 2); return 1 }`, `2`},
		"the first counts": {`exports.main = async (event, callback) => { callback(null, 1); return 2 }`, `1`},
		"late work":        {`exports.main = (event, callback) => { const said = []; setTimeout(() => said.push(1), 20); callback(null, said) }`, `[1]`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := Write(t, map[string]string{"index.js": c.source})
			w := Start(t, l, in, bootstrap)
			loaded(t, w.Load(lang.Load{CodeRoot: dir, Handler: "index.main", Contract: faas.ContractCallback, MemoryMB: 128, ProjectID: "7aad83af", Package: "default", MaxResult: 1 << 20}))
			for range 2 { // the second call finds the first one's event loop in order
				w.Send(`{"a":1}`)
				r := w.Receive()
				require.Zero(t, r.Fail, "%v", r.Failure)
				require.JSONEq(t, c.want, string(normal(r.Frame.Body)))
			}
		})
	}
	t.Run("questions", func(t *testing.T) {
		dir := Write(t, map[string]string{"index.js": `exports.main = async () => {
			const all = await Promise.all([BaaS.invoke('one', 1), BaaS.invoke('two', 2, false).catch((e) => [e.name, e.code, e.message])]);
			return all }`})
		w := Start(t, l, in, bootstrap)
		loaded(t, w.Load(lang.Load{CodeRoot: dir, Handler: "index.main", Contract: faas.ContractCallback, MemoryMB: 128, ProjectID: "7aad83af", Package: "default", MaxResult: 1 << 20}))
		seq := w.Send(`{}`)
		var asked []lang.Frame
		for range 2 {
			f := w.Receive().Frame
			require.EqualValues(t, lang.FrameAsk, f.Type)
			require.Equal(t, seq, f.Seq)
			asked = append(asked, f)
		}
		var q lang.Question
		require.NoError(t, json.Unmarshal(asked[1].Body, &q))
		require.Equal(t, lang.Question{Invoke: "two", Data: json.RawMessage("2")}, q)
		require.EqualValues(t, 1, binary.BigEndian.Uint32(asked[0].Meta))
		// Out of order, and in one piece.
		w.SendFrames(
			lang.Frame{Type: lang.FrameTold, Seq: seq, Meta: asked[1].Meta, Body: []byte(`{"status":404,"reason":"nobody"}`)},
			lang.Frame{Type: lang.FrameTold, Seq: seq, Meta: asked[0].Meta, Body: []byte(`{"result":{"code":0}}`)},
		)
		r := w.Receive()
		require.JSONEq(t, `[{"code":0},["HError",404,"nobody"]]`, string(r.Frame.Body), "%v", r.Failure)
	})
}

// CallbackRequests holds BaaS.request to what axios does, against a server in the function's own process.
func CallbackRequests(t *testing.T, l *lang.Language, in lang.Install) {
	t.Helper()
	const source = `const http = require('http')
exports.main = async (event) => {
  const server = http.createServer((req, res) => {
    let body = ''
    req.on('data', (part) => { body += part }).on('end', () => {
      if (req.url === '/moved') return res.writeHead(302, { Location: '/there?x=1' }).end()
      if (req.url === '/no') return res.writeHead(404).end('{"why":"none"}')
      if (req.url === '/silent') return
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify([req.method, req.url, req.headers['content-type'] || '', req.headers['x-mine'] || '', body]))
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const at = 'http://127.0.0.1:' + server.address().port
  const failure = (e) => [e.name, e.code]
  const said = [
    (await BaaS.request({ url: at + '/a', params: { q: [1, 'b c'] }, headers: { 'X-Mine': 'yes' } })).data,
    (await BaaS.request.post(at + '/b', { n: 1 })).data,
    (await BaaS.request(at + '/c', { method: 'put', data: 'a=1' })).data,
    (await BaaS.request.post(at + '/moved', { n: 1 })).data,
    await BaaS.request(at + '/no').catch((e) => [...failure(e), e.response.data.why]),
    await BaaS.request(at + '/silent', { timeout: 50 }).catch(failure),
    await BaaS.request('ftp://x/').catch(failure),
    (await Promise.all(Array.from({ length: 60 }, () => BaaS.request.get(at + '/many')))).length,
  ]
  server.closeAllConnections ? server.closeAllConnections() : 0
  await new Promise((resolve) => server.close(resolve))
  said.push(await BaaS.request(at + '/gone').catch(failure))
  return said
}`
	w := Start(t, l, in, Bootstrap(t, l))
	loaded(t, w.Load(lang.Load{CodeRoot: Write(t, map[string]string{"index.js": source}), Handler: "index.main", Contract: faas.ContractCallback, MemoryMB: 128, ProjectID: "7aad83af", Package: "default", MaxResult: 1 << 20}))
	w.Send(`{}`)
	r := w.Receive()
	require.Zero(t, r.Fail, "%v", r.Failure)
	require.JSONEq(t, `[
		["GET", "/a?q=1&q=b+c", "", "yes", ""], ["POST", "/b", "application/json", "", "{\"n\":1}"],
		["PUT", "/c", "application/x-www-form-urlencoded", "", "a=1"], ["GET", "/there?x=1", "", "", ""],
		["HError", 404, "none"], ["HError", 601], ["HError", 605], 60, ["HError", 600]]`, string(r.Frame.Body))
}

// normal makes the ids of the harness's calls, "request-<n>", one.
func normal(body []byte) []byte {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return body
	}
	if list, ok := v.([]any); ok && len(list) == 3 {
		list[2] = "request1"
	}
	out, _ := json.Marshal(v) // it was JSON
	return out
}
