package main

import (
	"bytes"
	"io"
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
	rest []byte
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
		_, _ = l.to.Write(l.rest) // nobody reads: a module is not told so
		l.rest = l.rest[:0]
	} else {
		_, _ = l.to.Write(b[:end])
	}
	l.rest = append(l.rest, b[end:]...)
	return len(b), nil
}

// end passes on a last line without an end.
func (l *lines) end() {
	if len(l.rest) > 0 {
		_, _ = l.to.Write(append(l.rest, '\n'))
	}
}
