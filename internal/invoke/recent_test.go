package invoke

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

var (
	one = faas.FunctionKey{Project: "p", Package: "default", Name: "one", Version: faas.Latest}
	two = faas.FunctionKey{Project: "p", Package: "default", Name: "two", Version: faas.Latest}
)

func logged(key faas.FunctionKey, bytes int) Run {
	return Run{Key: key, Result: &faas.Result{Output: []byte("secret"), Logs: []faas.LogLine{{Text: strings.Repeat("x", bytes)}}}}
}

func positions(runs []Run) (all []uint64) {
	for _, r := range runs {
		all = append(all, r.Seq)
	}
	return all
}

// numbers gives first, first+1, ... last.
func numbers(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func TestRecentKeepsTheNewest(t *testing.T) {
	for _, most := range []int{1, 2, 63, 64, 65, 200} {
		r := NewRecent(most, 1<<20)
		for n := range uint64(500) {
			r.add(Run{Key: one})
			found, _ := r.After(one, 0, 1000)
			first := uint64(1)
			if n+1 > uint64(most) {
				first = n + 2 - uint64(most)
			}
			require.Equal(t, numbers(first, n+1), positions(found), "of %d", most)
		}
		require.LessOrEqual(t, len(r.runs), most, "no more room than may be used")
	}
}

func TestRecentBoundsBytes(t *testing.T) {
	const line = 56 // what a line counts beside its text
	r := NewRecent(100, 10*(100+line))
	for range 50 {
		r.add(logged(one, 100))
	}
	found, _ := r.After(one, 0, 1000)
	require.Equal(t, numbers(41, 50), positions(found))
	r.add(logged(one, 4*100+3*line)) // as much as four others
	found, _ = r.After(one, 0, 1000)
	require.Equal(t, numbers(45, 51), positions(found))
	r.add(Run{Key: one, Err: faas.Errorf(faas.CodeOverload, "", "busy")})
	found, _ = r.After(one, 0, 1000)
	require.Equal(t, numbers(45, 52), positions(found), "an error has no log")

	r.add(logged(one, 1<<20)) // over the limit alone: the newest is kept whatever its size
	found, _ = r.After(one, 0, 1000)
	require.Equal(t, []uint64{53}, positions(found))
	r.add(logged(one, 1))
	found, _ = r.After(one, 0, 1000)
	require.Equal(t, []uint64{54}, positions(found), "and makes room for the next")
	require.Equal(t, textSize(logged(one, 1)), r.bytes)
}

func TestRecentAfter(t *testing.T) {
	r := NewRecent(10, 1<<20)
	for range 3 {
		r.add(Run{Key: one})
		r.add(Run{Key: two})
	}
	other := one
	other.Version = "v1"
	r.add(Run{Key: other})
	for _, c := range []struct {
		key   faas.FunctionKey
		seq   uint64
		limit int
		want  []uint64
	}{
		{one, 0, 100, []uint64{1, 3, 5, 7}},
		{faas.FunctionKey{Project: "p", Package: "default", Name: "one", Version: "any"}, 0, 100, []uint64{1, 3, 5, 7}},
		{one, 3, 100, []uint64{5, 7}},
		{one, 0, 2, []uint64{5, 7}},
		{one, 7, 100, nil},
		{one, 1 << 40, 100, nil},
		{two, 0, 100, []uint64{2, 4, 6}},
		{faas.FunctionKey{Project: "q", Package: "default", Name: "one"}, 0, 100, nil},
		{faas.FunctionKey{Project: "p", Package: "other", Name: "one"}, 0, 100, nil},
	} {
		found, _ := r.After(c.key, c.seq, c.limit)
		require.Equal(t, c.want, positions(found), "%+v", c)
	}
}

func TestRecentTellsOfChanges(t *testing.T) {
	r := NewRecent(10, 1<<20)
	_, changed := r.After(one, 0, 10)
	_, also := r.After(two, 0, 10)
	select {
	case <-changed:
		t.Fatal("nothing has changed")
	default:
	}
	run := logged(two, 5)
	r.add(run)
	<-changed // of any function
	<-also
	found, changed := r.After(two, 0, 10)
	require.Len(t, found, 1)
	require.Nil(t, found[0].Result.Output, "results are not kept")
	require.Equal(t, "secret", string(run.Result.Output), "the caller's own result is left alone")
	select {
	case <-changed:
		t.Fatal("the change was told already")
	default:
	}
}

func TestRecentTogether(t *testing.T) {
	r := NewRecent(50, 1<<20)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for range 200 {
				r.add(Run{Key: one, ID: fmt.Sprint(i)})
			}
		})
		work.Go(func() {
			for seq := uint64(0); seq < 1600; {
				found, changed := r.After(one, seq, 1000)
				for _, run := range found {
					if run.Seq <= seq {
						t.Errorf("%d behind %d", run.Seq, seq)
					}
					seq = run.Seq
				}
				if seq < 1600 {
					<-changed
				}
			}
		})
	}
	work.Wait()
	found, _ := r.After(one, 0, 1000)
	require.Equal(t, numbers(1551, 1600), positions(found))
}
