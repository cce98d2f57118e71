package blob

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Contents is what a package holds.
type Contents struct {
	Source  bool  // one bare file and no archive
	Entries int   // files, links and folders, implied ones included
	Bytes   int64 // of all files, unpacked
}

// limits bound what a package may unpack to.
type limits struct {
	entries int   // files, links and folders
	bytes   int64 // unpacked
	ratio   int64 // unpacked bytes for each byte of the package ...
	floor   int64 // ... beyond the first so many, which are always allowed
}

var packageLimits = limits{entries: faas.MaxPackageFiles, bytes: faas.MaxUnpackedBytes, ratio: 200, floor: 64 << 20}

func (l limits) unpacked(packed int64) int64 { return min(l.bytes, max(l.floor, packed*l.ratio)) }

// isZip tells a zip or jar, by its first bytes, from a bare source file.
func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

// Inspect judges a package. A zip or jar is known by its first bytes, and is really unpacked, into nothing, so that no
// header is believed: sizes, checksums, names, links, the number of entries, and the whole are held to their limits.
// Anything else is a bare source file. Memory is bounded by the package's own size and faas.MaxPackageFiles.
//
// Errors, field "func_code", with the entry named: CodeInvalid, and CodeTooLarge for what is over a limit.
func Inspect(ctx context.Context, r io.ReaderAt, size int64) (Contents, error) {
	return inspect(ctx, r, size, packageLimits)
}

func inspect(ctx context.Context, r io.ReaderAt, size int64, l limits) (Contents, error) {
	switch {
	case size == 0:
		return Contents{}, invalid("the package is empty")
	case size > faas.MaxPulledBytes:
		return Contents{}, tooLarge("the package has %d bytes, over its limit of %d", size, int64(faas.MaxPulledBytes))
	}
	head := make([]byte, 4)
	if n, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return Contents{}, fmt.Errorf("blob: read package: %w", err)
	} else if !isZip(head[:n]) {
		return Contents{Source: true, Entries: 1, Bytes: size}, nil
	}
	a, err := readArchive(ctx, r, size, l)
	if err != nil {
		return Contents{}, err
	}
	if err := a.unpack(ctx, nowhere{}); err != nil {
		return Contents{}, err
	}
	return a.contents(), nil
}

func invalid(format string, args ...any) error {
	return faas.Errorf(faas.CodeInvalid, "func_code", format, args...)
}

func tooLarge(format string, args ...any) error {
	return faas.Errorf(faas.CodeTooLarge, "func_code", format, args...)
}

type kind int

const (
	folder kind = iota + 1
	file
	link
)

// entry is one thing to lay down.
type entry struct {
	name   string
	kind   kind
	source *zip.File // nil for a folder
	target string    // of a link
}

// archive is a zip whose names, kinds and links have been judged as a whole. Its entries are in an order in which they can
// be laid down: folders before what is in them, links last.
type archive struct {
	reader  *source
	kinds   map[string]kind
	entries []entry
	links   []entry
	limits  limits
	allowed int64 // unpacked bytes
	used    int64 // of allowed
	buffer  []byte
}

func readArchive(ctx context.Context, r io.ReaderAt, size int64, l limits) (*archive, error) {
	reader := &source{ReaderAt: r, limit: l.entries}
	listed, err := zip.NewReader(reader, size)
	switch {
	case reader.err != nil:
		return nil, reader.err
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // names are judged below, one by one
		return nil, invalid("the zip is cut short or damaged: its directory cannot be read")
	case len(listed.File) > l.entries:
		return nil, tooManyEntries(l.entries)
	}
	reader.limit = 0
	a := &archive{reader: reader, kinds: make(map[string]kind), limits: l, allowed: l.unpacked(size), buffer: make([]byte, 32<<10)}
	var claimed, packed uint64
	for _, f := range listed.File {
		packed += min(f.CompressedSize64, uint64(size)+1)
		if packed > uint64(size) { // a lie, or entries that share their data, as bombs do
			return nil, invalid("entry %.200q of the zip claims data beyond what the package has", f.Name)
		}
		claimed += min(f.UncompressedSize64, uint64(l.bytes)+1)
		if claimed > uint64(a.allowed) {
			return nil, a.overBytes(f.Name)
		}
		if err := a.admit(ctx, f); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// admit judges the head of one entry and takes it in.
func (a *archive) admit(ctx context.Context, f *zip.File) error {
	e := entry{kind: file, source: f, name: f.Name}
	switch mode := f.Mode(); {
	case mode.IsDir():
		e.kind, e.source, e.name = folder, nil, strings.TrimSuffix(f.Name, "/")
	case mode&fs.ModeSymlink != 0:
		e.kind = link
	}
	if rest, ok := strings.CutPrefix(e.name+"/", "./"); ok { // as tar writes it
		e.name = strings.TrimSuffix(rest, "/")
		if e.name == "" && e.kind == folder {
			return nil
		}
	}
	if fault := nameFault(e.name); fault != "" {
		return invalid("entry %.200q of the zip %s", f.Name, fault)
	}
	switch {
	case f.Flags&1 != 0:
		return invalid("entry %.200q of the zip is encrypted", f.Name)
	case e.kind == folder && f.UncompressedSize64 != 0:
		return invalid("entry %.200q of the zip is a folder with content", f.Name)
	case e.kind != folder && f.Method != zip.Store && f.Method != zip.Deflate:
		return invalid("entry %.200q of the zip is compressed by method %d; only stored and deflated entries can be read", f.Name, f.Method)
	}
	if e.kind == link {
		if err := a.readLink(ctx, &e); err != nil {
			return err
		}
	}
	return a.place(e)
}

// readLink reads and judges the target of a link.
func (a *archive) readLink(ctx context.Context, e *entry) error {
	if e.source.UncompressedSize64 > maxLinkBytes {
		return invalid("entry %.200q of the zip is a link to more than %d bytes", e.name, maxLinkBytes)
	}
	var target bytes.Buffer
	if err := a.copy(ctx, &target, *e); err != nil {
		return err
	}
	e.target = target.String()
	if fault := linkFault(e.name, e.target); fault != "" {
		return invalid("entry %.200q of the zip %s", e.name, fault)
	}
	return nil
}

// place adds an entry and the folders above it. A name can be given once, but for folders; and nothing but a folder can
// have anything below it, so that nothing is ever written through a link.
func (a *archive) place(e entry) error {
	for i, c := range []byte(e.name) {
		if c != '/' {
			continue
		}
		above := e.name[:i]
		switch a.kinds[above] {
		case folder:
		case 0:
			if err := a.add(entry{name: above, kind: folder}); err != nil {
				return err
			}
		default:
			return invalid("entry %.200q of the zip lies below %.200q, which is not a folder", e.name, above)
		}
	}
	switch there := a.kinds[e.name]; {
	case there == 0:
		return a.add(e)
	case there == folder && e.kind == folder:
		return nil
	}
	return invalid("the zip has two entries of the name %.200q", e.name)
}

func (a *archive) add(e entry) error {
	if len(a.kinds) >= a.limits.entries {
		return tooManyEntries(a.limits.entries)
	}
	a.kinds[e.name] = e.kind
	if e.kind == link {
		a.links = append(a.links, e)
	} else {
		a.entries = append(a.entries, e)
	}
	return nil
}

func tooManyEntries(limit int) error {
	return tooLarge("the zip has more than %d files and folders", limit)
}

func (a *archive) overBytes(name string) error {
	return tooLarge("the zip unpacks to more than %d bytes, the limit for its size; it is passed at entry %.200q", a.allowed, name)
}

func (a *archive) contents() Contents {
	return Contents{Entries: len(a.entries) + len(a.links), Bytes: a.used}
}

// place is where an archive is unpacked to.
type place interface {
	folder(name string) error
	file(name string, executable bool) (io.WriteCloser, error)
	link(name, target string) error
}

// nowhere is the place of an inspection.
type nowhere struct{}

func (nowhere) folder(string) error                       { return nil }
func (nowhere) file(string, bool) (io.WriteCloser, error) { return nowhere{}, nil }
func (nowhere) link(string, string) error                 { return nil }
func (nowhere) Write(p []byte) (int, error)               { return len(p), nil }
func (nowhere) Close() error                              { return nil }

// executable tells whether a file may be executed. Where the zip has no modes, as one made on Windows, a program is known by
// its first bytes.
func (e entry) executable() bool {
	const unix, darwin = 3, 19 // systems whose zips have modes
	if creator := e.source.CreatorVersion >> 8; (creator == unix || creator == darwin) && e.source.ExternalAttrs>>16 != 0 {
		return e.source.Mode()&0o111 != 0
	}
	r, err := e.source.Open()
	if err != nil {
		return false // unpacking says what is wrong
	}
	defer r.Close()
	head := make([]byte, 4)
	n, _ := io.ReadFull(r, head) // a short file is no fault
	return isProgram(head[:n])
}

// isProgram tells a program or a script that names its interpreter, by its first bytes.
func isProgram(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("#!"))
}

// unpack lays the entries down. Of modes only "may be executed" is kept.
func (a *archive) unpack(ctx context.Context, to place) error {
	for _, e := range a.entries {
		if e.kind == folder {
			if err := to.folder(e.name); err != nil {
				return fmt.Errorf("blob: unpack: %w", err)
			}
			continue
		}
		w, err := to.file(e.name, e.executable())
		if err != nil {
			return fmt.Errorf("blob: unpack: %w", err)
		}
		err = a.copy(ctx, w, e)
		if closing := w.Close(); err == nil && closing != nil {
			err = fmt.Errorf("blob: unpack: %w", closing)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range a.links {
		if err := to.link(e.name, e.target); err != nil {
			return fmt.Errorf("blob: unpack: %w", err)
		}
	}
	return nil
}

// copy unpacks one entry and counts its real bytes.
func (a *archive) copy(ctx context.Context, w io.Writer, e entry) error {
	r, err := e.source.Open()
	if err != nil {
		return a.damaged(e, err)
	}
	defer r.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(a.buffer)
		a.used += int64(n)
		if a.used > a.allowed {
			return a.overBytes(e.name)
		}
		if _, err := w.Write(a.buffer[:n]); err != nil {
			return fmt.Errorf("blob: unpack: %w", err)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return a.damaged(e, err)
		}
	}
}

// damaged tells a fault of the zip from one of reading it.
func (a *archive) damaged(e entry, err error) error {
	if a.reader.err != nil {
		return a.reader.err
	}
	why := "its data is damaged"
	switch {
	case errors.Is(err, zip.ErrChecksum):
		why = "its checksum is wrong"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, zip.ErrFormat):
		why = "its data is cut short or of another size than its header says"
	}
	return invalid("entry %.200q of the zip cannot be read: %s", e.name, why)
}

// source is the reader below an archive. It remembers an error that is not the archive's fault. While limit is not 0 it
// counts the heads of directory entries that it hands out, and ends the reading of a directory with more than so many:
// the number that a zip claims means nothing, and each entry takes memory. A head that is split between two reads is
// missed, which at one for each 4 KiB adds less than the limit.
type source struct {
	io.ReaderAt
	limit int
	heads int
	err   error
}

// spareHeads is what the search for the directory's end, which reads the last 65 KiB, may count beside the directory.
const spareHeads = 2 * (66 << 10) / 46

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, zip.ErrFormat // an offset out of the zip itself
	}
	n, err := s.ReaderAt.ReadAt(p, off)
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("blob: read package: %w", err)
	}
	if s.limit > 0 {
		s.heads += bytes.Count(p[:n], []byte("PK\x01\x02"))
		if s.heads > s.limit+spareHeads {
			s.err = tooManyEntries(s.limit)
			return 0, s.err
		}
	}
	return n, err
}
