// Package keep is what the agent remembers on disk: which document it accepted and which stands, the answers to commands, and the
// messages that wait for the cloud. A method that has returned is on disk.
//
// It must not know what a document asks for, nor how anything is sent.
package keep

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Buckets of the file, and keys of the first.
var (
	bState = []byte("state")
	bAcks  = []byte("acks")
	bUp    = []byte("up")
)

const (
	kAccepted = "accepted"
	kPending  = "pending"
	kBoots    = "boots"
	kGood     = "good"
	kRefused  = "refused"
	kCmdSeq   = "cmd_seq"
	kStream   = "stream"
	kNextUp   = "next_up"
)

// The bounds of what is remembered beside documents and messages.
const (
	maxAcks     = 256
	maxAckBytes = 8 << 20
	maxRefusals = 10
)

// File is the agent's memory. Make one with Open.
type File struct {
	db   *bolt.DB
	path string
}

// Open opens the memory, for which one that is whole needs no room on the disk. One that cannot be read is put aside, under a name
// that ends in ".broken", and begun anew: a gateway that cannot be reached must not stay down for it. aside tells so.
func Open(path string) (f *File, aside bool, err error) {
	f = &File{path: path}
	f.db, err = openDB(path)
	if err != nil && damaged(err) {
		if _, gone := os.Stat(path); gone == nil {
			aside = os.Rename(path, path+".broken") == nil
		}
		if aside {
			f.db, err = openDB(path)
		}
	}
	if err != nil {
		return nil, aside, fmt.Errorf("keep: %w", err)
	}
	return f, aside, nil
}

// damaged tells whether it is the file that cannot be read, and not the machine that is short of something: then it is as good as ever.
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

func openDB(path string) (db *bolt.DB, err error) {
	defer func() {
		if v := recover(); v != nil { // the library panics on pages that make no sense
			err = fmt.Errorf("%s is damaged: %v", path, v)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, NoFreelistSync: true, InitialMmapSize: 1 << 20})
	if err != nil {
		return nil, err
	}
	if err = makeBuckets(db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// makeBuckets writes only where one is missing.
func makeBuckets(db *bolt.DB) error {
	all, missing := [][]byte{bState, bAcks, bUp}, false
	err := db.View(func(tx *bolt.Tx) error {
		missing = slices.ContainsFunc(all, func(name []byte) bool { return tx.Bucket(name) == nil })
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, name := range all {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// Size is what the file takes, in bytes.
func (f *File) Size() int64 {
	info, err := os.Stat(f.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// State is what stands, and what is to come.
type State struct {
	Accepted uint64 // of the newest document that was accepted; none older is ever accepted again
	// Pending is the accepted document that has not passed its health window, and Boots how often the agent has started since;
	// nil for none.
	Pending *wire.Envelope
	Boots   int
	Good    *Good // nil for none
	Refused []wire.Refusal
	CmdSeq  uint64
}

// Good is what runs when the agent starts, with or without a network.
type Good struct {
	Version  uint64         `json:"version"`  // of the document
	Complete uint64         `json:"complete"` // of the last document all of which passed its health window
	Document wire.Document  `json:"document"` // with each function as it stands, which may be older than the document's own
	Failed   []FailedChange `json:"failed,omitempty"`
}

// FailedChange is a function that did not pass.
type FailedChange struct {
	Name   string `json:"name"`
	Hash   string `json:"hash"` // of what did not pass
	Reason string `json:"reason"`
}

// Load reads the state.
func (f *File) Load() (s State, err error) {
	err = f.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bState)
		s.Accepted, s.CmdSeq, s.Boots = number(b, kAccepted), number(b, kCmdSeq), int(number(b, kBoots))
		return errors.Join(value(b, kPending, &s.Pending), value(b, kGood, &s.Good), value(b, kRefused, &s.Refused))
	})
	return s, wrap(err)
}

// Accept remembers a document as the newest, in place of any other that is pending. Its URLs are not kept.
func (f *File) Accept(e wire.Envelope, version uint64) error {
	e.URLs = nil
	return f.update(func(b *bolt.Bucket) error {
		if version < number(b, kAccepted) {
			return wire.ErrOlder
		}
		return errors.Join(putNumber(b, kAccepted, version), putNumber(b, kBoots, 0), putValue(b, kPending, e))
	})
}

// Booted counts a start of the agent while a document is pending.
func (f *File) Booted() error {
	return f.update(func(b *bolt.Bucket) error { return putNumber(b, kBoots, number(b, kBoots)+1) })
}

// Settle has good stand from now on, and nothing be pending of its version or older.
func (f *File) Settle(good Good) error {
	return f.update(func(b *bolt.Bucket) error {
		err := putValue(b, kGood, good)
		if number(b, kAccepted) <= good.Version {
			err = errors.Join(err, b.Delete([]byte(kPending)))
		}
		return err
	})
}

// Drop gives a pending document up, and Refuse notes one that was not accepted.
func (f *File) Drop(r wire.Refusal) error {
	return f.update(func(b *bolt.Bucket) error {
		if err := refuse(b, r); err != nil || number(b, kAccepted) != r.Version {
			return err
		}
		return b.Delete([]byte(kPending))
	})
}

// Refuse notes a document that was not accepted.
func (f *File) Refuse(r wire.Refusal) error {
	return f.update(func(b *bolt.Bucket) error { return refuse(b, r) })
}

func refuse(b *bolt.Bucket, r wire.Refusal) error {
	var all []wire.Refusal
	if err := value(b, kRefused, &all); err != nil {
		return err
	}
	all = append(all, r)
	return putValue(b, kRefused, all[max(0, len(all)-maxRefusals):])
}

// Ack gives the answer to an earlier command, and false where it is not remembered.
func (f *File) Ack(seq uint64) (a wire.Ack, ok bool, err error) {
	err = f.db.View(func(tx *bolt.Tx) error {
		text := tx.Bucket(bAcks).Get(key(seq))
		ok = text != nil
		if !ok {
			return nil
		}
		return json.Unmarshal(text, &a)
	})
	return a, ok, wrap(err)
}

// PutAck remembers the answer to a command, and that it was carried out.
func (f *File) PutAck(a wire.Ack) error {
	text, err := json.Marshal(a)
	if err != nil {
		return wrap(err)
	}
	return wrap(f.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bState)
		if err := putNumber(b, kCmdSeq, max(a.Seq, number(b, kCmdSeq))); err != nil {
			return err
		}
		acks := tx.Bucket(bAcks)
		if err := acks.Put(key(a.Seq), text); err != nil {
			return err
		}
		return boundAcks(acks)
	}))
}

// boundAcks forgets the oldest answers.
func boundAcks(acks *bolt.Bucket) error {
	count, size := 0, 0
	var old [][]byte
	c := acks.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		count, size = count+1, size+len(v)
		if count > maxAcks || size > maxAckBytes {
			old = append(old, append([]byte(nil), k...))
		}
	}
	for _, k := range old {
		if err := acks.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) update(do func(b *bolt.Bucket) error) error {
	return wrap(f.db.Update(func(tx *bolt.Tx) error { return do(tx.Bucket(bState)) }))
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("keep: %w", err)
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func number(b *bolt.Bucket, name string) uint64 {
	if v := b.Get([]byte(name)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func putNumber(b *bolt.Bucket, name string, n uint64) error { return b.Put([]byte(name), key(n)) }

func value(b *bolt.Bucket, name string, to any) error {
	text := b.Get([]byte(name))
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, to)
}

func putValue(b *bolt.Bucket, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(name), text)
}
