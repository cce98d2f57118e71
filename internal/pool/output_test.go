package pool

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTakeEndsBesideAWriterThatNeverStops reads a source that always has more, as a process does that a function left
// behind and that prints without end.
func TestTakeEndsBesideAWriterThatNeverStops(t *testing.T) {
	endless, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer endless.Close()
	o, err := newOutput(endless)
	require.NoError(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				o.read(int(endless.Fd()))
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	took := make(chan int64, 1)
	go func() {
		_, dropped := o.take()
		took <- dropped
	}()
	select {
	case dropped := <-took:
		require.Positive(t, dropped)
	case <-time.After(20 * time.Second):
		t.Fatal("take reads without end")
	}
}

func TestOutputIsBounded(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	o, err := newOutput(r)
	require.NoError(t, err)
	o.mu.Lock()
	for range maxLogBytes {
		o.hold([]byte("\n")) // as from so many writes
	}
	require.LessOrEqual(t, len(o.marks), maxMarks)
	o.mu.Unlock()
	lines, dropped := o.take()
	require.Len(t, lines, maxLogLines)
	require.EqualValues(t, maxLogBytes-maxLogLines, dropped)

	for i := range 3 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	fmt.Fprint(w, "open end")
	lines, dropped = o.take()
	require.Zero(t, dropped)
	var texts []string
	for _, l := range lines {
		require.WithinDuration(t, time.Now(), l.Time, time.Minute)
		texts = append(texts, l.Text)
	}
	require.Equal(t, []string{"line 0", "line 1", "line 2", "open end"}, texts)
}

func TestLinesKeepTheirTime(t *testing.T) {
	var o output
	for i := range 10 * maxMarks {
		o.hold([]byte(fmt.Sprintf("%07d\n", i)))
	}
	first, last := o.marks[0].at, o.marks[len(o.marks)-1].at
	lines := split(o.held, o.marks)
	require.Len(t, lines, 10*maxMarks)
	require.Equal(t, first, lines[0].Time)
	require.False(t, lines[len(lines)-1].Time.After(last))
	for i := 1; i < len(lines); i++ {
		require.False(t, lines[i].Time.Before(lines[i-1].Time))
	}
	require.Equal(t, 10*maxMarks, strings.Count(string(bytes.TrimSpace(o.held)), "\n")+1)
}

// TestIdleOutputIsLeftInThePipe prints without end while no call runs: what has been read stays bounded, and the next call
// has it go on.
func TestIdleOutputIsLeftInThePipe(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	o, err := newOutput(r)
	require.NoError(t, err)
	o.rest()
	followed := make(chan struct{})
	go func() { o.follow(); close(followed) }()
	text := bytes.Repeat([]byte("x\n"), 16<<10)
	written := 0
	write := func() error {
		require.NoError(t, w.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err := w.Write(text)
		written += n
		return err
	}
	for err = nil; err == nil; err = write() {
	}
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, written, idleBytes+maxPipeBytes)
	was := written
	o.wake()
	for written < was+idleBytes*2 {
		require.NoError(t, write())
	}
	o.rest()
	o.end()
	r.Close()
	<-followed
}
