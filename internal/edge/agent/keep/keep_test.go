package keep_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/keep"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/test/need"
)

func open(t *testing.T, path string) *keep.File {
	f, aside, err := keep.Open(path)
	require.NoError(t, err)
	require.False(t, aside)
	return f
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	f := open(t, path)
	require.NoError(t, f.Accept(wire.Envelope{Payload: []byte("one"), URLs: map[string]string{"a": "b"}}, 7))
	require.NoError(t, f.Booted())
	require.ErrorIs(t, f.Accept(wire.Envelope{}, 6), wire.ErrOlder)
	require.NoError(t, f.PutAck(wire.Ack{Seq: 3, ID: "x", OK: true}))
	for i := range 20 {
		require.NoError(t, f.Refuse(wire.Refusal{Version: uint64(i), Reason: "r"}))
	}
	require.NoError(t, f.Close())
	f = open(t, path)
	s, err := f.Load()
	require.NoError(t, err)
	require.Equal(t, []any{uint64(7), 1, uint64(3), 10, "one"}, []any{s.Accepted, s.Boots, s.CmdSeq, len(s.Refused), string(s.Pending.Payload)})
	require.Empty(t, s.Pending.URLs)
	require.Nil(t, s.Good)
	ack, known, err := f.Ack(3)
	require.NoError(t, err)
	require.True(t, known && ack.OK)

	// What settles an older document leaves the newer one pending.
	require.NoError(t, f.Accept(wire.Envelope{Payload: []byte("two")}, 8))
	require.NoError(t, f.Settle(keep.Good{Version: 7}))
	s, err = f.Load()
	require.NoError(t, err)
	require.NotNil(t, s.Pending)
	require.EqualValues(t, 7, s.Good.Version)
	require.NoError(t, f.Settle(keep.Good{Version: 8}))
	s, err = f.Load()
	require.NoError(t, err)
	require.Nil(t, s.Pending)
	for i := range 300 {
		require.NoError(t, f.PutAck(wire.Ack{Seq: uint64(10 + i)}))
	}
	_, known, err = f.Ack(3)
	require.NoError(t, err)
	require.False(t, known, "answers are bounded")
	require.NoError(t, f.Close())
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("nonsense", 10_000)), 0o600))
	f, aside, err := keep.Open(path)
	require.NoError(t, err)
	require.True(t, aside)
	require.NoError(t, f.Close())
}

func spool(t *testing.T, f *keep.File, drops map[int64]int64) *keep.Spool {
	s, err := keep.NewSpool(f, time.Now, func(route, n int64) { drops[route] += n })
	require.NoError(t, err)
	s.SetCaches(map[int64]wire.Cache{1: {Messages: 5, Bytes: 10_000, Age: time.Hour.Milliseconds()}})
	return s
}

func add(t *testing.T, s *keep.Spool, route int64, text string) bool {
	t.Helper()
	kept, err := s.Add(wire.UpMessage{Route: route, Topic: "/t", Payload: []byte(text), At: time.Now().UnixMilli()})
	require.NoError(t, err)
	return kept
}

func texts(t *testing.T, s *keep.Spool, after uint64) (all []string, last uint64) {
	t.Helper()
	batch, err := s.Next(after, 100, 1<<20)
	require.NoError(t, err)
	for _, m := range batch {
		require.Greater(t, m.Seq, last)
		all, last = append(all, string(m.Payload)), m.Seq
	}
	return all, last
}

// Offline the oldest messages of a route go first, what has no cache goes at once, and a restart keeps the rest in order; numbers
// are never given twice.
func TestSpool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	f, drops := open(t, path), map[int64]int64{}
	s := spool(t, f, drops)
	for i := range 8 {
		require.True(t, add(t, s, 1, fmt.Sprint(i)))
	}
	require.False(t, add(t, s, 2, "no cache"))
	require.Equal(t, map[int64]int64{1: 3}, drops)
	require.EqualValues(t, 5, s.Queued(1))
	stream := s.Stream()
	require.NoError(t, f.Close()) // as a kill would

	f = open(t, path)
	s = spool(t, f, drops)
	require.Equal(t, stream, s.Stream())
	all, last := texts(t, s, 0)
	require.Equal(t, []string{"3", "4", "5", "6", "7"}, all)
	require.NoError(t, s.SetOnline(true))
	require.True(t, add(t, s, 2, "no cache, but a link"))
	require.True(t, add(t, s, 1, "8"))
	all, next := texts(t, s, last)
	require.Equal(t, []string{"no cache, but a link", "8"}, all)
	s.Acked(last)
	require.EqualValues(t, 1, s.Queued(1))

	// The link goes: what has a cache is on disk, the rest is lost.
	require.NoError(t, s.SetOnline(false))
	all, _ = texts(t, s, 0)
	require.Equal(t, []string{"8"}, all)
	require.NoError(t, f.Close())
	f = open(t, path)
	s = spool(t, f, drops)
	require.NoError(t, s.SetOnline(true))
	require.True(t, add(t, s, 1, "9"))
	all, after := texts(t, s, 0)
	require.Equal(t, []string{"8", "9"}, all)
	require.Greater(t, after, next)
	s.Acked(after)
	all, _ = texts(t, s, 0)
	require.Empty(t, all)

	big := strings.Repeat("x", 4000)
	require.NoError(t, s.SetOnline(false))
	for range 3 {
		add(t, s, 1, big)
	}
	require.EqualValues(t, 2, s.Queued(1), "bytes are bounded too")
	require.NoError(t, s.Close())
	require.NoError(t, f.Close())
}

// Age counts by the time that passes: messages of a gateway whose clock begins in 1970 live as long as others, and are told at the
// time when they came once the clock is right.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock begins in 2000, before any that is right
		f := open(t, filepath.Join(t.TempDir(), "agent.db"))
		defer f.Close()
		drops := map[int64]int64{}
		s := spool(t, f, drops)
		add(t, s, 1, "old")
		time.Sleep(40 * time.Minute)
		add(t, s, 1, "young")
		require.NoError(t, s.Tend())
		require.EqualValues(t, 2, s.Queued(1))
		time.Sleep(30 * time.Minute)
		require.NoError(t, s.Tend())
		all, _ := texts(t, s, 0)
		require.Equal(t, []string{"young"}, all)
		require.Equal(t, map[int64]int64{1: 1}, drops)
	})
}

// On a full disk messages are refused, and kept again when there is room.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		need.Skip(t, "a small disk can be made by root only: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	f, drops := open(t, filepath.Join(dir, "agent.db")), map[int64]int64{}
	s := spool(t, f, drops)
	s.SetCaches(map[int64]wire.Cache{1: {Messages: 100_000, Bytes: 100 << 20}})
	require.True(t, add(t, s, 1, "first"))
	filler := filepath.Join(dir, "filler")
	require.Error(t, os.WriteFile(filler, make([]byte, 4<<20), 0o600))
	var full error
	for range 100 {
		if _, full = s.Add(wire.UpMessage{Route: 1, Topic: "/t", Payload: make([]byte, 60<<10)}); full != nil {
			break
		}
	}
	require.ErrorIs(t, full, syscall.ENOSPC)
	all, _ := texts(t, s, 0)
	require.Equal(t, "first", all[0])

	// A start needs no room, and takes a disk that has none for no damage.
	for i := range 2000 {
		_ = f.PutAck(wire.Ack{Seq: uint64(i), ID: strings.Repeat("x", i%5000)}) // until no page of the file is free
	}
	require.NoError(t, f.Close())
	f = open(t, filepath.Join(dir, "agent.db"))
	s = spool(t, f, drops)
	s.SetCaches(map[int64]wire.Cache{1: {Messages: 100_000, Bytes: 100 << 20}})
	all, _ = texts(t, s, 0)
	require.Equal(t, "first", all[0])
	_, aside, err := keep.Open(filepath.Join(dir, "other.db"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.False(t, aside)
	require.NoError(t, os.Remove(filepath.Join(dir, "other.db")))
	require.NoError(t, os.Remove(filler))
	require.True(t, add(t, s, 1, "last"))
	all, _ = texts(t, s, 0)
	require.Equal(t, "last", all[len(all)-1])
	require.NoError(t, s.Close())
	require.NoError(t, f.Close())
}
