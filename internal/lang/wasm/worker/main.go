// Command worker runs a WebAssembly module for the server: it compiles it once and gives each call a fresh instance of it.
//
// It speaks the worker protocol of package lang over descriptor 3. It sets no time limit of its own: the engine would pay for
// that on every loop of the module, so the server ends this process instead.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

func main() {
	// Little garbage is worth a little memory; what counts is below the limit that serve sets.
	debug.SetGCPercent(400)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "the worker ended:", err)
		os.Exit(1)
	}
}

func run() error {
	syscall.CloseOnExec(lang.ControlFD)
	// A poller waits for it, so that a call that runs does not hold up the reading of the next.
	if err := syscall.SetNonblock(lang.ControlFD, true); err != nil {
		return err
	}
	w := &worker{control: os.NewFile(lang.ControlFD, "control"), peak: newPeakReader()}
	w.in = bufio.NewReaderSize(w.control, 64<<10)
	if err := w.send(lang.Frame{Type: lang.FrameReady}); err != nil {
		return err
	}
	err := w.serve()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// worker is this process as the server sees it.
type worker struct {
	control *os.File
	in      *bufio.Reader
	peak    *peakReader
	load    lang.Load
	module  *module

	sending sync.Mutex
	out     []byte
}

var errOutOfTurn = errors.New("a frame out of turn")

// serve answers until the socket ends.
func (w *worker) serve() error {
	for {
		f, err := lang.ReadFrame(w.in, nil, lang.MaxFrameBytes)
		if err != nil {
			return err
		}
		switch {
		case f.Type == lang.FrameLoad && w.module == nil:
			err = w.become(f.Body)
		case f.Type == lang.FrameCall && w.module != nil:
			go w.answer(f) // a server that sends one call at a time waits for it
		default:
			err = errOutOfTurn
		}
		if err != nil {
			return err
		}
	}
}

// become loads the function, or compiles it for others to load.
func (w *worker) become(body []byte) error {
	if err := json.Unmarshal(body, &w.load); err != nil {
		return fmt.Errorf("read load: %w", err)
	}
	if !w.load.Compile { // that has other limits than the function
		debug.SetMemoryLimit(int64(w.load.MemoryMB) << 20 * 3 / 4) // garbage must not be the reason that the sandbox is full
	}
	m, failure := loadModule(&w.load)
	if failure != nil {
		return w.fail(0, lang.FailLoad, *failure)
	}
	w.module = m
	return w.send(lang.Frame{Type: lang.FrameLoaded})
}

// answer sees a call through. A server that does not listen is gone.
func (w *worker) answer(f lang.Frame) {
	if err := w.call(f); err != nil {
		fmt.Fprintln(os.Stderr, "the worker ended:", err)
		os.Exit(1)
	}
}

// call runs one call and answers it. Calls come at the same time.
func (w *worker) call(f lang.Frame) error {
	if w.load.Compile {
		body, err := w.module.next()
		if err != nil {
			return err
		}
		return w.send(lang.Frame{Type: lang.FrameResult, Seq: f.Seq, Meta: w.peak.meta(), Body: body})
	}
	head, err := readHead(f.Meta)
	if err != nil {
		return err
	}
	head.seq = f.Seq
	w.module.renew(head.extra.Credentials)
	result, kind, failure := w.module.run(head, f.Body)
	if failure != nil {
		return w.fail(f.Seq, kind, *failure)
	}
	return w.send(lang.Frame{Type: lang.FrameResult, Seq: f.Seq, Meta: w.peak.meta(), Body: result})
}

func (w *worker) fail(seq uint32, kind byte, failure lang.Failure) error {
	if failure.Stack == nil {
		failure.Stack = []string{}
	}
	body, err := json.Marshal(failure)
	if err != nil {
		return err
	}
	return w.send(lang.Frame{Type: lang.FrameFailed, Seq: seq, Meta: []byte{kind}, Body: body})
}

func (w *worker) send(f lang.Frame) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	w.out = lang.AppendFrame(w.out[:0], f)
	_, err := w.control.Write(w.out)
	if cap(w.out) > faas.MaxResultBytes/4 {
		w.out = nil
	}
	return err
}

// head is what a call brings beside its event.
type head struct {
	seq       uint32
	deadline  uint64 // Unix milliseconds
	requestID string
	extra     lang.CallExtra
}

func readHead(meta []byte) (head, error) {
	if len(meta) < 8 {
		return head{}, errors.New("a call without a head")
	}
	h := head{deadline: binary.BigEndian.Uint64(meta)}
	id, extra, more := strings.Cut(string(meta[8:]), "\x00")
	h.requestID = id
	if more {
		if err := json.Unmarshal([]byte(extra), &h.extra); err != nil {
			return head{}, fmt.Errorf("read head of call: %w", err)
		}
	}
	return h, nil
}
