//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

// worker carries calls between the control socket and the function. take writes requests, receive reads answers.
type worker struct {
	control *adaptor.Control
	process *adaptor.Process
	rpc     *rpc
	header  map[string][]string // of every request; take's own
	limit   int                 // of a result, bytes

	mu    sync.Mutex
	calls map[uint32]time.Time // under way: when they began
	fate  *lang.Failure        // why no call can be run any more
}

func newWorker(control *adaptor.Control, process *adaptor.Process, c *rpc, load lang.Load) *worker {
	w := &worker{control: control, process: process, rpc: c, limit: load.MaxResult, calls: map[uint32]time.Time{}, header: map[string][]string{}}
	w.credit(load)
	w.header["X-Cff-Invoke-Type"] = []string{"sync"} // of "async" the function's side throws the result away
	return w
}

// credit sets the headers of the function's credentials.
func (w *worker) credit(load lang.Load) {
	for name, value := range adaptor.Credentials(load) {
		w.header[name] = []string{value}
	}
}

// take hands calls on until the socket ends.
func (w *worker) take() error {
	var buf []byte
	for {
		f, err := w.control.Read(buf)
		if err != nil {
			w.doom(lang.Failure{}, false) // before the process ends by it
			w.process.Kill()
			return nil
		}
		if f.Type != lang.FrameCall {
			return fmt.Errorf("a frame of type %d where a call is due", f.Type)
		}
		_, id, extra, err := f.CallHead()
		if err != nil {
			return err
		}
		if !w.begin(f.Seq) {
			continue
		}
		if extra.Credentials != nil {
			w.credit(lang.Load{Credentials: *extra.Credentials})
		}
		header := w.header
		header["X-Cff-Request-Id"] = []string{id}
		adaptor.SetExtra(extra, func(name, value string) { header[name] = []string{value} }, func(name string) { delete(header, name) })
		if err := w.rpc.send(f.Seq, &invokeRequest{Payload: f.Body, Header: header}); err != nil {
			w.rpc.cut() // receive tells
		}
		if buf = f.Body[:0]; cap(buf) > 64<<10 {
			buf = nil
		}
	}
}

// begin notes a call. It answers one that cannot be run any more, and tells so.
func (w *worker) begin(seq uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fate != nil {
		_ = w.control.Fail(seq, lang.FailExit, *w.fate) // a server that does not listen is gone
		return false
	}
	w.calls[seq] = time.Now()
	return true
}

// end forgets a call, and tells whether there was one and when it began: an answer that nobody waits for is dropped.
func (w *worker) end(seq uint64) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	begun, ok := w.calls[uint32(seq)]
	if ok = ok && seq>>32 == 0; ok {
		delete(w.calls, uint32(seq))
	}
	return begun, ok
}

// receive answers calls until the connection ends.
func (w *worker) receive() {
	for {
		seq, failure, out, err := w.rpc.receive()
		if err != nil {
			w.lost()
			return
		}
		begun, ok := w.end(seq)
		if !ok {
			continue
		}
		if failure != "" || out.StatusCode != 200 {
			err = w.fail(uint32(seq), failure, out)
		} else {
			err = w.answer(uint32(seq), begun, out.Payload)
		}
		if err != nil {
			return // the server has gone: take ends the worker
		}
		if len(out.Payload) > 1<<20 {
			out.Payload = nil
			debug.FreeOSMemory()
		}
	}
}

func (w *worker) answer(seq uint32, begun time.Time, payload []byte) error {
	result, kind, failure := adaptor.Result(payload, w.limit)
	if kind != 0 {
		return w.control.Fail(seq, kind, failure)
	}
	return w.control.Result(seq, w.process.PeakKiB(time.Since(begun)), result)
}

// fail tells what the function has reported: by net/rpc's error, or by a status of its own with the text as the payload.
func (w *worker) fail(seq uint32, text string, out invokeResponse) error {
	if text == "" {
		text = string(out.Payload)
	}
	f := lang.Failure{Message: text, Type: "Error"}
	var told lang.Failure
	if json.Unmarshal([]byte(text), &told) == nil && told.Message != "" {
		f = told
	}
	kind := byte(lang.FailException)
	if f.Type == "FunctionResponseTooLarge" {
		kind = lang.FailTooLarge
	}
	return w.control.Fail(seq, kind, f)
}

// exitGrace is how long a process whose connection has ended has to end itself, so that the reason can be told.
const exitGrace = 250 * time.Millisecond

// lost ends the calls under way when the connection has ended.
func (w *worker) lost() {
	select {
	case <-w.process.Ended():
	case <-time.After(exitGrace):
		w.doom(lang.Failure{Type: "RuntimeExit", Message: "the function's process closed its connection at RUNTIME_API_ADDR, or broke the protocol there"}, true)
		w.process.Kill()
		return
	}
	w.doom(w.process.Exit(), true)
}

// doom answers the calls under way with a failure. A worker that has none ends, so that it is not taken for one that could run
// another; one that has some is ended by the server. Without tell the server has gone.
func (w *worker) doom(f lang.Failure, tell bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fate != nil {
		return
	}
	w.fate = &f
	if !tell {
		return
	}
	if len(w.calls) == 0 {
		os.Exit(w.process.Code())
	}
	for seq := range w.calls {
		_ = w.control.Fail(seq, lang.FailExit, f) // a server that does not listen is gone
	}
	clear(w.calls)
}

// supervise ends the connection with the process: a child of it may hold it open.
func (w *worker) supervise() {
	<-w.process.Ended()
	w.rpc.cut()
}
