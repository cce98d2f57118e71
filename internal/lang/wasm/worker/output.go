package main

import (
	"bytes"
	"io"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// result takes what a module writes to its standard output: at most limit bytes are kept, and the rest is counted.
type result struct {
	limit int
	kept  []byte
	total int
}

func (r *result) Write(b []byte) (int, error) {
	r.total += len(b)
	r.kept = append(r.kept, b[:max(0, min(len(b), r.limit-len(r.kept)))]...)
	return len(b), nil
}

// lines passes on what a module writes to its standard error in whole lines, so that those of calls at the same time do
// not mix.
type lines struct {
	to   io.Writer
	call []byte // begins each line, where calls run at the same time: see lang.LogCall
	rest []byte
}

// linesOf is the log of a call.
func linesOf(to io.Writer, seq uint32, together bool) *lines {
	l := &lines{to: to}
	if together {
		l.call = strconv.AppendUint([]byte{lang.LogMark, 'I', lang.LogCall}, uint64(seq), 10)
		l.call = append(l.call, lang.LogCall)
	}
	return l
}

// pass passes on whole lines, each as its call's. One that the module gave a level of its own keeps it. Nobody may read: a
// module is not told so.
func (l *lines) pass(text []byte) {
	if l.call == nil {
		_, _ = l.to.Write(text)
		return
	}
	var out []byte
	for line := range bytes.Lines(text) {
		at := len(out)
		out = append(out, l.call...)
		if len(line) > 2 && line[0] == lang.LogMark {
			out[at+1], line = line[1], line[2:]
		}
		out = append(out, line...)
	}
	if !bytes.HasSuffix(out, []byte{'\n'}) {
		out = append(out, '\n') // a piece of a long line: what another call writes next is not its end
	}
	_, _ = l.to.Write(out)
}

// maxRest is where a line without an end is passed on as it is.
const maxRest = 64 << 10

func (l *lines) Write(b []byte) (int, error) {
	end := bytes.LastIndexByte(b, '\n') + 1
	if end == 0 && len(l.rest)+len(b) < maxRest {
		l.rest = append(l.rest, b...)
		return len(b), nil
	}
	if end == 0 {
		end = len(b)
	}
	if len(l.rest) > 0 {
		l.rest = append(l.rest, b[:end]...)
		l.pass(l.rest)
		l.rest = l.rest[:0]
	} else {
		l.pass(b[:end])
	}
	l.rest = append(l.rest, b[end:]...)
	return len(b), nil
}

// end passes on a last line without an end.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.pass(append(l.rest, '\n'))
	}
}
