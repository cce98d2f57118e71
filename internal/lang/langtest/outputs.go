package langtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func outputCases() []Case {
	return []Case{
		{
			Name: "what is printed comes before the answer, in order", Sources: source(`
import sys
def handler(event, context):
    for i in range(100):
        print("line", i)
    print("世界")
    sys.stdout.write("unfinished")
`, `
exports.handler = async () => {
  for (let i = 0; i < 100; i++) process.stdout.write('line ' + i + '\n');
  process.stdout.write('世界\n');
  process.stdout.write('unfinished');
};
`).php(`<?php
function handler($event, $context) {
  for ($i = 0; $i < 50; $i++) echo "line $i\n";
  ob_start(); // left open
  for (; $i < 100; $i++) print("line $i\n");
  echo "世界", PHP_EOL, "unfinished";
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				var want []string
				for i := range 100 {
					want = append(want, fmt.Sprintf("line %d", i))
				}
				require.Equal(t, append(want, "世界", "unfinished"), w.Output())
			},
		},
		{
			Name: "standard error", Sources: source(
				"import sys, os\ndef handler(event, context):\n    print('a', file=sys.stderr)\n    os.system('echo b >&2')\n    sys.stderr.write('c')\n",
				"exports.handler = async () => { process.stderr.write('a\\n'); require('child_process').execSync('echo b >&2', { stdio: 'inherit' }); process.stderr.write(Buffer.from('c')); };\n").php(`<?php
function handler($event, $context) { fwrite(STDERR, "a\n"); system("echo b >&2"); error_log("c"); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				require.Equal(t, []string{"a", "b", "c"}, w.Output())
			},
		},
		{
			Name: "what is printed at load", Sources: source("print('loading')\n"+pythonEcho, "process.stdout.write('loading\\n');\n"+nodeEcho).php("<?php\necho \"loading\\n\";\nfunction handler($event, $context) { return $event; }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Equal(t, []string{"loading"}, w.Output())
			},
		},
		{
			Name: "what is printed before an exception", Sources: source(
				"import sys\ndef handler(event, context):\n    sys.stdout.write('a')\n    raise ValueError()\n",
				"exports.handler = async () => { process.stdout.write('a'); throw new TypeError(); };\n").php(`<?php
function handler($event, $context) { echo "a"; throw new TypeError(); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.NotZero(t, w.Call(`{}`).Fail)
				require.Equal(t, []string{"a"}, w.Output())
			},
		},
		{
			Name: "logger behind an unfinished line", Sources: source(
				"def handler(event, context):\n    print('open', end='')\n    context.getLogger().error('bad')\n",
				"exports.handler = async (event, context) => { process.stdout.write('open'); context.getLogger().error('bad'); };\n").php(`<?php
function handler($event, $context) { echo "open"; $context->getLogger()->error("bad"); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				require.Equal(t, []faas.LogLine{{Level: faas.LevelInfo, Text: "open"}, {Level: faas.LevelError, Text: "bad"}}, logLines(w.Output()))
			},
		},
		{
			Name: "logging module", Sources: source(`
import logging
logging.basicConfig(level=logging.INFO)
def handler(event, context):
    logging.debug("hidden")
    logging.info("one\ntwo")
    logging.getLogger("a.b").warning("careful %s", "now")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("bad")
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				lines := logLines(w.Output())
				require.Len(t, lines, 3)
				require.Equal(t, faas.LogLine{Level: faas.LevelInfo, Text: "one\ntwo"}, lines[0])
				require.Equal(t, faas.LogLine{Level: faas.LevelWarn, Text: "careful now"}, lines[1])
				require.Equal(t, faas.LevelError, lines[2].Level)
				require.Contains(t, lines[2].Text, "bad\nTraceback")
				require.Contains(t, lines[2].Text, "ZeroDivisionError")
			},
		},
		{
			Name: "logging module imported late, with a format", Sources: source(`
def handler(event, context):
    import logging
    logging.warning("first")
    logging.basicConfig(level="DEBUG", format="%(name)s: %(message)s")
    logging.getLogger("n").debug("second")
    logging.basicConfig(level="ERROR", force=True) if event else None
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`0`), `null`)
				require.Equal(t, []faas.LogLine{
					{Level: faas.LevelWarn, Text: "first"}, {Level: faas.LevelDebug, Text: "n: second"},
				}, logLines(w.Output()))
			},
		},
		{
			Name: "console", Sources: source("", `
exports.handler = async () => {
  console.debug('d');
  console.log('one\ntwo %d', 3, { a: 1 });
  console.info('i');
  console.group('group');
  console.warn('w');
  console.groupEnd();
  console.error(new RangeError('e').message);
  console.assert(false, 'claim');
  const { log } = console;
  log();
};
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `null`)
				require.Equal(t, []faas.LogLine{
					{Level: faas.LevelDebug, Text: "d"},
					{Level: faas.LevelInfo, Text: "one\ntwo 3 { a: 1 }"},
					{Level: faas.LevelInfo, Text: "i"},
					{Level: faas.LevelInfo, Text: "group"},
					{Level: faas.LevelWarn, Text: "  w"},
					{Level: faas.LevelError, Text: "e"},
					{Level: faas.LevelWarn, Text: "Assertion failed: claim"},
					{Level: faas.LevelInfo, Text: ""},
				}, logLines(w.Output()))
			},
		},
		{
			Name: "output replaced or closed", Sources: source(`
import io, os, sys
def handler(event, context):
    if event == 0:
        sys.stdout = io.StringIO()
    if event == 1:
        sys.__stdout__.close()
        sys.stderr = None
    if event == 2:
        os.closerange(0, 3)
    context.getLogger().info("still here")
    print("x")
    return event
`, `
const fs = require('fs');
exports.handler = async (event, context) => {
  if (event === 0) process.stdout.destroy();
  if (event === 1) console.log = null;
  if (event === 2) for (const fd of [0, 1, 2]) fs.closeSync(fd);
  context.getLogger().info('still here');
  return event;
};
`).php(`<?php
function handler($event, $context) {
  if ($event === 0) ob_start();
  if ($event === 1) fclose(STDOUT);
  if ($event === 2) fclose(STDERR);
  $context->getLogger()->info("still here");
  echo "x";
  return $event;
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for _, event := range []string{"0", "1", "2", "3"} {
					result(t, w.Call(event), event)
				}
			},
		},
	}
}
