package functiongraph

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// maxTail is how much of a log's end an answer carries: the documented 4 KB.
const maxTail = 4096

// billed is the time in the handler, in begun milliseconds; at least one.
func billed(r *faas.Result) int64 {
	return max(1, int64((r.Run+time.Millisecond-1)/time.Millisecond))
}

// milliseconds writes a duration with three decimals.
func milliseconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

func megabytes(b []byte, n int64) []byte {
	return strconv.AppendFloat(b, float64(n)/(1<<20), 'f', 3, 64)
}

// summary is the value of X-Cff-Invoke-Summary: a JSON object with
//
//	funcDigest       SHA-512 of the package that ran
//	duration         milliseconds in the handler
//	billingDuration  the same in begun milliseconds
//	memorySize       MB of the instance
//	memoryUsed       MB, the highest use of the instance so far
//	coldStart        whether an instance was started for this call
//	initDuration     milliseconds of loading the code and the initializer; 0 when warm
//	queueDuration    milliseconds of waiting for an instance
func summary(r *faas.Result) string {
	b := make([]byte, 0, 384)
	b = append(b, `{"funcDigest":"`...)
	b = append(b, r.Digest...)
	b = append(b, `","duration":`...)
	b = milliseconds(b, r.Run)
	b = append(b, `,"billingDuration":`...)
	b = strconv.AppendInt(b, billed(r), 10)
	b = append(b, `,"memorySize":`...)
	b = strconv.AppendInt(b, int64(r.MemoryMB), 10)
	b = append(b, `,"memoryUsed":`...)
	b = megabytes(b, r.MemoryPeak)
	b = append(b, `,"coldStart":`...)
	b = strconv.AppendBool(b, r.Cold)
	b = append(b, `,"initDuration":`...)
	b = milliseconds(b, r.Init)
	b = append(b, `,"queueDuration":`...)
	b = milliseconds(b, r.Queued)
	return string(append(b, '}'))
}

// logTail is the end of a call's log, at most maxTail bytes of it: a line for the start, those of the function with time,
// request id and level, and one for the finish (reference 3.1). Lines that cannot be in the tail are never put together.
func logTail(id string, r *faas.Result) []byte {
	first := len(r.Logs)
	for size := 0; first > 0 && size < maxTail; first-- {
		size += len(r.Logs[first-1].Text) + 1
	}
	b := make([]byte, 0, maxTail)
	b = append(b, "Start invoke request '"...)
	b = append(b, id...)
	b = append(b, "', version: "...)
	b = append(b, r.Version...)
	b = append(b, '\n')
	for _, line := range r.Logs[first:] {
		b = line.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
		b = append(b, ' ')
		b = append(b, id...)
		b = append(b, ' ')
		b = append(b, line.Level...)
		b = append(b, ' ')
		b = append(b, line.Text...)
		b = append(b, '\n')
	}
	if r.Dropped > 0 {
		b = strconv.AppendInt(b, r.Dropped, 10)
		b = append(b, " bytes of log were over the limit of one call and are lost\n"...)
	}
	b = append(b, "Finish invoke request '"...)
	b = append(b, id...)
	b = append(b, "', duration: "...)
	b = milliseconds(b, r.Run)
	b = append(b, "ms, billing duration: "...)
	b = strconv.AppendInt(b, billed(r), 10)
	b = append(b, "ms, memory used: "...)
	b = megabytes(b, r.MemoryPeak)
	b = append(b, "MB, billing memory: "...)
	b = strconv.AppendInt(b, int64(r.MemoryMB), 10)
	b = append(b, "MB\n"...)
	return lastBytes(b, maxTail)
}

// lastBytes cuts a text to its end, and never through a character.
func lastBytes(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	b = b[len(b)-n:]
	for len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:]
	}
	return b
}
