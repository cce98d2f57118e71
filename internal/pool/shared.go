package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// shared is the exchange with an instance that takes several calls at a time. One goroutine reads what the worker says and
// hands each answer to the call that waits for it; an instance of one call at a time has no such goroutine.
//
// A call whose time is over gets that answer, and the instance takes no further call: what hangs in it cannot be ended alone.
// Its neighbours run on to their own end, and with the last of them the instance ends. A worker that answers what it was not
// asked, or twice, is ended with all its calls.
type shared struct {
	in    *instance
	ended chan struct{} // closed when the worker is gone; failure says why

	writing sync.Mutex
	frame   []byte // buffer for what is sent

	mu      sync.Mutex
	seq     uint32
	asked   map[uint32]asked
	overdue map[uint32]byte         // asked too, and nobody waits any more: FrameCall, ...
	gifts   map[uint32]*net.TCPConn // of dials that were answered, until they are picked up
	exited  *lang.Frame             // a FailExit: what the worker said of the end that is near
	failure *faas.Failure
}

// asked is a question that waits for its answer.
type asked struct {
	kind   byte // FrameCall, FrameDial, FrameBeat or FrameStop
	answer chan lang.Frame
}

var errGone = errors.New("the worker is gone")

// share makes a loaded instance one of several calls at a time, and begins to read.
func (p *Pool) share(in *instance) {
	_ = in.conn.SetDeadline(time.Time{})
	in.shared = &shared{in: in, ended: make(chan struct{}), asked: map[uint32]asked{}, overdue: map[uint32]byte{}, gifts: map[uint32]*net.TCPConn{}}
	if in.gifts != nil {
		in.gifts.Most = 2
	}
	in.output.divide()
	p.work.Go(in.shared.read)
}

// read hands out answers until the worker is gone.
func (s *shared) read() {
	var failure *faas.Failure
	for failure == nil {
		frame, err := lang.ReadFrame(s.in.reader, nil, maxFrame)
		if err != nil {
			failure = s.in.fate(err)
		} else if err = s.deliver(frame); err != nil {
			failure = s.in.broken(err)
		} else if s.exited != nil {
			failure = s.in.reported(*s.exited) // to all: each would be told the same, one after the other
		}
	}
	s.in.gifts.Discard()
	s.mu.Lock()
	s.failure = failure
	s.mu.Unlock()
	close(s.ended)
}

// deliver hands an answer to whoever asked. An error means that the worker does not keep to the protocol.
func (s *shared) deliver(f lang.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, waits := s.asked[f.Seq]
	kind := q.kind
	if !waits {
		kind = s.overdue[f.Seq]
	}
	if err := fits(kind, f); err != nil {
		return err
	}
	if f.Type == lang.FrameFailed && f.Meta[0] == lang.FailExit {
		s.exited = &f
	}
	if f.Type == lang.FrameDialed {
		conn, err := connectionOf(s.in.gifts)
		switch {
		case err != nil:
			return err
		case waits:
			s.gifts[f.Seq] = conn
		default:
			conn.Close()
		}
	}
	delete(s.overdue, f.Seq)
	if waits {
		delete(s.asked, f.Seq)
		q.answer <- f
	}
	return nil
}

// fits tells whether a frame can be the answer to a question of a kind; kind 0 was never asked.
func fits(kind byte, f lang.Frame) error {
	var err error
	switch {
	case f.Type == lang.FrameFailed && (kind == lang.FrameCall || kind == lang.FrameStop || kind == lang.FrameDial):
		if _, _, err = f.Failure(); err == nil {
			_, err = lang.FailCode(f.Meta[0])
		}
	case f.Type == lang.FrameResult && kind == lang.FrameCall:
		_, err = f.PeakKiB()
	case f.Type == lang.FrameBeaten && kind == lang.FrameBeat:
		_, err = f.Beat()
	case f.Type == lang.FrameStopped && kind == lang.FrameStop, f.Type == lang.FrameDialed && kind == lang.FrameDial:
	default:
		err = errUnexpected
	}
	return err
}

// ask notes a question and sends it. send appends its frame. Errors: errGone when the worker ended before; os.ErrDeadlineExceeded
// when it did not take the question in time, which leaves it of no use.
func (s *shared) ask(kind byte, deadline time.Time, send func(dst []byte, seq uint32) []byte) (uint32, <-chan lang.Frame, error) {
	s.mu.Lock()
	if s.failure != nil {
		s.mu.Unlock()
		return 0, nil, errGone
	}
	s.seq++
	seq, answer := s.seq, make(chan lang.Frame, 1)
	s.asked[seq] = asked{kind, answer}
	s.mu.Unlock()
	if kind == lang.FrameCall {
		s.in.output.enter(seq)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.frame = send(s.frame[:0], seq)
	_ = s.in.conn.SetWriteDeadline(deadline)
	err := s.in.write(s.frame)
	if cap(s.frame) > 64<<10 {
		s.frame = nil
	}
	if err == nil {
		return seq, answer, nil
	}
	s.abandon(seq)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		err = errGone
	}
	return seq, nil, err
}

// abandon gives a question up; its answer, should it come, is dropped.
func (s *shared) abandon(seq uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, waits := s.asked[seq]; waits {
		delete(s.asked, seq)
		s.overdue[seq] = q.kind
	}
}

// call runs one call and says what became of the instance.
func (s *shared) call(f *faas.Function, c faas.Invocation, timeout time.Duration) (*faas.Result, liveness) {
	begun := time.Now()
	deadline := begun.Add(timeout)
	extra := s.in.extraOf(f, c)
	seq, answer, err := s.ask(lang.FrameCall, deadline, func(dst []byte, seq uint32) []byte {
		return lang.AppendCall(dst, seq, deadline, c.ID, extra, c.Event)
	})
	res := &faas.Result{}
	var state liveness
	switch {
	case errors.Is(err, errGone):
		<-s.ended
		res.Failure, state = s.why(), untouched
	case err != nil: // half of a call may be on its way: nothing can follow it
		s.in.box.Kill()
		<-s.ended
		res.Failure, state = timedOut("the function", timeout), ended
	default:
		var frame lang.Frame
		if frame, state = s.await(seq, answer, deadline); state == alive {
			state = s.take(res, frame)
		} else if state == leaving {
			res.Failure = timedOut("the function", timeout)
			res.Failure.Message = fmt.Sprintf("the function did not finish within %d seconds; its instance takes no further call", int(timeout/time.Second))
		} else {
			res.Failure = s.why()
		}
	}
	res.Run = time.Since(begun)
	res.Logs, res.Dropped = s.in.output.leave(seq)
	if res.MemoryPeak == 0 {
		res.MemoryPeak = s.in.box.MemoryPeak()
	}
	return res, state
}

// await waits for an answer: alive; or ended, as the worker is gone; or leaving, as the time is over.
func (s *shared) await(seq uint32, answer <-chan lang.Frame, deadline time.Time) (lang.Frame, liveness) {
	over := time.NewTimer(time.Until(deadline))
	defer over.Stop()
	state := leaving
	select {
	case f := <-answer:
		return f, alive
	case <-s.ended:
		state = ended
	case <-over.C:
	}
	s.abandon(seq)
	select {
	case f := <-answer: // in the same moment
		return f, alive
	default:
		return lang.Frame{}, state
	}
}

// take reads the answer to a call, which deliver has checked.
func (s *shared) take(res *faas.Result, f lang.Frame) liveness {
	if f.Type == lang.FrameResult {
		kib, _ := f.PeakKiB()
		res.Output, res.MemoryPeak = f.Body, kib<<10
		return alive
	}
	res.Failure = s.in.reported(f)
	switch f.Meta[0] {
	case lang.FailLast:
		return leaving
	case lang.FailExit:
		return ended
	}
	return alive
}

// dial asks the worker for a connection, beside whatever else runs.
func (s *shared) dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(dialLimit)
	seq, answer, err := s.ask(lang.FrameDial, deadline, func(dst []byte, seq uint32) []byte {
		return lang.AppendFrame(dst, lang.Frame{Type: lang.FrameDial, Seq: seq})
	})
	if err != nil {
		if !errors.Is(err, errGone) {
			s.in.box.Kill() // half of a question may be on its way: nothing can follow it
		}
		return nil, fmt.Errorf("connect to the function: %w", err)
	}
	frame, state := s.await(seq, answer, deadline)
	switch {
	case state == ended:
		return nil, fmt.Errorf("connect to the function: %w", errGone)
	case state == leaving:
		return nil, fmt.Errorf("connect to the function: %w", os.ErrDeadlineExceeded)
	case frame.Type == lang.FrameFailed:
		_, failure, err := frame.Failure()
		return nil, errors.Join(err, errors.New(failure.Message))
	}
	s.mu.Lock()
	conn := s.gifts[seq]
	delete(s.gifts, seq)
	s.mu.Unlock()
	return s.in.callers.add(conn)
}

// why gives the reason of the worker's end, for one of its calls.
func (s *shared) why() *faas.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	failure := *s.failure
	return &failure
}
