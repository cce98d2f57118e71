// Package cron tells when functions are due on a gateway.
//
// It must not know what is done then. Time zones come from the program itself: a gateway has no list of them.
package cron

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // see above

	"github.com/netresearch/go-cron"
)

// Schedule is one cron expression in one zone.
type Schedule struct {
	text, zone string
	times      cron.Schedule
}

// Parse reads an expression of five fields, or of six with seconds first, or a name such as "@hourly", in a zone such as
// "Asia/Shanghai"; "" is the gateway's own.
func Parse(text, zone string) (Schedule, error) {
	kind := cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor
	if len(strings.Fields(text)) == 6 {
		kind |= cron.Second
	}
	parser, err := cron.TryNewParser(kind)
	if err != nil {
		return Schedule{}, err
	}
	location := time.Local
	if zone != "" {
		if location, err = time.LoadLocation(zone); err != nil {
			return Schedule{}, fmt.Errorf("time zone %.60q is not known", zone)
		}
	}
	times, err := parser.Parse(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("cron expression %.60q: %w", text, err)
	}
	return Schedule{text: text, zone: zone, times: in{times, location}}, nil
}

// in finds times as the clock of a place shows them.
type in struct {
	times cron.Schedule
	place *time.Location
}

func (i in) Next(t time.Time) time.Time { return i.times.Next(t.Round(0).In(i.place)) }

// look is how often the clock on the wall is looked at: it may be set meanwhile.
const look = 10 * time.Second

// jump is what the clock on the wall may differ from the time that has passed before it counts as set anew. Occurrences in between
// are not made up for.
const jump = time.Minute

// Timers fire schedules by name. Make one with New.
type Timers struct {
	fire  func(name string, at time.Time)
	clock func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	changed chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}
}

type entry struct {
	schedule Schedule
	next     time.Time
}

// New makes Timers by a clock on the wall, which may be set at any time. fire is called for each occurrence, one at a time, and must
// not wait.
func New(clock func() time.Time, fire func(name string, at time.Time)) *Timers {
	return &Timers{fire: fire, clock: clock, entries: map[string]*entry{}, changed: make(chan struct{}, 1)}
}

// Set replaces all schedules. One that is the same as before goes on undisturbed.
func (t *Timers) Set(all map[string]Schedule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.entries
	t.entries = map[string]*entry{}
	now := t.clock()
	for name, s := range all {
		if e := old[name]; e != nil && e.schedule.text == s.text && e.schedule.zone == s.zone {
			t.entries[name] = e
			continue
		}
		t.entries[name] = &entry{schedule: s, next: s.times.Next(now)}
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Next is when a name is due; zero for never.
func (t *Timers) Next(name string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[name]; e != nil {
		return e.next
	}
	return time.Time{}
}

// Start begins to fire.
func (t *Timers) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.ended = cancel, make(chan struct{})
	go t.run(ctx)
	return nil
}

// Stop ends it.
func (t *Timers) Stop(context.Context) error {
	if t.cancel != nil {
		t.cancel()
		<-t.ended
	}
	return nil
}

func (t *Timers) run(ctx context.Context) {
	defer close(t.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	last, before := time.Now(), t.clock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
		case <-timer.C:
		}
		now, shown := time.Now(), t.clock()
		passed, seen := now.Sub(last), shown.Round(0).Sub(before.Round(0))
		wait := t.turn(shown, seen-passed > jump || passed-seen > jump)
		last, before = now, shown
		timer.Reset(wait)
	}
}

// turn fires what is due, and says how long to wait for the next.
func (t *Timers) turn(now time.Time, set bool) time.Duration {
	t.mu.Lock()
	var due []string
	var at []time.Time
	wait := look
	for name, e := range t.entries {
		switch {
		case set:
			e.next = e.schedule.times.Next(now)
		case !e.next.IsZero() && !now.Before(e.next):
			due, at = append(due, name), append(at, e.next)
			e.next = e.schedule.times.Next(now)
		}
		if !e.next.IsZero() {
			wait = min(wait, max(e.next.Round(0).Sub(now.Round(0)), 0))
		}
	}
	t.mu.Unlock()
	for i, name := range due {
		t.fire(name, at[i])
	}
	return wait
}
