package langtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

const (
	pythonEcho = "def handler(event, context):\n    return event\n"
	nodeEcho   = "exports.handler = async (event, context) => event;\n"
	phpEcho    = "<?php\nfunction handler($event, $context) { return $event; }\n"
	// One handler for many cases: it returns what an expression of the event gives.
	pythonEval = "import os, sys, math\ndef handler(event, context):\n    return eval(event['python'])\n"
	phpEval    = "<?php\nfunction handler($event, $context) { return eval('return ' . $event->php . ';'); }\n"
	nodeEval   = "exports.handler = async (event, context) => eval(event.node);\n"
)

// expression is an event for the handlers above.
func expression(python, node, php string) string {
	return `{"python":"` + python + `","node":"` + node + `","php":"` + php + `"}`
}

func resultCases() []Case {
	return []Case{
		{
			Name: "echo", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, event := range []string{
					`{"a":[1,2.5,null,true,{}],"b":"x"}`, `"text"`, `null`, `0`, `[]`, ` { "spaced" : 1 } `,
					`{"text":"héllo 世界 😀 \u0000 \u001e \" \\"}`, `{"世":"界"}`,
				} {
					result(t, w.Call(event), event)
				}
				require.Empty(t, w.Output())
			},
		},
		{
			Name: "half of a surrogate pair", Sources: source(pythonEcho, nodeEcho), // PHP's strings have none
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{"half":"\ud800"}`), `{"half":"\ud800"}`)
			},
		},
		{
			Name: "unicode is sent as UTF-8", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{"世": "\u754c"}`)
				require.Equal(t, `{"世":"界"}`, string(r.Frame.Body))
			},
		},
		{
			Name: "peak memory", Sources: source(
				"def handler(event, context):\n    return len(bytearray(event * 1048576))\n",
				"exports.handler = async (event) => Buffer.alloc(event * 1048576, 1).length;\n").php(`<?php
function handler($event, $context) { return strlen(str_repeat("x", $event * 1048576)); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				before := w.Call(`0`).PeakKiB
				require.Greater(t, before, int64(2<<10))
				require.Less(t, before, int64(120<<10), "the peak of the process that started the worker is reported")
				r := w.Call(`64`)
				result(t, r, `67108864`)
				require.GreaterOrEqual(t, r.PeakKiB, before+60<<10)
				require.GreaterOrEqual(t, w.Call(`0`).PeakKiB, r.PeakKiB-1024, "a peak does not fall")
			},
		},
		{
			Name: "6 MB both ways", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, size := range []int{1000, 65536 - 30, 65536, 200_000, faas.MaxEventBytes} {
					event := `"` + strings.Repeat("x", size-2) + `"`
					r := w.Call(event)
					require.NoError(t, r.Err)
					require.Zero(t, r.Fail, "%+v", r.Failure)
					require.True(t, event == string(r.Frame.Body), "%d bytes came back as %d", size, len(r.Frame.Body))
				}
			},
		},
		{
			Name: "result over its limit", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load: func(l *lang.Load) { l.MaxResult = 100_000 },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				text := func(n int) string { return `"` + strings.Repeat("y", n-2) + `"` }
				result(t, w.Call(text(100_000)), text(100_000))
				r := w.Call(text(100_001))
				failed(t, r, lang.FailTooLarge, "ResponseTooLarge", "100001 bytes")
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "small result over a small limit", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load: func(l *lang.Load) { l.MaxResult = 4 },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`"xx"`), `"xx"`)
				failed(t, w.Call(`"世"`), lang.FailTooLarge, "ResponseTooLarge", "5 bytes")
			},
		},
		{
			Name: "no result", Sources: source("def handler(event, context):\n    pass\n", "exports.handler = async () => {};\n").php(`<?php
function handler($event, $context) {}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
			},
		},
		{
			Name: "state stays between calls", Sources: source(
				"n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n",
				"let n = 0;\nexports.handler = async () => ++n;\n").php(`<?php
$n = 0;
function handler($event, $context) { global $n; return ++$n; }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `1`)
				result(t, w.Call(`{}`), `2`)
			},
		},
		{
			Name: "result that is not JSON", Sources: source(pythonEval, nodeEval).php(phpEval),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, c := range [][3]string{
					{"b'x'", "10n", "[NAN]"},
					{"{1, 2}", "(() => { const a = {}; a.a = a; return a })()", "(function () { $a = []; $a[0] = &$a; return $a; })()"},
					{"math.nan", "Symbol()", "chr(255)"},
					{"{'a': float('inf')}", "() => 1", "INF"},
					{"(lambda a: a.append(a) or a)([])", "({ toJSON() { throw new TypeError('no') } })", "new class implements JsonSerializable { function jsonSerialize(): mixed { throw new TypeError('no'); } }"},
				} {
					r := w.Call(expression(c[0], c[1], c[2]))
					failed(t, r, lang.FailResult, "TypeError|ValueError|JsonException", "the result cannot be written as JSON: ")
				}
				result(t, w.Call(expression("1", "1", "1")), `1`)
			},
		},
		{
			Name: "deadline", Sources: source(
				"def handler(event, context):\n    return context.getRemainingTimeInMilliSeconds()\n",
				"exports.handler = async (event, context) => context.getRemainingTimeInMilliSeconds();\n").php(`<?php
function handler($event, $context) { return $context->getRemainingTimeInMilliSeconds(); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				const left = 1000 * time.Second
				r := w.CallWith(`{}`, time.Now().Add(left), "id", lang.CallExtra{})
				require.NoError(t, r.Err)
				ms, err := time.ParseDuration(string(r.Frame.Body) + "ms")
				require.NoError(t, err)
				require.Less(t, left-ms, Patience)
				require.LessOrEqual(t, ms, left)
				result(t, w.CallWith(`{}`, time.Now().Add(-time.Hour), "id", lang.CallExtra{}), `0`)
			},
		},
	}
}
