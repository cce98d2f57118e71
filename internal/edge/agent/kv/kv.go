// Package kv is the small store that functions on a gateway share: the commands of a well-known server that its clients' simplest
// methods send, each durable when it returns.
//
// It must not know functions, nor how they ask.
package kv

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// The bounds of the store.
const (
	MaxKey   = 1 << 10  // bytes of a key
	MaxValue = 1 << 20  // bytes of a value: a text, or all of a list, set or hash
	MaxTotal = 64 << 20 // bytes of the file, and no more than a few values beyond
)

var bucket = []byte("kv")

// Store is a file of keys and values. Make one with Open.
type Store struct {
	db    *bolt.DB
	path  string
	now   func() time.Time
	turn  sync.Mutex // guards sweep
	sweep time.Time
}

// Open opens a store. A file that cannot be read is put aside under a name that ends in ".broken"; aside tells so.
func Open(path string) (s *Store, aside bool, err error) {
	db, err := open(path)
	if err != nil && damaged(err) {
		if aside = os.Rename(path, path+".broken") == nil; aside {
			db, err = open(path)
		}
	}
	if err != nil {
		return nil, aside, fmt.Errorf("kv: %w", err)
	}
	return &Store{db: db, path: path, now: time.Now}, aside, nil
}

// damaged tells whether it is the file that cannot be read, and not the machine that is short of something.
func damaged(err error) bool {
	for _, short := range []error{
		bolterrors.ErrTimeout, syscall.ENOSPC, syscall.EDQUOT, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EACCES, syscall.EPERM, syscall.EROFS,
	} {
		if errors.Is(err, short) {
			return false
		}
	}
	return true
}

func open(path string) (db *bolt.DB, err error) {
	defer func() {
		if v := recover(); v != nil { // the library panics on pages that make no sense
			err = fmt.Errorf("%s is damaged: %v", path, v)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	missing := false
	err = db.View(func(tx *bolt.Tx) error {
		missing = tx.Bucket(bucket) == nil
		return nil
	})
	if err == nil && missing { // a file that has it opens on a full disk too
		err = db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(bucket)
			return err
		})
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Kinds of values, as TYPE tells them.
const (
	kindText = "string"
	kindList = "list"
	kindSet  = "set"
	kindHash = "hash"
)

// entry is what stands under a key.
type entry struct {
	Kind    string   `json:"k"`
	Expires int64    `json:"e,omitempty"` // ms since 1970; 0 for never
	Text    []byte   `json:"t,omitempty"`
	Items   [][]byte `json:"i,omitempty"` // of a list or a set; of a hash fields and values in turn
}

func (e *entry) size() int {
	n := len(e.Text)
	for _, item := range e.Items {
		n += len(item)
	}
	return n
}

// Do runs a command. What it gives is nil, an int64, a []byte, or a []any of these. Errors: CodeInvalid, CodeUnsupported for a
// command that this store has not, CodeQuota where a bound is reached, CodeUnavailable where the disk fails.
func (s *Store) Do(name string, args [][]byte) (any, error) {
	cmd, ok := commands()[name]
	switch {
	case !ok:
		return nil, faas.Errorf(faas.CodeUnsupported, "command", "the gateway's store has no command %.40q", name)
	case len(args) < cmd.least || cmd.most >= 0 && len(args) > cmd.most:
		return nil, faas.Errorf(faas.CodeInvalid, "command", "wrong number of arguments for %s", name)
	}
	var result any
	run := func(tx *bolt.Tx) (err error) {
		result, err = cmd.run(&work{b: tx.Bucket(bucket), now: s.now().UnixMilli()}, args)
		return err
	}
	do := s.db.Update
	if cmd.reads {
		do = s.db.View
	} else if err := s.room(name); err != nil {
		return nil, err
	}
	err := do(run)
	var expected *faas.Error
	if err != nil && !errors.As(err, &expected) {
		return nil, &faas.Error{Code: faas.CodeUnavailable, Message: "the gateway's store cannot be written; is the disk full?", Err: err}
	}
	return result, err
}

// room refuses what would let the file grow beyond its bound. It removes what has expired before it does, once a minute at most.
func (s *Store) room(name string) error {
	if name == "DEL" || name == "FLUSHDB" {
		return nil
	}
	free := func() bool {
		st := s.db.Stats()
		info, err := os.Stat(s.path)
		return err != nil || info.Size() < MaxTotal || int64(st.FreePageN)*int64(s.db.Info().PageSize) > 4*MaxValue
	}
	if free() {
		return nil
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if now := s.now(); now.Sub(s.sweep) > time.Minute {
		s.sweep = now
		if err := s.db.Update(func(tx *bolt.Tx) error { return (&work{b: tx.Bucket(bucket), now: now.UnixMilli()}).expire() }); err != nil {
			return &faas.Error{Code: faas.CodeUnavailable, Message: "the gateway's store cannot be written; is the disk full?", Err: err}
		}
	}
	if free() {
		return nil
	}
	return faas.Errorf(faas.CodeQuota, "store", "the gateway's store is full (%d MiB); delete keys", MaxTotal>>20)
}

// work is one command's view of the store.
type work struct {
	b   *bolt.Bucket
	now int64
}

// get reads a key of a kind; nil where it is not there.
func (w *work) get(k []byte, kind string) (*entry, error) {
	if len(k) == 0 || len(k) > MaxKey {
		return nil, faas.Errorf(faas.CodeInvalid, "key", "a key has 1 to %d bytes", MaxKey)
	}
	text := w.b.Get(k)
	if text == nil {
		return nil, nil
	}
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, err
	}
	if e.Expires != 0 && e.Expires <= w.now {
		return nil, nil
	}
	if kind != "" && e.Kind != kind {
		return nil, faas.Errorf(faas.CodeInvalid, "key", "WRONGTYPE the key %.60q holds a %s", k, e.Kind)
	}
	return &e, nil
}

// edit reads a key of a kind, or begins a new one.
func (w *work) edit(k []byte, kind string) (*entry, error) {
	e, err := w.get(k, kind)
	if e == nil && err == nil {
		e = &entry{Kind: kind}
	}
	return e, err
}

// put writes a key. One whose collection is empty goes.
func (w *work) put(k []byte, e *entry) error {
	if e.Kind != kindText && len(e.Items) == 0 {
		return w.b.Delete(k)
	}
	if e.size() > MaxValue {
		return faas.Errorf(faas.CodeQuota, "value", "a value has at most %d bytes", MaxValue)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return w.b.Put(k, text)
}

// expire removes what is over.
func (w *work) expire() error {
	var old [][]byte
	err := w.b.ForEach(func(k, v []byte) error {
		var e entry
		if json.Unmarshal(v, &e) != nil || e.Expires != 0 && e.Expires <= w.now {
			old = append(old, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, w.b.Delete(k))
	}
	return err
}

func integer(arg []byte, what string) (int64, error) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	if err != nil {
		return 0, faas.Errorf(faas.CodeInvalid, what, "%s is not an integer or out of range", what)
	}
	return n, nil
}

// matches holds a key to a pattern of "*", "?" and "[...]".
func matches(pattern, key string) bool {
	// path.Match stops at "/", which is a letter like others here.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(key, "/", "\x00"))
	return ok && err == nil
}
