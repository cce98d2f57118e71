//go:build linux

package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

// worker takes frames and sees to it that each call is answered once.
type worker struct {
	control  *adaptor.Control
	contract contract
	process  *adaptor.Process

	mu      sync.Mutex
	waiting map[uint32]struct{} // calls under way
	over    bool                // the process has ended
}

// serve is the worker's life. An error is a fault of the protocol.
func (w *worker) serve() error {
	load, ok, err := w.control.Ready()
	if !ok {
		return err
	}
	kind, failure, err := w.contract.start(load)
	if err != nil {
		return err
	}
	if kind != 0 {
		w.control.GiveUp(kind, failure)
		return nil
	}
	if err := w.control.Loaded(); err != nil {
		return nil // the server has gone
	}
	go w.supervise()
	return w.take()
}

// take hands calls on until the socket ends.
func (w *worker) take() error {
	dial := w.contract.dial()
	for {
		f, err := w.control.Read(nil) // a call keeps its own
		if err != nil {
			w.mu.Lock()
			w.over = true // before the process ends by it
			w.mu.Unlock()
			w.process.Kill()
			return nil
		}
		switch {
		case f.Type == lang.FrameCall && w.begin(f.Seq):
			w.contract.call(f)
		case f.Type == lang.FrameCall: // answered
		case f.Type == lang.FrameDial && dial != nil:
			go dial(f.Seq)
		default:
			return fmt.Errorf("a frame of type %d where a call is due", f.Type)
		}
	}
}

// start runs the bootstrap. A failure says why it cannot be run.
func (w *worker) start(load lang.Load, more ...string) (failure lang.Failure, ok bool) {
	process, err := adaptor.Start(load, bootstrap, adaptor.BaseEnvironment(), more...)
	if err != nil {
		return lang.Failure{Type: "HandlerNotFound", Message: err.Error()}, false
	}
	w.process = process
	return lang.Failure{}, true
}

func (w *worker) begin(seq uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		_ = w.control.Fail(seq, lang.FailExit, w.process.Exit()) // a server that does not listen is gone
		return false
	}
	w.waiting[seq] = struct{}{}
	return true
}

// end tells whether a call still waits for its answer; the one who is told so answers it.
func (w *worker) end(seq uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.waiting[seq]
	delete(w.waiting, seq)
	return ok
}

func (w *worker) fail(seq uint32, kind byte, f lang.Failure) {
	if w.end(seq) {
		_ = w.control.Fail(seq, kind, f) // a server that does not listen is gone
	}
}

func (w *worker) result(seq, peak uint32, body []byte) {
	if w.end(seq) {
		_ = w.control.Result(seq, peak, body) // a server that does not listen is gone
	}
}

// supervise answers the calls under way when the process has ended. A worker that has none ends too, so that it is not taken
// for one that could run another; one that has some is ended by the server.
func (w *worker) supervise() {
	<-w.process.Ended()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return // the server has gone
	}
	w.over = true
	if len(w.waiting) == 0 {
		os.Exit(w.process.Code())
	}
	for seq := range w.waiting {
		_ = w.control.Fail(seq, lang.FailExit, w.process.Exit()) // a server that does not listen is gone
	}
	clear(w.waiting)
}
