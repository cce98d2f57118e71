package langtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// hookCases are the handlers beside the main one: heartbeat and pre-stop.
func hookCases() []Case {
	hooks := func(l *lang.Load) {
		l.BeatHandler, l.StopHandler, l.StopSec = "index.beat", "index.stop", 5
	}
	side := source(`
state = {"well": True}
def handler(event, context):
    state["well"] = event
    return event
def beat(context):
    if state["well"] == "throw": raise ValueError("beaten")
    return state["well"]
def stop(context):
    print("bye", context.getRemainingTimeInMilliSeconds() <= 5000, context.getFunctionName())
    if state["well"] == "throw": raise ValueError("stopped")
`, `
let well = true;
exports.handler = async (event) => { well = event; return event; };
exports.beat = async () => { if (well === 'throw') throw new Error('beaten'); return well; };
exports.stop = (context, callback) => {
  console.log('bye', context.getRemainingTimeInMilliSeconds() <= 5000, context.getFunctionName());
  if (well === 'throw') throw new Error('stopped');
  setTimeout(callback, 1);
};
`).php(`<?php
$well = true;
function handler($event, $context) { global $well; $well = $event; return $event; }
function beat($context) { global $well; if ($well === "throw") throw new Exception("beaten"); return $well; }
function stop($context) {
    global $well;
    echo "bye ", $context->getRemainingTimeInMilliSeconds() <= 5000 ? "True" : "", " ", $context->getFunctionName(), "\n";
    if ($well === "throw") throw new Exception("stopped");
}
`)
	check := func(t *testing.T, w *Worker, l Reply) {
		loaded(t, l)
		beat := func(want bool) {
			r := w.Ask(lang.FrameBeat)
			require.NoError(t, r.Err)
			well, err := r.Frame.Beat()
			require.NoError(t, err)
			require.Equal(t, want, well)
		}
		beat(true)
		result(t, w.Call(`false`), `false`)
		beat(false)
		result(t, w.Call(`1`), `1`)
		beat(true)
		require.Empty(t, w.Output())
		result(t, w.Call(`"throw"`), `"throw"`)
		beat(false)
		require.Contains(t, strings.Join(w.Output(), "\n"), "beaten")
		failed(t, w.Ask(lang.FrameStop), lang.FailException, "PreStop", "threw")
		said := strings.ToLower(strings.Join(w.Output(), "\n"))
		require.Contains(t, said, "bye true example")
		require.Contains(t, said, "stopped")
		result(t, w.Call(`2`), `2`)
		r := w.Ask(lang.FrameStop)
		require.NoError(t, r.Err)
		require.Equal(t, byte(lang.FrameStopped), r.Frame.Type, "%+v", r)
		w.HangUp()
		require.Equal(t, 0, w.Exit())
	}
	missing := func(t *testing.T, _ *Worker, l Reply) { failed(t, l, lang.FailLoad, "HandlerNotFound", "none") }
	return []Case{
		{Name: "heartbeat and pre-stop", Sources: side, Load: hooks, Check: check},
		{Name: "heartbeat and pre-stop beside calls", Sources: map[string]map[string]string{"python": side["python"], "node": side["node"]},
			Load: func(l *lang.Load) { hooks(l); l.Concurrency = 4 }, Check: check},
		{Name: "a pre-stop handler that is not there", Sources: source(pythonEcho, nodeEcho).php(phpEcho),
			Load: func(l *lang.Load) { l.StopHandler = "index.none" }, Check: missing},
	}
}
