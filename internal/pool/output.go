package pool

import (
	"bytes"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// What is kept of the log of one call: the newest; the rest is counted in bytes.
const (
	maxLogBytes = 256 << 10
	maxLogLines = 10_000
)

// maxLineBytes is where a log line is split (FunctionGraph reference 5.2).
const maxLineBytes = 90 << 10

// maxPipeBytes is the most that a pipe holds: what a process may set without privilege, by the kernel's default.
const maxPipeBytes = 1 << 20

// idleBytes is what an instance may print while it has no call. Beyond that its pipe is left alone until the next call: the
// pipe fills, and whoever prints waits. What a function has left running then costs this process nothing.
const idleBytes = 256 << 10

// maxMarks bounds the times kept for what is held.
const maxMarks = 1000

// output reads what a worker prints. The pipe is read all the time, so that a worker never blocks on it; take gives what
// has come since the last take. A worker writes before it answers, so whatever a call printed is in the pipe, and so
// within reach of take, when its answer has arrived.
type output struct {
	raw syscall.RawConn

	idle atomic.Bool // no call runs

	mu      sync.Mutex
	woken   *sync.Cond // idle has ended, or the output
	over    bool
	idled   int    // bytes read while idle
	chunk   []byte // scratch
	held    []byte
	marks   []mark
	dropped int64
	calls   map[uint32]*callLog // where calls run side by side; 0 stands for lines that name no call
	kept    int                 // bytes in calls
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
	o := &output{raw: raw}
	o.woken = sync.NewCond(&o.mu)
	return o, nil
}

// rest says that no call runs now.
func (o *output) rest() { o.idle.Store(true) }

// wake says that a call begins.
func (o *output) wake() {
	if !o.idle.Swap(false) {
		return
	}
	o.mu.Lock()
	o.idled = 0
	o.mu.Unlock()
	o.woken.Broadcast()
}

// end lets follow end. The file is closed behind it.
func (o *output) end() {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	o.woken.Broadcast()
}

// follow reads until every writer has closed the pipe or the file is closed.
func (o *output) follow() {
	_ = o.raw.Read(func(fd uintptr) bool {
		for {
			n, end := o.read(int(fd))
			if end || n == 0 {
				return end // false: wait until there is more
			}
		}
	})
}

// read takes one piece, so that take gets its turn beside a worker that never stops printing. Where no call runs it waits once
// idleBytes have come.
func (o *output) read(fd int) (n int, end bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.idled > idleBytes && o.idle.Load() && !o.over {
		o.woken.Wait()
	}
	if o.over {
		return 0, true
	}
	n, end = o.readLocked(fd)
	if o.idle.Load() {
		o.idled += n
	}
	return n, end
}

// readLocked takes one piece and tells its size, 0 for none just now, and whether the pipe has ended. o.mu is held.
func (o *output) readLocked(fd int) (n int, end bool) {
	if o.chunk == nil {
		o.chunk = make([]byte, 4<<10)
	}
	for {
		n, err := syscall.Read(fd, o.chunk)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, false
		case err != nil || n == 0:
			return 0, true
		}
		o.hold(o.chunk[:n])
		if n == len(o.chunk) && n < 64<<10 {
			o.chunk = make([]byte, 64<<10) // a worker that prints much
		}
		return n, false
	}
}

func (o *output) hold(b []byte) {
	now := time.Now()
	if o.calls != nil && len(o.held)+len(b) > maxLogBytes {
		o.distribute()
	}
	if len(o.held)+len(b) > 2*maxLogBytes {
		cut := len(o.held) + len(b) - maxLogBytes
		o.dropped += int64(cut)
		o.held = append(o.held[:0], o.held[cut:]...)
		o.marks = append(o.marks[:0], mark{0, now})
	} else {
		o.mark(now)
	}
	o.held = append(o.held, b...)
}

// mark notes when the next bytes came. Of too many marks every second one goes: the lines behind it count as of the one
// before.
func (o *output) mark(now time.Time) {
	if len(o.marks) == maxMarks {
		for i := range maxMarks / 2 {
			o.marks[i] = o.marks[2*i]
		}
		o.marks = o.marks[:maxMarks/2]
	}
	o.marks = append(o.marks, mark{len(o.held), now})
}

// take gives the lines that have come since the last take, and how many bytes of them are lost.
func (o *output) take() (lines []faas.LogLine, dropped int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drain()
	if len(o.held) == 0 {
		return nil, 0
	}
	text, marks := o.held, o.marks
	if cut := newest(text); cut > 0 {
		text = text[cut:]
		o.dropped += int64(cut)
		for i := range marks {
			marks[i].offset -= cut
		}
	}
	dropped = o.dropped
	lines = split(text, marks)
	o.held, o.marks, o.dropped = nil, o.marks[:0], 0
	return lines, dropped
}

// drain reads what is in the pipe; what was printed before an answer is among it. o.mu is held.
func (o *output) drain() {
	_ = o.raw.Control(func(fd uintptr) {
		for left := maxPipeBytes; left > 0; {
			n, _ := o.readLocked(int(fd))
			if n == 0 {
				return
			}
			left -= n
		}
	})
}

// newest tells where the part of text begins that is kept.
func newest(text []byte) int {
	from := max(0, len(text)-maxLogBytes)
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for range maxLogLines {
		at = bytes.LastIndexByte(text[:at], '\n')
		if at < from {
			return from
		}
	}
	return at + 1
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
