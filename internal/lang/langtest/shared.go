package langtest

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// sharedCases run calls side by side, in the languages that can.
func sharedCases() []Case {
	several := func(l *lang.Load) { l.Concurrency = 50 }
	return []Case{
		{
			// Each call waits until the last has come, so that all must run at once.
			Name: "calls side by side", Load: several, Sources: source(`
import threading
together = threading.Barrier(50)
def handler(event, context):
    print("one", event)
    together.wait(20)
    context.getLogger().warn("two %s", event)
    print("three " + str(event), end="")
    return [event, context.getRequestID()]
`, `
let waiting = [];
exports.handler = async (event, context) => {
  console.log('one', event);
  await new Promise((go) => { waiting.push(go); if (waiting.length === 50) waiting.forEach((f) => f()); });
  context.getLogger().warn('two ' + event);
  await new Promise((go) => setTimeout(go, 1));
  process.stdout.write('three ' + event);
  return [event, context.getRequestID()];
};
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				events := make([]string, 50)
				for i := range events {
					events[i] = fmt.Sprint(i)
				}
				first := w.Send(events...)
				seen := map[uint32]bool{}
				for range events {
					r := w.Receive()
					i := r.Frame.Seq - first
					result(t, r, fmt.Sprintf(`[%d,"request-%d"]`, i, i))
					require.False(t, seen[i], "answered twice")
					seen[i] = true
				}
				said := map[uint32][]string{}
				for _, line := range w.Output() {
					seq, rest := lang.CutCall(line)
					require.NotZero(t, seq, "%q names no call", line)
					said[seq] = append(said[seq], rest[1:])
				}
				for i := range uint32(50) {
					lines := said[first+i]
					sort.Strings(lines) // "I..." before "W..."
					require.Equal(t, []string{fmt.Sprintf("Ione %d", i), fmt.Sprintf("Ithree %d", i), fmt.Sprintf("Wtwo %d", i)}, lines)
				}
			},
		},
		{
			Name: "failures side by side", Load: several, Sources: source(`
import sys
def handler(event, context):
    if event == 1: raise ValueError("no " + str(event))
    if event == 2: return object()
    if event == 3: return "x" * (7 << 20)
    if event == 4: sys.exit(3)
    return event
`, `
exports.handler = async (event) => {
  if (event === 1) throw new RangeError('no ' + event);
  if (event === 2) return () => 1;
  if (event === 3) return 'x'.repeat(7 << 20);
  return event;
};
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				first := w.Send(`0`, `1`, `2`, `3`, `4`, `5`)
				for range 6 {
					switch r := w.Receive(); r.Frame.Seq - first {
					case 1:
						failed(t, r, lang.FailException, "ValueError|RangeError", "no 1")
					case 2:
						failed(t, r, lang.FailResult, "TypeError|JsonException", "JSON")
					case 3:
						failed(t, r, lang.FailTooLarge, "ResponseTooLarge", "limit")
					case 4:
						if r.Fail != 0 { // sys.exit: the calls beside it are left in peace
							failed(t, r, lang.FailLast, "SystemExit", "3")
						}
					default:
						result(t, r, fmt.Sprint(r.Frame.Seq-first))
					}
				}
				w.HangUp()
				require.Equal(t, 0, w.Exit())
			},
		},
		{
			Name: "an error that nobody caught ends all with its reason", Load: several, Sources: source("", `
exports.handler = (event, context, callback) => {
  if (event === 0) setTimeout(() => { throw new RangeError('loose'); }, 20);
};
`),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				w.Send(`1`, `2`, `0`)
				for range 3 {
					failed(t, w.Receive(), lang.FailLast, "RangeError", "loose")
				}
				require.Equal(t, 1, w.Exit())
			},
		},
		{
			Name: "large events side by side", Load: several, Sources: source(pythonEcho, nodeEcho),
			Check: func(t *testing.T, w *Worker, l Reply) {
				loaded(t, l)
				var events []string
				for i := range 4 {
					events = append(events, `"`+strings.Repeat(fmt.Sprint(i), 1<<20)+`"`)
				}
				sent := make(chan uint32, 1)
				go func() { sent <- w.Send(events...) }()
				for range events {
					r := w.Receive()
					require.NoError(t, r.Err)
					require.Equal(t, events[r.Frame.Seq-1], string(r.Frame.Body))
				}
				require.Equal(t, uint32(1), <-sent)
			},
		},
	}
}
