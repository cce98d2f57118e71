//go:build linux

package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/need"
	"github.com/hanshu-faas/hanshu/test/server"
)

// TestAcceptedAfterFsync watches the system calls of a server: each answer 202 is written after a sync of the database's log
// that itself came after the last write to that log.
func TestAcceptedAfterFsync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		need.Skip(t, "strace is missing")
	}
	t.Parallel()
	p := newPlace(t, 0, "--sandbox", "none")
	trace := filepath.Join(filepath.Dir(p.DataDir), "trace")
	p.Binary = filepath.Join(filepath.Dir(p.DataDir), "traced")
	script := fmt.Sprintf("#!/bin/sh\nexec %s -D -f -y -s 24 -o %s -e trace=fsync,fdatasync,pwrite64,write %s \"$@\"\n", strace, trace, server.Binary(t))
	require.NoError(t, os.WriteFile(p.Binary, []byte(script), 0o755))
	h := p.start(t)
	// The first call keeps the only place, so that nothing but the acceptances is written from then on.
	release := filepath.Join(filepath.Dir(p.DataDir), "release")
	t.Cleanup(func() { require.NoError(t, os.WriteFile(release, nil, 0o600)) }) // or the server would wait for it when it stops
	h.create(t, function{name: "slow", runtime: python, concurrency: 1, timeout: 120, source: fmt.Sprintf(
		"import os, time\n\ndef handler(event, context):\n    while not os.path.exists(%q):\n        time.sleep(0.02)\n", release)})
	first, _, err := h.enqueue(t.Context(), "slow", event(0))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return h.asyncRows(t, "slow")[first].Status == "RUNNING" }, time.Minute, 20*time.Millisecond)
	text, err := os.ReadFile(trace)
	require.NoError(t, err)
	seen := len(text)
	const calls = 20
	for n := range calls {
		id, a, err := h.enqueue(t.Context(), "slow", event(n))
		require.NoError(t, err)
		require.NotEmpty(t, id, "%s", a.body)
	}
	var lines []string
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(trace)
		require.NoError(t, err)
		lines = strings.Split(string(text[seen:]), "\n")
		return strings.Count(string(text[seen:]), "HTTP/1.1 202") == calls
	}, 10*time.Second, 20*time.Millisecond, "strace writes behind")
	accepted, early := acceptedEarly(lines)
	require.Equal(t, calls, accepted)
	require.Empty(t, early)

	// Without the syncs the same trace is refused: the check can fail.
	var unsynced []string
	for _, line := range lines {
		if !strings.Contains(line, "sync") {
			unsynced = append(unsynced, line)
		}
	}
	_, early = acceptedEarly(unsynced)
	require.Len(t, early, calls)

}

var (
	logWrite  = regexp.MustCompile(`pwrite64\(\d+<[^>]*hanshu\.db-wal>`)
	logSync   = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*hanshu\.db-wal>(.*)`)
	syncEnded = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>.*= 0`)
)

// acceptedEarly counts the answers 202 in a trace, and lists those whose log was not synced since it was last written.
func acceptedEarly(lines []string) (accepted int, early []string) {
	written, synced := false, false
	under := map[string]bool{} // threads in a sync that began after the last write
	for _, line := range lines {
		if m := logSync.FindStringSubmatch(line); m != nil {
			if strings.HasSuffix(m[2], "= 0") {
				synced = true
			} else {
				under[m[1]] = true
			}
			continue
		}
		if m := syncEnded.FindStringSubmatch(line); m != nil {
			synced = synced || under[m[1]]
			continue
		}
		switch {
		case logWrite.MatchString(line):
			written, synced = true, false
			clear(under)
		case strings.Contains(line, `"HTTP/1.1 202`):
			accepted++
			if !written || !synced {
				early = append(early, line)
			}
			written = false
		}
	}
	return accepted, early
}
