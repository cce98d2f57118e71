package kv_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/kv"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

func open(t *testing.T, path string) *kv.Store {
	s, aside, err := kv.Open(path)
	require.NoError(t, err)
	require.False(t, aside)
	return s
}

// do runs a command written as words, and writes the answer as text.
func do(s *kv.Store, line string) string {
	words := strings.Fields(line)
	var args [][]byte
	for _, w := range words[1:] {
		args = append(args, []byte(strings.ReplaceAll(w, "_", " ")))
	}
	v, err := s.Do(words[0], args)
	if err != nil {
		return "error " + string(faas.CodeOf(err))
	}
	return show(v)
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case []byte:
		return string(v)
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, show(one))
		}
		return "[" + strings.Join(all, " ") + "]"
	}
	return fmt.Sprint(v)
}

// The answers are those of the server whose commands these are.
func TestCommands(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kv.db"))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for i, step := range [][2]string{
		{"GET a", "nil"}, {"SET a 1", "OK"}, {"GET a", "1"}, {"SET a 2 NX", "nil"}, {"SET b 2 XX", "nil"}, {"SET b 2 NX", "OK"},
		{"MGET a b c", "[1 2 nil]"}, {"MSET a 5 c 6", "OK"}, {"INCRBY a 10", "15"}, {"INCRBY a -20", "-5"}, {"INCRBY n 1", "1"},
		{"SET big 9223372036854775807", "OK"}, {"INCRBY big 1", "error invalid"}, {"SET w word", "OK"}, {"INCRBY w 1", "error invalid"},
		{"APPEND w s", "5"}, {"STRLEN w", "5"}, {"EXISTS a b zz a", "3"}, {"DEL a b zz", "2"}, {"TYPE w", "string"}, {"TYPE zz", "none"},
		{"KEYS *", "[big c n w]"}, {"KEYS [bc]*", "[big c]"}, {"PTTL w", "-1"}, {"PTTL zz", "-2"}, {"PEXPIRE zz 1", "0"}, {"PERSIST w", "0"},
		{"HSET h f 1 g 2", "2"}, {"HSET h f 3", "0"}, {"HGET h f", "3"}, {"HGET h x", "nil"}, {"HMGET h g x", "[2 nil]"}, {"HGETALL h", "[f 3 g 2]"},
		{"HINCRBY h f 4", "7"}, {"HINCRBY h k 1", "1"}, {"HLEN h", "3"}, {"HEXISTS h k", "1"}, {"HDEL h k x", "1"}, {"HGET w f", "error invalid"},
		{"GET h", "error invalid"}, {"HDEL h f g", "2"}, {"EXISTS h", "0"},
		{"RPUSH l b c", "2"}, {"LPUSH l a", "3"}, {"LRANGE l 0 -1", "[a b c]"}, {"LRANGE l -2 9", "[b c]"}, {"LRANGE l 5 9", "[]"}, {"LINDEX l -1", "c"},
		{"LINDEX l 7", "nil"}, {"LLEN l", "3"}, {"LPOP l", "a"}, {"RPOP l", "c"}, {"LTRIM l 5 6", "OK"}, {"EXISTS l", "0"}, {"LPOP l", "nil"},
		{"SADD s x y x", "2"}, {"SISMEMBER s x", "1"}, {"SCARD s", "2"}, {"SREM s x z", "1"}, {"SMEMBERS s", "[y]"},
		{"ZADD z 1 a", "error unsupported"}, {"GET", "error invalid"}, {"HSET h f", "error invalid"}, {"SET a 1 EX 0", "error invalid"}, {"FLUSHDB", "OK"}, {"KEYS *", "[]"},
	} {
		require.Equal(t, step[1], do(s, step[0]), "step %d: %s", i, step[0])
	}
	_, err := s.Do("SET", [][]byte{[]byte("k"), make([]byte, kv.MaxValue+1)})
	require.Equal(t, faas.CodeQuota, faas.CodeOf(err))
	_, err = s.Do("SET", [][]byte{make([]byte, kv.MaxKey+1), nil})
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "kv.db"))
		defer s.Close()
		require.Equal(t, "OK", do(s, "SET a 1 EX 10"))
		require.Equal(t, "OK", do(s, "SET b 1"))
		require.Equal(t, "1", do(s, "PEXPIRE b 500"))
		time.Sleep(400 * time.Millisecond)
		require.Equal(t, "100", do(s, "PTTL b"))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, "[nil 1]", do(s, "MGET b a"))
		require.Equal(t, "1", do(s, "PERSIST a"))
		time.Sleep(time.Minute)
		require.Equal(t, "[a]", do(s, "KEYS *"))
	})
}

// What was written is there after the next start; a damaged file is put aside rather than in the way.
func TestDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	s := open(t, path)
	require.Equal(t, "OK", do(s, "SET a 1"))
	require.NoError(t, s.Close())
	s = open(t, path)
	require.Equal(t, "1", do(s, "GET a"))
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("nonsense", 10_000)), 0o600))
	s, aside, err := kv.Open(path)
	require.NoError(t, err)
	require.True(t, aside)
	require.Equal(t, "nil", do(s, "GET a"))
	require.NoError(t, s.Close())
}
