package sandboxtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// testPatient has two sandboxes want the same processor, of which one is patient or has part of a share. It is not told of drivers without limits
// of the processor.
func testPatient(t *testing.T, d sandbox.Driver) {
	if c := d.Capabilities(); c.Driver != "native" || strings.Contains(strings.Join(c.Lacks, " "), "processor limit") {
		return
	}
	for name, yields := range map[string]func(in sandbox.Instance) error{
		"patient": func(in sandbox.Instance) error { return in.SetPatient(true) },
		"part":    func(in sandbox.Instance) error { return in.SetShare(8) },
		"again": func(in sandbox.Instance) error {
			return errors.Join(in.SetPatient(true), in.SetPatient(false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(spinAndTell)
			in, err := d.Start(t.Context(), s)
			require.NoError(t, err)
			defer end(in)
			require.NoError(t, yields(in))
			got := [2]spinner{{in.Control(), in.Output()}}
			in, err = d.Start(t.Context(), s)
			require.NoError(t, err)
			defer end(in)
			got[1] = spinner{in.Control(), in.Output()}
			ms := spinTogether(t, got)
			if name == "again" {
				require.Greater(t, ms[0], ms[1]/3)
				return
			}
			require.Less(t, ms[0], ms[1]/3, "ms of the one that yields, and of the other")
		})
	}
}

// spinner is a process of spinAndTell.
type spinner struct {
	begin io.Writer
	told  io.Reader
}

// spinTogether gives what each got of the same processor, in ms.
func spinTogether(t *testing.T, both [2]spinner) (got [2]float64) {
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	for _, one := range both {
		_, err := fmt.Fprintf(one.begin, "%f", float64(now.Nano()+5e8)/1e9)
		require.NoError(t, err)
	}
	for i, one := range both {
		line, err := bufio.NewReader(one.told).ReadString('\n')
		require.NoError(t, err)
		got[i], err = strconv.ParseFloat(strings.TrimSpace(line), 64)
		require.NoError(t, err)
	}
	return got
}
