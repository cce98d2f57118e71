package record_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/record"
)

const million = 1_000_000

// many fills a store with a million records of a thousand functions, one in a hundred failed; one function is called only once in
// 10,000 times.
func many(b *testing.B) *record.Store {
	s := open(b, record.Config{Dir: b.TempDir(), MaxEvent: 64 << 10})
	random := rand.New(rand.NewPCG(1, 1))
	for i := range million {
		f := random.IntN(999)
		if i%10_000 == 0 {
			f = 999
		}
		r := sample(i)
		r.ID = uuid.NewString()
		r.Key = faas.FunctionKey{Project: "p0", Package: "default", Name: fmt.Sprint("f", f), Version: faas.Latest}
		r.Begun, r.Code = base.Add(time.Duration(i)*10*time.Millisecond), ""
		if i%100 == 0 {
			r.Code = faas.CodeTimeout
		}
		s.Add(r)
		if i%512 == 511 {
			_, err := s.List(b.Context(), faas.RecordFilter{Project: "nobody"})
			require.NoError(b, err)
		}
	}
	return s
}

// BenchmarkPage reads pages of 50 at random places among a million records, and tells the slowest of a hundred. The disk's own
// cache holds the files, as it does where a server runs.
func BenchmarkPage(b *testing.B) {
	begun := time.Now()
	s := many(b)
	b.Logf("%.0f records/s written, %s", million/time.Since(begun).Seconds(), rss(b))
	at := func(r *rand.Rand) int64 {
		return base.Add(time.Duration(r.IntN(million)) * 10 * time.Millisecond).UnixMicro()
	}
	for _, c := range []struct {
		name   string
		filter faas.RecordFilter
	}{
		{"project", faas.RecordFilter{Project: "p0"}},
		{"function", faas.RecordFilter{Project: "p0", Package: "default", Name: "f7"}},
		{"rare function", faas.RecordFilter{Project: "p0", Package: "default", Name: "f999"}},
		{"failed", faas.RecordFilter{Project: "p0", Failed: true}},
		{"function with logs", faas.RecordFilter{Project: "p0", Package: "default", Name: "f7", Whole: true}},
	} {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			random, times := rand.New(rand.NewPCG(2, 2)), []time.Duration{}
			for b.Loop() {
				c.filter.Before, c.filter.Limit = at(random), 50
				begun := time.Now()
				_, err := s.List(b.Context(), c.filter)
				times = append(times, time.Since(begun))
				require.NoError(b, err)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	page, err := s.List(b.Context(), faas.RecordFilter{Project: "p0", Limit: 500, Before: base.Add(time.Hour).UnixMicro()})
	require.NoError(b, err)
	b.Run("by_id", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			_, err := s.ByID(b.Context(), "p0", page.Records[i%500].ID)
			require.NoError(b, err)
		}
	})
	b.Run("month", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Tally(b.Context(), faas.TallyFilter{Project: "p0", From: base.AddDate(0, -1, 0), To: time.Now(), Hours: true})
			require.NoError(b, err)
		}
	})
	b.Logf("%d bytes a record on disk, %s", record.Size(s)/million, rss(b))
}

// rss tells the memory of this process, which holds the benchmark too.
func rss(b *testing.B) string {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "memory unknown"
	}
	_, found, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(found, "\n")
	b.Helper()
	return "RSS " + strings.TrimSpace(line)
}

// BenchmarkAdd is what a call pays before its answer.
func BenchmarkAdd(b *testing.B) {
	s := open(b, record.Config{Dir: b.TempDir(), MaxEvent: 64 << 10})
	require.NoError(b, s.Start(b.Context()))
	r := sample(1)
	b.ReportAllocs()
	for b.Loop() {
		r.Begun = time.Now()
		s.Add(r)
	}
	b.StopTimer()
	require.NoError(b, s.Stop(b.Context()))
}
