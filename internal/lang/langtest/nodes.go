package langtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

const nodeStyles = `
const later = (fn) => setTimeout(fn, 1);
exports.callback = (event, context, callback) => { later(() => callback(null, event)); };
exports.callbackNow = (event, context, callback) => callback(null, event);
exports.callbackArrow = (event, context, callback) => later(() => callback(null, event));
exports.callbackTwice = (event, context, callback) => { callback(null, event); callback(null, 'again'); callback(new Error('no')); };
exports.callbackError = (event, context, callback) => { callback(new RangeError('from callback')); };
exports.callbackText = (event, context, callback) => { callback('from callback'); };
exports.callbackNothing = (event, context, callback) => { callback(); };
exports.promise = (event) => new Promise((resolve) => later(() => resolve(event)));
exports.thenable = (event) => ({ then(resolve) { later(() => resolve(event)); } });
exports.ticks = async (event) => {
  await new Promise((resolve) => process.nextTick(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => later(resolve));
  return event;
};
exports.plain = (event, context) => event;
exports.silent = (event, context) => { later(() => {}); };
exports.none = () => {};
exports.rejects = async () => { await null; throw new RangeError('rejected'); };
exports.throws = () => { throw new RangeError('thrown'); };
exports.asyncCallback = async (event, context, callback) => { callback(null, event); };
`

func style(name, want string) Case {
	return Case{
		Name: "style " + name, Sources: source("", nodeStyles), Load: func(l *lang.Load) { l.Handler = "index." + name },
		Check: func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 2 {
				result(t, w.Call(`{"a":1}`), want)
			}
		},
	}
}

func failingStyle(name, kind, message string) Case {
	return Case{
		Name: "style " + name, Sources: source("", nodeStyles), Load: func(l *lang.Load) { l.Handler = "index." + name },
		Check: func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			for range 2 {
				failed(t, w.Call(`{}`), lang.FailException, kind, message)
			}
		},
	}
}

// lastCall is a case whose call fails with a RangeError from nowhere and whose worker then ends.
func lastCall(name, handler string) Case {
	return Case{
		Name: name, Sources: source("", "exports.handler = "+handler+";\n"),
		Check: func(t *testing.T, w *Worker, l Reply) {
			loaded(t, l)
			r := w.Call(`{}`)
			failed(t, r, lang.FailLast, "RangeError", "lost")
			require.Contains(t, strings.Join(r.Failure.Stack, "\n"), "index.js:1")
			require.Equal(t, 1, w.Exit())
		},
	}
}

func nodeCases() []Case {
	const echoed = `{"a":1}`
	cases := []Case{
		lastCall("uncaught exception during a call", "() => new Promise(() => setTimeout(() => { throw new RangeError('lost'); }, 1))"),
		lastCall("unhandled rejection during a call", "() => new Promise(() => { Promise.reject(new RangeError('lost')); })"),
		{
			Name: "uncaught exception between calls", Sources: source("",
				"exports.handler = async (event) => { process.once('SIGUSR2', () => { throw new RangeError('lost'); }); process.kill(process.pid, 'SIGUSR2'); return event; };\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`1`), `1`)
				require.Equal(t, 1, w.Exit())
				require.Contains(t, strings.Join(w.Output(), "\n"), "lost")
			},
		},
		{
			Name: "timers go on between calls", Sources: source("",
				"exports.handler = async (event) => { if (event) setTimeout(() => console.log('later'), 1); };\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`1`), `null`)
				require.Equal(t, "\x1eIlater", <-w.lines)
			},
		},
		{
			Name: "unhandled rejection at load", Sources: source("", "Promise.reject(new RangeError('at load'));\nexports.handler = 1;\nexports.initializer = () => new Promise(() => {});\nexports.handler = async () => 1;\n"),
			Load: func(l *lang.Load) { l.InitHandler = "index.initializer" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				require.Contains(t, []byte{lang.FailLoad, lang.FailInit}, l.Fail)
				require.Equal(t, "at load", l.Failure.Message)
				require.Equal(t, 1, w.Exit())
			},
		},
		{
			Name: "globals replaced", Sources: source("", `
const fs = require('fs');
exports.handler = async (event) => {
  JSON.parse = JSON.stringify = fs.writeSync = fs.readSync = Date.now = () => { throw new Error('replaced'); };
  return event;
};
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`1`), `1`)
				result(t, w.Call(`2`), `2`)
			},
		},
	}
	for name, files := range map[string]map[string]string{
		"mjs":              {"index.mjs": "import fs from 'fs';\nawait null;\nexport const handler = async (event) => fs && event;\n"},
		"mjs with other":   {"index.mjs": "import { value } from './other.mjs';\nexport const handler = async (event) => value && event;\n", "other.mjs": "export const value = 1;\n"},
		"type module":      {"index.js": "export async function handler(event) { return event; }\n", "package.json": `{"type":"module"}`},
		"default export":   {"index.mjs": "export default { handler: async (event) => event };\n"},
		"cjs":              {"index.cjs": nodeEcho, "package.json": `{"type":"module"}`},
		"type commonjs":    {"index.js": nodeEcho, "package.json": `{"name":"x"}`},
		"a package beside": {"index.js": "const { id } = require('dep');\nexports.handler = async (event) => id(event);\n", "node_modules/dep/index.js": "exports.id = (x) => x;\n"},
	} {
		cases = append(cases, Case{
			Name: "module " + name, Sources: map[string]map[string]string{"node": files},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(echoed), echoed)
				require.Empty(t, w.Output())
			},
		})
	}
	for _, name := range []string{"callback", "callbackNow", "callbackArrow", "callbackTwice", "promise", "thenable", "ticks", "plain", "asyncCallback"} {
		cases = append(cases, style(name, echoed))
	}
	for _, name := range []string{"callbackNothing", "silent", "none"} {
		cases = append(cases, style(name, `null`))
	}
	return append(cases,
		failingStyle("callbackError", "RangeError", "from callback"),
		failingStyle("callbackText", "Error", "from callback"),
		failingStyle("rejects", "RangeError", "rejected"),
		failingStyle("throws", "RangeError", "thrown"),
	)
}
