package main

import (
	"io"
	"net/http"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A bar shows for work of more bytes than bigWork, and for any that takes longer than patience.
const (
	bigWork  = 8 << 20
	patience = time.Second
)

// meter shows how far a piece of work is, where somebody watches.
type meter struct {
	c     *cli
	label string
	total int64 // bytes; -1 for unknown
	done  int64
	begun time.Time
	bar   *progressbar.ProgressBar // nil until the work is worth one
}

func newMeter(c *cli, label string, total int64) *meter {
	return &meter{c: c, label: label, total: total, begun: time.Now()}
}

func (m *meter) add(n int) {
	m.done += int64(n)
	if !m.c.watched || m.c.json {
		return
	}
	if m.bar == nil && (m.done > bigWork || m.total > bigWork || time.Since(m.begun) > patience) {
		m.bar = progressbar.NewOptions64(m.total, progressbar.OptionSetWriter(m.c.err), progressbar.OptionSetDescription(m.label),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionEnableColorCodes(false))
		n = int(m.done)
	}
	if m.bar != nil {
		_ = m.bar.Add(n) // a bar that cannot be drawn harms nobody
	}
}

// end takes the bar away.
func (m *meter) end() {
	if m.bar != nil {
		_ = m.bar.Finish() // as in add
	}
}

// uploads is a transport that shows how far bodies are on their way.
type uploads struct{ c *cli }

// RoundTrip sends the request with its body counted.
func (u uploads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 {
		return http.DefaultTransport.RoundTrip(r)
	}
	m := newMeter(u.c, "sending", r.ContentLength)
	defer m.end()
	r = r.Clone(r.Context())
	r.Body = struct {
		io.Reader
		io.Closer
	}{&counted{r.Body, m.add}, r.Body}
	return http.DefaultTransport.RoundTrip(r)
}
