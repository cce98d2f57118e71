package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// A record is written in two parts: its head, which listings need, and its body with stack, event and log. Numbers are varints,
// texts have their length before them. Times are microseconds, and relative to the Seq where they are times of day.

// Bounds of single texts in a record.
const (
	maxMessage = 4096
	maxType    = 256
	maxStack   = 64 << 10 // all lines together
)

var errDamaged = errors.New("damaged")

// entry finds a record that is in memory.
type entry struct {
	seq        int64
	fn         uint32
	failed     bool
	id         uint64 // hash of the request id
	head, body int    // where they begin in the text around
	end        int
}

// appendRecord writes the head and the body of a record.
func appendRecord(b []byte, r *faas.Record, maxEvent int) ([]byte, entry) {
	e := entry{seq: r.Seq, failed: r.Code != "", id: hashID(r.ID), head: len(b)}
	var flags byte
	if r.Cold {
		flags |= flagCold
	}
	id, isUUID := packID(r.ID)
	if isUUID {
		flags |= flagUUID
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(r.Seq))
	b = appendText(b, id)
	for _, text := range []string{
		r.Key.Project, r.Key.Package, r.Key.Name, r.Key.Version, r.Alias, r.Source, r.Parent, string(r.Code), faas.Clip(r.Type, maxType),
		faas.Clip(r.Message, maxMessage), r.Digest,
	} {
		b = appendText(b, text)
	}
	begun := r.Begun.UnixMicro()
	b = binary.AppendVarint(b, r.Seq-begun)
	accepted := int64(0)
	if !r.Accepted.IsZero() {
		accepted = begun - r.Accepted.UnixMicro()
	}
	for _, n := range []int64{
		accepted, int64(r.Attempt), r.Took.Microseconds(), r.Queued.Microseconds(), r.Init.Microseconds(), r.Run.Microseconds(),
		r.MemoryPeak, int64(r.MemoryMB), r.EventSize, r.ResultSize, r.Dropped,
	} {
		b = binary.AppendVarint(b, n)
	}
	e.body = len(b)
	b = appendBody(b, r, maxEvent)
	e.end = len(b)
	return b, e
}

const (
	flagCold = 1 << iota
	flagUUID
)

func appendBody(b []byte, r *faas.Record, maxEvent int) []byte {
	stack := r.Stack
	for size, i := 0, 0; i < len(stack); i++ {
		if size += len(stack[i]); size > maxStack {
			stack = stack[:i]
			break
		}
	}
	b = binary.AppendUvarint(b, uint64(len(stack)))
	for _, line := range stack {
		b = appendText(b, line)
	}
	if len(r.Event) == 0 {
		b = append(b, eventNone)
	} else {
		sum := sha256.Sum256(r.Event)
		kept := len(r.Event) <= maxEvent
		if kept {
			b = append(b, eventKept)
		} else {
			b = append(b, eventDigest)
		}
		b = append(b, sum[:]...)
		if kept {
			b = appendText(b, string(r.Event))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(r.Logs)))
	for _, l := range r.Logs {
		b = binary.AppendVarint(b, r.Seq-l.Time.UnixMicro())
		b = appendText(b, l.Level)
		b = appendText(b, l.Text)
	}
	return b
}

// What is kept of an event.
const (
	eventNone byte = iota
	eventDigest
	eventKept
)

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// packID writes a UUID in half its length.
func packID(id string) (string, bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.String() != id {
		return id, false
	}
	return string(u[:]), true
}

// hashID must be the same in every process.
func hashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

// reader takes apart what appendRecord wrote. After the first thing that does not fit, err is set and all else is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.err, r.b = errDamaged, nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

// count reads how many things follow, each of at least one byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) micros() time.Duration { return time.Duration(r.varint()) * time.Microsecond }

// readHead reads a head. names spares making the same texts again and again.
func (r *reader) readHead(names *interned) faas.Record {
	flags := r.byte()
	rec := faas.Record{Seq: int64(r.uvarint()), Cold: flags&flagCold != 0}
	id := r.bytes(r.uvarint())
	if flags&flagUUID != 0 {
		u, err := uuid.FromBytes(id)
		if err != nil {
			r.fail()
		}
		rec.ID = u.String()
	} else {
		rec.ID = string(id)
	}
	text := func() string { return names.text(r.bytes(r.uvarint())) }
	rec.Key = faas.FunctionKey{Project: text(), Package: text(), Name: text(), Version: text()}
	rec.Alias, rec.Source, rec.Parent = text(), text(), r.text()
	rec.Code, rec.Type, rec.Message, rec.Digest = faas.Code(text()), text(), r.text(), text()
	begun := rec.Seq - r.varint()
	accepted := begun - r.varint()
	rec.Begun, rec.Accepted = time.UnixMicro(begun).UTC(), time.UnixMicro(accepted).UTC()
	rec.Attempt = int(r.varint())
	rec.Took, rec.Queued, rec.Init, rec.Run = r.micros(), r.micros(), r.micros(), r.micros()
	rec.MemoryPeak, rec.MemoryMB = r.varint(), int(r.varint())
	rec.EventSize, rec.ResultSize, rec.Dropped = r.varint(), r.varint(), r.varint()
	return rec
}

// readBody adds to a record what its body has.
func (r *reader) readBody(rec *faas.Record, names *interned) {
	for range r.count() {
		rec.Stack = append(rec.Stack, r.text())
	}
	switch kind := r.byte(); kind {
	case eventNone:
	case eventDigest, eventKept:
		rec.EventDigest = hex.EncodeToString(r.bytes(sha256.Size))
		if kind == eventKept {
			rec.Event = append([]byte(nil), r.bytes(r.uvarint())...)
		}
	default:
		r.fail()
	}
	n := r.count()
	if n > 0 && r.err == nil {
		rec.Logs = make([]faas.LogLine, 0, min(n, 1024))
	}
	for range n {
		at := time.UnixMicro(rec.Seq - r.varint()).UTC()
		level := names.text(r.bytes(r.uvarint()))
		rec.Logs = append(rec.Logs, faas.LogLine{Time: at, Level: level, Text: r.text()})
		if r.err != nil {
			return
		}
	}
}

// interned keeps texts that come again and again, for one reading.
type interned struct{ texts map[string]string }

func (i *interned) text(b []byte) string {
	if i.texts == nil {
		i.texts = map[string]string{}
	}
	if text, ok := i.texts[string(b)]; ok {
		return text
	}
	text := string(b)
	if len(i.texts) < 10_000 {
		i.texts[text] = text
	}
	return text
}
