package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
)

// peakReader tells the peak of this process's own memory. The kernel's count for getrusage begins with that of the process which
// started this one, so it is read from /proc.
type peakReader struct{ status *os.File }

func newPeakReader() *peakReader {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return &peakReader{}
	}
	return &peakReader{f}
}

// meta gives the peak as a result carries it: KiB, and 0 where it cannot be told.
func (p *peakReader) meta() []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(p.kib("VmHWM")))
}

// resident is what this process has in memory now, in bytes.
func (p *peakReader) resident() int64 { return p.kib("VmRSS") << 10 }

func (p *peakReader) kib(name string) int64 {
	if p.status == nil {
		return 0
	}
	var buf [2048]byte
	n, _ := p.status.ReadAt(buf[:], 0)
	_, rest, _ := bytes.Cut(buf[:n], []byte("\n"+name+":"))
	fields := bytes.Fields(rest[:min(len(rest), 40)])
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib
}
