package blob

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// item is an entry of a zip made for a test, which may be as wrong as it likes.
type item struct {
	name   string
	body   string
	mode   fs.FileMode // 0 for that of a FAT file
	method uint16
	head   func(*zip.FileHeader) // changes the header when all else is in it
}

func makeZip(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, i := range items {
		data := []byte(i.body)
		h := &zip.FileHeader{Name: i.name, Method: i.method, CRC32: crc32.ChecksumIEEE(data), UncompressedSize64: uint64(len(data))}
		if i.mode != 0 {
			h.SetMode(i.mode)
		}
		if i.method == zip.Deflate {
			var packed bytes.Buffer
			f, err := flate.NewWriter(&packed, flate.BestSpeed)
			require.NoError(t, err)
			_, err = f.Write(data)
			require.NoError(t, errors.Join(err, f.Close()))
			data = packed.Bytes()
		}
		h.CompressedSize64 = uint64(len(data))
		if i.head != nil {
			i.head(h)
		}
		f, err := w.CreateRaw(h)
		require.NoError(t, err)
		_, err = f.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func linkItem(name, target string) item {
	return item{name: name, body: target, mode: fs.ModeSymlink | 0o777}
}

func size(n uint64) func(*zip.FileHeader) {
	return func(h *zip.FileHeader) { h.UncompressedSize64 = n }
}

var zeros = strings.Repeat("\x00", 1<<20)

// bomb makes an entry of so many MiB of zeros. Each is one deflated block after the other, packed once.
func bomb(name string, mib int) item {
	var block bytes.Buffer
	w, _ := flate.NewWriter(&block, flate.BestSpeed)
	_, _ = io.WriteString(w, zeros) // into memory
	_ = w.Flush()
	sum := crc32.NewIEEE()
	for range mib {
		_, _ = io.WriteString(sum, zeros)
	}
	body := strings.Repeat(block.String(), mib) + "\x01\x00\x00\xff\xff" // an empty last block
	return item{name: name, body: body, head: func(h *zip.FileHeader) {
		h.Method, h.CRC32, h.UncompressedSize64 = zip.Deflate, sum.Sum32(), uint64(mib)<<20
	}}
}

// claiming makes an entry's header claim a size.
func claiming(i item, n uint64) item {
	real := i.head
	i.head = func(h *zip.FileHeader) { real(h); h.UncompressedSize64 = n }
	return i
}

// refused is a package that must be refused, with a part of the sentence that says why.
type refused struct {
	name string
	data []byte
	code faas.Code
	says string
}

// huge are those that would take much time or memory.
func huge(t testing.TB) []refused {
	// One real file, and a directory that names it a million times; the count says 1 modulo 65536.
	flood := func(heads int) []byte {
		one := makeZip(t, item{name: "a"})
		at := bytes.Index(one, []byte("PK\x01\x02"))
		end := bytes.Index(one, []byte("PK\x05\x06"))
		data := append(bytes.Clone(one[:at]), bytes.Repeat(one[at:end], heads)...)
		tail := bytes.Clone(one[end:])
		binary.LittleEndian.PutUint16(tail[8:], uint16(heads))
		binary.LittleEndian.PutUint16(tail[10:], uint16(heads))
		binary.LittleEndian.PutUint32(tail[12:], uint32(heads*(end-at)))
		return append(data, tail...)
	}
	var many []item
	for i := range faas.MaxPackageFiles + 1 {
		many = append(many, item{name: fmt.Sprint(i)})
	}
	var folders []item
	for i := range 4000 {
		folders = append(folders, item{name: fmt.Sprintf("%d/", i) + strings.Repeat("d/", 40) + "f"})
	}
	return []refused{
		{"bomb", makeZip(t, bomb("a", 80)), faas.CodeTooLarge, "unpacks to more than"},
		{"bomb that claims to be small", makeZip(t, claiming(bomb("a", 80), 10)), faas.CodeInvalid, "another size"},
		{"bomb in parts", makeZip(t, bomb("a", 40), bomb("b", 40)), faas.CodeTooLarge, `"b"`},
		{"too many files", makeZip(t, many...), faas.CodeTooLarge, "more than 100000 files"},
		{"too many implied folders", makeZip(t, folders...), faas.CodeTooLarge, "more than 100000 files"},
		{"directory flood", flood(1_000_001), faas.CodeTooLarge, "more than 100000 files"},
	}
}

// hostile are the others.
func hostile(t testing.TB) []refused {
	good := makeZip(t, item{name: "index.py", body: strings.Repeat("code\n", 100), method: zip.Deflate}, item{name: "b.py", body: "b"})
	patched := func(at int, value byte) []byte {
		data := bytes.Clone(good)
		data[at] = value
		return data
	}
	// Two directory entries for one file.
	shared := func() []byte {
		one := makeZip(t, item{name: "a", body: zeros[:1000]})
		at, end := bytes.Index(one, []byte("PK\x01\x02")), bytes.Index(one, []byte("PK\x05\x06"))
		head := bytes.Clone(one[at:end])
		head[46] = 'b'
		tail := bytes.Clone(one[end:])
		tail[8], tail[10], tail[12] = 2, 2, byte(2*len(head))
		return slices.Concat(one[:end], head, tail)
	}()
	deep := strings.Repeat("d/", 64) + "f"
	return []refused{
		{"empty", nil, faas.CodeInvalid, "is empty"},
		{"only the magic", []byte("PK\x03\x04"), faas.CodeInvalid, "cut short"},
		{"truncated in the directory", good[:len(good)-30], faas.CodeInvalid, "cut short"},
		{"truncated in the data", good[:60], faas.CodeInvalid, "cut short"},
		{"middle cut out", append(bytes.Clone(good[:60]), good[80:]...), faas.CodeInvalid, ""},
		{"damaged data", patched(60, good[60]^0xff), faas.CodeInvalid, `"index.py"`},
		{"wrong checksum", makeZip(t, item{name: "a", body: "x", head: func(h *zip.FileHeader) { h.CRC32++ }}), faas.CodeInvalid, "checksum"},
		{"encrypted", makeZip(t, item{name: "a", body: "x", head: func(h *zip.FileHeader) { h.Flags |= 1 }}), faas.CodeInvalid, `"a" of the zip is encrypted`},
		{"method", makeZip(t, item{name: "a", body: "x", head: func(h *zip.FileHeader) { h.Method = 93 }}), faas.CodeInvalid, "method 93"},

		{"size over all limits", makeZip(t, item{name: "a", body: "x", head: size(1 << 62)}, item{name: "b", body: "x", head: size(1 << 63)}), faas.CodeTooLarge, `"a"`},
		{"claims more", makeZip(t, item{name: "a", body: "four", head: size(5)}), faas.CodeInvalid, "another size"},
		{"claims less", makeZip(t, item{name: "a", body: "four", head: size(3)}), faas.CodeInvalid, "another size"},
		{"packed size beyond the end", makeZip(t, item{name: "a", body: "four", method: zip.Deflate, head: func(h *zip.FileHeader) { h.CompressedSize64 = 1 << 30 }}), faas.CodeInvalid, "beyond"},
		{"entries that share data", shared, faas.CodeInvalid, "beyond"},

		{"slip", makeZip(t, item{name: "../a", body: "x"}), faas.CodeInvalid, `".."`},
		{"slip inside", makeZip(t, item{name: "a/../../b", body: "x"}), faas.CodeInvalid, `".."`},
		{"slip folder", makeZip(t, item{name: "../"}), faas.CodeInvalid, `".."`},
		{"absolute", makeZip(t, item{name: "/etc/passwd", body: "x"}), faas.CodeInvalid, "absolute"},
		{"absolute behind a dot", makeZip(t, item{name: ".//etc/passwd", body: "x"}), faas.CodeInvalid, "absolute"},
		{"backslash", makeZip(t, item{name: `..\a`, body: "x"}), faas.CodeInvalid, `"\"`},
		{"drive", makeZip(t, item{name: "C:a", body: "x"}), faas.CodeInvalid, "drive"},
		{"nul", makeZip(t, item{name: "a\x00b", body: "x"}), faas.CodeInvalid, "NUL"},
		{"no name", makeZip(t, item{name: "", body: "x"}), faas.CodeInvalid, "no name"},
		{"empty part", makeZip(t, item{name: "a//b", body: "x"}), faas.CodeInvalid, "empty part"},
		{"dot", makeZip(t, item{name: "a/./b", body: "x"}), faas.CodeInvalid, `"."`},
		{"only a dot", makeZip(t, item{name: ".", body: "x"}), faas.CodeInvalid, "no name"},
		{"long name", makeZip(t, item{name: strings.Repeat("a/", 512) + "a", body: "x"}), faas.CodeInvalid, "1024 bytes"},
		{"long part", makeZip(t, item{name: strings.Repeat("a", 256), body: "x"}), faas.CodeInvalid, "255 bytes"},
		{"deep", makeZip(t, item{name: deep, body: "x"}), faas.CodeInvalid, "64 folders"},

		{"duplicate", makeZip(t, item{name: "a", body: "x"}, item{name: "a", body: "y"}), faas.CodeInvalid, "two entries"},
		{"duplicate behind a dot", makeZip(t, item{name: "a", body: "x"}, item{name: "./a", body: "y"}), faas.CodeInvalid, "two entries"},
		{"file below a file", makeZip(t, item{name: "a", body: "x"}, item{name: "a/b", body: "y"}), faas.CodeInvalid, "not a folder"},
		{"file in place of a folder", makeZip(t, item{name: "a/b", body: "x"}, item{name: "a", body: "y"}), faas.CodeInvalid, "two entries"},
		{"folder in place of a file", makeZip(t, item{name: "a", body: "x"}, item{name: "a/"}), faas.CodeInvalid, "two entries"},
		{"folder with content", makeZip(t, item{name: "a/", head: size(1)}), faas.CodeInvalid, "folder with content"},

		{"link out", makeZip(t, linkItem("a", "../x")), faas.CodeInvalid, "leads out"},
		{"link to the folder above", makeZip(t, linkItem("a", "..")), faas.CodeInvalid, "leads out"},
		{"link out from a folder", makeZip(t, linkItem("d/a", "../../x")), faas.CodeInvalid, "leads out"},
		{"link out behind dots", makeZip(t, linkItem("d/a", "./../././../x")), faas.CodeInvalid, "leads out"},
		{"absolute link", makeZip(t, linkItem("a", "/etc/passwd")), faas.CodeInvalid, "absolute"},
		{"absolute link behind dots", makeZip(t, linkItem("d/a", "..//etc")), faas.CodeInvalid, "absolute"},
		{"link that climbs in the middle", makeZip(t, linkItem("d/up", ".."), linkItem("b", "d/up/../x")), faas.CodeInvalid, `".."`},
		{"link with backslash", makeZip(t, linkItem("a", `..\x`)), faas.CodeInvalid, `"\"`},
		{"link to nothing", makeZip(t, linkItem("a", "")), faas.CodeInvalid, "nothing"},
		{"long link", makeZip(t, linkItem("a", strings.Repeat("b", 2000))), faas.CodeInvalid, "more than 1024"},
		{"long link that claims to be short", makeZip(t, item{name: "a", body: zeros, mode: fs.ModeSymlink, method: zip.Deflate, head: size(9)}), faas.CodeInvalid, "another size"},
		{"write through a link", makeZip(t, linkItem("a", "b"), item{name: "a/x", body: "x"}), faas.CodeInvalid, "not a folder"},
		{"link in place of a folder", makeZip(t, item{name: "a/x", body: "x"}, linkItem("a", "b")), faas.CodeInvalid, "two entries"},
		{"write onto a link", makeZip(t, linkItem("a", "b"), item{name: "a", body: "x"}), faas.CodeInvalid, "two entries"},
	}
}

func TestHostilePackagesAreRefused(t *testing.T) {
	for _, c := range append(hostile(t), huge(t)...) {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Inspect(t.Context(), bytes.NewReader(c.data), int64(len(c.data)))
			runtime.ReadMemStats(&after)
			var e *faas.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.code, e.Code, "%v", err)
			require.Equal(t, "func_code", e.Field)
			require.Contains(t, e.Message, c.says)
			require.Less(t, len(e.Message), 1000)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(150<<20), "bytes allocated")

			if len(c.data) > 0 {
				parent := t.TempDir()
				dir := filepath.Join(parent, "in")
				require.NoError(t, os.Mkdir(dir, 0o755))
				_, err = unpackZip(t.Context(), bytes.NewReader(c.data), int64(len(c.data)), dir, packageLimits)
				require.Equal(t, c.code, faas.CodeOf(err), "%v", err)
				left, err := os.ReadDir(parent)
				require.NoError(t, err)
				require.Len(t, left, 1, "nothing is written beside the folder")
			}
		})
	}
}

// A zip whose real size is over the limit is found by counting, whatever its headers claim.
func TestLimitsCountRealBytes(t *testing.T) {
	l := limits{entries: 10, bytes: 1000, ratio: 1000, floor: 100}
	for _, c := range []struct {
		name string
		data []byte
		want faas.Code
	}{
		{"just fits", makeZip(t, item{name: "a", body: zeros[:1000], method: zip.Deflate}), ""},
		{"one over", makeZip(t, item{name: "a", body: zeros[:1001], method: zip.Deflate}), faas.CodeTooLarge},
		{"two over together", makeZip(t, item{name: "a", body: zeros[:500]}, item{name: "b", body: zeros[:501]}), faas.CodeTooLarge},
	} {
		_, err := inspect(t.Context(), bytes.NewReader(c.data), int64(len(c.data)), l)
		if c.want == "" {
			require.NoError(t, err, c.name)
			continue
		}
		require.Equal(t, c.want, faas.CodeOf(err), c.name)
	}
	require.Equal(t, int64(100), limits{bytes: 1000, ratio: 2, floor: 100}.unpacked(7))
	require.Equal(t, int64(200), limits{bytes: 1000, ratio: 2, floor: 100}.unpacked(100))
	require.Equal(t, int64(1000), limits{bytes: 1000, ratio: 2, floor: 100}.unpacked(501))
}

func TestGoodPackages(t *testing.T) {
	var many []item
	for i := range 70_000 { // needs zip64
		many = append(many, item{name: fmt.Sprint(i)})
	}
	simple := makeZip(t, item{name: "index.py", body: "pass", method: zip.Deflate})
	for _, c := range []struct {
		name string
		data []byte
		want Contents
	}{
		{"source", []byte("def handler(event, context): pass"), Contents{Source: true, Entries: 1, Bytes: 33}},
		{"source that is short", []byte("PK"), Contents{Source: true, Entries: 1, Bytes: 2}},
		{"no entries", makeZip(t), Contents{}},
		{"one file", simple, Contents{Entries: 1, Bytes: 4}},
		{"trailing bytes", append(bytes.Clone(simple), strings.Repeat("\n", 500)...), Contents{Entries: 1, Bytes: 4}},
		{"zip64", makeZip(t, many...), Contents{Entries: 70_000}},
		{"folders", makeZip(t, item{name: "a/"}, item{name: "a/b/c", body: "x"}, item{name: "a/b/"}, item{name: "a/"}), Contents{Entries: 3, Bytes: 1}},
		{"as tar makes it", makeZip(t, item{name: "./"}, item{name: "./a", body: "x"}, item{name: "./d/"}, item{name: "./d/b", body: "y"}), Contents{Entries: 3, Bytes: 2}},
		{"names in any script", makeZip(t, item{name: "函数/索引.py", body: "x"}, item{name: "\xba\xaf\xca\xfd.txt", body: "y"}, item{name: "..a/b..", body: "z"}), Contents{Entries: 5, Bytes: 3}},
		{"links that stay inside", makeZip(t, linkItem("bin/tool", "../lib/tool.js"), linkItem("up/up", ".."), linkItem("here", "./bin"), linkItem("dangling", "nowhere"), linkItem("self", "self"), item{name: "lib/tool.js", body: "x"}), Contents{Entries: 9, Bytes: 33}},
		{"deep", makeZip(t, item{name: strings.Repeat("d/", 63) + "f", body: "x"}), Contents{Entries: 64, Bytes: 1}},
		{"well packed, and small", makeZip(t, bomb("a", 60)), Contents{Entries: 1, Bytes: 60 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Inspect(t.Context(), bytes.NewReader(c.data), int64(len(c.data)))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestUnpackModes(t *testing.T) {
	data := makeZip(t,
		item{name: "plain", body: "1", mode: 0o600}, item{name: "run", body: "2", mode: 0o700},
		item{name: "suid", body: "3", mode: fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o4777}, item{name: "fat", body: "4"},
		item{name: "device", body: "5", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}, item{name: "pipe", body: "6", mode: fs.ModeNamedPipe | 0o644},
		item{name: "none", body: "7", head: func(h *zip.FileHeader) { h.CreatorVersion, h.ExternalAttrs = 3<<8, 0 }},
		item{name: "fat-script", body: "#!/bin/sh\n"}, item{name: "fat-program", body: "\x7fELF...", method: zip.Deflate}, item{name: "script", body: "#!/bin/sh\n", mode: 0o644},
		item{name: "dir/", mode: fs.ModeDir | 0o700}, item{name: "implied/x", body: "8", mode: 0o444}, linkItem("link", "run"))
	dir := t.TempDir()
	_, err := unpackZip(t.Context(), bytes.NewReader(data), int64(len(data)), dir, packageLimits)
	require.NoError(t, err)
	want := map[string]fs.FileMode{
		"plain": 0o644, "run": 0o755, "suid": 0o755, "fat": 0o644, "device": 0o644, "pipe": 0o644, "none": 0o644,
		"fat-script": 0o755, "fat-program": 0o755, "script": 0o644,
		"dir": fs.ModeDir | 0o755, "implied": fs.ModeDir | 0o755, "implied/x": 0o644, "link": fs.ModeSymlink | 0o777,
	}
	got := map[string]fs.FileMode{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if name, _ := filepath.Rel(dir, path); name != "." {
			got[name] = info.Mode()
		}
		return nil
	}))
	require.Equal(t, want, got)
	text, err := os.ReadFile(filepath.Join(dir, "link"))
	require.NoError(t, err)
	require.Equal(t, "2", string(text))
}

// An error of reading is ours, not the package's; and a caller that went away is neither.
func TestInspectReaderFails(t *testing.T) {
	data := makeZip(t, item{name: "a", body: "x"}, item{name: "b", body: strings.Repeat("y", 10_000)})
	broken := errors.New("disk on fire")
	for reads := range 12 {
		left := reads
		r := readerAt(func(p []byte, off int64) (int, error) {
			if left--; left < 0 {
				return 0, broken
			}
			return bytes.NewReader(data).ReadAt(p, off)
		})
		_, err := Inspect(t.Context(), r, int64(len(data)))
		if err != nil {
			require.ErrorIs(t, err, broken, "after %d reads", reads)
			require.Equal(t, faas.CodeInternal, faas.CodeOf(err))
		} else {
			require.Greater(t, reads, 5)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Inspect(ctx, bytes.NewReader(data), int64(len(data)))
	require.ErrorIs(t, err, context.Canceled)
}

type readerAt func(p []byte, off int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

// Whatever Inspect accepts is laid down as it says, strictly inside the folder; whatever it refuses, unpacking refuses.
func FuzzInspect(f *testing.F) {
	for _, c := range hostile(f) {
		f.Add(c.data)
	}
	f.Add(makeZip(f, linkItem("bin/tool", "../lib/tool.js"), linkItem("up/up", ".."), item{name: "lib/tool.js", body: "x", method: zip.Deflate}))
	f.Add(makeZip(f, item{name: "./"}, item{name: "./a", body: "x"}, item{name: "d/e/f", body: "y", mode: 0o755}))
	l := limits{entries: 50, bytes: 1 << 20, ratio: 200, floor: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, refusal := inspect(t.Context(), bytes.NewReader(data), int64(len(data)), l)
		if want.Source {
			return
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		require.NoError(t, os.Mkdir(dir, 0o755))
		got, err := unpackZip(t.Context(), bytes.NewReader(data), int64(len(data)), dir, l)
		left, reading := os.ReadDir(parent)
		require.NoError(t, reading)
		require.Len(t, left, 1)
		if refusal != nil {
			require.NotEqual(t, faas.CodeInternal, faas.CodeOf(refusal), "%v", refusal)
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
		requireInside(t, dir, want, l)
	})
}

// requireInside walks what was unpacked: just so many things and bytes, of harmless kinds, and no link that leads out.
func requireInside(t *testing.T, dir string, want Contents, l limits) {
	real, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	entries, bytes := 0, int64(0)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if path == dir {
			return nil
		}
		entries++
		info, err := d.Info()
		require.NoError(t, err)
		switch {
		case d.IsDir():
			require.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			bytes += int64(len(target))
			require.False(t, filepath.IsAbs(target))
			if at, err := filepath.EvalSymlinks(path); err == nil {
				require.True(t, at == real || strings.HasPrefix(at, real+"/"), "%s leads to %s", path, at)
			}
		default:
			require.True(t, info.Mode().IsRegular())
			require.Contains(t, []fs.FileMode{0o644, 0o755}, info.Mode())
			bytes += info.Size()
		}
		return nil
	}))
	require.Equal(t, want.Entries, entries)
	require.Equal(t, want.Bytes, bytes)
	require.LessOrEqual(t, entries, l.entries)
	require.LessOrEqual(t, bytes, l.bytes)
}

var _ io.ReaderAt = readerAt(nil)
