package record_test

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/record"
)

// base is on a whole hour.
var base = time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)

func open(t testing.TB, cfg record.Config) *record.Store {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewSet()
	}
	s, err := record.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sample is the record of the n-th call: of ten functions in two projects, one in seven failed.
func sample(n int) faas.Record {
	f := n % 10
	r := faas.Record{
		ID: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, n)).String(), Source: faas.SourceAPI, Attempt: 1,
		Key:    faas.FunctionKey{Project: fmt.Sprint("p", f%2), Package: "default", Name: fmt.Sprint("f", f), Version: faas.Latest},
		Begun:  base.Add(time.Duration(n) * time.Second),
		Took:   20 * time.Millisecond,
		Queued: 2 * time.Millisecond, Init: time.Millisecond, Run: time.Duration(5+n%10) * time.Millisecond, Cold: n%3 == 0,
		MemoryPeak: 40 << 20, MemoryMB: 128, Digest: "d", ResultSize: 4, Event: fmt.Appendf(nil, `{"n":%d}`, n),
		Logs: []faas.LogLine{{Time: base.Add(time.Duration(n) * time.Second), Level: faas.LevelInfo, Text: fmt.Sprint("line of ", n)}},
	}
	r.EventSize = int64(len(r.Event))
	r.Accepted = r.Begun
	if n%7 == 0 {
		r.Code, r.Type, r.Message, r.Stack = faas.CodeException, "ValueError", fmt.Sprint("failed ", n), []string{"one", "two"}
	}
	return r
}

func all(t testing.TB, s *record.Store, f faas.RecordFilter) []faas.Record {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = 7
	}
	var found []faas.Record
	for {
		page, err := s.List(t.Context(), f)
		require.NoError(t, err)
		found = append(found, page.Records...)
		if page.Next == 0 {
			return found
		}
		if f.Oldest {
			f.After = page.Next
		} else {
			f.Before = page.Next
		}
	}
}

// small closes journals early, so that few records make several segments.
func small(dir string) record.Config {
	return record.Config{Dir: dir, MaxEvent: 100, SealRecords: 300}
}

// What was added comes back, whole and in order, from the journal and from segments, before and after a restart.
func TestRecordsComeBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, small(dir))
	const n = 1000
	for i := range n {
		s.Add(sample(i))
		if i%50 == 0 {
			_, err := s.List(t.Context(), faas.RecordFilter{Project: "p0", Limit: 1})
			require.NoError(t, err)
		}
	}
	check := func(s *record.Store) {
		for f := range 10 {
			filter := faas.RecordFilter{Project: fmt.Sprint("p", f%2), Package: "default", Name: fmt.Sprint("f", f), Whole: true}
			found := all(t, s, filter)
			require.Len(t, found, n/10)
			for i, r := range found {
				want := sample(n - 10 + f - 10*i)
				want.EventDigest = r.EventDigest
				require.Len(t, r.EventDigest, 64)
				require.Equal(t, r.Seq, want.Ended().UnixMicro())
				want.Seq = r.Seq
				require.Equal(t, want, r)
			}
			filter.Oldest = true
			forward := all(t, s, filter)
			require.Len(t, forward, n/10)
			require.Equal(t, found[0], forward[len(forward)-1])
		}
		failed := all(t, s, faas.RecordFilter{Project: "p1", Failed: true, Limit: 1})
		require.Len(t, failed, 71)
		require.Empty(t, failed[0].Logs, "only Whole has bodies")
		well := all(t, s, faas.RecordFilter{Project: "p1", Succeeded: true})
		require.Len(t, well, len(all(t, s, faas.RecordFilter{Project: "p1"}))-71)
		for _, r := range well {
			require.Empty(t, r.Code)
		}
		require.Len(t, all(t, s, faas.RecordFilter{Project: "p1", Code: faas.CodeException}), 71)
		require.Empty(t, all(t, s, faas.RecordFilter{Project: "p1", Code: faas.CodeTimeout}))
		require.Empty(t, all(t, s, faas.RecordFilter{Project: "p2"}))
		between := all(t, s, faas.RecordFilter{Project: "p0", From: base.Add(100 * time.Second), To: base.Add(200 * time.Second)})
		require.Len(t, between, 50)
		for i := 0; i < n; i += 37 {
			want := sample(i)
			found, err := s.ByID(t.Context(), want.Key.Project, want.ID)
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.Equal(t, want.Event, found[0].Event)
			_, err = s.ByID(t.Context(), "p9", want.ID)
			require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
		}
	}
	check(s)
	require.Len(t, files(t, dir, "*.segment"), 3)
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Close())
	again := open(t, small(dir))
	check(again)
	again.Add(sample(n))
	require.Len(t, all(t, again, faas.RecordFilter{Project: "p0", Package: "default", Name: "f0"}), n/10+1)
}

func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	return found
}

// The events of records are kept within the bound only, and never where it is 0; their size and digest always are.
func TestEventsAreBounded(t *testing.T) {
	for bound, kept := range map[int]bool{0: false, 6: false, 7: true} {
		s := open(t, record.Config{Dir: t.TempDir(), MaxEvent: bound})
		s.Add(sample(1)) // {"n":1}
		found, err := s.ByID(t.Context(), "p1", sample(1).ID)
		require.NoError(t, err)
		require.Equal(t, kept, found[0].Event != nil, bound)
		require.Len(t, found[0].EventDigest, 64)
		require.EqualValues(t, 7, found[0].EventSize)
	}
}

// A clock that goes backwards does not change the order, nor lose a record.
func TestClockStepsBack(t *testing.T) {
	s := open(t, record.Config{Dir: t.TempDir()})
	for i := range 10 {
		s.Add(sample(100 - 10*i))
	}
	found := all(t, s, faas.RecordFilter{Project: "p0"})
	require.Len(t, found, 10)
	require.Equal(t, sample(10).ID, found[0].ID)
}

// A journal that was cut anywhere, or garbled, gives the records before that place and no others, and goes on.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, record.Config{Dir: dir})
	const n = 40
	for i := range n {
		s.Add(sample(2 * i))
		require.Len(t, all(t, s, faas.RecordFilter{Project: "p0"}), i+1) // one frame each
	}
	require.NoError(t, s.Close())
	path := files(t, dir, "*.journal")[0]
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	for try := range 60 {
		torn := append([]byte(nil), whole[:random.IntN(len(whole))]...)
		if try%2 == 0 {
			torn = append([]byte(nil), whole...)
			torn[random.IntN(len(torn))] ^= 1 << random.IntN(8)
		}
		broken := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(broken, filepath.Base(path)), torn, 0o600))
		s := open(t, record.Config{Dir: broken})
		found := all(t, s, faas.RecordFilter{Project: "p0", Oldest: true, Whole: true})
		require.Less(t, len(found), n)
		for i, r := range found {
			require.Equal(t, sample(2*i).ID, r.ID)
			require.Equal(t, sample(2*i).Logs, r.Logs)
		}
		s.Add(sample(2 * n))
		require.Len(t, all(t, s, faas.RecordFilter{Project: "p0"}), len(found)+1)
		require.NoError(t, s.Close())
		again := open(t, record.Config{Dir: broken})
		require.Len(t, all(t, again, faas.RecordFilter{Project: "p0"}), len(found)+1, "what was written behind the mended end stays")
		tally, err := again.TallyByFunction(t.Context(), faas.TallyFilter{Project: "p0", From: base, To: base.Add(time.Hour)})
		require.NoError(t, err)
		sum := faas.Tally{}
		for _, one := range tally {
			sum.Add(one)
		}
		require.EqualValues(t, len(found)+1, sum.Count, "the sums count what is there")
		require.NoError(t, again.Close())
	}
}

// A segment with a flipped bit or a missing end shows nothing wrong: what it still shows is true.
func TestGarbledSegment(t *testing.T) {
	dir := t.TempDir()
	s := open(t, small(dir))
	fill(t, s, 301)
	require.NoError(t, s.Close())
	path := files(t, dir, "*.segment")[0]
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	for try := range 150 {
		torn := append([]byte(nil), whole...)
		torn[random.IntN(len(torn))] ^= 1 << random.IntN(8)
		if try%5 == 0 {
			torn = torn[:random.IntN(len(torn))]
		}
		broken := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(broken, filepath.Base(path)), torn, 0o600))
		counts := metrics.NewSet()
		cfg := small(broken)
		cfg.Metrics = counts
		s := open(t, cfg)
		found := all(t, s, faas.RecordFilter{Project: "p0", Limit: 1000, Whole: true})
		for _, r := range found {
			var n int
			_, err := fmt.Sscanf(string(r.Event), `{"n":%d}`, &n)
			require.NoError(t, err)
			require.Equal(t, sample(n).ID, r.ID)
			require.Equal(t, sample(n).Logs, r.Logs)
		}
		if len(found) < 150 {
			require.NotZero(t, value(t, counts, "hanshu_record_files_damaged_total"), "try %d lost records in silence", try)
		}
		require.NoError(t, s.Close())
	}
}

// fill adds records 0 to n-1, one batch for each hundred.
func fill(t testing.TB, s *record.Store, n int) {
	t.Helper()
	for i := range n {
		s.Add(sample(i))
		if i%100 == 99 || i == n-1 {
			_, err := s.List(t.Context(), faas.RecordFilter{Project: "p0", Limit: 1})
			require.NoError(t, err)
		}
	}
}

func value(t testing.TB, set *metrics.Set, name string) uint64 {
	t.Helper()
	return set.Counter(name).Value()
}

// A journal whose segment was finished before the crash is not counted twice.
func TestCrashBehindSeal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, small(dir))
	fill(t, s, 300)
	journal := files(t, dir, "*.journal")[0]
	kept, err := os.ReadFile(journal)
	require.NoError(t, err)
	s.Add(sample(300))
	require.Len(t, all(t, s, faas.RecordFilter{Project: "p0"}), 151)
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(journal, kept, 0o600))
	require.NoError(t, os.WriteFile(journal+".tmp", kept, 0o600))
	again := open(t, small(dir))
	require.Len(t, all(t, again, faas.RecordFilter{Project: "p0"}), 151)
	require.Empty(t, files(t, dir, "*.tmp"))
}

// The oldest records go when all together are over the bound, and the sums stay.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	cfg := small(dir)
	cfg.MaxBytes = 30_000
	s := open(t, cfg)
	fill(t, s, 5000)
	total := int64(0)
	for _, name := range files(t, dir, "*.segment") {
		info, err := os.Stat(name)
		require.NoError(t, err)
		total += info.Size()
	}
	require.LessOrEqual(t, total, cfg.MaxBytes)
	found := all(t, s, faas.RecordFilter{Project: "p0", Limit: 500})
	require.Less(t, len(found), 2500)
	require.Greater(t, len(found), 150)
	require.Equal(t, sample(4998).ID, found[0].ID, "the newest stay")
	points, err := s.Tally(t.Context(), faas.TallyFilter{Project: "p0", From: base, To: base.Add(2 * time.Hour)})
	require.NoError(t, err)
	count := int64(0)
	for _, p := range points {
		count += p.Count
	}
	require.EqualValues(t, 2500, count)
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Close())

	cfg.MaxAge = time.Hour // all of them are a day old
	aged := open(t, cfg)
	require.NoError(t, record.Tend(aged, time.Now().Add(time.Hour)))
	require.NoError(t, record.Tend(aged, time.Now().Add(time.Hour)))
	require.Empty(t, files(t, dir, "*.segment"))
	require.Empty(t, all(t, aged, faas.RecordFilter{Project: "p0"}))
}

// Sums by minute and by hour tell what the records tell, across a restart in the middle.
func TestTally(t *testing.T) {
	dir := t.TempDir()
	const n = 9000 // two and a half hours
	s := open(t, small(dir))
	fill(t, s, n/2)
	require.NoError(t, s.Close()) // as after kill -9: nothing was saved by Stop
	s = open(t, small(dir))
	for i := n / 2; i < n; i++ {
		s.Add(sample(i))
	}
	beat := sample(n)
	beat.Source = faas.SourceHeartbeat
	s.Add(beat) // is no call
	span := faas.TallyFilter{Project: "p0", Package: "default", Name: "f0", From: base, To: base.Add(3 * time.Hour)}
	check := func() {
		points, err := s.Tally(t.Context(), span)
		require.NoError(t, err)
		require.Len(t, points, 150)
		sum := faas.Tally{}
		for i, p := range points {
			require.Equal(t, base.Add(time.Duration(i)*time.Minute), p.At)
			require.EqualValues(t, 6, p.Count)
			sum.Add(p.Tally)
		}
		hours := span
		hours.Hours = true
		byHour, err := s.Tally(t.Context(), hours)
		require.NoError(t, err)
		require.Len(t, byHour, 3)
		whole := faas.Tally{}
		for _, p := range byHour {
			whole.Add(p.Tally)
		}
		require.Equal(t, sum, whole)
		require.EqualValues(t, 900, sum.Count)
		require.EqualValues(t, 129, sum.FunctionErrors)
		require.Equal(t, 5*time.Millisecond, sum.MinRun)
		require.Equal(t, 900*128*5, int(sum.MBMillis))
		one := span
		one.From, one.To = base.Add(time.Minute), base.Add(2*time.Minute)
		points, err = s.Tally(t.Context(), one)
		require.NoError(t, err)
		require.Len(t, points, 1)
	}
	check()
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Close())
	s = open(t, small(dir))
	check()
	by, err := s.TallyByFunction(t.Context(), faas.TallyFilter{Project: "p1", From: base, To: base.Add(3 * time.Hour), Hours: true})
	require.NoError(t, err)
	require.Len(t, by, 5)
}

// Readers and writers together: nobody sees a record twice or out of order, and everybody sees all of them in the end.
func TestTogether(t *testing.T) {
	s := open(t, small(t.TempDir()))
	require.NoError(t, s.Start(t.Context()))
	const writers, each = 4, 1500
	var work sync.WaitGroup
	var added atomic.Int64
	for w := range writers {
		work.Go(func() {
			for i := range each {
				r := sample(i)
				r.ID, r.Begun = fmt.Sprint(w, "-", i), time.Now()
				r.Key = sample(0).Key
				s.Add(r)
				added.Add(1)
				if i%100 == 0 {
					_, _ = s.Tally(t.Context(), faas.TallyFilter{Project: "p0", From: base, To: time.Now()})
				}
			}
		})
	}
	for range 2 {
		work.Go(func() {
			filter := faas.RecordFilter{Project: "p0", Package: "default", Name: "f0", Oldest: true, Limit: 100, Whole: true}
			for seen := 0; seen < writers*each; {
				changed := s.Changed()
				page, err := s.List(t.Context(), filter)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range page.Records {
					if r.Seq <= filter.After {
						t.Errorf("%d behind %d", r.Seq, filter.After)
					}
					filter.After = r.Seq
					seen++
				}
				if len(page.Records) == 0 && seen < writers*each {
					<-changed
				}
			}
		})
	}
	work.Wait()
	require.NoError(t, s.Stop(t.Context()))
}

// FuzzSegment reads segments that anybody may have written: no such file ends the process, or takes much memory.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	s := open(f, small(dir))
	fill(f, s, 301)
	require.NoError(f, s.Close())
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			text, rerr := os.ReadFile(path)
			f.Add(text)
			return rerr
		}
		return err
	})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "usage"), 0o700))
		for _, name := range []string{"000000000000000001.segment", "000000000000000002.journal", "usage/000000001.minutes"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
		s := open(t, small(dir))
		for _, oldest := range []bool{true, false} {
			_, err := s.List(t.Context(), faas.RecordFilter{Project: "p0", Limit: 10, Whole: true, Oldest: oldest})
			require.NoError(t, err)
		}
		_, _ = s.ByID(t.Context(), "p0", sample(2).ID)
	})
}

// TestTallyOfAnAlias counts the calls that came through an alias apart, and no call twice.
func TestTallyOfAnAlias(t *testing.T) {
	s := open(t, small(t.TempDir()))
	for i := range 60 {
		r := sample(10 * i) // of f0, some seconds apart
		r.Key.Version = []string{"v1", "v2"}[i%2]
		if i%3 == 0 {
			r.Alias = "prod"
		}
		s.Add(r)
	}
	count := func(version string) int64 {
		points, err := s.Tally(t.Context(), faas.TallyFilter{
			Project: "p0", Package: "default", Name: "f0", Version: version, From: base, To: base.Add(time.Hour), Hours: true,
		})
		require.NoError(t, err)
		sum := faas.Tally{}
		for _, p := range points {
			sum.Add(p.Tally)
		}
		return sum.Count
	}
	for version, want := range map[string]int64{"": 60, "v1": 30, "v2": 30, "!prod": 20, "!other": 0} {
		require.Equal(t, want, count(version), "version %q", version)
	}
	require.Len(t, all(t, s, faas.RecordFilter{Project: "p0", Package: "default", Name: "f0", Version: "!prod"}), 20)
	require.Len(t, all(t, s, faas.RecordFilter{Project: "p0", Package: "default", Name: "f0", Version: "v2"}), 30)
	by, err := s.TallyByFunction(t.Context(), faas.TallyFilter{Project: "p0", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.Len(t, by, 1)
	for _, tally := range by {
		require.EqualValues(t, 60, tally.Count)
	}
}
