package langtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

func phpSource(text string) sources { return source("", "").php("<?php\n" + text) }

func phpCases() []Case {
	return []Case{
		{
			Name: "exit", Sources: phpSource("function handler($event, $context) { ob_start(); echo 'bye'; exit($event); }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`5`), lang.FailLast, "Exit", "exit()")
				require.Equal(t, 5, w.Exit())
				require.Equal(t, []string{"bye"}, w.Output())
			},
		},
		{
			Name: "die at load", Sources: phpSource("die('no licence');\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailLoad, "Exit", "die()")
				require.Equal(t, 0, w.Exit())
				require.Equal(t, []string{"no licence"}, w.Output())
			},
		},
		{
			Name: "exit in the initializer", Sources: source("", "").php(phpEcho + "function initializer($context) { exit(1); }\n"),
			Load: func(l *lang.Load) { l.InitHandler = "index.initializer" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailInit, "Exit", "exit()")
			},
		},
		{
			Name: "error that nothing catches", Sources: phpSource("function handler($event, $context) { try { eval('function handler() {}'); } catch (Throwable $e) {} }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				failed(t, r, lang.FailLast, "FatalError", "Cannot redeclare")
				require.Contains(t, r.Failure.Stack[0], "index.php(2)")
				require.Equal(t, 255, w.Exit())
			},
		},
		{
			Name: "cause of an exception", Sources: phpSource(`function handler($event, $context) {
  try {
    strlen();
  } catch (Error $e) {
    throw new RuntimeException("wrapped", 0, $e);
  }
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "RuntimeException", "wrapped")
				require.Regexp(t, `^caused by ArgumentCountError: strlen\(\) .*index\.php:4$`, r.Failure.Stack[2])
			},
		},
		{
			Name: "warnings are log lines, and the last error is kept", Sources: phpSource(`function handler($event, $context) {
  echo $nothing;
  @file_get_contents("/none");
  trigger_error("careful\nnow", E_USER_NOTICE);
  return @file_get_contents("/none") === false && strpos(error_get_last()["message"], "/none") !== false;
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `true`)
				lines := logLines(w.Output())
				require.Len(t, lines, 2)
				require.Equal(t, faas.LevelWarn, lines[0].Level)
				require.Regexp(t, `^Warning: Undefined variable \$nothing in .*/index\.php on line 3$`, lines[0].Text)
				require.Equal(t, faas.LevelInfo, lines[1].Level)
				require.Contains(t, lines[1].Text, "Notice: careful\nnow in ")
			},
		},
		{
			Name: "forked child that comes back or ends", Sources: phpSource(`function handler($event, $context) {
  $pid = pcntl_fork();
  if ($pid === 0) {
    if ($event) exit(0);
    return "child";
  }
  pcntl_waitpid($pid, $status);
  return $status;
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`0`), `0`)
				result(t, w.Call(`1`), `0`)
				result(t, w.Call(`0`), `0`)
			},
		},
		{
			Name: "event and result in PHP's types", Sources: phpSource(`function handler($event, $context) {
  $list = json_decode(json_encode($event), true);
  return [$event->a->b, $list["a"]["b"], get_class($event), [], (object)[], "a/é", ["k" => 1.5]];
}
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{"a":{"b":[1]}}`)
				require.NoError(t, r.Err)
				require.Equal(t, `[[1],[1],"stdClass",[],{},"a/é",{"k":1.5}]`, string(r.Frame.Body))
			},
		},
		{
			Name: "extensions of the host", Sources: phpSource("function handler($event, $context) { return [ini_get('memory_limit'), php_ini_loaded_file(), extension_loaded('tokenizer')]; }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `["-1","/dev/null",true]`)
			},
		},
		{
			Name: "function of PHP's own as the handler", Sources: source("", "").php(phpEcho),
			Load: func(l *lang.Load) { l.Handler = "index.strlen" },
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailLoad, "HandlerNotFound", "strlen")
			},
		},
		{
			Name: "destructor that throws behind the result", Sources: phpSource("class Mine { function __destruct() { throw new LogicException('late'); } }\nfunction handler($event, $context) { return $event ? new Mine : 1; }\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`1`), lang.FailException, "LogicException", "late")
				result(t, w.Call(`0`), `1`)
			},
		},
	}
}
