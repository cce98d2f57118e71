package httpkit

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// firstRead is how much is set aside for a body before any of it has come. Beyond it the buffer grows with what arrives,
// so that a lying Content-Length costs nothing.
const firstRead = 64 << 10

// ReadBody reads a whole body under the bounds of the Mux, for a handler that is not one of its routes. The caller calls done
// when it needs the body no more. Errors: CodeTooLarge, CodeOverload, CodeInvalid (field "body") when it stalls or breaks off.
func (m *Mux) ReadBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, done func(), err error) {
	body, err = m.readBody(w, r, limit)
	if err != nil {
		return nil, func() {}, err
	}
	return body, func() { m.held.Add(-int64(cap(body))) }, nil
}

// readBody reads a whole body of at most limit bytes. The capacity of what it gives is counted in m.held; the caller
// counts it off. Errors: CodeTooLarge, CodeOverload, CodeInvalid (field "body") when it stalls or breaks off.
func (m *Mux) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	size := r.ContentLength // -1 when chunked
	if size < 0 {
		size = limit + 1 // one more, to see that it is over
	}
	guard := stallGuard{rc: http.NewResponseController(w), stall: m.cfg.BodyStall, end: time.Now().Add(m.cfg.BodyTimeout)}
	if err := guard.extend(); err != nil {
		return nil, err
	}
	body, err := m.readUpTo(r.Body, size, &guard)
	if err == nil && r.ContentLength > 0 && int64(len(body)) < r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && int64(len(body)) > limit {
		err = tooLarge(limit)
	}
	if err != nil {
		m.held.Add(-int64(cap(body)))
		return nil, bodyError(err)
	}
	return body, guard.lift()
}

// readUpTo reads until the end, or until size bytes are there. It counts the capacity of what it gives.
func (m *Mux) readUpTo(src io.Reader, size int64, guard *stallGuard) ([]byte, error) {
	var body []byte
	for int64(len(body)) < size {
		if len(body) == cap(body) {
			grown, err := m.grow(body, size)
			if err != nil {
				return body, err
			}
			body = grown
		}
		n, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		if err := guard.extend(); err != nil {
			return body, err
		}
	}
	return body, nil
}

// grow doubles a buffer, up to size, within what all bodies together may take.
func (m *Mux) grow(body []byte, size int64) ([]byte, error) {
	next := min(size, max(firstRead, 2*int64(cap(body))))
	if m.held.Add(next) > m.cfg.MaxBodiesBytes {
		m.held.Add(-next)
		return body, faas.Errorf(faas.CodeOverload, "body", "too many request bodies at a time; try again later")
	}
	grown := make([]byte, len(body), next)
	copy(grown, body)
	m.held.Add(-int64(cap(body)))
	return grown, nil
}

func tooLarge(limit int64) error {
	return faas.Errorf(faas.CodeTooLarge, "body", "the request body is over %d bytes", limit)
}

func bodyError(err error) error {
	var known *faas.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &faas.Error{Code: faas.CodeInvalid, Field: "body", Message: "the request body did not arrive in time", Err: err}
	default:
		return &faas.Error{Code: faas.CodeInvalid, Field: "body", Message: "the request body broke off or is malformed", Err: err}
	}
}

// stallGuard ends the reading of a body that stops coming: at most stall between two pieces, and end for all.
type stallGuard struct {
	rc    *http.ResponseController
	stall time.Duration
	end   time.Time
	set   time.Time
	off   bool // the connection has no deadlines (tests without a network)
}

// extend gives the next piece its time. Pieces that follow quickly share a deadline.
func (g *stallGuard) extend() error {
	now := time.Now()
	if g.off || now.Sub(g.set) < g.stall/8 {
		return nil
	}
	g.set = now
	deadline := now.Add(g.stall)
	if deadline.After(g.end) {
		deadline = g.end
	}
	err := g.rc.SetReadDeadline(deadline)
	if errors.Is(err, http.ErrNotSupported) {
		g.off = true
		return nil
	}
	return err
}

// lift takes the deadline away: left in place it would cancel the request while its handler works.
func (g *stallGuard) lift() error {
	if g.off {
		return nil
	}
	return g.rc.SetReadDeadline(time.Time{})
}
