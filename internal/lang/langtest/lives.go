package langtest

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

func lifeCases() []Case {
	return []Case{
		{
			Name: "exit in the handler", Sources: source(
				"import os\ndef handler(event, context):\n    print('bye')\n    os._exit(3)\n",
				"exports.handler = async () => { console.log('bye'); process.exit(3); };\n"),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Error(t, w.Call(`{}`).Err)
				require.Equal(t, 3, w.Exit())
				require.Len(t, w.Output(), 1)
			},
		},
		{
			Name: "end of the stream", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				w.HangUp()
				require.Equal(t, 0, w.Exit())
			},
		},
		{
			Name: "threads and timers left behind", Sources: source(`
import threading
def handler(event, context):
    stop = threading.Event()
    threading.Thread(target=stop.wait).start()
    return event
`, `
exports.handler = async (event) => { setInterval(() => {}, 1); require('net').createServer().listen(0); return event; };
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 3 {
					result(t, w.Call(`1`), `1`)
				}
				w.HangUp()
				require.Equal(t, 0, w.Exit())
			},
		},
		{
			Name: "children do not get the socket", Sources: source(`
import os, subprocess
def handler(event, context):
    return subprocess.check_output("ls -l /proc/self/fd", shell=True, close_fds=False).decode()
`, `
exports.handler = async () => require('child_process').execSync('ls -l /proc/self/fd', { stdio: ['ignore', 'pipe', 'inherit'] }).toString();
`).php(`<?php
function handler($event, $context) { return shell_exec("ls -l /proc/self/fd"); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				require.NoError(t, r.Err)
				require.Contains(t, string(r.Frame.Body), "0 -> ")
				for line := range strings.SplitSeq(string(r.Frame.Body), `\n`) {
					if strings.Contains(line, "socket:") {
						require.Contains(t, line, " 1 -> ", "Node gives a child a socket pair as its output, and no other socket may be there")
					}
				}
			},
		},
		{
			Name: "socket closed by the function", Sources: source(
				"import os\ndef handler(event, context):\n    os.closerange(3, 4096)\n",
				"exports.handler = async () => { require('fs').closeSync(3); };\n").php(`<?php
function handler($event, $context) { foreach (get_resources("stream") as $stream) fclose($stream); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Error(t, w.Call(`{}`).Err)
				require.Equal(t, 1, w.Exit())
			},
		},
		{
			Name: "killed", Sources: source(
				"import os\ndef handler(event, context):\n    os.kill(os.getpid(), 9)\n",
				"exports.handler = async () => { process.kill(process.pid, 'SIGKILL'); };\n").php(`<?php
function handler($event, $context) { exec("kill -9 " . getmypid()); }
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Error(t, w.Call(`{}`).Err)
				require.Equal(t, -1, w.Exit())
			},
		},
		{
			Name: "frame of an unknown kind", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				require.Error(t, w.exchange(lang.AppendFrame(nil, lang.Frame{Type: lang.FrameReady}), 0).Err)
				require.Equal(t, 1, w.Exit())
			},
		},
	}
}

func pythonCases() []Case {
	return []Case{
		{
			Name: "modules named like those of the system", Sources: sources{"python": shadowed()},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`0`), `["queue.py", "logging.py", "csv/inner.py", true]`)
			},
		},
		{
			Name: "nothing left of a rehearsal", Sources: sources{"python": {"index.py": `
import logging, os, sys

ROOT = os.path.dirname(os.path.abspath(__file__))

def handler(event, context):
    ours = [p for p in sys.path if os.path.exists(os.path.join(p, "worker.py"))]
    return [ours, [m for m in sys.modules if "rehears" in m], os.environ.get("RUNTIME_CODE_ROOT", ROOT) == ROOT,
            os.getcwd() == sys.path[0] == ROOT, len(logging.root.handlers)]
`}},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`0`), `[[], [], true, true, 1]`)
			},
		},
		{
			Name: "what modules do at a fork", Sources: sources{"python": {"index.py": `
import json, logging, os, random, threading

def handler(event, context):
    if not hasattr(os, "register_at_fork"):  # Python 3.6
        return [True] * 4
    knows = known()
    log, state = logging.StreamHandler(), random.getstate()
    held, enough = threading.Event(), threading.Event()
    def hold():
        with log.lock:
            held.set()
            enough.wait()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = [random.getstate() != state, log.lock.acquire(blocking=False), threading.active_count() == 1]
        os.write(w, json.dumps(told).encode())
        os._exit(0)
    enough.set()
    holder.join()
    os.waitpid(pid, 0)
    return [knows] + json.loads(os.read(r, 1000).decode())

def known():
    main = threading.main_thread()
    return threading.current_thread() is main and getattr(main, "native_id", 0) == (hasattr(main, "native_id") and threading.get_native_id())
`}},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`0`), `[true, true, true, true]`)
			},
		},
		{
			Name: "sys.exit", Sources: source("import sys\ndef handler(event, context):\n    sys.exit(event)\n", ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`5`), lang.FailLast, "SystemExit", "5")
				require.Equal(t, 5, w.Exit())
			},
		},
		{
			Name: "sys.exit with a message at load", Sources: source("import sys\nsys.exit('no licence')\n", ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				failed(t, l, lang.FailLoad, "SystemExit", "no licence")
				require.Equal(t, 1, w.Exit())
			},
		},
		{
			Name: "forked child that comes back", Sources: source(
				"import os\ndef handler(event, context):\n    pid = os.fork()\n    if pid:\n        return os.waitpid(pid, 0)[1]\n    return 'child'\n", ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `0`)
				result(t, w.Call(`{}`), `0`)
			},
		},
		{
			Name: "signal handler that raises between calls", Sources: source(`
import signal
def trap(number, frame):
    raise RuntimeError("from a signal")
signal.signal(signal.SIGUSR1, trap)
def handler(event, context):
    return event
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				for range 5 {
					w.idle()
					require.NoError(t, syscall.Kill(w.Pid(), syscall.SIGUSR1))
					result(t, w.Call(`1`), `1`)
				}
				require.Contains(t, w.Output(), "exception outside a call: RuntimeError")
			},
		},
		{
			Name: "async and wrong handlers", Sources: source("async def handler(event, context):\n    return 1\ndef one(event):\n    return 1\n", ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				failed(t, w.Call(`{}`), lang.FailResult, "TypeError", "coroutine")
			},
		},
		{
			Name: "dataclass and pickle of the function's own module", Sources: source(`
import pickle
class Point:
    def __init__(self): self.x = 1
def handler(event, context):
    return pickle.loads(pickle.dumps(Point())).x
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `1`)
			},
		},
		{
			Name: "what a module knows of itself", Sources: sources{"python": {"index.py": `# -*- coding: latin-1 -*-
import importlib, inspect, os, sys
TEXT = "gr\xfc\xdfe"
def handler(event, context):
    me = sys.modules[__name__]
    file = os.path.join(os.getcwd(), "index.py")
    first = id(me)
    again = importlib.reload(me)
    return [__name__, __package__, __file__ == __spec__.origin == file, __loader__ is __spec__.loader, __spec__.name,
            inspect.getsource(handler).startswith("def handler(event, context)"), id(again) == first, len(TEXT)]
`}},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				result(t, w.Call(`{}`), `["index", "", true, true, "index", true, true, 5]`)
			},
		},
		{
			Name: "modules of the function hide none that the worker needs", Sources: map[string]map[string]string{
				"python": {"index.py": "def handler(event, context):\n    1 / 0\n", "traceback.py": "raise ImportError('mine')\n", "tokenize.py": "raise ImportError('mine')\n"},
			},
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "ZeroDivisionError", "division by zero")
				require.Contains(t, strings.Join(r.Failure.Stack, "\n"), "1 / 0")
			},
		},
		{
			Name: "cause of an exception", Sources: source(`
def handler(event, context):
    try:
        {}["key"]
    except KeyError as e:
        raise ValueError("wrapped") from e
`, ""),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				r := w.Call(`{}`)
				failed(t, r, lang.FailException, "ValueError", "wrapped")
				require.Contains(t, strings.Join(r.Failure.Stack, "\n"), "KeyError: 'key'")
			},
		},
	}
}
