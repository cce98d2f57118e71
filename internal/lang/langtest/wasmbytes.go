package langtest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wasmModule is a WASI command put together by hand, as small as a compiled C program is: two pages of memory, the functions
// fd_read (0), fd_write (1) and proc_exit (2), and _start with the body given. Text lies at address 1024.
type wasmModule struct {
	body    []byte
	text    string
	pages   int    // 0 means 2
	start   string // "" means _start
	imports string // module of the imports; "" means that of WASI
}

// Instructions of WebAssembly, as far as the examples need them.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opIf          = 0x04
	opEnd         = 0x0b
	opBranch      = 0x0c
	opCall        = 0x10
	opDrop        = 0x1a
	opLoad        = 0x28
	opStore       = 0x36
	opGrow        = 0x40
	opConst       = 0x41
	opEqual       = 0x46
	opAdd         = 0x6a
	noResult      = 0x40
)

const textAt = 1024

func (m wasmModule) bytes() string {
	pages, start, from := m.pages, m.start, m.imports
	if pages == 0 {
		pages = 2
	}
	if start == "" {
		start = "_start"
	}
	if from == "" {
		from = "wasi_snapshot_preview1"
	}
	const i32 = 0x7f
	imported := func(name string, kind byte) []byte {
		return join(vector(from), vector(name), []byte{0, kind})
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) {
		out = append(append(append(out, id), leb(len(content))...), content...)
	}
	section(1, []byte{3, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 1, i32, 0, 0x60, 0, 0})
	section(2, join([]byte{3}, imported("fd_read", 0), imported("fd_write", 0), imported("proc_exit", 1)))
	section(3, []byte{1, 2})
	section(5, join([]byte{1, 0}, leb(pages)))
	section(7, join([]byte{2}, vector("memory"), []byte{2, 0}, vector(start), []byte{0, 3}))
	code := join([]byte{0}, m.body, []byte{opEnd})
	section(10, join([]byte{1}, leb(len(code)), code))
	section(11, join([]byte{1, 0}, number(textAt), []byte{opEnd}, vector(m.text)))
	return string(out)
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func vector(text string) []byte { return append(leb(len(text)), text...) }

// number puts a constant on the stack.
func number(n int32) []byte {
	out := []byte{opConst}
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// load and store work on addresses that are constants.
func load(at int32) []byte { return append(number(at), opLoad, 2, 0) }

func store(at int32, value []byte) []byte { return join(number(at), value, []byte{opStore, 2, 0}) }

// transfer calls fd_read (0) or fd_write (1) on a descriptor with the one buffer that is described at address 0; how much
// went stands at 8.
func transfer(function byte, fd int32) []byte {
	return join(number(fd), number(0), number(1), number(8), []byte{opCall, function, opDrop})
}

// say writes the module's text to a descriptor.
func say(fd int32, text string) []byte {
	return join(store(0, number(textAt)), store(4, number(int32(len(text)))), transfer(1, fd))
}

// wasmEcho writes its standard input to its standard output.
func wasmEcho() string {
	return wasmModule{body: join(
		[]byte{opLoop, noResult},
		store(0, number(2048)), store(4, number(65536)), transfer(0, 0),
		load(8), []byte{opIf, noResult},
		store(4, load(8)), transfer(1, 1), []byte{opBranch, 1},
		[]byte{opEnd, opEnd},
	)}.bytes()
}

// WASMEcho is a function of the WASM runtime that returns its event.
func WASMEcho() []byte { return []byte(wasmEcho()) }

// WASMLoop is one that never ends.
func WASMLoop() []byte {
	return []byte(wasmModule{body: []byte{opLoop, noResult, opBranch, 0, opEnd}}.bytes())
}

// wasmExample builds testdata/wasm by Go's own compiler, once for all tests of a process.
var wasmExample = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir, err := os.MkdirTemp("", "wasm-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "index.wasm")
	cmd := exec.Command("go", "build", "-o", out, filepath.Join(filepath.Dir(here), "testdata", "wasm", "main.go"))
	cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return string(said), err
	}
	module, err := os.ReadFile(out)
	return string(module), err
})

// WASMExample is a function of the WASM runtime built by Go, which tries what its event says.
func WASMExample(t testing.TB) []byte {
	t.Helper()
	module, err := wasmExample()
	require.NoError(t, err, module)
	return []byte(module)
}
