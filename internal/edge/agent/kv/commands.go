package kv

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// command is one command: how many arguments it has (most is -1 for any number), and what it does.
type command struct {
	least, most int
	reads       bool
	run         func(w *work, a [][]byte) (any, error)
}

func commands() map[string]command {
	return map[string]command{
		"GET": {1, 1, true, get}, "SET": {2, 6, false, set}, "MGET": {1, -1, true, mget}, "MSET": {2, -1, false, mset},
		"INCRBY": {2, 2, false, incrBy}, "APPEND": {2, 2, false, appendText}, "STRLEN": {1, 1, true, strlen},
		"DEL": {1, -1, false, del}, "EXISTS": {1, -1, true, exists}, "KEYS": {1, 1, true, keys}, "TYPE": {1, 1, true, typeOf},
		"PEXPIRE": {2, 2, false, pexpire}, "PERSIST": {1, 1, false, persist}, "PTTL": {1, 1, true, pttl}, "FLUSHDB": {0, 0, false, flush},
		"HGET": {2, 2, true, hget}, "HSET": {3, -1, false, hset}, "HMGET": {2, -1, true, hmget}, "HGETALL": {1, 1, true, hgetall},
		"HDEL": {2, -1, false, hdel}, "HEXISTS": {2, 2, true, hexists}, "HLEN": {1, 1, true, hlen}, "HINCRBY": {3, 3, false, hincrBy},
		"LPUSH": {2, -1, false, push(true)}, "RPUSH": {2, -1, false, push(false)}, "LPOP": {1, 1, false, pop(true)}, "RPOP": {1, 1, false, pop(false)},
		"LRANGE": {3, 3, true, lrange}, "LINDEX": {2, 2, true, lindex}, "LLEN": {1, 1, true, length(kindList)}, "LTRIM": {3, 3, false, ltrim},
		"SADD": {2, -1, false, sadd}, "SREM": {2, -1, false, srem}, "SMEMBERS": {1, 1, true, smembers}, "SISMEMBER": {2, 2, true, sismember},
		"SCARD": {1, 1, true, length(kindSet)},
	}
}

func get(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindText)
	if e == nil || err != nil {
		return nil, err
	}
	return e.text(), nil
}

// text is never nil: an empty value is there.
func (e *entry) text() []byte { return append([]byte{}, e.Text...) }

func set(w *work, a [][]byte) (any, error) {
	old, err := w.get(a[0], "")
	if err != nil {
		return nil, err
	}
	e := &entry{Kind: kindText, Text: a[1]}
	for i := 2; i < len(a); i++ {
		option := strings.ToUpper(string(a[i]))
		switch {
		case option == "NX" && old != nil, option == "XX" && old == nil:
			return nil, nil
		case option == "NX", option == "XX":
		case (option == "EX" || option == "PX") && i+1 < len(a):
			i++
			n, err := integer(a[i], "expire")
			if err != nil {
				return nil, err
			}
			if option == "EX" {
				n *= 1000
			}
			if n <= 0 || n > math.MaxInt64/2 {
				return nil, faas.Errorf(faas.CodeInvalid, "expire", "invalid expire time")
			}
			e.Expires = w.now + n
		default:
			return nil, faas.Errorf(faas.CodeUnsupported, "command", "SET has no option %.20q here", option)
		}
	}
	return []byte("OK"), w.put(a[0], e)
}

func mget(w *work, a [][]byte) (any, error) {
	all := make([]any, len(a))
	for i, k := range a {
		e, err := w.get(k, "")
		if err != nil {
			return nil, err
		}
		if e != nil && e.Kind == kindText {
			all[i] = e.text()
		}
	}
	return all, nil
}

func mset(w *work, a [][]byte) (any, error) {
	if len(a)%2 != 0 {
		return nil, faas.Errorf(faas.CodeInvalid, "command", "wrong number of arguments for MSET")
	}
	for i := 0; i < len(a); i += 2 {
		if _, err := w.get(a[i], ""); err != nil {
			return nil, err
		}
		if err := w.put(a[i], &entry{Kind: kindText, Text: a[i+1]}); err != nil {
			return nil, err
		}
	}
	return []byte("OK"), nil
}

func add(old []byte, amount []byte) (int64, error) {
	n := int64(0)
	if old != nil {
		var err error
		if n, err = integer(old, "value"); err != nil {
			return 0, err
		}
	}
	more, err := integer(amount, "amount")
	if err != nil {
		return 0, err
	}
	if sum := n + more; (sum > n) == (more > 0) || more == 0 {
		return sum, nil
	}
	return 0, faas.Errorf(faas.CodeInvalid, "value", "increment or decrement would overflow")
}

func incrBy(w *work, a [][]byte) (any, error) {
	e, err := w.edit(a[0], kindText)
	if err != nil {
		return nil, err
	}
	n, err := add(e.Text, a[1])
	if err != nil {
		return nil, err
	}
	e.Text = strconv.AppendInt(nil, n, 10)
	return n, w.put(a[0], e)
}

func appendText(w *work, a [][]byte) (any, error) {
	e, err := w.edit(a[0], kindText)
	if err != nil {
		return nil, err
	}
	e.Text = append(e.Text, a[1]...)
	return int64(len(e.Text)), w.put(a[0], e)
}

func strlen(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindText)
	if e == nil || err != nil {
		return int64(0), err
	}
	return int64(len(e.Text)), nil
}

func del(w *work, a [][]byte) (any, error) {
	n := int64(0)
	for _, k := range a {
		e, err := w.get(k, "")
		if err != nil {
			return nil, err
		}
		if e != nil {
			n++
		}
		if err := w.b.Delete(k); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func exists(w *work, a [][]byte) (any, error) {
	n := int64(0)
	for _, k := range a {
		e, err := w.get(k, "")
		if err != nil {
			return nil, err
		}
		if e != nil {
			n++
		}
	}
	return n, nil
}

// maxKeys bounds what KEYS tells.
const maxKeys = 10_000

func keys(w *work, a [][]byte) (any, error) {
	all := []any{}
	err := w.b.ForEach(func(k, _ []byte) error {
		if len(all) >= maxKeys || !matches(string(a[0]), string(k)) {
			return nil
		}
		e, err := w.get(k, "")
		if e != nil {
			all = append(all, append([]byte{}, k...))
		}
		return err
	})
	return all, err
}

func typeOf(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], "")
	if err != nil {
		return nil, err
	}
	if e == nil {
		return []byte("none"), nil
	}
	return []byte(e.Kind), nil
}

func pexpire(w *work, a [][]byte) (any, error) {
	n, err := integer(a[1], "expire")
	if err != nil {
		return nil, err
	}
	e, err := w.get(a[0], "")
	if e == nil || err != nil {
		return int64(0), err
	}
	if n <= 0 {
		return int64(1), w.b.Delete(a[0])
	}
	e.Expires = w.now + min(n, math.MaxInt64/2)
	return int64(1), w.put(a[0], e)
}

func persist(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], "")
	if e == nil || err != nil || e.Expires == 0 {
		return int64(0), err
	}
	e.Expires = 0
	return int64(1), w.put(a[0], e)
}

func pttl(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], "")
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return int64(-2), nil
	case e.Expires == 0:
		return int64(-1), nil
	}
	return e.Expires - w.now, nil
}

func flush(w *work, _ [][]byte) (any, error) {
	var all [][]byte
	err := w.b.ForEach(func(k, _ []byte) error {
		all = append(all, append([]byte{}, k...))
		return nil
	})
	for _, k := range all {
		if err == nil {
			err = w.b.Delete(k)
		}
	}
	return []byte("OK"), err
}

// field finds a field of a hash: the place of its value in Items, -1 for none.
func (e *entry) field(name []byte) int {
	for i := 0; e != nil && i+1 < len(e.Items); i += 2 {
		if bytes.Equal(e.Items[i], name) {
			return i + 1
		}
	}
	return -1
}

func hget(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindHash)
	if err != nil {
		return nil, err
	}
	if i := e.field(a[1]); i >= 0 {
		return append([]byte{}, e.Items[i]...), nil
	}
	return nil, nil
}

func hset(w *work, a [][]byte) (any, error) {
	if len(a)%2 == 0 {
		return nil, faas.Errorf(faas.CodeInvalid, "command", "wrong number of arguments for HSET")
	}
	e, err := w.edit(a[0], kindHash)
	if err != nil {
		return nil, err
	}
	n := int64(0)
	for i := 1; i < len(a); i += 2 {
		if at := e.field(a[i]); at >= 0 {
			e.Items[at] = a[i+1]
			continue
		}
		e.Items = append(e.Items, a[i], a[i+1])
		n++
	}
	return n, w.put(a[0], e)
}

func hmget(w *work, a [][]byte) (any, error) {
	all := make([]any, len(a)-1)
	e, err := w.get(a[0], kindHash)
	for j, name := range a[1:] {
		if i := e.field(name); i >= 0 {
			all[j] = append([]byte{}, e.Items[i]...)
		}
	}
	return all, err
}

func hgetall(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindHash)
	return e.list(), err
}

// list gives the items, none for nil.
func (e *entry) list() []any {
	all := []any{}
	if e != nil {
		for _, item := range e.Items {
			all = append(all, append([]byte{}, item...))
		}
	}
	return all
}

func hdel(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindHash)
	if e == nil || err != nil {
		return int64(0), err
	}
	n := int64(0)
	for _, name := range a[1:] {
		if i := e.field(name); i >= 0 {
			e.Items = slices.Delete(e.Items, i-1, i+1)
			n++
		}
	}
	return n, w.put(a[0], e)
}

func hexists(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindHash)
	return flag(e.field(a[1]) >= 0), err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func hlen(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindHash)
	if e == nil || err != nil {
		return int64(0), err
	}
	return int64(len(e.Items) / 2), nil
}

func hincrBy(w *work, a [][]byte) (any, error) {
	e, err := w.edit(a[0], kindHash)
	if err != nil {
		return nil, err
	}
	var old []byte
	at := e.field(a[1])
	if at >= 0 {
		old = e.Items[at]
	}
	n, err := add(old, a[2])
	if err != nil {
		return nil, err
	}
	if at < 0 {
		e.Items, at = append(e.Items, a[1], nil), len(e.Items)+1
	}
	e.Items[at] = strconv.AppendInt(nil, n, 10)
	return n, w.put(a[0], e)
}

func push(front bool) func(w *work, a [][]byte) (any, error) {
	return func(w *work, a [][]byte) (any, error) {
		e, err := w.edit(a[0], kindList)
		if err != nil {
			return nil, err
		}
		for _, item := range a[1:] {
			if front {
				e.Items = slices.Insert(e.Items, 0, item)
			} else {
				e.Items = append(e.Items, item)
			}
		}
		return int64(len(e.Items)), w.put(a[0], e)
	}
}

func pop(front bool) func(w *work, a [][]byte) (any, error) {
	return func(w *work, a [][]byte) (any, error) {
		e, err := w.get(a[0], kindList)
		if e == nil || err != nil {
			return nil, err
		}
		at := len(e.Items) - 1
		if front {
			at = 0
		}
		item := append([]byte{}, e.Items[at]...)
		e.Items = slices.Delete(e.Items, at, at+1)
		return item, w.put(a[0], e)
	}
}

// slice gives the items from one place to another, both included; negative ones count from the end.
func (e *entry) slice(a [][]byte) ([][]byte, error) {
	from, err := integer(a[0], "start")
	if err != nil {
		return nil, err
	}
	to, err := integer(a[1], "end")
	if e == nil || err != nil {
		return nil, err
	}
	n := int64(len(e.Items))
	if from < 0 {
		from = max(0, n+from)
	}
	if to < 0 {
		to = n + to
	}
	if to = min(to, n-1); from > to {
		return nil, nil
	}
	return e.Items[from : to+1], nil
}

func lrange(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindList)
	if err != nil {
		return nil, err
	}
	items, err := e.slice(a[1:])
	return (&entry{Items: items}).list(), err
}

func ltrim(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindList)
	if e == nil || err != nil {
		return []byte("OK"), err
	}
	if e.Items, err = e.slice(a[1:]); err != nil {
		return nil, err
	}
	return []byte("OK"), w.put(a[0], e)
}

func lindex(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindList)
	if err != nil {
		return nil, err
	}
	items, err := e.slice([][]byte{a[1], a[1]})
	if len(items) == 0 || err != nil {
		return nil, err
	}
	return append([]byte{}, items[0]...), nil
}

func length(kind string) func(w *work, a [][]byte) (any, error) {
	return func(w *work, a [][]byte) (any, error) {
		e, err := w.get(a[0], kind)
		if e == nil || err != nil {
			return int64(0), err
		}
		return int64(len(e.Items)), nil
	}
}

// member finds an item of a set, -1 for none.
func (e *entry) member(item []byte) int {
	if e == nil {
		return -1
	}
	return slices.IndexFunc(e.Items, func(other []byte) bool { return bytes.Equal(other, item) })
}

func sadd(w *work, a [][]byte) (any, error) {
	e, err := w.edit(a[0], kindSet)
	if err != nil {
		return nil, err
	}
	n := int64(0)
	for _, item := range a[1:] {
		if e.member(item) < 0 {
			e.Items = append(e.Items, item)
			n++
		}
	}
	return n, w.put(a[0], e)
}

func srem(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindSet)
	if e == nil || err != nil {
		return int64(0), err
	}
	n := int64(0)
	for _, item := range a[1:] {
		if i := e.member(item); i >= 0 {
			e.Items = slices.Delete(e.Items, i, i+1)
			n++
		}
	}
	return n, w.put(a[0], e)
}

func smembers(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindSet)
	return e.list(), err
}

func sismember(w *work, a [][]byte) (any, error) {
	e, err := w.get(a[0], kindSet)
	return flag(e.member(a[1]) >= 0), err
}
