//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// custom is the runtime API: the bootstrap asks for requests, one for each time it asks, and hands in answers by the id of
// the request (FunctionGraph reference 5.4). It can ask several times at once.
type custom struct {
	*worker
	listener net.Listener
	load     lang.Load
	pending  chan *request
	asked    chan struct{} // closed with the first time that the bootstrap asks
	first    sync.Once

	lock sync.Mutex
	byID map[string]*request // not answered. lock guards the credentials in load as well
}

// request is a call on its way.
type request struct {
	seq   uint32
	id    string
	begun time.Time
	event []byte
	extra lang.CallExtra
	given bool // to the bootstrap; guarded by custom.lock
}

// maxPending is more than a server sends at once.
const maxPending = 1024

func newCustom(w *worker) (*custom, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &custom{worker: w, listener: listener, pending: make(chan *request, maxPending), asked: make(chan struct{}), byID: map[string]*request{}}, nil
}

func (c *custom) dial() func(uint32) { return nil }

func (c *custom) start(load lang.Load) (kind byte, failure lang.Failure, err error) {
	c.load = load
	const api = "/v1/runtime/invocation/"
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+api+"request", c.give)
	routes.HandleFunc("POST "+api+"response/{id}", c.takeResult)
	routes.HandleFunc("POST "+api+"error/{id}", c.takeError)
	go func() { _ = http.Serve(c.listener, routes) }() // until the worker ends
	failure, ok := c.worker.start(load, "RUNTIME_API_ADDR="+c.listener.Addr().String())
	if !ok {
		return lang.FailLoad, failure, nil
	}
	select {
	case <-c.asked:
		return 0, failure, nil
	case <-c.process.Ended():
		failure = c.process.Exit()
		failure.Message += " before it asked for a request"
		return lang.FailExit, failure, nil
	}
}

func (c *custom) call(f lang.Frame) {
	_, id, extra, err := f.CallHead()
	if err != nil {
		c.fail(f.Seq, lang.FailException, lang.Failure{Type: "ProtocolError", Message: err.Error()})
		return
	}
	r := &request{seq: f.Seq, id: id, begun: time.Now(), event: f.Body, extra: extra}
	c.lock.Lock()
	c.load.Renew(extra)
	twice := c.byID[id] != nil
	if !twice {
		c.byID[id] = r
	}
	c.lock.Unlock()
	if twice {
		c.fail(f.Seq, lang.FailException, lang.Failure{Type: "DuplicateRequest", Message: "a request with the id " + id + " is under way in this instance"})
		return
	}
	c.pending <- r
}

// give answers the bootstrap when there is a request for it.
func (c *custom) give(w http.ResponseWriter, in *http.Request) {
	c.first.Do(func() { close(c.asked) })
	var r *request
	select {
	case r = <-c.pending:
	case <-in.Context().Done():
		return
	}
	c.lock.Lock()
	r.given = true
	credentials := c.load.Headers()
	c.lock.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Cff-Request-Id", r.id)
	h.Set("X-Cff-Invoke-Type", "sync")
	for name, value := range credentials {
		h.Set(name, value)
	}
	r.extra.SetHeaders(h.Set, h.Del)
	if in.Context().Err() != nil {
		c.pending <- r // whoever asked has gone; the next one gets it
		return
	}
	_, err := w.Write(r.event)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		c.pending <- r
	}
}

// answered finds the request that an answer is for. An answer to none, or a second one, is refused.
func (c *custom) answered(w http.ResponseWriter, in *http.Request) (*request, []byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, in.Body, int64(c.load.MaxResult)+1))
	var long *http.MaxBytesError
	if err != nil && !errors.As(err, &long) {
		refuse(w, http.StatusBadRequest, "the answer cannot be read: "+err.Error())
		return nil, nil, err
	}
	id := in.PathValue("id")
	c.lock.Lock()
	r := c.byID[id]
	known := r != nil && r.given
	if known {
		delete(c.byID, id)
	}
	c.lock.Unlock()
	if !known {
		refuse(w, http.StatusNotFound, "no request with this id waits for an answer")
		return nil, nil, errors.New("no request")
	}
	if long != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "the answer is over its limit")
	}
	return r, body, nil
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(map[string]string{"errorMessage": message}) // a string can be written
	_, _ = w.Write(text)                                                // who asked may have gone
}

func (c *custom) takeResult(w http.ResponseWriter, in *http.Request) {
	r, body, err := c.answered(w, in)
	if err != nil {
		return
	}
	if size := max(in.ContentLength, int64(len(body))); size > int64(c.load.MaxResult) {
		c.fail(r.seq, lang.FailTooLarge, lang.TooLarge(int(size), c.load.MaxResult))
		return
	}
	result, kind, failure := lang.ResultOf(body, c.load.MaxResult)
	if kind != 0 {
		refuse(w, http.StatusUnprocessableEntity, failure.Message)
		c.fail(r.seq, kind, failure)
		return
	}
	c.result(r.seq, c.process.PeakKiB(time.Since(r.begun)), result)
}

func (c *custom) takeError(w http.ResponseWriter, in *http.Request) {
	r, body, err := c.answered(w, in)
	if err != nil {
		return
	}
	f := lang.Failure{Type: "Error", Message: string(body)}
	var told lang.Failure
	if json.Unmarshal(body, &told) == nil && told.Message != "" {
		f = told
	}
	c.fail(r.seq, lang.FailException, f)
}
