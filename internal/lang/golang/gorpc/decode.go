package gorpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// What is taken from a function's process. Within these it may say what it wants; beyond them its connection is ended.
const (
	maxMessage    = lang.MaxFrameBytes // bytes of one message; what is over a result's limit is read and thrown away
	maxDefinition = 16 << 10           // bytes of the definition of one type
	maxTypes      = 64                 // defined over one connection
	maxFields     = 64                 // of one type
	maxName       = 256                // bytes of the name of a type or a field
	maxDepth      = 16                 // of values in values
	maxSkipped    = 64 << 10           // values of one message that are of no interest
	maxFailure    = 1 << 20            // bytes of an error's text that are kept
	smallPayload  = 64 << 10           // bytes; above this the memory of a payload is not kept for the next
)

// Numbers of types that are never defined (encoding/gob, "Type Information"), and the first of those that are.
const (
	typeBool = iota + 1
	typeInt
	typeUint
	typeFloat
	typeBytes
	typeString
	typeComplex
	firstType = 64
)

// definition is a type of the other side.
type definition struct {
	kind   byte // kindArray, ...
	key    int64
	elem   int64
	fields []field
}

type field struct {
	name string
	id   int64
}

// Kinds of definitions: the field of gob's wireType that says it, and one.
const (
	kindArray = iota + 1
	kindSlice
	kindStruct
	kindMap
	kindGob
	kindBinary
	kindText
)

// answer is an rpc response and its body.
type answer struct {
	seq     uint64
	failure string // net/rpc's error; what follows is empty then
	status  int64
	payload []byte // valid until the next answer; nil when it was over the limit
	size    uint64 // of the payload, in bytes
}

// decoder reads answers. All that comes is the word of a stranger: nothing is reserved for what has not arrived, and what is not
// within the limits is an error, after which the stream is of no more use.
type decoder struct {
	in    *bufio.Reader
	limit int // bytes of a payload that are kept
	types map[int64]*definition
	left  uint64 // bytes of the message that are still to be read
	skips int    // values of the message that may still be skipped
	buf   []byte
}

func newDecoder(in *bufio.Reader, limit int) *decoder {
	return &decoder{in: in, limit: limit, types: map[int64]*definition{}}
}

var (
	errShort   = errors.New("a value is longer than its message")
	errNumber  = errors.New("a number of more than 8 bytes")
	errComplex = errors.New("too many values in one message")
)

// next reads one answer. Errors: io.EOF when the stream ends before it, io.ErrUnexpectedEOF when it ends inside one, what the
// stream returns, or one that says what was wrong.
func (d *decoder) next() (answer, error) {
	var a answer
	err := d.structure(func(f field) (bool, error) {
		switch {
		case f.name == "Seq" && f.id == typeUint:
			var err error
			a.seq, err = d.uint()
			return true, err
		case f.name == "Error" && f.id == typeString:
			text, _, err := d.bytes(nil, maxFailure)
			a.failure = string(text)
			return true, err
		}
		return false, d.unfit(f, "Seq", "Error")
	})
	if err != nil {
		return a, err
	}
	if a.failure != "" { // with a body of no meaning
		_, err = d.value()
		if err == nil {
			err = d.discard(d.left)
		}
		return a, whole(err)
	}
	err = d.structure(func(f field) (bool, error) {
		var err error
		switch {
		case f.name == "StatusCode" && f.id == typeInt:
			a.status, err = d.int()
			return true, err
		case f.name == "Payload" && f.id == typeBytes:
			a.payload, a.size, err = d.bytes(d.buf[:0], d.limit)
			d.buf = a.payload
			if a.size > uint64(d.limit) {
				a.payload = nil
			}
			return true, err
		}
		return false, d.unfit(f, "StatusCode", "Payload")
	})
	return a, whole(err)
}

// release lets go of the memory of a large payload, which has been used.
func (d *decoder) release() {
	if d != nil && cap(d.buf) > smallPayload {
		d.buf = nil
	}
}

// whole is for what follows a beginning: an end there is none between answers.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unfit refuses a field that has one of our names and another type.
func (d *decoder) unfit(f field, names ...string) error {
	for _, name := range names {
		if f.name == name {
			return fmt.Errorf("field %s is of another type", name)
		}
	}
	return nil
}

// structure reads a message whose value is a struct. take is given each field that was sent, and reads its value or says that it does not want it.
func (d *decoder) structure(take func(f field) (taken bool, err error)) error {
	id, err := d.value()
	if err != nil {
		return err
	}
	t := d.types[id]
	if t == nil || t.kind != kindStruct {
		return fmt.Errorf("a value of type %d where a struct is due", id)
	}
	err = d.fields(func(i uint64) error {
		if i >= uint64(len(t.fields)) {
			return fmt.Errorf("field %d of a struct with %d", i, len(t.fields))
		}
		taken, err := take(t.fields[i])
		if err != nil || taken {
			return err
		}
		return d.skip(t.fields[i].id, 1)
	})
	if err == nil && d.left > 0 {
		err = errors.New("bytes behind the value of a message")
	}
	return whole(err)
}

// value reads messages up to the beginning of one that carries a value, and gives the value's type. It keeps the definitions before.
func (d *decoder) value() (int64, error) {
	for first := true; ; first = false {
		if err := d.message(); err != nil {
			if !first {
				err = whole(err)
			}
			return 0, err
		}
		id, err := d.int()
		if err != nil || id >= 0 {
			return id, whole(err)
		}
		if err := d.define(-id); err != nil {
			return 0, whole(err)
		}
	}
}

// message reads the length of the next message.
func (d *decoder) message() error {
	d.left, d.skips = 9, maxSkipped // a number is as long at the most
	n, err := d.uint()
	switch {
	case err != nil:
		return err
	case n == 0 || n > maxMessage:
		return fmt.Errorf("a message of %d bytes", n)
	}
	d.left = n
	return nil
}

// define reads what gob calls a wireType.
func (d *decoder) define(id int64) error {
	switch {
	case d.left > maxDefinition:
		return fmt.Errorf("a type that takes %d bytes to define", d.left)
	case id < firstType || d.types[id] != nil:
		return fmt.Errorf("type %d cannot be defined", id)
	case len(d.types) == maxTypes:
		return fmt.Errorf("more than %d types", maxTypes)
	}
	t := &definition{}
	err := d.fields(func(i uint64) error {
		if t.kind != 0 || i >= kindText {
			return fmt.Errorf("type %d is of an unknown kind", id)
		}
		t.kind = byte(i + 1)
		return d.fields(func(i uint64) error { return d.property(t, i) })
	})
	if err == nil && (t.kind == 0 || d.left > 0) {
		err = fmt.Errorf("type %d is not defined whole", id)
	}
	d.types[id] = t
	return err
}

// property reads field i of a definition. The first is of all kinds the type's own name and number.
func (d *decoder) property(t *definition, i uint64) (err error) {
	switch {
	case i == 0:
		_, err = d.named()
	case i == 1 && (t.kind == kindArray || t.kind == kindSlice):
		t.elem, err = d.int()
	case i == 2 && t.kind == kindArray:
		_, err = d.int() // its length; each value tells it again
	case i == 1 && t.kind == kindMap:
		t.key, err = d.int()
	case i == 2 && t.kind == kindMap:
		t.elem, err = d.int()
	case i == 1 && t.kind == kindStruct && t.fields == nil:
		t.fields, err = d.fieldTypes()
	default:
		err = errors.New("an unknown property of a type")
	}
	return err
}

func (d *decoder) fieldTypes() ([]field, error) {
	n, err := d.uint()
	if err != nil {
		return nil, err
	}
	if n > maxFields {
		return nil, fmt.Errorf("a struct of %d fields", n)
	}
	all := make([]field, n)
	for i := range all {
		if all[i], err = d.named(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// named reads a struct of a name and the number of a type.
func (d *decoder) named() (f field, err error) {
	err = d.fields(func(i uint64) error {
		switch i {
		case 0:
			text, n, err := d.bytes(nil, maxName)
			if err == nil && n > maxName {
				err = fmt.Errorf("a name of %d bytes", n)
			}
			f.name = string(text)
			return err
		case 1:
			var err error
			f.id, err = d.int()
			return err
		}
		return errors.New("an unknown property of a type")
	})
	return f, err
}

// fields reads a struct's value: take reads that of a field, by its place in the type.
func (d *decoder) fields(take func(i uint64) error) error {
	for next := uint64(0); ; {
		step, err := d.uint()
		if err != nil || step == 0 {
			return err
		}
		if step > maxFields || next+step > maxFields {
			return fmt.Errorf("a field beyond the %dth", maxFields)
		}
		next += step
		if err := take(next - 1); err != nil {
			return err
		}
	}
}

// skip reads a value that is of no interest.
func (d *decoder) skip(id int64, depth int) error {
	if d.skips--; d.skips < 0 || depth > maxDepth {
		return errComplex
	}
	switch id {
	case typeBool, typeInt, typeUint, typeFloat:
		_, err := d.uint()
		return err
	case typeComplex:
		_, err := d.uint()
		if err == nil {
			_, err = d.uint()
		}
		return err
	case typeBytes, typeString:
		return d.skipBytes()
	}
	t := d.types[id]
	if t == nil {
		return fmt.Errorf("a value of type %d, which is not defined", id) // or an interface, which may hold anything
	}
	switch t.kind {
	case kindStruct:
		return d.fields(func(i uint64) error {
			if i >= uint64(len(t.fields)) {
				return fmt.Errorf("field %d of a struct with %d", i, len(t.fields))
			}
			return d.skip(t.fields[i].id, depth+1)
		})
	case kindArray, kindSlice, kindMap:
		n, err := d.uint()
		for ; err == nil && n > 0; n-- {
			if t.kind == kindMap {
				err = d.skip(t.key, depth+1)
			}
			if err == nil {
				err = d.skip(t.elem, depth+1)
			}
		}
		return err
	}
	return d.skipBytes() // one that writes itself
}

func (d *decoder) skipBytes() error {
	n, err := d.uint()
	if err != nil {
		return err
	}
	return d.discard(n)
}

// bytes reads bytes or a string behind dst, and gives how many there were; of more than keep none or the first are kept.
func (d *decoder) bytes(dst []byte, keep int) ([]byte, uint64, error) {
	n, err := d.uint()
	switch {
	case err != nil:
		return dst, 0, err
	case n > d.left:
		return dst, n, errShort
	}
	kept := min(n, uint64(keep))
	if dst, err = lang.ReadBytes(d.in, dst, int(kept)); err != nil {
		return nil, n, err
	}
	d.left -= kept
	return dst, n, d.discard(n - kept)
}

func (d *decoder) discard(n uint64) error {
	if n > d.left {
		return errShort
	}
	d.left -= n
	_, err := d.in.Discard(int(n)) // at most maxMessage
	return err
}

func (d *decoder) int() (int64, error) {
	u, err := d.uint()
	if u&1 != 0 {
		return ^int64(u >> 1), err
	}
	return int64(u >> 1), err
}

// uint reads a number: one byte below 128, or the negated count of the bytes that follow.
func (d *decoder) uint() (uint64, error) {
	first, err := d.byte()
	if err != nil || first < 0x80 {
		return uint64(first), err
	}
	n := -int(int8(first))
	if n > 8 {
		return 0, errNumber
	}
	var u uint64
	for range n {
		b, err := d.byte()
		if err != nil {
			return 0, whole(err)
		}
		u = u<<8 | uint64(b)
	}
	return u, nil
}

func (d *decoder) byte() (byte, error) {
	if d.left == 0 {
		return 0, errShort
	}
	d.left--
	return d.in.ReadByte()
}
