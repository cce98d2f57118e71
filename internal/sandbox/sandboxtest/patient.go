package sandboxtest

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// spinAndTell keeps one processor busy and tells how much of a second it got, in milliseconds. When they begin it is told, so that
// others spin in the same ones.
const spinAndTell = `exec /usr/bin/python3 -I -S -c '
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
at = float(os.read(3, 64))
while time.monotonic() < at:
    pass
begun = time.process_time()
while time.monotonic() < at + 1:
    pass
print(int((time.process_time() - begun) * 1000), flush=True)
'`

// testPatient has two sandboxes want the same processor. It is not told of drivers without limits of the processor.
func testPatient(t *testing.T, d sandbox.Driver) {
	if c := d.Capabilities(); c.Driver != "native" || strings.Contains(strings.Join(c.Lacks, " "), "processor limit") {
		return
	}
	var got [2]float64
	for _, swap := range []bool{false, true} {
		var boxes [2]sandbox.Instance
		for i := range boxes {
			in, err := d.Start(t.Context(), spec(spinAndTell))
			require.NoError(t, err)
			defer end(in)
			boxes[i] = in
		}
		require.NoError(t, boxes[0].SetPatient(true))
		if swap {
			require.NoError(t, boxes[0].SetPatient(false))
			require.NoError(t, boxes[1].SetPatient(true))
		}
		var now unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
		for _, in := range boxes {
			_, err := fmt.Fprintf(in.Control(), "%f", float64(now.Nano()+5e8)/1e9)
			require.NoError(t, err)
		}
		for i, in := range boxes {
			line, err := bufio.NewReader(in.Output()).ReadString('\n')
			require.NoError(t, err)
			got[i], err = strconv.ParseFloat(strings.TrimSpace(line), 64)
			require.NoError(t, err)
		}
		if swap {
			got[0], got[1] = got[1], got[0]
		}
		require.Less(t, got[0], got[1]/3, "ms of the patient one, and of the other")
	}
}
