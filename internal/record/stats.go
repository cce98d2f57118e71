package record

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// The sums of calls are kept by function version and minute, in two files for each hour: one with a row for each minute, and a
// small one with a row for the hour, so that a month is read quickly. They outlive the records. A call counts where it ended.
const (
	endMinutes  = ".minutes"
	endHours    = ".hours"
	keepHours   = 190 * 24 * time.Hour // six months
	minMinutes  = 32 * 24 * time.Hour
	maxSumsHeld = 200_000 // rows in memory; they are written and let go each hour
)

// sumKey names a row: Minute counts from 1970. The calls that came through an alias have a row beside the one of their version, whose
// Version is the name behind "!".
type sumKey struct {
	faas.FunctionKey
	minute int64
}

// stats keeps the rows of the hour that runs in memory.
type stats struct {
	dir   string
	store *Store

	mu    sync.RWMutex
	rows  map[sumKey]faas.Tally
	dirty bool
}

// count adds a record. It is called in the order of Seq.
func (t *stats) count(r *faas.Record) {
	u := faas.TallyOf(r)
	if u.Count == 0 {
		return
	}
	k := sumKey{r.Key, r.Seq / int64(time.Minute/time.Microsecond)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(k, u)
	if r.Alias != "" {
		k.Version = faas.Qualifier("", r.Alias)
		t.add(k, u)
	}
}

// add adds to a row; t.mu is held.
func (t *stats) add(k sumKey, u faas.Tally) {
	if t.rows == nil {
		t.rows = map[sumKey]faas.Tally{}
	}
	row, ok := t.rows[k]
	if !ok && len(t.rows) >= maxSumsHeld {
		t.store.dropped.Inc()
		return
	}
	row.Add(u)
	t.rows[k] = row
	t.dirty = true
}

// wanted tells of a row of the versions that a filter means. An alias is meant only where it is named, or its calls would count twice.
func wanted(version, filter string) bool {
	if filter == "" {
		return !strings.HasPrefix(version, "!")
	}
	return version == filter
}

// save writes the rows in memory, which hold every record up to through, and lets go of those of hours that are over.
func (t *stats) save(through int64) error {
	t.mu.RLock()
	dirty := t.dirty
	hours := map[int64][]sumKey{}
	for k := range t.rows {
		hours[k.minute/60] = append(hours[k.minute/60], k)
	}
	t.mu.RUnlock()
	if !dirty {
		return nil
	}
	for _, hour := range slices.Sorted(maps.Keys(hours)) {
		if err := t.saveHour(hour, hours[hour], through); err != nil {
			return fmt.Errorf("write sums of calls: %w", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := through / int64(time.Hour/time.Microsecond)
	for k := range t.rows {
		if k.minute/60 < last {
			delete(t.rows, k)
		}
	}
	t.dirty = false
	return nil
}

func (t *stats) saveHour(hour int64, keys []sumKey, through int64) error {
	slices.SortFunc(keys, compareKeys)
	minutes := binary.AppendUvarint(nil, uint64(through))
	minutes = binary.AppendUvarint(minutes, uint64(len(keys)))
	whole := map[sumKey]faas.Tally{}
	t.mu.RLock()
	for _, k := range keys {
		row := t.rows[k]
		minutes = appendRow(minutes, k, row)
		k.minute = hour * 60
		sum := whole[k]
		sum.Add(row)
		whole[k] = sum
	}
	t.mu.RUnlock()
	hours := binary.AppendUvarint(nil, uint64(through))
	hours = binary.AppendUvarint(hours, uint64(len(whole)))
	for _, k := range slices.SortedFunc(maps.Keys(whole), compareKeys) {
		hours = appendRow(hours, k, whole[k])
	}
	// The minutes come last: they tell where to go on after a crash.
	if err := writeFile(t.path(hour, endHours), t.store.encoder.EncodeAll(hours, nil)); err != nil {
		return err
	}
	return writeFile(t.path(hour, endMinutes), t.store.encoder.EncodeAll(minutes, nil))
}

func compareKeys(a, b sumKey) int {
	return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Version, b.Version), cmp.Compare(a.minute, b.minute))
}

func (t *stats) path(hour int64, end string) string {
	return filepath.Join(t.dir, fmt.Sprintf("%09d%s", hour, end))
}

func appendRow(b []byte, k sumKey, u faas.Tally) []byte {
	for _, text := range []string{k.Project, k.Package, k.Name, k.Version} {
		b = appendText(b, text)
	}
	for _, n := range []int64{
		k.minute, u.Count, u.FunctionErrors, u.SystemErrors, u.Rejects, int64(u.Run), int64(u.MaxRun), int64(u.MinRun), int64(u.Took), u.MBMillis,
	} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// readHour reads a file of sums; through is 0 where there is none.
func (t *stats) readHour(path string, each func(sumKey, faas.Tally)) (through int64, err error) {
	packed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	raw, err := t.store.decoder.DecodeAll(packed, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	r, names := reader{b: raw}, interned{}
	through = int64(r.uvarint())
	text := func() string { return names.text(r.bytes(r.uvarint())) }
	number := func() int64 { return int64(r.uvarint()) }
	for range r.count() {
		k := sumKey{faas.FunctionKey{Project: text(), Package: text(), Name: text(), Version: text()}, number()}
		u := faas.Tally{
			Count: number(), FunctionErrors: number(), SystemErrors: number(), Rejects: number(), Run: time.Duration(number()),
			MaxRun: time.Duration(number()), MinRun: time.Duration(number()), Took: time.Duration(number()), MBMillis: number(),
		}
		if r.err != nil {
			break
		}
		each(k, u)
	}
	if r.err != nil {
		return 0, fmt.Errorf("%s: %w", path, r.err)
	}
	return through, nil
}

// hours lists the hours that have a file with this end, oldest first.
func (t *stats) hours(end string) ([]int64, error) {
	entries, err := os.ReadDir(t.dir)
	var found []int64
	for _, e := range entries {
		var hour int64
		if filepath.Ext(e.Name()) != end {
			continue
		}
		if _, err := fmt.Sscanf(e.Name(), "%d"+end, &hour); err == nil {
			found = append(found, hour)
		}
	}
	return found, err
}

// recover reads the newest hour back and adds the records that came behind its last save. A file of sums that is damaged is made
// anew from the records that there are.
func (t *stats) recover() error {
	found, err := t.hours(endMinutes)
	if err != nil {
		return err
	}
	through := int64(0)
	if len(found) > 0 {
		hour := found[len(found)-1]
		rows := map[sumKey]faas.Tally{}
		through, err = t.readHour(t.path(hour, endMinutes), func(k sumKey, u faas.Tally) { rows[k] = u })
		if err != nil {
			t.store.damaged.Inc()
			t.store.cfg.Log.Error("a file of sums is damaged; it is made again from the records", "error", err)
			through, rows = hour*int64(time.Hour/time.Microsecond)-1, nil
		}
		t.rows = rows
	}
	names := interned{}
	for _, seg := range t.store.segments {
		if seg.last <= through {
			continue
		}
		t.store.skim(seg, func(o *opened) error {
			for i := range o.count {
				rec, err := o.read(i)
				if err != nil {
					return err
				}
				if rec.Seq > through {
					t.count(&rec)
				}
			}
			return nil
		})
		if err := t.save(seg.last); err != nil {
			return err
		}
	}
	for _, e := range t.store.journal.entries {
		if rec, err := readEntry(t.store.journal.raw, e, false, &names); err == nil && rec.Seq > through {
			t.count(&rec)
		}
	}
	return nil
}

// retain removes what is too old.
func (t *stats) retain(now time.Time, maxAge time.Duration) error {
	var all error
	for end, keep := range map[string]time.Duration{endMinutes: max(maxAge, minMinutes), endHours: max(maxAge, keepHours)} {
		found, err := t.hours(end)
		all = errors.Join(all, err)
		for _, hour := range found {
			if hour >= now.Add(-keep).Unix()/3600 {
				break
			}
			all = errors.Join(all, os.Remove(t.path(hour, end)))
		}
	}
	return all
}

// scan gives the rows of a filter. Rows of hours have the minute at which the hour begins.
func (t *stats) scan(ctx context.Context, f *faas.TallyFilter, each func(sumKey, faas.Tally)) error {
	t.store.flush()
	from, to := f.From.Unix()/60, (f.To.Unix()+59)/60
	take := func(k sumKey, u faas.Tally) {
		if k.Project == f.Project && (f.Name == "" || k.Name == f.Name && k.Package == f.Package) && wanted(k.Version, f.Version) &&
			(f.Hours || k.minute >= from) && k.minute < to {
			each(k, u)
		}
	}
	held := map[int64]bool{}
	t.mu.RLock()
	for k, u := range t.rows {
		held[k.minute/60] = true
		if k.minute/60 < from/60 {
			continue
		}
		if f.Hours {
			k.minute -= k.minute % 60
		}
		take(k, u)
	}
	t.mu.RUnlock()
	end := endMinutes
	if f.Hours {
		end = endHours
	}
	found, err := t.hours(end)
	if err != nil {
		return err
	}
	for _, hour := range found {
		if hour < from/60 || hour*60 >= to || held[hour] {
			continue
		}
		if ctx.Err() != nil {
			return faas.Errorf(faas.CodeCancelled, "", "the caller went away")
		}
		if _, err := t.readHour(t.path(hour, end), take); err != nil {
			t.store.damaged.Inc()
			t.store.cfg.Log.Error("a file of sums cannot be read; what it holds is not counted", "error", err)
		}
	}
	return nil
}

// Tally gives the sums of a filter's functions together, by minute or by hour, in order. Spans without calls are not among them.
func (s *Store) Tally(ctx context.Context, f faas.TallyFilter) ([]faas.TallyPoint, error) {
	sums := map[int64]faas.Tally{}
	err := s.stats.scan(ctx, &f, func(k sumKey, u faas.Tally) {
		sum := sums[k.minute]
		sum.Add(u)
		sums[k.minute] = sum
	})
	var points []faas.TallyPoint
	for _, minute := range slices.Sorted(maps.Keys(sums)) {
		points = append(points, faas.TallyPoint{At: time.Unix(minute*60, 0).UTC(), Tally: sums[minute]})
	}
	return points, err
}

// TallyByFunction gives the sums of each function, all versions together (Version is "").
func (s *Store) TallyByFunction(ctx context.Context, f faas.TallyFilter) (map[faas.FunctionKey]faas.Tally, error) {
	sums := map[faas.FunctionKey]faas.Tally{}
	err := s.stats.scan(ctx, &f, func(k sumKey, u faas.Tally) {
		key := k.FunctionKey
		key.Version = ""
		sum := sums[key]
		sum.Add(u)
		sums[key] = sum
	})
	return sums, err
}
