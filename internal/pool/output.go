package pool

import (
	"bytes"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// maxLogBytes is what is kept of the log of one call: the newest; the rest is counted.
const maxLogBytes = 256 << 10

// maxLineBytes is where a log line is split (FunctionGraph reference 5.2).
const maxLineBytes = 90 << 10

// output reads what a worker prints. The pipe is read all the time, so that a worker never blocks on it; take gives what
// has come since the last take. A worker writes before it answers, so whatever a call printed is in the pipe, and so
// within reach of take, when its answer has arrived.
type output struct {
	raw syscall.RawConn

	mu      sync.Mutex
	chunk   []byte // scratch
	held    []byte
	marks   []mark
	dropped int64
}

// mark says when the bytes of held from an offset on have come.
type mark struct {
	offset int
	at     time.Time
}

func newOutput(f *os.File) (*output, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &output{raw: raw}, nil
}

// follow reads until every writer has closed the pipe or the file is closed.
func (o *output) follow() {
	_ = o.raw.Read(func(fd uintptr) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.readAll(int(fd)) // false: wait until there is more
	})
}

// readAll takes what is in the pipe and tells whether the pipe has ended. o.mu is held.
func (o *output) readAll(fd int) (end bool) {
	if o.chunk == nil {
		o.chunk = make([]byte, 4<<10)
	}
	for {
		n, err := syscall.Read(fd, o.chunk)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil || n == 0:
			return true
		}
		o.hold(o.chunk[:n])
		if n == len(o.chunk) && n < 64<<10 {
			o.chunk = make([]byte, 64<<10) // a worker that prints much
		}
	}
}

func (o *output) hold(b []byte) {
	if len(o.held)+len(b) > 2*maxLogBytes {
		cut := len(o.held) + len(b) - maxLogBytes
		o.dropped += int64(cut)
		o.held = append(o.held[:0], o.held[cut:]...)
		o.marks = append(o.marks[:0], mark{0, time.Now()})
	} else {
		o.marks = append(o.marks, mark{len(o.held), time.Now()})
	}
	o.held = append(o.held, b...)
}

// take gives the lines that have come since the last take, and how many bytes of them are lost.
func (o *output) take() (lines []faas.LogLine, dropped int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.raw.Control(func(fd uintptr) { o.readAll(int(fd)) })
	if len(o.held) == 0 {
		return nil, 0
	}
	text, marks := o.held, o.marks
	dropped = o.dropped
	if over := len(text) - maxLogBytes; over > 0 {
		dropped += int64(over)
		text = text[over:]
		for i := range marks {
			marks[i].offset -= over
		}
	}
	lines = split(text, marks)
	o.held, o.marks, o.dropped = nil, o.marks[:0], 0
	return lines, dropped
}

// split cuts text into log lines, each with the time its end came.
func split(text []byte, marks []mark) []faas.LogLine {
	var lines []faas.LogLine
	for offset, m := 0, 0; offset < len(text); {
		line := text[offset:]
		next := len(text)
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line, next = line[:end], offset+end+1
		}
		if len(line) > maxLineBytes {
			line, next = line[:maxLineBytes], offset+maxLineBytes
		}
		for m+1 < len(marks) && marks[m+1].offset < next {
			m++
		}
		lines = lang.AppendLogLines(lines, marks[m].at, string(line))
		offset = next
	}
	return lines
}
