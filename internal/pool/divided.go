package pool

import (
	"bytes"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Bounds of the logs of calls that run side by side in one instance: beyond crowdBytes of all together, a call keeps
// crowdedLogBytes of its own.
const (
	crowdBytes      = 4 << 20
	crowdedLogBytes = 16 << 10
)

// callLog is the log so far of one call of several.
type callLog struct {
	lines   []faas.LogLine
	bytes   int
	dropped int64
}

// divide has an output kept apart by call, from now on. What names no call goes to the call that ends next.
func (o *output) divide() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = map[uint32]*callLog{0: {}}
}

// enter makes room for the log of a call.
func (o *output) enter(seq uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[seq] = &callLog{}
}

// leave gives the lines of a call that has ended, and how many bytes of them are lost. Lines that name no call come first.
func (o *output) leave(seq uint32) (lines []faas.LogLine, dropped int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drain()
	o.distribute()
	loose := o.calls[0]
	o.calls[0] = &callLog{}
	o.kept -= loose.bytes
	lines, dropped = loose.lines, loose.dropped
	if own := o.calls[seq]; own != nil && seq != 0 {
		delete(o.calls, seq)
		o.kept -= own.bytes
		lines, dropped = append(lines, own.lines...), dropped+own.dropped
	}
	return lines, dropped
}

// distribute hands the whole lines of what is held to their calls. o.mu is held.
func (o *output) distribute() {
	end := bytes.LastIndexByte(o.held, '\n') + 1
	if end == 0 && len(o.held) > maxLineBytes {
		end = len(o.held)
	}
	if end == 0 {
		return
	}
	o.calls[0].dropped += o.dropped
	o.dropped = 0
	m := 0
	for offset := 0; offset < end; {
		line, next := o.held[offset:end], end
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, next = line[:i], offset+i+1
		}
		if len(line) > maxLineBytes {
			line, next = line[:maxLineBytes], offset+maxLineBytes
		}
		for m+1 < len(o.marks) && o.marks[m+1].offset < next {
			m++
		}
		o.put(o.marks[m].at, string(line))
		offset = next
	}
	at := o.marks[len(o.marks)-1].at
	o.held = append(o.held[:0], o.held[end:]...)
	o.marks = append(o.marks[:0], mark{0, at})
}

// put adds a line to the log of its call; one of a call that has ended counts as naming none. o.mu is held.
func (o *output) put(at time.Time, line string) {
	seq, text := lang.CutCall(line)
	log := o.calls[seq]
	if log == nil {
		log = o.calls[0]
	}
	for _, l := range lang.AppendLogLines(nil, at, text) {
		log.lines = append(log.lines, l)
		log.bytes += len(l.Text) + 1
		o.kept += len(l.Text) + 1
	}
	limit := maxLogBytes
	if o.kept > crowdBytes {
		limit = crowdedLogBytes
	}
	first := 0
	for ; first < len(log.lines) && (log.bytes > limit || len(log.lines)-first > maxLogLines); first++ {
		n := len(log.lines[first].Text) + 1
		log.bytes -= n
		o.kept -= n
		log.dropped += int64(n)
		log.lines[first] = faas.LogLine{}
	}
	log.lines = log.lines[first:]
}
