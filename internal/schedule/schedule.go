// Package schedule reads cron expressions and fixed rates, and gives their occurrences: the grammar of FunctionGraph reference 4.1,
// with time zones and the changes of their clocks.
//
// It must not know what happens at an occurrence.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are known on machines that have no list of them

	"github.com/netresearch/go-cron"
)

// Schedule gives occurrences. They depend on nothing but the schedule and the time that it counts from, so every server
// finds the same ones.
type Schedule interface {
	// Next is the first occurrence behind a time; zero for none.
	Next(after time.Time) time.Time
	// Zone is the zone that occurrences are told in.
	Zone() *time.Location
}

// The two forms of a schedule.
const (
	Rate = "Rate"
	Cron = "Cron"
)

// MaxText bounds an expression, in bytes.
const MaxText = 256

// Parse reads the two forms of FunctionGraph reference 4.1. since is what fixed rates count from. zones knows the zone of
// those that name none. Its errors are plain sentences.
func Parse(kind, text string, since time.Time, zones *Zones) (Schedule, error) {
	if kind == Rate {
		every, err := parseRate(text)
		return fixedRate{every, since, zones.usual}, err
	}
	return parseCron(text, since, zones)
}

// rates are the longest rates by unit.
var rates = map[byte]struct {
	unit time.Duration
	most int
}{'m': {time.Minute, 60}, 'h': {time.Hour, 24}, 'd': {24 * time.Hour, 30}}

func parseRate(text string) (time.Duration, error) {
	bad := fmt.Errorf("a rate is a number and a unit, 1m to 60m, 1h to 24h or 1d to 30d, and not %.40q", text)
	if len(text) < 2 {
		return 0, bad
	}
	rate, ok := rates[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	if !ok || err != nil || n < 1 || n > rate.most {
		return 0, bad
	}
	return time.Duration(n) * rate.unit, nil
}

// fixedRate has an occurrence every so often, whatever the clocks on the wall do.
type fixedRate struct {
	every time.Duration
	since time.Time
	zone  *time.Location
}

func (f fixedRate) Zone() *time.Location { return f.zone }

func (f fixedRate) Next(after time.Time) time.Time {
	if after.Before(f.since) {
		return f.since.Add(f.every)
	}
	return f.since.Add((after.Sub(f.since)/f.every + 1) * f.every)
}

// parseCron reads seconds, minutes, hours, day of month, month and perhaps day of week, or "@every" with a duration, with
// "CRON_TZ=<zone> " before it or not.
func parseCron(text string, since time.Time, zones *Zones) (Schedule, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("a cron expression has at most %d characters", MaxText)
	}
	zone, text, err := zones.cut(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		d, err := time.ParseDuration(strings.TrimSpace(every))
		if d = d.Truncate(time.Second); err != nil || d <= 0 {
			return nil, fmt.Errorf("@every wants a duration of a second or more, such as 90m or 1.5h, and not %.40q", every)
		}
		return fixedRate{d, since, zone}, nil
	}
	parser, err := cron.TryNewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.DowOptional | cron.DowOrDom | cron.Descriptor)
	if err != nil {
		return nil, err
	}
	// In a zone whose clocks never change. What they do elsewhere is for onWall to say.
	steady, err := parser.Parse("CRON_TZ=UTC " + text)
	if err != nil {
		return nil, err
	}
	everyHour := false
	if fields := strings.Fields(text); len(fields) > 2 {
		everyHour = fields[2] == "*"
	}
	s := onWall{steady: steady, zone: zone}
	if everyHour {
		return elapsing{s}, nil
	}
	return s, nil
}

// Zones finds time zones, and keeps one copy of each. Safe for concurrent use.
type Zones struct {
	usual *time.Location // of an expression that names none
	mu    sync.Mutex
	known map[string]*time.Location
}

// NewZones makes one; usual is the zone of expressions that name none.
func NewZones(usual *time.Location) *Zones {
	return &Zones{usual: usual, known: map[string]*time.Location{}}
}

// cut takes the zone off an expression.
func (z *Zones) cut(text string) (*time.Location, string, error) {
	name, ok := strings.CutPrefix(text, "CRON_TZ=")
	if !ok {
		if name, ok = strings.CutPrefix(text, "TZ="); !ok {
			return z.usual, text, nil
		}
	}
	name, rest, _ := strings.Cut(name, " ")
	zone, err := z.find(name)
	return zone, strings.TrimSpace(rest), err
}

func (z *Zones) find(name string) (*time.Location, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if zone := z.known[name]; zone != nil {
		return zone, nil
	}
	zone, err := time.LoadLocation(name)
	if name == "" || name == "Local" || err != nil {
		return nil, fmt.Errorf("CRON_TZ=%.60s is no zone that is known here; give one like Europe/Berlin", name)
	}
	z.known[name] = zone
	return zone, nil
}

// onWall follows the clocks on the wall of a zone: an occurrence in the hour that comes twice happens the first time only,
// and one in the hour that is left out happens when that hour would have ended.
type onWall struct {
	steady cron.Schedule // of times whose fields are those of the wall, written as UTC
	zone   *time.Location
}

func (s onWall) Zone() *time.Location { return s.zone }

func (s onWall) Next(after time.Time) time.Time {
	wall := wallOf(after.In(s.zone))
	for {
		if wall = s.steady.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, s.zone); at.After(after) {
			return at
		}
	}
}

// wallOf writes the fields of a time as if they were UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instant is when the wall of a zone first shows a time, or, when it never does, when it jumps over it.
func instant(wall time.Time, zone *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	begin, end := t.ZoneBounds()
	if !wallOf(t).Equal(wall) { // left out: time.Date has moved it to one side of the change or the other
		if !end.IsZero() && (begin.IsZero() || end.Sub(t) < t.Sub(begin)) {
			return end
		}
		return begin
	}
	if begin.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, before := begin.Add(-time.Nanosecond).Zone()
	back := time.Duration(before-now) * time.Second
	if first := t.Add(-back); back > 0 && first.Before(begin) {
		return first
	}
	return t
}

// elapsing is for "every hour": it happens in each hour that passes, so also in both of a pair, and not for one that is left out.
type elapsing struct{ onWall }

func (s elapsing) Next(after time.Time) time.Time {
	// Between two changes of the clocks the wall is as far from UTC everywhere.
	for range 64 { // a schedule of every hour of one day in years passes two changes a year
		local := after.In(s.zone)
		_, offset := local.Zone()
		shift := time.Duration(offset) * time.Second
		wall := s.steady.Next(wallOf(local))
		if wall.IsZero() {
			return time.Time{}
		}
		at := wall.Add(-shift)
		_, end := local.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at.In(s.zone)
		}
		// Begin anew where the clocks change. That second may be an occurrence itself.
		if next := s.atChange(end); !next.IsZero() {
			return next
		}
		after = end
	}
	return s.onWall.Next(after)
}

// atChange gives the second in which the clocks change, when it is an occurrence.
func (s elapsing) atChange(at time.Time) time.Time {
	wall := wallOf(at.In(s.zone))
	if s.steady.Next(wall.Add(-time.Second)).Equal(wall) {
		return at.In(s.zone)
	}
	return time.Time{}
}

// Newest finds the last occurrence from first on that is before a time, without going through all of them.
func Newest(s Schedule, first, before time.Time) time.Time {
	found := first
	for back := time.Minute; ; back *= 8 {
		from := before.Add(-back)
		if from.Before(first) {
			from = first
		}
		for at := s.Next(from); !at.IsZero() && at.Before(before); at = s.Next(at) {
			found = at
		}
		if found != first || !from.After(first) {
			return found
		}
	}
}
