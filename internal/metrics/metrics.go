// Package metrics hands counters and histograms to the parts that count. A Set is a value; nothing here is global.
//
// It must not know what is counted.
package metrics

import (
	"io"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// Set holds the metrics of one server. Names are those of Prometheus, labels included: `calls_total{outcome="ok"}`.
type Set struct{ set *vm.Set }

// NewSet makes an empty Set.
func NewSet() *Set { return &Set{vm.NewSet()} }

// Counter gives the counter of a name, new or existing.
func (s *Set) Counter(name string) Counter { return Counter{s.set.GetOrCreateCounter(name)} }

// Histogram gives the histogram of a name, of durations in seconds.
func (s *Set) Histogram(name string) Histogram { return Histogram{s.set.GetOrCreateHistogram(name)} }

// Gauge has read called at each scrape.
func (s *Set) Gauge(name string, read func() float64) { s.set.GetOrCreateGauge(name, read) }

// Write writes everything in the Prometheus text format, the process's own figures included.
func (s *Set) Write(w io.Writer) {
	s.set.WritePrometheus(w)
	vm.WriteProcessMetrics(w)
}

// Counter only grows.
type Counter struct{ c *vm.Counter }

// Inc adds one.
func (c Counter) Inc() { c.c.Inc() }

// Value is how far it has come.
func (c Counter) Value() uint64 { return c.c.Get() }

// Histogram counts durations.
type Histogram struct{ h *vm.Histogram }

// Observe counts one duration.
func (h Histogram) Observe(d time.Duration) { h.h.Update(d.Seconds()) }
