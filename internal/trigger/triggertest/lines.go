package triggertest

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Lines is a log that tests wait for.
type Lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

// NewLines makes an empty log, and what writes to it.
func NewLines() (*Lines, *slog.Logger) {
	l := &Lines{changed: make(chan struct{})}
	return l, slog.New(slog.NewTextHandler(l, nil))
}

// Write is of io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

// Await waits until a line of the log holds all of the texts.
func (l *Lines) Await(t testing.TB, want ...string) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		l.mu.Lock()
		text, changed := l.text.String(), l.changed
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		select {
		case <-changed:
		case <-end.C:
			t.Fatalf("waited in vain for %q in the log:\n%s", want, text)
		}
	}
}

// Untrusted is what the log says of a broker whose certificate nobody vouches for.
const Untrusted = "the certificate of the broker is not trusted: give the authority that signed it as event_data.ca_certificate"
