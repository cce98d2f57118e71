package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// A journal is a file of frames: four numbers of 32 bits, big endian (frameMagic, size of the records, their number, and the
// CRC-32C of those two numbers and the records), and the records.
const (
	frameMagic      = 0x68736a31
	frameHead       = 16
	maxFrameRecords = 512
	frameBytes      = 1 << 20 // where a frame is closed; a single large record may be over it
)

// maxBlock bounds what is read at once, so that a damaged size costs little.
const maxBlock = 64 << 20

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once by the library

// finishFrame fills in the head of a frame.
func finishFrame(frame []byte, records int) {
	binary.BigEndian.PutUint32(frame, frameMagic)
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead))
	binary.BigEndian.PutUint32(frame[8:], uint32(records))
	binary.BigEndian.PutUint32(frame[12:], frameSum(frame))
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[4:12], castagnoli()), castagnoli(), frame[frameHead:])
}

// journal holds the newest records, in a file and in memory.
type journal struct {
	file    *os.File // nil before the first record
	path    string
	first   int64 // names the file, and the segment that comes of it
	size    int64 // of what is whole in the file
	raw     []byte
	entries []entry
}

func (j *journal) full(cfg *Config) bool {
	return len(j.entries) >= cfg.SealRecords || len(j.raw) >= cfg.SealBytes
}

// write appends a frame to the file. What a failure has left behind is cut off.
func (j *journal) write(dir string, frame []byte, seq int64) error {
	if j.file == nil {
		path := filepath.Join(dir, fileName(seq, endJournal))
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("begin journal of records: %w", err)
		}
		j.file, j.path, j.first = f, path, seq
	}
	if _, err := j.file.WriteAt(frame, j.size); err != nil {
		return errors.Join(fmt.Errorf("write records: %w", err), j.file.Truncate(j.size))
	}
	j.size += int64(len(frame))
	return nil
}

// keep adds what was written to what is in memory. Readers hold slices of it, so nothing in them may change.
func (j *journal) keep(records []byte, entries []entry) {
	base := len(j.raw) - frameHead
	j.raw = append(j.raw, records...)
	for _, e := range entries {
		e.head, e.body, e.end = e.head+base, e.body+base, e.end+base
		j.entries = append(j.entries, e)
	}
}

// remove ends a journal whose records stand in a segment.
func (j *journal) remove(dir string) error {
	return errors.Join(j.file.Close(), os.Remove(j.path), syncDir(dir))
}

// The ends of file names. Before them stands the Seq of the first record, so that names sort by time.
const (
	endJournal = ".journal"
	endSegment = ".segment"
	endDamaged = ".damaged"
	endTemp    = ".tmp"
)

func fileName(seq int64, end string) string { return fmt.Sprintf("%018d%s", seq, end) }

// recover reads the folder.
func (s *Store) recover() error {
	entries, err := os.ReadDir(s.cfg.Dir) // sorted
	if err != nil {
		return err
	}
	s.journal = &journal{}
	var journals []string
	for _, e := range entries {
		path := filepath.Join(s.cfg.Dir, e.Name())
		switch filepath.Ext(e.Name()) {
		case endTemp:
			err = os.Remove(path)
		case endDamaged:
			if info, ierr := e.Info(); ierr == nil && time.Since(info.ModTime()) > s.cfg.MaxAge {
				err = os.Remove(path)
			}
		case endSegment:
			err = s.recoverSegment(path)
		case endJournal:
			journals = append(journals, path)
		}
		if err != nil {
			return err
		}
	}
	for _, path := range journals {
		if err := s.recoverJournal(path); err != nil {
			return err
		}
	}
	s.seq = s.lastSeq()
	return s.stats.recover()
}

// recoverSegment reads the index of a segment; one that is damaged is put aside.
func (s *Store) recoverSegment(path string) error {
	seg, err := openSegment(path, s.decoder, s.number)
	if err != nil {
		s.damaged.Inc()
		s.cfg.Log.Error("a file of records is damaged; what it held is not shown", "file", path, "error", err)
		return os.Rename(path, strings.TrimSuffix(path, endSegment)+endDamaged)
	}
	s.segments = append(s.segments, seg)
	return nil
}

// recoverJournal goes on with a journal, up to where it is whole. One whose segment was made already is removed, and an older
// one becomes a segment.
func (s *Store) recoverJournal(path string) error {
	seq := int64(0)
	if _, err := fmt.Sscanf(filepath.Base(path), "%d"+endJournal, &seq); err != nil {
		return fmt.Errorf("%s is no name of a journal", path)
	}
	if slices.ContainsFunc(s.segments, func(seg *segment) bool { return seg.path == filepath.Join(s.cfg.Dir, fileName(seq, endSegment)) }) {
		return os.Remove(path)
	}
	if err := s.seal(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	j := &journal{file: f, path: path, first: seq}
	s.journal = j
	if err := s.readJournal(j); err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if lost := info.Size() - j.size; lost > 0 {
		s.cfg.Log.Warn("the end of the journal of records was cut off when the server was killed", "file", path, "bytes", lost)
		return f.Truncate(j.size)
	}
	return nil
}

// readJournal reads frames until one does not fit.
func (s *Store) readJournal(j *journal) error {
	head := make([]byte, frameHead)
	for {
		if _, err := j.file.ReadAt(head, j.size); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		size := binary.BigEndian.Uint32(head[4:])
		if binary.BigEndian.Uint32(head) != frameMagic || size > maxBlock {
			return nil
		}
		frame := make([]byte, frameHead+int(size))
		copy(frame, head)
		if _, err := j.file.ReadAt(frame[frameHead:], j.size+frameHead); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if binary.BigEndian.Uint32(head[12:]) != frameSum(frame) {
			return nil
		}
		entries, ok := s.readFrame(frame, int(binary.BigEndian.Uint32(head[8:])))
		if !ok {
			return nil
		}
		j.keep(frame[frameHead:], entries)
		j.size += int64(len(frame))
	}
}

// readFrame finds the records of a frame.
func (s *Store) readFrame(frame []byte, records int) ([]entry, bool) {
	r, names := reader{b: frame[frameHead:]}, interned{}
	var entries []entry
	at := func() int { return len(frame) - len(r.b) }
	for range records {
		e := entry{head: at()}
		rec := r.readHead(&names)
		e.body = at()
		r.readBody(&rec, &names)
		if r.err != nil {
			return nil, false
		}
		e.seq, e.failed, e.id, e.end, e.fn = rec.Seq, rec.Code != "", hashID(rec.ID), at(), s.number(nameOf(rec.Key))
		entries = append(entries, e)
	}
	return entries, len(r.b) == 0
}

// read gives a record of the journal.
func readEntry(raw []byte, e entry, whole bool, names *interned) (faas.Record, error) {
	r := reader{b: raw[e.head:e.body]}
	rec := r.readHead(names)
	if whole && r.err == nil {
		r.b = raw[e.body:e.end]
		r.readBody(&rec, names)
	}
	return rec, r.err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeFile replaces a file whole, durably.
func writeFile(path string, content []byte) error {
	temp := path + endTemp
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}
