package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFloors puts each floor under a short load through the real load generator.
func TestFloors(t *testing.T) {
	commands := map[string][]string{"echo": {commandEcho}}
	for _, l := range languages() {
		if interpreter, err := exec.LookPath(l.Command); err == nil {
			commands[l.Title] = append([]string{commandFront}, l.floorWorker(interpreter)...)
		}
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			p, to, err := startFloor(t.Context(), command...)
			require.NoError(t, err)
			defer p.stop()
			s, err := load(t.Context(), p.pid(), loadSpec{Target: to, Clients: 4, Warm: 50 * time.Millisecond, Run: 200 * time.Millisecond})
			require.NoError(t, err)
			require.Zero(t, s.Wrong+s.Errors, s.First)
			require.Positive(t, s.Requests)
			require.Positive(t, s.P50)
			require.GreaterOrEqual(t, s.P99, s.P50)
		})
	}
}

// TestFloorWorkersTakeLargeFrames sends frames that come in several pieces, and ends the worker by its input.
func TestFloorWorkersTakeLargeFrames(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	commands := map[string][]string{"Go": {self, commandWorker}}
	for _, l := range languages() {
		if interpreter, err := exec.LookPath(l.Command); err == nil {
			commands[l.Title] = l.floorWorker(interpreter)
		}
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			w, err := startWorker(t.Context(), command)
			require.NoError(t, err)
			for _, size := range []int{1, 65532, 300_000, 3} {
				event := []byte(`{"text":"` + strings.Repeat("é", size) + `"}`)
				answer, err := w.call(event)
				require.NoError(t, err)
				require.True(t, sameJSON(event, answer), "%d characters", size)
			}
			w.stop()
			require.True(t, w.cmd.ProcessState.Success(), "%v", w.cmd.ProcessState)
		})
	}
}

func TestColdFloor(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	var times coldTimes
	require.NoError(t, times.spawn(t.Context(), []string{self, commandWorker}))
	require.Zero(t, times.Wrong)
	require.Len(t, times.Spawn, 1)
	require.Error(t, times.spawn(t.Context(), []string{"/no/such/program"}))
}

// TestLoadCountsFaults puts the load generator before a server that answers wrong, fails and goes away by turns.
func TestLoadCountsFaults(t *testing.T) {
	var calls atomic.Int64
	echo := floorHandler(func(b []byte) ([]byte, error) { return b, nil })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 2:
			_, _ = w.Write([]byte(`{"id":"another"}`))
		case 3:
			http.Error(w, "overload", http.StatusTooManyRequests)
		case 4:
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Connection", "close")
			echo(w, r)
		}
	}))
	defer server.Close()
	now := time.Now()
	c := &client{target: target{Address: server.Listener.Addr().String(), Path: "/"}, begin: now, end: now.Add(200 * time.Millisecond)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c.run(ctx)
	require.EqualValues(t, 1, c.wrong)
	require.EqualValues(t, 2, c.errors)
	require.Contains(t, c.first, "wrong answer")
	require.InDelta(t, calls.Load()-3, c.times.total, 1, "the last one may end after the measured time")
}

func TestLoadGivesUp(t *testing.T) {
	now := time.Now()
	c := &client{target: target{Address: "127.0.0.1:1", Path: "/"}, begin: now, end: now.Add(time.Hour)}
	c.run(t.Context())
	require.EqualValues(t, maxErrors, c.errors)
	require.Zero(t, c.times.total)
}

// TestColdCall reads the server's own split, and finds a wrong answer.
func TestColdCall(t *testing.T) {
	wrong := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(summaryHeader, `{"duration":1.5,"initDuration":12,"queueDuration":20,"coldStart":true}`)
		floorHandler(func(b []byte) ([]byte, error) {
			if wrong {
				b = bytes.Replace(b, []byte("north"), []byte("south"), 1)
			}
			return b, nil
		})(w, r)
	}))
	defer server.Close()
	to := target{Address: server.Listener.Addr().String(), Path: "/"}
	c, err := dial(t.Context(), to.Address)
	require.NoError(t, err)
	defer c.Close()
	var times coldTimes
	require.NoError(t, times.call(c, to))
	require.Zero(t, times.Wrong)
	require.Equal(t, []float64{20}, times.Queue)
	require.Equal(t, []float64{12}, times.Init)
	require.Equal(t, []float64{1.5}, times.Run)
	wrong = true
	require.NoError(t, times.call(c, to))
	require.EqualValues(t, 1, times.Wrong)
}
