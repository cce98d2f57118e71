package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// A segment is a file that never changes:
//
//	segmentMagic
//	blocks of heads, headsPerBlock each, in order of Seq; then blocks of bodies, of about bodyBlock bytes: zstd with checksums.
//	  A block begins with the length of each of its parts
//	postings: for each function the ordinals of its records, ascending, as differences, times two, plus one for a failure
//	ids: for each record the hash of its request id (64 bits) and its ordinal (32 bits), big endian, sorted
//	index: zstd; where everything is, and which functions there are
//	foot: offset of the index (64 bits), its size, its CRC-32C, segmentMagic
const (
	segmentMagic  = "hanshus1"
	segmentFoot   = 24
	headsPerBlock = 64
	bodyBlock     = 32 << 10
	idSize        = 12
)

// block finds a block of heads or bodies.
type block struct {
	key    int64 // Seq of the first record of heads; ordinal of the first one of bodies
	offset int64
	size   uint32
}

// posting finds the postings of a function.
type posting struct {
	fn     uint32
	offset uint32 // within the postings
	size   uint32
}

// segment is what is kept in memory of one.
type segment struct {
	path        string
	size        int64
	count       int
	first, last int64 // Seq
	heads       []block
	bodies      []block
	functions   []posting // sorted by fn
	postings    section
	ids         section

	check sync.Mutex
	sound bool // the checksums of both sections were seen to fit
}

// section is a part of a segment without compression.
type section struct {
	offset int64
	size   uint32
	sum    uint32
}

// packer puts a segment together.
type packer struct {
	out     []byte
	lengths []byte
	parts   []byte
	encoder *zstd.Encoder
}

func (p *packer) add(part []byte) {
	p.lengths = binary.AppendUvarint(p.lengths, uint64(len(part)))
	p.parts = append(p.parts, part...)
}

// close ends a block.
func (p *packer) close(key int64) block {
	b := block{key: key, offset: int64(len(p.out))}
	p.out = p.encoder.EncodeAll(append(p.lengths, p.parts...), p.out)
	b.size = uint32(int64(len(p.out)) - b.offset)
	p.lengths, p.parts = p.lengths[:0], p.parts[:0]
	return b
}

func (p *packer) section(content []byte) section {
	s := section{offset: int64(len(p.out)), size: uint32(len(content)), sum: crc32.Checksum(content, castagnoli())}
	p.out = append(p.out, content...)
	return s
}

// writeSegment makes a segment of a journal. When it returns the segment is on disk.
func writeSegment(dir string, j *journal, names map[name]uint32, encoder *zstd.Encoder) (*segment, error) {
	n := len(j.entries)
	seg := &segment{
		path: filepath.Join(dir, fileName(j.first, endSegment)), count: n, first: j.entries[0].seq, last: j.entries[n-1].seq,
	}
	p := &packer{out: append(make([]byte, 0, len(j.raw)/3+1024), segmentMagic...), encoder: encoder}
	for i := 0; i < n; i += headsPerBlock {
		for _, e := range j.entries[i:min(n, i+headsPerBlock)] {
			p.add(j.raw[e.head:e.body])
		}
		seg.heads = append(seg.heads, p.close(j.entries[i].seq))
	}
	for i := 0; i < n; {
		first := i
		for ; i < n && (i == first || len(p.parts) < bodyBlock); i++ {
			p.add(j.raw[j.entries[i].body:j.entries[i].end])
		}
		seg.bodies = append(seg.bodies, p.close(int64(first)))
	}
	p.finish(seg, j.entries, names)
	seg.size = int64(len(p.out))
	seg.sound = true
	return seg, writeFile(seg.path, p.out)
}

// finish writes postings, ids, index and foot.
func (p *packer) finish(seg *segment, entries []entry, names map[name]uint32) {
	byFunction := map[uint32][]int{}
	ids := make([][idSize]byte, len(entries))
	for i, e := range entries {
		byFunction[e.fn] = append(byFunction[e.fn], i)
		binary.BigEndian.PutUint64(ids[i][:], e.id)
		binary.BigEndian.PutUint32(ids[i][8:], uint32(i))
	}
	slices.SortFunc(ids, func(a, b [idSize]byte) int { return bytes.Compare(a[:], b[:]) })
	var postings []byte
	for fn, ordinals := range byFunction {
		at, last := len(postings), 0
		for _, o := range ordinals {
			delta := uint64(o-last) << 1
			if entries[o].failed {
				delta |= 1
			}
			postings = binary.AppendUvarint(postings, delta)
			last = o
		}
		seg.functions = append(seg.functions, posting{fn, uint32(at), uint32(len(postings) - at)})
	}
	slices.SortFunc(seg.functions, func(a, b posting) int { return int(a.fn) - int(b.fn) })
	seg.postings = p.section(postings)
	var flat []byte
	for i := range ids {
		flat = append(flat, ids[i][:]...)
	}
	seg.ids = p.section(flat)

	of := map[uint32]name{}
	for n, number := range names {
		if _, ok := byFunction[number]; ok {
			of[number] = n
		}
	}
	at := len(p.out)
	p.out = p.encoder.EncodeAll(appendIndex(nil, seg, of), p.out)
	index := p.out[at:]
	size, sum := uint32(len(index)), crc32.Checksum(index, castagnoli())
	p.out = binary.BigEndian.AppendUint64(p.out, uint64(at))
	p.out = binary.BigEndian.AppendUint32(p.out, size)
	p.out = binary.BigEndian.AppendUint32(p.out, sum)
	p.out = append(p.out, segmentMagic...)
}

func appendIndex(b []byte, seg *segment, names map[uint32]name) []byte {
	numbers := func(all ...int64) {
		for _, n := range all {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	numbers(int64(seg.count), seg.first, seg.last)
	for _, s := range []section{seg.postings, seg.ids} {
		numbers(s.offset, int64(s.size), int64(s.sum))
	}
	for _, blocks := range [][]block{seg.heads, seg.bodies} {
		numbers(int64(len(blocks)))
		for _, bl := range blocks {
			numbers(bl.key, bl.offset, int64(bl.size))
		}
	}
	numbers(int64(len(seg.functions)))
	for _, f := range seg.functions {
		n := names[f.fn]
		b = appendText(appendText(appendText(b, n.project), n.pkg), n.name)
		numbers(int64(f.offset), int64(f.size))
	}
	return b
}

// openSegment reads the index of a segment. number gives the numbers of functions.
func openSegment(path string, decoder *zstd.Decoder, number func(name) uint32) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	seg := &segment{path: path, size: info.Size()}
	foot := make([]byte, segmentFoot)
	if seg.size < int64(len(segmentMagic)+segmentFoot) {
		return nil, errDamaged
	}
	if _, err := f.ReadAt(foot, seg.size-segmentFoot); err != nil {
		return nil, err
	}
	offset, size := binary.BigEndian.Uint64(foot), binary.BigEndian.Uint32(foot[8:])
	if string(foot[16:]) != segmentMagic || size > maxBlock || offset > uint64(seg.size) || offset+uint64(size)+segmentFoot != uint64(seg.size) {
		return nil, errDamaged
	}
	index := make([]byte, size)
	if _, err := f.ReadAt(index, int64(offset)); err != nil {
		return nil, err
	}
	if crc32.Checksum(index, castagnoli()) != binary.BigEndian.Uint32(foot[12:]) {
		return nil, errDamaged
	}
	if index, err = decoder.DecodeAll(index, nil); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return seg, seg.readIndex(index, number)
}

func (g *segment) readIndex(index []byte, number func(name) uint32) error {
	r := reader{b: index}
	g.count, g.first, g.last = int(r.uvarint()), int64(r.uvarint()), int64(r.uvarint())
	for _, s := range []*section{&g.postings, &g.ids} {
		s.offset, s.size, s.sum = int64(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
		if s.offset < 0 || s.offset+int64(s.size) > g.size {
			return errDamaged
		}
	}
	for _, blocks := range []*[]block{&g.heads, &g.bodies} {
		for range r.count() {
			b := block{int64(r.uvarint()), int64(r.uvarint()), uint32(r.uvarint())}
			if b.offset < 0 || b.offset+int64(b.size) > g.size {
				return errDamaged
			}
			*blocks = append(*blocks, b)
		}
	}
	for range r.count() {
		n := name{r.text(), r.text(), r.text()}
		p := posting{offset: uint32(r.uvarint()), size: uint32(r.uvarint())}
		if int64(p.offset)+int64(p.size) > int64(g.postings.size) || r.err != nil {
			return errDamaged
		}
		p.fn = number(n)
		g.functions = append(g.functions, p)
	}
	slices.SortFunc(g.functions, func(a, b posting) int { return int(a.fn) - int(b.fn) })
	if r.err != nil || g.count <= 0 || len(g.heads) != (g.count+headsPerBlock-1)/headsPerBlock || len(g.bodies) == 0 || int64(g.ids.size) != int64(g.count)*idSize {
		return errDamaged
	}
	return nil
}

// verify sees once that the sections without compression are as they were written.
func (g *segment) verify(f *os.File) error {
	g.check.Lock()
	defer g.check.Unlock()
	if g.sound {
		return nil
	}
	for _, s := range []section{g.postings, g.ids} {
		b := make([]byte, s.size)
		if _, err := f.ReadAt(b, s.offset); err != nil {
			return err
		}
		if crc32.Checksum(b, castagnoli()) != s.sum {
			return errDamaged
		}
	}
	g.sound = true
	return nil
}

// ordinals gives the places of the records of some functions (sorted numbers), ascending.
func (g *segment) ordinals(f *os.File, functions []uint32, failed bool) ([]int, error) {
	var meant []posting
	for _, p := range g.functions {
		if _, ok := slices.BinarySearch(functions, p.fn); ok {
			meant = append(meant, p)
		}
	}
	if len(meant) == len(g.functions) && !failed {
		all := make([]int, g.count)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	base, size := uint32(0), g.postings.size // all of them at once, unless few are meant
	if len(meant) == 1 {
		base, size = meant[0].offset, meant[0].size
	}
	if len(meant) == 0 {
		return nil, nil
	}
	postings := make([]byte, size)
	if _, err := f.ReadAt(postings, g.postings.offset+int64(base)); err != nil {
		return nil, err
	}
	var found []int
	for _, p := range meant {
		at := 0
		for r := (reader{b: postings[p.offset-base:][:p.size]}); len(r.b) > 0; {
			n := r.uvarint()
			if at += int(n >> 1); r.err != nil || at >= g.count {
				return nil, errDamaged
			}
			if !failed || n&1 == 1 {
				found = append(found, at)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// withID gives the places of the records whose request id may be the one with this hash.
func (g *segment) withID(f *os.File, hash uint64) ([]int, error) {
	var row [idSize]byte
	var failed error
	at := func(i int) (uint64, int) {
		if _, err := f.ReadAt(row[:], g.ids.offset+int64(i)*idSize); err != nil && failed == nil {
			failed = err
		}
		return binary.BigEndian.Uint64(row[:]), int(binary.BigEndian.Uint32(row[8:]))
	}
	low, high := 0, g.count
	for low < high {
		middle := (low + high) / 2
		if h, _ := at(middle); h < hash {
			low = middle + 1
		} else {
			high = middle
		}
	}
	var found []int
	for ; low < g.count; low++ {
		h, ordinal := at(low)
		if h != hash || failed != nil {
			break
		}
		found = append(found, ordinal)
	}
	return found, failed
}

// opened reads records of a segment, and keeps the blocks that it read last.
type opened struct {
	*segment
	file    *os.File
	decoder *zstd.Decoder
	names   *interned

	head, body           parts
	headIndex, bodyIndex int // 1 and up; 0 for none
	packed               []byte
}

// parts is a block taken apart.
type parts struct {
	whole []byte
	raw   []byte
	ends  []int
}

func (p *parts) at(i int) ([]byte, error) {
	if i < 0 || i >= len(p.ends) {
		return nil, errDamaged
	}
	from := 0
	if i > 0 {
		from = p.ends[i-1]
	}
	return p.raw[from:p.ends[i]], nil
}

// load reads a block of n parts.
func (o *opened) load(into *parts, b block, n int) error {
	if b.size > maxBlock {
		return errDamaged
	}
	packed := slices.Grow(o.packed[:0], int(b.size))[:b.size]
	o.packed = packed
	if _, err := o.file.ReadAt(packed, b.offset); err != nil {
		return err
	}
	raw, err := o.decoder.DecodeAll(packed, into.whole[:0]) // what is read of it is copied
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	into.whole = raw
	r, end := reader{b: raw}, uint64(0)
	into.ends = into.ends[:0]
	for range n {
		end += r.uvarint()
		if r.err != nil || end > uint64(len(raw)) {
			return errDamaged
		}
		into.ends = append(into.ends, int(end))
	}
	if int(end) != len(r.b) {
		return errDamaged
	}
	into.raw = r.b
	return nil
}

// read gives a record by its place.
func (o *opened) read(ordinal int) (faas.Record, error) {
	if i := ordinal/headsPerBlock + 1; i != o.headIndex {
		o.headIndex = 0
		if err := o.load(&o.head, o.heads[i-1], min(headsPerBlock, o.count-(i-1)*headsPerBlock)); err != nil {
			return faas.Record{}, err
		}
		o.headIndex = i
	}
	part, err := o.head.at(ordinal % headsPerBlock)
	if err != nil {
		return faas.Record{}, err
	}
	r := reader{b: part}
	return r.readHead(o.names), r.err
}

// complete adds the body to a record.
func (o *opened) complete(rec *faas.Record, ordinal int) error {
	i, ok := slices.BinarySearchFunc(o.bodies, int64(ordinal), func(b block, key int64) int { return int(b.key - key) })
	if ok {
		i++
	}
	if i == 0 {
		return errDamaged
	}
	if i != o.bodyIndex {
		next := int64(o.count)
		if i < len(o.bodies) {
			next = o.bodies[i].key
		}
		o.bodyIndex = 0
		n := next - o.bodies[i-1].key
		if n < 0 || n > int64(o.count) {
			return errDamaged
		}
		if err := o.load(&o.body, o.bodies[i-1], int(n)); err != nil {
			return err
		}
		o.bodyIndex = i
	}
	part, err := o.body.at(ordinal - int(o.bodies[i-1].key))
	if err != nil {
		return err
	}
	r := reader{b: part}
	r.readBody(rec, o.names)
	return r.err
}
