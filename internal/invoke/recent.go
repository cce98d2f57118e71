package invoke

import (
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Run is the record of one call.
type Run struct {
	Seq    uint64 // position among all runs of this server since its start; from 1
	Key    faas.FunctionKey
	ID     string
	Source string
	Begun  time.Time
	Took   time.Duration // from the request at the platform to its end
	Result *faas.Result  // without Output; nil when Err is set
	Err    error
}

// Recent keeps the newest runs of this server in memory: as many as fit its bounds. Its content ends with the process.
type Recent struct {
	maxRuns  int
	maxBytes int64

	mu      sync.Mutex
	runs    []Run // ring
	first   int   // index of the oldest
	count   int
	bytes   int64
	seq     uint64
	changed chan struct{} // closed at the next add; nil while nobody waits
}

// NewRecent makes a Recent that holds at most so many runs, and so many bytes of what functions say: logs
// and failures.
func NewRecent(maxRuns int, maxBytes int64) *Recent {
	return &Recent{maxRuns: maxRuns, maxBytes: maxBytes}
}

// add keeps a run, at the cost of the oldest where the bounds demand it.
func (r *Recent) add(run Run) {
	if run.Result != nil {
		kept := *run.Result
		kept.Output = nil
		run.Result = &kept
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.runs) < r.maxRuns && r.count == len(r.runs) {
		r.grow()
	}
	size := textSize(run)
	for r.count > 0 && (r.count == r.maxRuns || r.bytes+size > r.maxBytes) {
		r.bytes -= textSize(r.runs[r.first])
		r.runs[r.first] = Run{}
		r.first = (r.first + 1) % len(r.runs)
		r.count--
	}
	r.seq++
	run.Seq = r.seq
	r.runs[(r.first+r.count)%len(r.runs)] = run
	r.count++
	r.bytes += size
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Note keeps what an instance did outside calls, as a run of its function; id names it.
func (r *Recent) Note(key faas.FunctionKey, id, source string, begun time.Time, res *faas.Result) {
	r.add(Run{Key: key, ID: id, Source: source, Begun: begun, Took: time.Since(begun), Result: res})
}

func (r *Recent) grow() {
	bigger := make([]Run, min(r.maxRuns, max(64, 2*len(r.runs))))
	for i := range r.count {
		bigger[i] = r.runs[(r.first+i)%len(r.runs)]
	}
	r.runs, r.first = bigger, 0
}

// textSize is what a run holds in memory by the function's own doing: its log and its failure, with what each line costs.
func textSize(run Run) int64 {
	if run.Result == nil {
		return 0
	}
	var n int64
	for _, l := range run.Result.Logs {
		n += int64(len(l.Text)) + 56
	}
	if f := run.Result.Failure; f != nil {
		n += int64(len(f.Message) + len(f.Type))
		for _, line := range f.Stack {
			n += int64(len(line)) + 16
		}
	}
	return n
}

// After lists the runs of a function (all versions) behind position seq, oldest first, at most limit of the newest; and a
// channel that closes when there is another run of any function.
func (r *Recent) After(key faas.FunctionKey, seq uint64, limit int) ([]Run, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Run
	for i := r.count - 1; i >= 0 && len(found) < limit; i-- {
		run := r.runs[(r.first+i)%len(r.runs)]
		if run.Seq <= seq {
			break
		}
		if run.Key.Project == key.Project && run.Key.Package == key.Package && run.Key.Name == key.Name {
			found = append(found, run)
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return found, r.changed
}
