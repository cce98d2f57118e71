//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

// site is a function that is a web server (FunctionGraph reference 5.5). An event is turned into a request, and the answer into
// what a gateway takes as one (4.2); requests of a gateway come over connections that it asked for.
type site struct {
	*worker
	port   int
	lock   sync.Mutex // guards the credentials in load
	load   lang.Load
	client *http.Transport
}

func newSite(w *worker, port int) *site {
	address := "127.0.0.1:" + strconv.Itoa(port)
	return &site{worker: w, port: port, client: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", address)
		},
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
}

func (s *site) start(load lang.Load) (kind byte, failure lang.Failure, err error) {
	return s.startWith(load, func() (lang.Failure, bool) { return s.worker.start(load) })
}

// startWith starts the function and waits until it listens.
func (s *site) startWith(load lang.Load, start func() (lang.Failure, bool)) (kind byte, failure lang.Failure, err error) {
	s.load = load
	if fd, err := adaptor.Dial(s.port); err == nil { // possible only where functions are not kept apart
		unix.Close(fd)
		return lang.FailLoad, lang.Failure{Type: "PortInUse", Message: "port " + strconv.Itoa(s.port) + " of 127.0.0.1 is another's already"}, nil
	}
	failure, ok := start()
	if !ok {
		return lang.FailLoad, failure, nil
	}
	fd, ok := s.process.Await(s.port)
	if !ok {
		failure = s.process.Exit()
		failure.Message += " before it listened on 127.0.0.1:" + strconv.Itoa(s.port)
		return lang.FailExit, failure, nil
	}
	unix.Close(fd)
	return 0, failure, nil
}

func (s *site) dial() func(uint32) {
	return func(seq uint32) {
		fd, err := adaptor.Dial(s.port)
		if err != nil {
			_ = s.control.Fail(seq, lang.FailException, s.unreachable(err)) // a server that does not listen is gone
			return
		}
		_ = s.control.SendFD(lang.Frame{Type: lang.FrameDialed, Seq: seq}, fd) // likewise
		unix.Close(fd)
	}
}

func (s *site) unreachable(err error) lang.Failure {
	f := lang.Failure{Type: "ConnectionError", Message: "the function does not answer on 127.0.0.1:" + strconv.Itoa(s.port) + ": " + err.Error()}
	if errors.Is(err, unix.ECONNREFUSED) {
		f.Message = "nothing listens on 127.0.0.1:" + strconv.Itoa(s.port) + " any more"
	}
	return f
}

func (s *site) call(f lang.Frame) { go s.exchange(f) }

func (s *site) exchange(f lang.Frame) {
	deadline, id, extra, err := f.CallHead()
	if err != nil {
		s.fail(f.Seq, lang.FailException, lang.Failure{Type: "ProtocolError", Message: err.Error()})
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(time.Second)) // the server ends what is late
	defer cancel()
	req, err := requestOf(ctx, f.Body)
	if err != nil {
		s.fail(f.Seq, lang.FailException, lang.Failure{Type: "InvalidEvent", Message: "the event cannot be turned into a request: " + err.Error()})
		return
	}
	for name, value := range s.header(id, extra) {
		req.Header.Set(name, value)
	}
	extra.SetHeaders(req.Header.Set, req.Header.Del)
	res, err := s.client.RoundTrip(req)
	if err != nil {
		s.lost(f.Seq, err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(s.load.MaxResult)+1))
	if err != nil {
		s.lost(f.Seq, err)
		return
	}
	result := answerOf(res, body)
	if n := max(len(result), len(body)); n > s.load.MaxResult {
		s.fail(f.Seq, lang.FailTooLarge, lang.TooLarge(n, s.load.MaxResult))
		return
	}
	s.result(f.Seq, s.process.PeakKiB(time.Since(begun)), result)
}

// header is that of a call, after which the function has the credentials that the call brought.
func (s *site) header(id string, extra lang.CallExtra) map[string]string {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.load.Renew(extra)
	return s.load.Header(id)
}

// exitGrace is how long a process whose connection has ended has to end itself, so that the reason can be told.
const exitGrace = 250 * time.Millisecond

// lost fails a call whose connection broke: with the end of the process where that is the reason.
func (s *site) lost(seq uint32, err error) {
	select {
	case <-s.process.Ended(): // supervise answers
	case <-time.After(exitGrace):
		s.fail(seq, lang.FailException, s.unreachable(err))
	}
}
