package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// target is a place that answers a POST with what it was sent.
type target struct {
	Address string   // host:port
	Path    string   // of the URL
	Header  []string // further header lines, without line ends
	Accept  bool     // it answers 202, that it has the call and will make it
}

// request is the text of a call whose body carries an id that changes from call to call.
type request struct {
	text []byte
	body []byte // the part of text behind the header
	id   []byte // the part of body that is the id
}

func newRequest(t target) *request {
	body := payload()
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", t.Path, t.Address, len(body))
	for _, line := range t.Header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	head := b.Len()
	b.Write(body)
	r := &request{text: b.Bytes()}
	r.body = r.text[head:]
	at := bytes.Index(r.body, []byte(noID))
	r.id = r.body[at : at+len(noID)]
	return r
}

// number writes an id into the request.
func (r *request) number(n uint64) {
	const digits = "0123456789abcdef"
	for i := len(r.id) - 1; i >= 0; i-- {
		r.id[i] = digits[n&15]
		n >>= 4
	}
}

// response is an answer. Its slices are valid until the next one is read.
type response struct {
	status  int
	summary []byte // the header in which the server tells how the call went
	body    []byte
	close   bool // the server will close the connection
}

const (
	maxBody       = 8 << 20
	summaryHeader = "X-Cff-Invoke-Summary"
)

var errChunked = errors.New("an answer without Content-Length")

// read reads the next answer. It understands what the measured servers send: HTTP/1.1 with a Content-Length.
func (a *response) read(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("status line: %w", err)
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("status line %.40q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return fmt.Errorf("status line %.40q", line)
	}
	length, err := a.readHeader(r)
	if err != nil {
		return err
	}
	if cap(a.body) < length {
		a.body = make([]byte, length)
	}
	a.body = a.body[:length]
	if _, err := io.ReadFull(r, a.body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// readHeader reads up to the empty line and gives the length of the body.
func (a *response) readHeader(r *bufio.Reader) (int, error) {
	length := -1
	a.close, a.summary = false, a.summary[:0]
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "Content-Length"):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxBody {
				return 0, fmt.Errorf("Content-Length %.20q", value)
			}
		case equalFold(name, "Connection"):
			a.close = equalFold(value, "close")
		case equalFold(name, summaryHeader):
			a.summary = append(a.summary, value...)
		}
	}
	if length < 0 {
		return 0, errChunked
	}
	return length, nil
}

// equalFold is cheap for the many names that differ in length.
func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// conn is a connection that makes one call at a time.
type conn struct {
	net.Conn
	reader *bufio.Reader
	answer response
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, reader: bufio.NewReaderSize(c, 16<<10)}, nil
}

// call sends a request and reads its answer.
func (c *conn) call(r *request) (*response, error) {
	if _, err := c.Write(r.text); err != nil {
		return nil, err
	}
	if err := c.answer.read(c.reader); err != nil {
		return nil, err
	}
	return &c.answer, nil
}
