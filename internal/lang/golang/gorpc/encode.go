package gorpc

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Numbers of the types of a request.
const (
	typeRequest = firstType + 1 + iota
	typeInvoke
	typeHeader
	typeTexts
)

// method is what is called (FunctionGraph reference 5.3).
const method = "Function.Invoke"

// encoder writes requests.
type encoder struct {
	defined bool   // the types have been sent
	fixed   []byte // headers of every request
	count   int    // of them
	value   []byte // buffer
}

// credit sets the headers of every request.
func (e *encoder) credit(c lang.Credentials) {
	e.fixed, e.count = appendHeader(e.fixed[:0], "X-Cff-Invoke-Type", "sync"), 1 // of "async" the function's side throws the result away
	for name, value := range c.Headers() {
		e.fixed = appendHeader(e.fixed, name, value)
		e.count++
	}
}

// append writes a request, all but the last bytes of its body: the event and a zero byte are to follow.
func (e *encoder) append(dst []byte, seq uint32, id string, extra lang.CallExtra, event []byte) []byte {
	if !e.defined {
		dst, e.defined = appendTypes(dst), true
	}
	v := appendInt(e.value[:0], typeRequest)
	v = appendString(append(v, 1), method)
	v = appendUint(append(v, 1), uint64(seq))
	dst = appendMessage(dst, append(v, 0), 0)

	v = appendInt(v[:0], typeInvoke)
	count := e.count + 1
	extra.SetHeaders(func(string, string) { count++ }, func(string) {})
	v = appendUint(append(v, 1), uint64(count))
	v = append(v, e.fixed...)
	v = appendHeader(v, "X-Cff-Request-Id", id)
	extra.SetHeaders(func(name, value string) { v = appendHeader(v, name, value) }, func(string) {})
	v = appendUint(append(v, 1), uint64(len(event)))
	e.value = v
	return appendMessage(dst, v, len(event)+1)
}

// appendTypes defines the types of a request. A decoder goes by the names of fields, whatever their order: the payload is last, so that
// a large one need not be copied.
func appendTypes(dst []byte) []byte {
	dst = appendStruct(dst, typeRequest, "Request", field{"ServiceMethod", typeString}, field{"Seq", typeUint})
	dst = appendStruct(dst, typeInvoke, "InvokeRequest", field{"Header", typeHeader}, field{"Payload", typeBytes})
	v := appendDefinition(nil, kindMap, typeHeader, "Header")
	v = appendInt(append(v, 1), typeString)
	v = appendInt(append(v, 1), typeTexts)
	dst = appendMessage(dst, append(v, 0, 0), 0)
	v = appendDefinition(nil, kindSlice, typeTexts, "[]string")
	v = appendInt(append(v, 1), typeString)
	return appendMessage(dst, append(v, 0, 0), 0)
}

func appendStruct(dst []byte, id int64, name string, fields ...field) []byte {
	v := appendDefinition(nil, kindStruct, id, name)
	v = appendUint(append(v, 1), uint64(len(fields)))
	for _, f := range fields {
		v = appendNamed(v, f.name, f.id)
	}
	return appendMessage(dst, append(v, 0, 0), 0)
}

// appendDefinition begins the definition of a type of a kind.
func appendDefinition(dst []byte, kind byte, id int64, name string) []byte {
	dst = appendInt(dst, -id)
	return appendNamed(append(dst, kind, 1), name, id)
}

func appendNamed(dst []byte, name string, id int64) []byte {
	dst = appendString(append(dst, 1), name)
	dst = appendInt(append(dst, 1), id)
	return append(dst, 0)
}

// appendMessage appends a message of which so many bytes are still to follow.
func appendMessage(dst, value []byte, more int) []byte {
	dst = appendUint(dst, uint64(len(value)+more))
	return append(dst, value...)
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = appendString(dst, name)
	return appendString(append(dst, 1), value)
}

func appendString(dst []byte, s string) []byte {
	dst = appendUint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendInt(dst []byte, i int64) []byte {
	if i < 0 {
		return appendUint(dst, uint64(^i)<<1|1)
	}
	return appendUint(dst, uint64(i)<<1)
}

func appendUint(dst []byte, u uint64) []byte {
	if u < 0x80 {
		return append(dst, byte(u))
	}
	n := (bits.Len64(u) + 7) / 8
	dst = slices.Grow(append(dst, byte(-n)), n)
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], u)
	return append(dst, all[8-n:]...)
}
