// Package record keeps the records of calls with their logs, and the sums of them, in files of its own: a journal that takes
// small appends, compressed segments that a full journal becomes, and one file of sums for each hour.
//
// Records come behind the answers of their calls: what is added is on its way to the disk within Config.Delay, and what was not
// yet there when the process is killed is lost. Reading sees everything that was added. A file that is damaged is never read
// wrongly: the end of a journal that does not fit its checksums is cut off, and a segment that does not is left out and reported.
//
// It must not know how a call runs, nor who may see its record.
package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Config says how a Store works. Zero values mean the defaults named.
type Config struct {
	Dir      string        // made if need be
	MaxAge   time.Duration // records older than this go; 7 days
	MaxBytes int64         // of all segments together, beyond which the oldest go; 1 GiB
	MaxEvent int           // bytes of an event that are kept for a replay; a longer one is not kept at all; 0 keeps none
	Delay    time.Duration // until an added record is written; 50 ms
	Log      *slog.Logger
	Metrics  *metrics.Set

	// Bounds of the journal; more makes a segment of it. For tests; 16,384 records, 4 MiB, and an hour.
	SealRecords int
	SealBytes   int
	SealAge     time.Duration
}

// Bounds of what waits to be written: what comes beyond them, because the disk is too slow, is dropped and counted.
const (
	maxPending      = 16_384
	maxPendingBytes = 16 << 20
	fullBatch       = 512 // records that do not wait for the delay
)

// syncEvery is how often the journal is brought through to the disk itself, against the loss of power.
const syncEvery = time.Second

// retainEvery is how often what is too old is looked for.
const retainEvery = time.Minute

// Store keeps records. Make one with Open. It is safe for concurrent use.
type Store struct {
	cfg     Config
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	stats   *stats

	written, dropped, damaged metrics.Counter

	pend    sync.Mutex // guards what follows, and is held for moments only
	pending []faas.Record
	bytes   int64
	seq     int64
	wake    chan struct{} // the first record waits
	full    chan struct{} // a batch is together

	write   sync.Mutex // one writer at a time
	batch   []faas.Record
	scratch []byte
	failing bool // the last write failed; guards the log against repetition
	synced  bool
	// When closing the journal failed last: to try again at once would only cost processor time.
	unsealed time.Time

	mu       sync.RWMutex // guards what readers see
	names    map[name]uint32
	segments []*segment // oldest first
	journal  *journal
	changed  chan struct{} // closed when there are further records; nil while nobody waits

	cancel context.CancelFunc
	ended  chan struct{}
}

// name is a function, all versions of it.
type name struct{ project, pkg, name string }

func nameOf(k faas.FunctionKey) name { return name{k.Project, k.Package, k.Name} }

// Open reads what is in the folder and mends it where a process was killed. Start begins writing; until then, and after Stop,
// records are written when somebody reads.
func Open(cfg Config) (*Store, error) {
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 7 * 24 * time.Hour
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 1 << 30
	}
	if cfg.Delay == 0 {
		cfg.Delay = 50 * time.Millisecond
	}
	if cfg.SealRecords == 0 {
		cfg.SealRecords = 16_384
	}
	if cfg.SealBytes == 0 {
		cfg.SealBytes = 4 << 20
	}
	if cfg.SealAge == 0 {
		cfg.SealAge = time.Hour
	}
	s := &Store{
		cfg: cfg, wake: make(chan struct{}, 1), full: make(chan struct{}, 1), names: map[name]uint32{},
		written: cfg.Metrics.Counter("hanshu_records_written_total"), dropped: cfg.Metrics.Counter("hanshu_records_dropped_total"),
		damaged: cfg.Metrics.Counter("hanshu_record_files_damaged_total"),
	}
	cfg.Metrics.Gauge("hanshu_record_bytes", func() float64 { return float64(s.size()) })
	var err error
	if s.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10)); err != nil {
		return nil, err
	}
	if s.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlock)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "usage"), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of records: %w", err)
	}
	s.stats = &stats{dir: filepath.Join(cfg.Dir, "usage"), store: s}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return s, nil
}

// Start implements lifecycle.Service.
func (s *Store) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan struct{})
	go s.follow(ctx)
	return nil
}

// Stop implements lifecycle.Service: it writes what waits.
func (s *Store) Stop(context.Context) error {
	if s.cancel != nil {
		s.cancel()
		<-s.ended
	}
	s.flush()
	s.write.Lock()
	defer s.write.Unlock()
	return errors.Join(s.stats.save(s.lastSeq()), s.sync())
}

// Close releases the journal. Nothing may be added behind it.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.decoder.Close()
	if s.journal.file == nil {
		return nil
	}
	return s.journal.file.Close()
}

// Add keeps a record, whose Seq is set here, and never waits for the disk. Nobody may change what it refers to any more. Where
// the disk does not keep up the record is dropped, and counted.
func (s *Store) Add(r faas.Record) {
	size := int64(weight(&r))
	if len(r.Event) <= s.cfg.MaxEvent {
		r.Event = append([]byte(nil), r.Event...) // the request's own buffer is larger
	}
	s.pend.Lock()
	if len(s.pending) >= maxPending || len(s.pending) > 0 && s.bytes+size > maxPendingBytes {
		s.pend.Unlock()
		s.dropped.Inc()
		return
	}
	s.seq = max(s.seq+1, r.Ended().UnixMicro())
	r.Seq = s.seq
	s.pending = append(s.pending, r)
	s.bytes += size
	n := len(s.pending)
	s.pend.Unlock()
	switch n {
	case 1:
		signal(s.wake)
	case fullBatch:
		signal(s.full)
	}
}

// weight is about what a record takes in memory, in bytes.
func weight(r *faas.Record) int {
	n := len(r.Event) + 256
	for i := range r.Logs {
		n += len(r.Logs[i].Text) + 56
	}
	return n
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow writes what is added until ctx ends.
func (s *Store) follow(ctx context.Context) {
	defer close(s.ended)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	lastRetain := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			delay := time.NewTimer(s.cfg.Delay)
			select {
			case <-delay.C:
			case <-s.full:
			case <-ctx.Done():
			}
			delay.Stop()
			s.flush()
		case now := <-tick.C:
			s.write.Lock()
			err := s.sync()
			if now.Sub(lastRetain) >= retainEvery {
				lastRetain = now
				err = errors.Join(err, s.tend(now))
			}
			s.report(err)
			s.write.Unlock()
		}
	}
}

// flush writes everything that was added before it was called.
func (s *Store) flush() {
	s.write.Lock()
	defer s.write.Unlock()
	s.pend.Lock()
	s.batch, s.pending = s.pending, s.batch[:0]
	s.bytes = 0
	s.pend.Unlock()
	if len(s.batch) == 0 {
		return
	}
	s.report(s.append(s.batch))
	clear(s.batch)
	if cap(s.batch) > 4*fullBatch {
		s.batch = nil
	}
}

// report tells of a failure when it begins, and of its end.
func (s *Store) report(err error) {
	switch {
	case err != nil && !s.failing:
		s.cfg.Log.Error("records of calls cannot be written; they are dropped until they can be", "error", err)
	case err == nil && s.failing:
		s.cfg.Log.Info("records of calls are written again")
	}
	s.failing = err != nil
}

// append writes records to the journal, shows them to readers, and makes a segment of a full journal.
func (s *Store) append(batch []faas.Record) error {
	var failed error
	for len(batch) > 0 {
		n, size := 0, 0
		for n < min(len(batch), maxFrameRecords) && size < frameBytes {
			size += weight(&batch[n])
			n++
		}
		if err := s.appendFrame(batch[:n]); err != nil {
			failed = err
			for range n {
				s.dropped.Inc()
			}
		}
		batch = batch[n:]
	}
	s.mu.Lock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.mu.Unlock()
	return failed
}

func (s *Store) appendFrame(batch []faas.Record) error {
	if s.journal.full(&s.cfg) {
		if time.Since(s.unsealed) < syncEvery {
			return errors.New("the journal of records is full and cannot be closed")
		}
		if err := s.seal(); err != nil {
			s.unsealed = time.Now()
			return err
		}
	}
	frame := s.scratch[:0]
	entries := make([]entry, 0, len(batch))
	frame = append(frame, make([]byte, frameHead)...)
	for i := range batch {
		var e entry
		frame, e = appendRecord(frame, &batch[i], s.cfg.MaxEvent)
		entries = append(entries, e)
	}
	finishFrame(frame, len(batch))
	s.scratch = frame
	if cap(frame) > 1<<20 {
		s.scratch = nil
	}
	if err := s.journal.write(s.cfg.Dir, frame, batch[0].Seq); err != nil {
		return err
	}
	s.synced = false
	s.mu.Lock()
	for i := range entries {
		entries[i].fn = s.number(nameOf(batch[i].Key))
	}
	s.journal.keep(frame[frameHead:], entries)
	s.mu.Unlock()
	for i := range batch {
		s.written.Inc()
		s.stats.count(&batch[i])
	}
	return nil
}

// number gives the number of a function in this process. s.mu is held.
func (s *Store) number(n name) uint32 {
	number, ok := s.names[n]
	if !ok {
		number = uint32(len(s.names)) + 1
		s.names[n] = number
	}
	return number
}

// sync brings the journal through to the disk. s.write is held.
func (s *Store) sync() error {
	if s.synced || s.journal.file == nil {
		return nil
	}
	if err := s.journal.file.Sync(); err != nil {
		return err
	}
	s.synced = true
	return nil
}

// lastSeq is the Seq of the last record that was written. s.write is held.
func (s *Store) lastSeq() int64 {
	if n := len(s.journal.entries); n > 0 {
		return s.journal.entries[n-1].seq
	}
	if n := len(s.segments); n > 0 {
		return s.segments[n-1].last
	}
	return 0
}

// tend does what is to be done from time to time: it saves the sums, closes an old journal, and removes what is over the
// bounds. s.write is held.
func (s *Store) tend(now time.Time) error {
	err := s.stats.save(s.lastSeq())
	if n := len(s.journal.entries); n > 0 && now.Sub(time.UnixMicro(s.journal.entries[0].seq)) > s.cfg.SealAge {
		err = errors.Join(err, s.seal())
	}
	return errors.Join(err, s.retain(now), s.stats.retain(now, s.cfg.MaxAge))
}

// seal makes a segment of the journal. s.write is held.
func (s *Store) seal() error {
	j := s.journal
	if len(j.entries) == 0 {
		return nil
	}
	made, err := writeSegment(s.cfg.Dir, j, s.names, s.encoder)
	if err != nil {
		return fmt.Errorf("close journal of records: %w", err)
	}
	s.mu.Lock()
	s.segments = append(s.segments, made)
	s.journal = &journal{}
	s.mu.Unlock()
	return errors.Join(j.remove(s.cfg.Dir), s.retain(time.Now()))
}

// retain removes the oldest segments where they are over a bound. s.write is held.
func (s *Store) retain(now time.Time) error {
	oldest, bytes, gone := now.Add(-s.cfg.MaxAge).UnixMicro(), int64(0), 0
	for _, seg := range s.segments {
		bytes += seg.size
	}
	for gone < len(s.segments) && (bytes > s.cfg.MaxBytes || s.segments[gone].last < oldest) {
		bytes -= s.segments[gone].size
		gone++
	}
	if gone == 0 {
		return nil
	}
	// The sums of what goes are saved before.
	if err := s.stats.save(s.lastSeq()); err != nil {
		return err
	}
	s.mu.Lock()
	old := s.segments[:gone]
	s.segments = append([]*segment(nil), s.segments[gone:]...)
	s.mu.Unlock()
	var all error
	for _, seg := range old {
		all = errors.Join(all, os.Remove(seg.path))
	}
	return all
}

// size is what all segments take, in bytes.
func (s *Store) size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := int64(len(s.journal.raw))
	for _, seg := range s.segments {
		n += seg.size
	}
	return n
}
