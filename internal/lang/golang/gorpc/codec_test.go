package gorpc

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// The messages as encoding/gob writes them for net/rpc.
type (
	gobResponse struct {
		ServiceMethod string
		Seq           uint64
		Error         string
	}
	gobAnswer struct {
		StatusCode int
		Payload    []byte
	}
	gobRequest struct {
		ServiceMethod string
		Seq           uint64
	}
	gobInvoke struct {
		Payload []byte
		Header  map[string][]string
	}
	writesItself struct{ text string }
)

func (w writesItself) GobEncode() ([]byte, error) { return []byte(w.text), nil }

// wire is what encoding/gob writes of values over one connection.
func wire(t testing.TB, values ...any) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := gob.NewEncoder(&out)
	for _, v := range values {
		require.NoError(t, enc.Encode(v))
	}
	return out.Bytes()
}

func decoderOf(p []byte, limit int) *decoder {
	return newDecoder(bufio.NewReaderSize(bytes.NewReader(p), 4<<10), limit)
}

// What encoding/gob writes is read as it was meant, whatever else stands beside the fields that we know.
func TestDecode(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	type part struct {
		Name string
		Sub  map[string][]float64
	}
	for name, c := range map[string]struct {
		head, body any
		want       answer
	}{
		"plain":                             {gobResponse{"Function.Invoke", 7, ""}, gobAnswer{200, []byte(`{"a":1}`)}, answer{seq: 7, status: 200, payload: []byte(`{"a":1}`), size: 7}},
		"nothing":                           {gobResponse{Seq: 1}, gobAnswer{StatusCode: 200}, answer{seq: 1, status: 200}},
		"zero":                              {gobResponse{}, gobAnswer{}, answer{}},
		"negative status":                   {gobResponse{Seq: 1 << 40}, gobAnswer{StatusCode: -1 << 40}, answer{seq: 1 << 40, status: -1 << 40}},
		"most":                              {gobResponse{Seq: 1<<64 - 1}, gobAnswer{StatusCode: 1<<63 - 1}, answer{seq: 1<<64 - 1, status: 1<<63 - 1}},
		"error":                             {gobResponse{Seq: 3, Error: "wrong"}, struct{}{}, answer{seq: 3, failure: "wrong"}},
		"error, and a body of another type": {gobResponse{Seq: 3, Error: "wrong"}, "body", answer{seq: 3, failure: "wrong"}},
		"big":                               {gobResponse{Seq: 1}, gobAnswer{200, big}, answer{seq: 1, status: 200, payload: big, size: 1 << 20}},
		"other order": {
			struct {
				Error         string
				Seq           uint64
				ServiceMethod string
			}{"", 9, "m"},
			&struct {
				Payload    []byte
				StatusCode int32
			}{[]byte("p"), 500}, answer{seq: 9, status: 500, payload: []byte("p"), size: 1},
		},
		"more fields": {
			struct {
				Before bool
				Seq    uint32
				After  complex128
			}{true, 2, complex(1, 2)},
			struct {
				A          int8
				B          float32
				C          string
				Header     map[string][]string
				StatusCode int
				D          [3]uint16
				E          []part
				F          map[int]*part
				G          writesItself
				H          []bool
				Payload    []byte
				I          [][]byte
				J          struct{}
			}{
				A: -5, B: 1.5, C: "text", Header: map[string][]string{"a": {"b", "c"}, "d": nil}, StatusCode: 200, D: [3]uint16{1, 0, 65535},
				E: []part{{"x", map[string][]float64{"f": {0, 1e300}}}, {}}, F: map[int]*part{-1: {Name: "y"}}, G: writesItself{"itself"},
				H: []bool{true, false}, Payload: []byte("in the midst"), I: [][]byte{{}, {1}},
			}, answer{seq: 2, status: 200, payload: []byte("in the midst"), size: 12},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := wire(t, c.head, c.body, c.head, c.body) // types are defined once
			d := decoderOf(p, 2<<20)
			for range 2 {
				a, err := d.next()
				require.NoError(t, err)
				if len(a.payload) == 0 {
					a.payload = nil
				}
				require.Equal(t, c.want, a)
			}
			_, err := d.next()
			require.Equal(t, io.EOF, err)
			for n := range min(len(p), 3000) { // no beginning of it is taken for the whole
				d := decoderOf(p[:n], 2<<20)
				_, err := d.next()
				if err == nil {
					_, err = d.next()
				}
				require.ErrorContains(t, err, "EOF", "%d of %d bytes", n, len(p))
			}
		})
	}
}

// A payload over the limit is read and not kept, and the next answer is read.
func TestDecodeOverTheLimit(t *testing.T) {
	d := decoderOf(wire(t, gobResponse{Seq: 1}, gobAnswer{200, make([]byte, 1001)}, gobResponse{Seq: 2}, gobAnswer{200, make([]byte, 1000)}), 1000)
	a, err := d.next()
	require.NoError(t, err)
	require.Equal(t, answer{seq: 1, status: 200, size: 1001}, a)
	a, err = d.next()
	require.NoError(t, err)
	require.Len(t, a.payload, 1000)
}

// message frames the bytes of a message.
func message(value ...byte) []byte { return appendMessage(nil, value, 0) }

// structType defines a struct.
func structType(id int64, fields ...field) []byte { return appendStruct(nil, id, "t", fields...) }

// What no honest function sends is refused, and little is reserved for it.
func TestRefusals(t *testing.T) {
	head := wire(t, gobResponse{Seq: 1})
	announced := func(n uint64, value ...byte) []byte { return append(appendUint(nil, n), value...) }
	answerType := structType(70, field{"StatusCode", typeInt}, field{"Payload", typeBytes})
	nested := []byte{}
	for i := range int64(40) {
		nested = append(nested, structType(100+i, field{"a", 101 + i})...)
	}
	deep := append(appendInt(nil, 100), bytes.Repeat([]byte{1}, 60)...)
	wide := appendDefinition(nil, kindSlice, 71, "w")
	wide = append(appendInt(append(wide, 1), 72), 0, 0)
	var endless []byte
	for i := range int64(1000) {
		endless = append(endless, structType(100+i)...)
	}
	type inter struct{ Any any }
	gob.Register(gobAnswer{})
	for name, c := range map[string]struct {
		p    []byte
		says string
	}{
		"text":                              {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ""},
		"a message of no bytes":             {[]byte{0}, "message of 0 bytes"},
		"a message without end":             {announced(1<<62, 1, 2, 3), "message of 4611686018427387904 bytes"},
		"a message over the limit":          {announced(maxMessage+1, 1, 2, 3), "message of"},
		"a number of nine bytes":            {[]byte{0xf7, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "more than 8 bytes"},
		"types without end":                 {endless, "more than 64 types"},
		"a type of many bytes":              {announced(maxDefinition+100, appendInt(nil, -70)...), "to define"},
		"a type twice":                      {append(structType(70), structType(70)...), "cannot be defined"},
		"a type of gob's own":               {structType(16), "cannot be defined"},
		"a type of the least number":        {message(append(appendInt(nil, -1<<63), kindStruct, 1, 0, 0)...), "cannot be defined"},
		"a type of no kind":                 {message(append(appendInt(nil, -70), 0)...), "not defined whole"},
		"a type of unknown kind":            {message(append(appendInt(nil, -70), 8, 1, 0, 0)...), "unknown kind"},
		"a type of two kinds":               {message(append(appendInt(nil, -70), kindArray, 0, kindStruct, 0, 0)...), "unknown kind"},
		"a type with more behind":           {message(append(appendInt(nil, -70), kindStruct, 0, 0, 9)...), "not defined whole"},
		"a struct of many fields":           {message(append(appendInt(nil, -70), kindStruct, 2, 0xfe, 0xff, 0xff)...), "struct of 65535 fields"},
		"a long name":                       {structType(70, field{strings.Repeat("n", maxName+1), 1}), "a name of 257 bytes"},
		"a value of no struct":              {wire(t, "text"), "where a struct is due"},
		"a value of no type":                {message(append(appendInt(nil, 90), 0)...), "where a struct is due"},
		"seq of another type":               {wire(t, struct{ Seq string }{"x"}), "Seq is of another type"},
		"error of another type":             {wire(t, struct{ Error int }{1}), "Error is of another type"},
		"status of another type":            {append(head, wire(t, struct{ StatusCode string }{"200"})...), ""},
		"a body that is no struct":          {wire(t, gobResponse{Seq: 1}, 5), "where a struct is due"},
		"an interface":                      {wire(t, gobResponse{Seq: 1}, inter{gobAnswer{StatusCode: 1}}), "not defined"},
		"a field beyond the struct":         {append(answerType, message(append(appendInt(nil, 70), 5, 0)...)...), "field 4 of a struct with 2"},
		"a field far beyond":                {append(answerType, message(append(appendInt(nil, 70), 0xf8, 255, 255, 255, 255, 255, 255, 255, 255)...)...), "a field beyond"},
		"bytes behind a value":              {append(structType(70), message(append(appendInt(nil, 70), 0, 1)...)...), "bytes behind the value"},
		"a payload longer than its message": {joined(head, structType(80, field{"Payload", typeBytes}), announced(12, append(append(appendInt(nil, 80), 1), appendUint(nil, 1<<40)...)...)), "longer than its message"},
		"values in values":                  {joined(nested, message(deep...)), "too many values"},
		"a struct in itself":                {joined(structType(70, field{"a", 70}), message(append(appendInt(nil, 70), bytes.Repeat([]byte{1}, 100)...)...)), "too many values"},
		"many small values": {joined(structType(70, field{"a", 71}), message(wide...), structType(72),
			message(joined(appendInt(nil, 70), []byte{1}, appendUint(nil, 1<<40), make([]byte, 1<<20))...)), "too many values"},
	} {
		t.Run(name, func(t *testing.T) {
			d := decoderOf(c.p, 1<<20)
			before := allocated()
			var err error
			for err == nil {
				_, err = d.next()
			}
			require.NotEqual(t, io.EOF, err)
			require.ErrorContains(t, err, c.says)
			require.Less(t, allocated()-before, uint64(256<<10), "bytes reserved")
		})
	}
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A payload that never comes is not reserved for.
func TestAnnouncedIsNotReserved(t *testing.T) {
	p := joined(wire(t, gobResponse{Seq: 1}), structType(80, field{"Payload", typeBytes}))
	value := append(append(appendInt(nil, 80), 1), appendUint(nil, 6<<20)...)
	p = append(appendUint(p, uint64(len(value)+6<<20+1)), value...)
	before := allocated()
	_, err := decoderOf(append(p, "the beginning"...), 6<<20).next()
	require.ErrorContains(t, err, "EOF")
	require.Less(t, allocated()-before, uint64(512<<10))
}

// What is written is read by encoding/gob as it was meant.
func TestEncode(t *testing.T) {
	var e encoder
	e.credit(lang.Credentials{AccessKey: "a", SecurityToken: "t"})
	var stream bytes.Buffer
	dec := gob.NewDecoder(&stream)
	for i, event := range []string{`{}`, `1`, `"` + strings.Repeat("x", 300_000) + `"`, ``} {
		seq, extra := uint32(1)<<(8*i), lang.CallExtra{}
		if i == 1 {
			extra = lang.CallExtra{Alias: "prod", WorkflowID: "w", WorkflowAttempt: 3}
		}
		stream.Write(e.append(nil, seq, fmt.Sprint("id-", i), extra, []byte(event)))
		stream.WriteString(event + "\x00")
		var head gobRequest
		var body gobInvoke
		require.NoError(t, dec.Decode(&head))
		require.NoError(t, dec.Decode(&body))
		require.Equal(t, gobRequest{"Function.Invoke", uint64(seq)}, head)
		require.Equal(t, event, string(body.Payload))
		want := map[string][]string{
			"X-Cff-Invoke-Type": {"sync"}, "X-Cff-Request-Id": {fmt.Sprint("id-", i)}, "X-Cff-Access-Key": {"a"},
			"X-Cff-Security-Access-Key": {"a"}, "X-Cff-Security-Token": {"t"},
		}
		if i == 1 {
			want["X-Cff-Origin-Version-Tag"], want["X-Cff-Workflow-Id"], want["X-Cff-Workflow-Attempt"] = []string{"!prod"}, []string{"w"}, []string{"3"}
		}
		require.Equal(t, want, body.Header)
	}
	require.Zero(t, stream.Len())
}

// FuzzDecode holds the decoder to its limits, whatever comes.
func FuzzDecode(f *testing.F) {
	f.Add(wire(f, gobResponse{"m", 7, ""}, gobAnswer{200, []byte("{}")}))
	f.Add(wire(f, gobResponse{"m", 7, "wrong"}, struct{}{}))
	f.Add(wire(f, gobResponse{Seq: 1}, struct {
		A map[string][]int
		B [2]bool
		C writesItself
		D *gobAnswer
	}{map[string][]int{"a": {1}}, [2]bool{true}, writesItself{"x"}, &gobAnswer{Payload: []byte("y")}}))
	f.Add(structType(70, field{"a", 70}))
	f.Fuzz(func(t *testing.T, p []byte) {
		const limit = 1 << 10
		d := decoderOf(p, limit)
		for range 100 {
			a, err := d.next()
			require.LessOrEqual(t, len(a.payload), limit)
			require.LessOrEqual(t, len(a.failure), maxFailure)
			require.LessOrEqual(t, len(d.types), maxTypes)
			if err != nil {
				return
			}
		}
	})
}
