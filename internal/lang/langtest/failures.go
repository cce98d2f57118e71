package langtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

func failureCases() []Case {
	return []Case{
		{
			Name: "exception with stack", Sources: source(`
class MyError(Exception):
    pass

def inner():
    raise MyError("out of cheese")

def handler(event, context):
    inner()
`, `
class MyError extends Error {
  constructor(message) { super(message); this.name = 'MyError'; }
}
function inner() { throw new MyError('out of cheese'); }
exports.handler = async () => { inner(); };
`).php(`<?php
class MyError extends Exception {}

function inner() { throw new MyError("out of cheese"); }
function handler($event, $context) { inner(); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 2 {
					r := w.Call(`{}`)
					failed(t, r, lang.FailException, "MyError", "out of cheese")
					stack := strings.Join(r.Failure.Stack, "\n")
					require.Contains(t, stack, "inner")
					require.Contains(t, stack, "handler")
					require.Regexp(t, `index\.(py", line 6|js:5|php:4)`, stack)
				}
				require.Empty(t, w.Output())
			},
		},
		{
			Name: "event that is not JSON", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, event := range []string{``, `{`, "\xff", `{"a":1} x`} {
					failed(t, w.Call(event), lang.FailException, "JSONDecodeError|UnicodeDecodeError|ValueError|SyntaxError|JsonException", "")
				}
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "deep event", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))
				require.NoError(t, r.Err)
				require.NotZero(t, r.Fail)
				require.Contains(t, []string{"RecursionError", "RuntimeError", "RangeError", "JsonException"}, r.Failure.Type)
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "endless recursion", Sources: source(
				"def a(n):\n    return b(n + 1)\ndef b(n):\n    return a(n + 1)\ndef handler(event, context):\n    return a(0) if event else 1\n",
				"Error.stackTraceLimit = Infinity;\nconst a = (n) => b(n + 1);\nconst b = (n) => 1 + a(n + 1);\nexports.handler = async (event) => (event ? a(0) : 1);\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`1`)
				failed(t, r, lang.FailException, "RecursionError|RuntimeError|RangeError", "aximum")
				require.NotEmpty(t, r.Failure.Stack)
				require.LessOrEqual(t, len(r.Failure.Stack), 201)
				result(t, w.Call(`0`), `1`)
			},
		},
		{
			Name: "huge message", Sources: source(
				"def handler(event, context):\n    raise ValueError('x' * 10000000)\n",
				"exports.handler = async () => { throw new TypeError('x'.repeat(10000000)); };\n").php(`<?php
function handler($event, $context) { throw new ValueError(str_repeat("x", 10000000)); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "ValueError|TypeError", "xxx")
				require.Less(t, len(r.Frame.Body), 1<<20)
			},
		},
		{
			Name: "odd things thrown", Sources: source(`
class Odd(BaseException):
    def __str__(self):
        raise self
class Worse(Exception):
    def __str__(self):
        raise KeyboardInterrupt
class Surrogate(Exception):
    pass
def handler(event, context):
    if event == 0: raise Odd()
    if event == 1: raise Worse()
    if event == 2: raise KeyboardInterrupt()
    if event == 3: raise GeneratorExit()
    if event == 4: raise Surrogate("\ud800")
    return event
`, `
exports.handler = async (event) => {
  if (event === 0) throw undefined;
  if (event === 1) throw { get stack() { throw 1; }, get message() { throw 2; } };
  if (event === 2) throw 'text';
  if (event === 3) throw null;
  if (event === 4) throw Object.create(null);
  return event;
};
`).php(`<?php
function handler($event, $context) {
  if ($event === 0) throw new class extends Exception { protected $message = [1]; };
  if ($event === 1) throw new Error("\xff\x00");
  if ($event === 2) return intdiv(1, 0);
  if ($event === 3) return nothing();
  if ($event === 4) throw new ErrorException("", 0, E_ERROR, "nowhere", -1, new Error("\n"));
  return $event;
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, event := range []string{"0", "1", "2", "3", "4"} {
					r := w.Call(event)
					failed(t, r, lang.FailException, "Error|Odd|Worse|KeyboardInterrupt|GeneratorExit|Surrogate|Exception@anonymous|DivisionByZeroError|ErrorException", "")
					result(t, w.Call(`9`), `9`)
				}
			},
		},
	}
}

func loadCases() []Case {
	refused := func(kind byte, types, message string) func(*testing.T, *Worker, Reply) {
		return func(t *testing.T, w *Worker, l Reply) { failed(t, l, kind, types, message) }
	}
	initialised := func(l *lang.Load) { l.InitHandler = "index.initializer" }
	return []Case{
		{
			Name: "missing module", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load:  func(l *lang.Load) { l.Handler = "nothing.handler" },
			Check: refused(lang.FailLoad, "ModuleNotFoundError|ImportError|HandlerNotFound", "nothing"),
		},
		{
			Name: "missing handler", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load:  func(l *lang.Load) { l.Handler = "index.other" },
			Check: refused(lang.FailLoad, "HandlerNotFound", "other"),
		},
		{
			Name: "handler that is no function", Sources: source("handler = 1\n", "exports.handler = 1;\n").php(`<?php
$handler = 1;
const handler = 1;
class handler {}
`),
			Check: refused(lang.FailLoad, "HandlerNotFound", "handler"),
		},
		{
			Name: "syntax error", Sources: source("x = 1\nprint 'python 2'\n", "let a = 1;\nexports.handler = (;\n").php(`<?php
function handler($event, $context) { return (; }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailLoad, "SyntaxError|ParseError", "")
				require.Regexp(t, `index\.(py", line 2|js:2|php:2)`, strings.Join(l.Failure.Stack, "\n"))
			},
		},
		{
			Name: "module that throws", Sources: source("raise RuntimeError('at load')\n", "throw new RangeError('at load');\n").php(`<?php
throw new RuntimeException("at load");
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailLoad, "RuntimeError|RangeError|RuntimeException", "at load")
				require.Regexp(t, `index\.(py", line 1|js:1|php:2)`, strings.Join(l.Failure.Stack, "\n"))
				w.HangUp()
				require.LessOrEqual(t, w.Exit(), 1)
			},
		},
		{
			Name: "code root that is not there", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load:  func(l *lang.Load) { l.CodeRoot += "/none" },
			Check: refused(lang.FailLoad, "FileNotFoundError|OSError|Error|HandlerNotFound", ""),
		},
		{
			Name: "initializer", Sources: source(
				"seen = []\ndef initializer(context):\n    seen.append(context.getFunctionName())\ndef handler(event, context):\n    return seen\n",
				"const seen = [];\nexports.initializer = (context, callback) => { setTimeout(() => { seen.push(context.getFunctionName()); callback(null, ''); }, 1); };\nexports.handler = async () => seen;\n").php(`<?php
$seen = [];
function initializer($context) { global $seen; $seen[] = $context->getFunctionName(); }
function handler($event, $context) { return $GLOBALS["seen"]; }
`),
			Load: initialised,
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `["example"]`)
				result(t, w.Call(`{}`), `["example"]`)
			},
		},
		{
			Name: "initializer that fails", Sources: source(
				pythonEcho+"def initializer(context):\n    raise KeyError('pepper')\n",
				nodeEcho+"exports.initializer = (context, callback) => { callback(new RangeError('pepper')); };\n").php(phpEcho + "function initializer($context) { throw new RangeException('pepper'); }\n"),
			Load:  initialised,
			Check: refused(lang.FailInit, "KeyError|RangeError|RangeException", "pepper"),
		},
		{
			Name: "missing initializer", Sources: source(pythonEcho, nodeEcho).php(phpEcho), Load: initialised,
			Check: refused(lang.FailLoad, "HandlerNotFound", "initializer"),
		},
		{
			Name: "handler in a folder", Sources: map[string]map[string]string{
				"python": {"src/index.py": "import helper\nfrom src import other\n" + pythonEcho, "helper.py": "", "src/other.py": ""},
				"node":   {"src/index.js": "require('./other'); require('../helper');\n" + nodeEcho, "helper.js": "", "src/other.js": ""},
				"php":    {"src/index.php": "<?php\nrequire 'other.php'; require 'helper.php'; require __DIR__ . '/other.php';\nfunction handler($event, $context) { return $event; }\n", "helper.php": "", "src/other.php": ""},
			},
			Load: func(l *lang.Load) { l.Handler = "src/index.handler" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`1`), `1`)
			},
		},
		{
			Name: "handler named like a module of the system", Sources: map[string]map[string]string{
				"python": {"json.py": "import json\nimport time\n" + pythonEcho},
				"node":   {"json.js": "exports.handler = async (event) => require('fs').existsSync('json.js') && event;\n"},
			},
			Load: func(l *lang.Load) { l.Handler = "json.handler" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{"a":1}`), `{"a":1}`)
			},
		},
		{
			Name: "working folder and environment", Sources: source(
				"import os, sys\nhere = os.getcwd() == os.path.dirname(__file__) == sys.path[0]\ncolour = os.environ['colour']\ndef handler(event, context):\n    return [here, colour, os.environ['RUNTIME_FUNC_NAME']]\n",
				"const here = process.cwd() === __dirname;\nconst { colour } = process.env;\nexports.handler = async () => [here, colour, process.env.RUNTIME_FUNC_NAME];\n").php(`<?php
$here = getcwd() === __DIR__;
function handler($event, $context) { return [$GLOBALS["here"] && getenv("colour") === $_ENV["colour"], $_SERVER["colour"], getenv("RUNTIME_FUNC_NAME")]; }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `[true,"blue","example"]`)
			},
		},
	}
}
