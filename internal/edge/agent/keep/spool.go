package keep

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Spool holds the messages for the cloud, in the order of their numbers, until the cloud has them. While the link is up they are
// in memory; those of routes with a cache go to disk when it is down, when one has waited for two seconds, and at the end. So
// the flash of a gateway is spared as long as all is well, and what kill -9 can take from a link that is up is two seconds.
type Spool struct {
	file   *File
	stream string
	now    func() time.Time // what passes, whatever the clock on the wall does
	clock  func() time.Time // that clock

	mu     sync.Mutex
	online bool
	next   uint64            // number of the next message
	limit  uint64            // numbers below it may be used without a word to the disk
	waits  []*entry          // in the order of numbers; those on disk before those in memory
	memory int64             // bytes of payloads in memory
	routes map[int64]*counts // by route
	caches map[int64]wire.Cache
	onDrop func(route int64, n int64)

	ready chan struct{} // has an element when there is something new to send
}

type counts struct {
	messages int
	bytes    int64
}

// entry is a message. Its payload is nil once it is on disk.
type entry struct {
	message wire.UpMessage
	size    int64
	since   time.Time // with a monotonic part, whatever the clock on the wall does meanwhile
	disk    bool
	cached  bool // its route has a cache
}

// The bounds of what is in memory, and of what no route bounds.
const (
	maxMemory   = 2 << 20
	flushAfter  = 2 * time.Second
	numberBlock = 10_000
	overhead    = 64 // bytes of a message beside payload and topic
)

// DefaultCache bounds a cache where its route leaves that open (edge reference 1.4), and MostCache is beyond what any route gets.
var (
	DefaultCache = wire.Cache{Messages: 1000, Bytes: 16 << 20, Age: time.Hour.Milliseconds()}
	MostCache    = wire.Cache{Messages: 100_000, Bytes: 256 << 20, Age: 30 * 24 * time.Hour.Milliseconds()}
)

// SaneTime is when this was written: a clock that shows less is wrong.
var SaneTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewSpool opens the messages that an earlier run left in a file, for which there need be no room on the disk but the first time.
// clock is that on the wall; dropped is told what the bounds cost.
func NewSpool(file *File, clock func() time.Time, dropped func(route, n int64)) (*Spool, error) {
	s := &Spool{
		file: file, now: time.Now, clock: clock, routes: map[int64]*counts{}, caches: map[int64]wire.Cache{}, onDrop: dropped,
		ready: make(chan struct{}, 1),
	}
	err := file.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bState)
		s.stream = string(b.Get([]byte(kStream)))
		s.next = max(1, number(b, kNextUp))
		s.limit = s.next
		return tx.Bucket(bUp).ForEach(func(k, v []byte) error { return s.find(k, v) })
	})
	if err == nil && s.stream == "" {
		s.stream = uuid.NewString()
		err = file.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bState).Put([]byte(kStream), []byte(s.stream)) })
	}
	if err != nil {
		return nil, wrap(err)
	}
	return s, nil
}

// find lists a message on disk.
func (s *Spool) find(k, v []byte) error {
	var m wire.UpMessage
	if len(k) != 8 || json.Unmarshal(v, &m) != nil {
		return nil // it is skipped, and deleted with its neighbours
	}
	since, clock := s.now(), s.clock()
	if at := time.UnixMilli(m.At); at.After(SaneTime) && at.Before(clock) {
		since = since.Add(at.Sub(clock))
	}
	size := sizeOf(m)
	m.Payload, m.Seq = nil, binary.BigEndian.Uint64(k)
	s.list(&entry{message: m, size: size, since: since, disk: true, cached: true})
	s.next = max(s.next, m.Seq+1)
	s.limit = max(s.limit, s.next)
	return nil
}

func sizeOf(m wire.UpMessage) int64 { return int64(len(m.Payload) + len(m.Topic) + overhead) }

// Stream names this store to the cloud.
func (s *Spool) Stream() string { return s.stream }

// Ready gets an element when there may be something to send.
func (s *Spool) Ready() <-chan struct{} { return s.ready }

// SetCaches tells how much each route keeps, by its id. Routes that are missing keep nothing.
func (s *Spool) SetCaches(caches map[int64]wire.Cache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caches = map[int64]wire.Cache{}
	for id, c := range caches {
		for _, b := range []struct{ value, usual, most *int64 }{{&c.Bytes, &DefaultCache.Bytes, &MostCache.Bytes}, {&c.Age, &DefaultCache.Age, &MostCache.Age}} {
			if *b.value <= 0 {
				*b.value = *b.usual
			}
			*b.value = min(*b.value, *b.most)
		}
		if c.Messages <= 0 {
			c.Messages = DefaultCache.Messages
		}
		c.Messages = min(c.Messages, MostCache.Messages)
		s.caches[id] = c
	}
}

// SetOnline tells whether the link is up.
func (s *Spool) SetOnline(up bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.online = up
	if up {
		return nil
	}
	return s.flush(0)
}

// Add takes a message of a route; its Seq is set here. While the link is down it is on disk when Add returns, where the route has
// a cache, and lost otherwise; kept tells. An error is the disk's.
func (s *Spool) Add(m wire.UpMessage) (kept bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, cached := s.caches[m.Route]
	size := sizeOf(m)
	if !cached && (!s.online || s.memory+size > maxMemory) {
		return false, nil
	}
	if m.Seq, err = s.number(); err != nil {
		return false, err
	}
	e := &entry{message: m, size: size, since: s.now(), cached: cached}
	s.list(e)
	s.memory += size
	if cached && (!s.online || s.memory > maxMemory) {
		if err := s.flush(0); err != nil {
			s.forget(func(o *entry) bool { return o == e })
			return false, err
		}
	}
	s.bound(m.Route)
	s.wake()
	return true, nil
}

// number gives the next number. None is ever given twice, whatever ends the agent.
func (s *Spool) number() (uint64, error) {
	if s.next >= s.limit {
		limit := s.next + numberBlock
		if err := s.file.update(func(b *bolt.Bucket) error { return putNumber(b, kNextUp, limit) }); err != nil {
			return 0, err
		}
		s.limit = limit
	}
	n := s.next
	s.next++
	return n, nil
}

func (s *Spool) list(e *entry) {
	s.waits = append(s.waits, e)
	c := s.routes[e.message.Route]
	if c == nil {
		c = &counts{}
		s.routes[e.message.Route] = c
	}
	c.messages++
	c.bytes += e.size
}

func (s *Spool) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// flush brings what is in memory for longer than a while to disk; s.mu is held. What has no cache is lost when the link is down.
func (s *Spool) flush(after time.Duration) error {
	var due []*entry
	now := s.now()
	for _, e := range s.waits {
		if !e.disk && e.cached && now.Sub(e.since) >= after {
			due = append(due, e)
		}
	}
	if len(due) > 0 {
		err := s.file.db.Update(func(tx *bolt.Tx) error {
			up := tx.Bucket(bUp)
			for _, e := range due {
				text, err := json.Marshal(e.message)
				if err != nil {
					return err
				}
				if err := up.Put(key(e.message.Seq), text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return wrap(err)
		}
		for _, e := range due {
			e.disk, e.message.Payload = true, nil
			s.memory -= e.size
		}
	}
	if !s.online {
		s.drop(func(e *entry) bool { return !e.disk && !e.cached })
	}
	return nil
}

// Tend brings to disk what has waited for long, and drops what is too old. It is called about every second.
func (s *Spool) Tend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.drop(func(e *entry) bool {
		c, ok := s.caches[e.message.Route]
		return e.cached && ok && now.Sub(e.since) > time.Duration(c.Age)*time.Millisecond
	})
	return s.flush(flushAfter)
}

// bound drops the oldest messages of a route beyond its bounds.
func (s *Spool) bound(route int64) {
	c, ok := s.caches[route]
	n := s.routes[route]
	if !ok || n.messages <= c.Messages && n.bytes <= c.Bytes {
		return
	}
	messages, bytes := n.messages, n.bytes
	s.drop(func(e *entry) bool {
		if e.message.Route != route || messages <= c.Messages && bytes <= c.Bytes {
			return false
		}
		messages--
		bytes -= e.size
		return true
	})
}

// drop forgets messages that nobody has got, and counts them.
func (s *Spool) drop(which func(*entry) bool) {
	for route, n := range s.forget(which) {
		s.onDrop(route, n)
	}
}

// forget takes messages out of the spool, and says how many by route. Where the disk fails they come again after a restart, which
// does no harm.
func (s *Spool) forget(which func(*entry) bool) map[int64]int64 {
	gone := map[int64]int64{}
	var keys [][]byte
	s.waits = slices.DeleteFunc(s.waits, func(e *entry) bool {
		if !which(e) {
			return false
		}
		c := s.routes[e.message.Route]
		c.messages--
		c.bytes -= e.size
		gone[e.message.Route]++
		if e.disk {
			keys = append(keys, key(e.message.Seq))
		} else {
			s.memory -= e.size
		}
		return true
	})
	if len(keys) > 0 {
		_ = s.file.db.Update(func(tx *bolt.Tx) error { // see above
			up := tx.Bucket(bUp)
			var all error
			for _, k := range keys {
				all = errors.Join(all, up.Delete(k))
			}
			return all
		})
	}
	return gone
}

// Next gives the messages behind a number, in order, within bounds of count and bytes; nil for none.
func (s *Spool) Next(after uint64, count int, bytes int64) ([]wire.UpMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, _ := slices.BinarySearchFunc(s.waits, after+1, func(e *entry, seq uint64) int {
		switch {
		case e.message.Seq < seq:
			return -1
		case e.message.Seq > seq:
			return 1
		}
		return 0
	})
	var batch []wire.UpMessage
	err := s.file.db.View(func(tx *bolt.Tx) error {
		up := tx.Bucket(bUp)
		for _, e := range s.waits[first:] {
			if bytes -= e.size; len(batch) > 0 && (len(batch) == count || bytes < 0) {
				return nil
			}
			m := e.message
			if e.disk {
				if json.Unmarshal(up.Get(key(m.Seq)), &m) != nil {
					continue // it is beyond help, and goes with the next acknowledgement
				}
				m.Seq = e.message.Seq
			}
			if clock := s.clock(); time.UnixMilli(m.At).Before(SaneTime) && clock.After(SaneTime) { // it was not set then
				m.At = clock.Add(e.since.Sub(s.now())).UnixMilli()
			}
			batch = append(batch, m)
		}
		return nil
	})
	return batch, wrap(err)
}

// Acked forgets everything up to a number: the cloud has it.
func (s *Spool) Acked(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(func(e *entry) bool { return e.message.Seq <= seq })
}

// Queued is how many messages of a route wait.
func (s *Spool) Queued(route int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.routes[route]; c != nil {
		return int64(c.messages)
	}
	return 0
}

// Close brings everything to disk that its route keeps.
func (s *Spool) Close() error { return s.SetOnline(false) }
